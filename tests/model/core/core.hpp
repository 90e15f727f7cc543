// Models of Heddle's own code: how far each is explored.
//
// Usually everything with at most two preemptions. With HEDDLE_MODEL_NIGHTLY=1 with one more, as
// far as the time below goes, and a million executions by random priorities.
#pragma once

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include <heddle/model.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/thread.hpp>

namespace core_model {

namespace model = heddle::model;
namespace prim = heddle::prim;

inline bool nightly() {
  const char* const value = std::getenv("HEDDLE_MODEL_NIGHTLY");
  return value != nullptr && std::string(value) == "1";
}

inline void explore_one(const model::options& o, const std::function<void()>& body,
                        bool must_finish) {
  const model::result r = model::explore(o, body);
  const std::string text = r.describe();
  ASSERT_FALSE(r.failed) << text;
  if (must_finish) {
    ASSERT_TRUE(r.complete) << text;
  }
  std::printf("%s", text.c_str());
}

inline std::string name_of_this_test() {
  const auto* const info = testing::UnitTest::GetInstance()->current_test_info();
  return std::string(info->test_suite_name()) + "." + info->name();
}

// For bodies of some hundred operations, as those of whole pools: with one preemption, then with
// two and every load reading the newest value.
struct in_two_parts {};

// For larger ones: one preemption.
inline model::options one_preemption() {
  model::options o;
  o.preemptions = 1;
  o.stale_reads = 1;
  return o;
}

// Everything within the bounds; at night with a preemption more, as far as two minutes go.
inline void explore_all(const std::function<void()>& body, model::options o) {
  if (nightly()) {
    ++o.preemptions;
    o.time_limit = std::chrono::minutes(2);
  }
  explore_one(o, body, !nightly());
}

inline void explore_at_random(const std::function<void()>& body, model::options o) {
  o.method = model::search::pct;
  o.executions = 1'000'000;
  o.time_limit = std::chrono::minutes(4);
  explore_one(o, body, false);
}

// Fails the test when an execution of the body fails.
inline void holds(const std::function<void()>& body, model::options o = {}) {
  o.name = name_of_this_test();
  explore_all(body, o);
  if (nightly() && !testing::Test::HasFailure()) explore_at_random(body, o);
}

inline void holds(const std::function<void()>& body, in_two_parts, model::options o = {}) {
  model::options orders = o;
  --o.preemptions;
  holds(body, o);
  if (testing::Test::HasFailure()) return;
  orders.name = name_of_this_test();
  orders.stale_reads = orders.spurious_failures = 0;
  explore_all(body, orders);
}

// A deadline that comes while others run, if the search wants it to.
inline prim::time_point soon() { return prim::deadline_after(std::chrono::milliseconds(1)); }

}  // namespace core_model
