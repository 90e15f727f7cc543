#include <heddle/base/job.hpp>

#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

namespace {

using heddle::job;
using heddle::verb;

struct recorder final : job {
  recorder() noexcept
      : job([](job* j, verb v) noexcept { static_cast<recorder*>(j)->given.push_back(v); }) {}
  std::vector<verb> given;
};

TEST(job, is_called_with_itself_and_its_verb) {
  recorder r;
  job* const j = &r;
  j->run(j, verb::help);
  j->run(j, verb::run);
  EXPECT_EQ(r.given, (std::vector{verb::help, verb::run}));
}

TEST(job, is_in_no_queue_at_first) {
  const recorder r;
  EXPECT_EQ(r.next, nullptr);
}

TEST(job, stays_where_it_is) {
  EXPECT_FALSE(std::is_copy_constructible_v<recorder>);
  EXPECT_FALSE(std::is_move_constructible_v<recorder>);
  EXPECT_FALSE(std::is_copy_assignable_v<recorder>);
}

// The size is what task cells, stack tasks and coroutine frames pay.
static_assert(sizeof(heddle::job) == 3 * sizeof(void*));

}  // namespace
