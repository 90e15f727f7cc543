// The museum: bugs that other libraries had, in miniature. Each exhibit is one body in two forms,
// told apart by a template parameter: the form that had the bug must fail under the checker, and
// for the right reason; the mended one must stand in every execution within the bounds.
//
// docs/protocols/museum.md is the catalogue.
#pragma once

#include <gmock/gmock.h>

#include <cstdint>
#include <functional>
#include <string>

#include <heddle/model.hpp>

namespace museum {

namespace model = heddle::model;

// Kinds of failure, by what the checker says of them.
using kind = testing::Matcher<const std::string&>;

inline kind data_race() { return testing::HasSubstr("data race"); }
inline kind deadlock() { return testing::HasSubstr("deadlock"); }
inline kind leak() { return testing::HasSubstr("leak"); }
inline kind double_free() { return testing::HasSubstr("already gone"); }
inline kind assertion(const std::string& text) { return testing::HasSubstr(text); }
inline kind use_after_free() {
  return testing::AnyOf(testing::HasSubstr("after its destruction"),
                        testing::HasSubstr("does not happen after its last use"));
}

inline model::result explore(const std::string& form, const std::function<void()>& body,
                             model::options o = {}) {
  const auto* const test = testing::UnitTest::GetInstance()->current_test_info();
  o.name = std::string(test->test_suite_name()) + "." + test->name() + "." + form;
  return model::explore(o, body);
}

inline void record(const std::string& name, std::uint64_t value) {
  testing::Test::RecordProperty(name, std::to_string(value));
}

// Both searches must find it. How long that took, and what it takes at least, become properties of
// the test: --gtest_output=json writes them down.
inline void expect_failure(const std::string& form, const std::function<void()>& body,
                           const kind& expected) {
  const auto found = explore(form, body);
  ASSERT_TRUE(found.failed) << found.describe();
  EXPECT_THAT(found.message, expected) << found.describe();
  record(form + "_found_after", found.executions);

  model::options random;
  random.method = model::search::pct;
  random.executions = 100000;
  const auto met = explore(form, body, random);
  ASSERT_TRUE(met.failed) << met.describe();
  EXPECT_THAT(met.message, expected) << met.describe();
  record(form + "_pct_found_after", met.executions);

  model::options fewest;
  fewest.preemptions = 0;
  while (!explore(form, body, fewest).failed) ++fewest.preemptions;
  record(form + "_preemptions", fewest.preemptions);
}

inline void expect_pass(const std::function<void()>& body) {
  const auto r = explore("mended", body);
  EXPECT_TRUE(!r.failed && r.complete) << r.describe();
  record("mended_executions", r.executions);
}

inline void show(const std::function<void()>& buggy, const kind& expected,
                 const std::function<void()>& mended) {
  expect_failure("buggy", buggy, expected);
  expect_pass(mended);
}

}  // namespace museum
