#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <string_view>

#include <heddle/sizing/law.hpp>

#include "simulated_pool.hpp"

namespace {

using heddle::sizing::cause;
using heddle_test::best_fixed;
using heddle_test::run_law;
using heddle_test::simulated_load;
using heddle_test::simulated_run;
using heddle_test::stage;
using heddle_test::task_plan;
using kind = heddle_test::stage::kind;

simulated_load always(task_plan plan) {
  simulated_load load;
  load.next_task = [plan](std::mt19937_64&, double) { return plan; };
  return load;
}

task_plan computes(double seconds) { return {{kind::compute, seconds}}; }

task_plan sleeps(double seconds) {
  return {{kind::compute, 1e-4}, {kind::sleep, seconds}, {kind::compute, 1e-4}};
}

simulated_run adaptive(const simulated_load& load, double seconds, int least = 1, int most = 1024) {
  const auto law = heddle::sizing::make_adaptive_law();
  return run_law(load, *law, seconds, least, most);
}

// Throughput in the last second against the best fixed size's.
double share_of_best(const simulated_load& load, const simulated_run& run, double end) {
  return run.rate(end - 1, end) / best_fixed(load, 0.6, 1.6, 512).rate;
}

TEST(adaptive_law, stays_at_the_cores_when_tasks_compute) {
  const simulated_load load = always(computes(2e-4));
  const simulated_run run = adaptive(load, 4);
  EXPECT_EQ(run.largest(), 2);
  EXPECT_EQ(run.steps(0, 4), 0);
}

TEST(adaptive_law, begins_with_a_worker_for_each_core_within_the_bounds) {
  const auto law = heddle::sizing::make_adaptive_law();
  EXPECT_EQ(law->first(2.0, 1, 64).size, 2);
  EXPECT_EQ(law->first(0.2, 1, 64).size, 1);
  EXPECT_EQ(law->first(1.5, 1, 64).size, 2);
  EXPECT_EQ(law->first(8.0, 1, 4).size, 4);
  EXPECT_EQ(law->first(2.0, 6, 8).size, 6);
  EXPECT_EQ(law->first(2.0, 1, 64).why, cause::start);
  EXPECT_NE(law->first(2.0, 1, 64).reason, "");
}

class sleeping_tasks : public testing::TestWithParam<double> {};

TEST_P(sleeping_tasks, get_as_many_workers_as_the_cores_can_feed) {
  const simulated_load load = always(sleeps(GetParam()));
  const simulated_run run = adaptive(load, 3);
  EXPECT_GE(share_of_best(load, run, 3), 0.95);
  EXPECT_LE(run.steps(2, 3), 1);
}
INSTANTIATE_TEST_SUITE_P(seconds, sleeping_tasks, testing::Values(1e-3, 1e-2, 1e-1));

TEST(adaptive_law, grows_within_five_task_times_or_half_a_second) {
  const simulated_load load = always(sleeps(1e-2));
  const simulated_run run = adaptive(load, 3);
  EXPECT_GE(run.rate(0.5, 1.5), 0.95 * best_fixed(load, 0.6, 1.6, 512).rate);
}

TEST(adaptive_law, does_not_run_away_before_the_first_task_has_ended) {
  // Each sleeps 10 s: nothing is known of them for long.
  const simulated_run run = adaptive(always(sleeps(10)), 2);
  EXPECT_GT(run.largest(), 8);
  EXPECT_LE(run.largest(), 128);
}

TEST(adaptive_law, copes_with_tasks_of_two_kinds) {
  simulated_load load;
  load.next_task = [](std::mt19937_64& random, double) {
    const bool quick = std::uniform_real_distribution<double>()(random) < 0.9;
    return quick ? computes(2e-4) : task_plan{{kind::compute, 1e-4}, {kind::sleep, 5e-2}};
  };
  const simulated_run run = adaptive(load, 3);
  EXPECT_GE(share_of_best(load, run, 3), 0.93);
}

TEST(adaptive_law, copes_with_a_heavy_tail) {
  simulated_load load;
  load.next_task = [](std::mt19937_64& random, double) {
    const double u = std::uniform_real_distribution<double>()(random);
    return task_plan{{kind::compute, 1e-4},
                     {kind::sleep, std::min(1.0, 1e-3 / std::pow(1 - u, 1 / 1.3))}};
  };
  const simulated_run run = adaptive(load, 4);
  EXPECT_GE(share_of_best(load, run, 4), 0.93);
}

bool says(const simulated_run& run, cause why, std::string_view words) {
  return std::ranges::any_of(run.points, [&](const auto& p) {
    return p.why == why && p.reason.find(words) != p.reason.npos;
  });
}

TEST(adaptive_law, finds_that_a_saturated_server_serves_no_more) {
  simulated_load load = always({{kind::compute, 1e-4}, {kind::ask_server, 5e-3}});
  load.server_places = 16;
  const simulated_run run = adaptive(load, 4);
  EXPECT_GE(share_of_best(load, run, 4), 0.97);
  EXPECT_LE(run.last_size(), 64);
  EXPECT_TRUE(says(run, cause::saturation, "sleeps"));
}

TEST(adaptive_law, tells_work_that_becomes_slower_where_more_compute) {
  simulated_load load = always({{kind::compute, 1e-4}, {kind::sleep, 2e-3}});
  load.pace = [](int running) { return running <= 1 ? 1.0 : 0.2; };
  const simulated_run run = adaptive(load, 4);
  EXPECT_TRUE(says(run, cause::crowded_cores, "CPU time"));
}

TEST(adaptive_law, leaves_a_hot_lock_to_few) {
  const simulated_load load = always({{kind::hold_lock, 2e-5}, {kind::compute, 2e-6}});
  const simulated_run run = adaptive(load, 3);
  EXPECT_LE(run.last_size(), 2);
  EXPECT_GE(share_of_best(load, run, 3), 0.97);
}

TEST(adaptive_law, follows_a_load_that_turns_from_computing_to_sleeping_and_back) {
  simulated_load load;
  load.next_task = [](std::mt19937_64&, double now) {
    return static_cast<int>(now / 3) % 2 == 0 ? computes(2e-4) : sleeps(1e-2);
  };
  const simulated_run run = adaptive(load, 9);
  const double best_computing = best_fixed(always(computes(2e-4)), 0.6, 1.6, 64).rate;
  const double best_sleeping = best_fixed(always(sleeps(1e-2)), 0.6, 1.6, 512).rate;
  EXPECT_GE(run.rate(1, 3), 0.97 * best_computing);
  EXPECT_GE(run.rate(3.5, 6), 0.95 * best_sleeping);
  EXPECT_GE(run.rate(6.5, 9), 0.97 * best_computing);
  EXPECT_LE(run.last_size(), 4);
}

TEST(adaptive_law, takes_its_share_beside_a_neighbour_and_gives_it_back) {
  simulated_load load = always(computes(2e-4));
  load.neighbours = [](double now) { return now < 1 || now > 4 ? 0 : 2; };
  const simulated_run run = adaptive(load, 6);
  EXPECT_GE(run.rate(2.5, 4), 0.8 * 10000);
  EXPECT_LE(run.last_size(), 4);
  EXPECT_GE(run.rate(5, 6), 0.97 * 10000);
}

TEST(adaptive_law, follows_a_quota_down_and_up) {
  simulated_load load = always(computes(2e-4));
  load.cores = [](double now) { return now < 2 || now > 4 ? 2.0 : 0.5; };
  const simulated_run run = adaptive(load, 6);
  EXPECT_GE(run.rate(2.5, 4), 0.97 * 2500);
  EXPECT_GE(run.rate(4.5, 6), 0.97 * 10000);
}

TEST(adaptive_law, keeps_up_with_arrivals_and_rests) {
  simulated_load load = always(sleeps(1e-2));
  load.arrivals_a_second = 5000;
  const simulated_run run = adaptive(load, 6);
  EXPECT_NEAR(run.rate(2, 6), 5000, 150);
  EXPECT_LE(run.steps(3, 6), 1);
}

TEST(adaptive_law, stays_within_bounds_and_follows_them) {
  const simulated_load load = always(sleeps(1e-2));
  const simulated_run run = adaptive(load, 2, 3, 20);
  for (const auto& p : run.points) {
    EXPECT_GE(p.size, 3);
    EXPECT_LE(p.size, 20);
  }
  EXPECT_EQ(run.last_size(), 20);

  heddle_test::simulated_pool pool(load);
  const auto law = heddle::sizing::make_adaptive_law();
  pool.set_size(law->first(2, 1, 64).size);
  for (int i = 0; i < 40; ++i) {
    auto now = pool.run(0.02);
    now.least = 1;
    now.most = 64;
    pool.set_size(law->next(now).size);
  }
  ASSERT_GT(pool.size(), 10);
  auto now = pool.run(0.02);
  now.least = 1;
  now.most = 10;
  const auto answer = law->next(now);
  EXPECT_EQ(answer.size, 10);
  EXPECT_EQ(answer.why, cause::bounds);
}

TEST(adaptive_law, works_in_a_plainer_way_without_run_queue_times) {
  for (const bool sleeping : {false, true}) {
    simulated_load load = always(sleeping ? sleeps(1e-2) : computes(2e-4));
    load.tells_runnable = false;
    load.tells_foreign = false;
    const simulated_run run = adaptive(load, 3);
    EXPECT_GE(share_of_best(load, run, 3), 0.9) << "sleeping: " << sleeping;
  }
}

TEST(adaptive_law, every_change_has_a_reason_in_words) {
  const simulated_run run = adaptive(always(sleeps(1e-2)), 2);
  int before = run.points.front().size;
  std::string reason = "first";
  for (const auto& p : run.points) {
    if (p.size != before) {
      EXPECT_NE(reason, "");
    }
    before = p.size;
    reason = p.reason;
  }
  EXPECT_GT(run.largest(), 2);
}

}  // namespace
