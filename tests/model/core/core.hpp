// Models of Heddle's own code: how far each is explored.
//
// Usually everything with at most two preemptions. With HEDDLE_MODEL_NIGHTLY=1 everything with at
// most three, as far as that goes in the time below, and a million executions by random priorities.
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

// Fails the test when an execution of the body fails.
inline void holds(const std::function<void()>& body, model::options o = {}) {
  o.name = name_of_this_test();
  if (!nightly()) {
    explore_one(o, body, true);
    return;
  }
  ++o.preemptions;
  o.time_limit = std::chrono::minutes(4);
  explore_one(o, body, false);
  o.method = model::search::pct;
  o.executions = 1'000'000;
  explore_one(o, body, false);
}

// A deadline that comes while others run, if the search wants it to.
inline prim::time_point soon() { return prim::deadline_after(std::chrono::milliseconds(1)); }

}  // namespace core_model
