#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <heddle/sizing/recommend.hpp>
#include <limits>
#include <stdexcept>
#include <vector>

namespace {

using namespace heddle::sizing;
using testing::HasSubstr;
using testing::ThrowsMessage;

// A size, with an interval of +-1 %. Times in milliseconds a task.
size_summary at(int size, double throughput, std::optional<double> residence = {},
                std::optional<double> cpu = {}, std::optional<double> switches = {},
                std::optional<double> runnable = {}) {
  size_summary s;
  s.size = size;
  s.repetitions = 5;
  s.tasks = static_cast<std::uint64_t>(throughput * 100);
  s.elapsed = 20;
  s.throughput = {throughput, 0.99 * throughput, 1.01 * throughput};
  const auto seconds = [](std::optional<double> t) {
    return t ? std::optional<double>(*t / 1e3) : std::nullopt;
  };
  s.residence = seconds(residence);
  s.cpu = seconds(cpu);
  s.runnable = seconds(runnable);
  s.switches = switches;
  return s;
}

recommendation of(const std::vector<size_summary>& sizes, double cores = 2,
                  const scaling_fit* fit = nullptr) {
  return recommend(sizes, {.cores = cores}, fit);
}

scaling_fit universal_fit(const std::vector<size_summary>& sizes) {
  std::vector<scaling_point> points;
  for (const size_summary& s : sizes)
    for (const double off : {0.995, 1.005}) points.push_back({s.size, off * s.throughput.value});
  return fit_throughput(scaling_law::universal_scalability, points);
}

TEST(recommend, cores) {
  const auto r = of({at(1, 100, 10, 10, 0), at(2, 199, 10, 10, 0), at(4, 200, 20, 10, 0)});
  EXPECT_EQ(r.size, 2);
  EXPECT_EQ(r.best, 4);
  EXPECT_EQ(r.why, limit::cores);
  EXPECT_THAT(r.reason, HasSubstr("within 0.5 % of the highest, measured at size 4"));
  EXPECT_THAT(r.reason, HasSubstr("1.99 of 2 usable cores in use at size 2"));
}

TEST(recommend, cores_also_when_the_largest_size_is_the_best) {
  EXPECT_EQ(of({at(1, 100, 10, 10), at(2, 200, 10, 10)}).why, limit::cores);
  EXPECT_EQ(of({at(1, 20, 10, 10)}, 0.2).why, limit::cores) << "a fifth of a core is all there is";
}

TEST(recommend, memory_or_spinning_when_cpu_time_rises_on_busy_cores) {
  const auto r = of({at(1, 100, 10, 10), at(2, 130, 15.4, 15.4), at(4, 131, 30.5, 15.3)});
  EXPECT_EQ(r.size, 2);
  EXPECT_EQ(r.why, limit::memory_or_spinning);
  EXPECT_THAT(r.reason, HasSubstr("from 10 ms at size 1 to 15.4 ms at size 2 (+54 %)"));
}

TEST(recommend, spinning_when_more_workers_only_burn) {
  const auto r = of({at(1, 100, 10, 10), at(2, 108, 18.5, 10), at(4, 108, 37, 18)}, 2);
  EXPECT_EQ(r.size, 2);
  EXPECT_EQ(r.why, limit::memory_or_spinning);
  EXPECT_THAT(r.reason, HasSubstr("end no more tasks"));
}

TEST(recommend, lock_when_switches_rise_and_throughput_does_not) {
  const auto r = of({at(1, 100, 10, 6, 0), at(2, 165, 12, 6, 0.6), at(4, 166, 24, 6, 1.1),
                     at(8, 165, 48, 6, 1.4)});
  EXPECT_EQ(r.size, 2);
  EXPECT_EQ(r.why, limit::lock);
  EXPECT_THAT(r.reason, HasSubstr("from 0 at size 1 to 1.4 at size 8"));
}

TEST(recommend, saturation_when_sleep_rises_and_throughput_does_not) {
  const auto r = of({at(1, 100, 10, 0.2, 1), at(8, 780, 10.3, 0.2, 1), at(16, 1000, 16, 0.2, 1),
                     at(32, 1004, 32, 0.2, 1)});
  EXPECT_EQ(r.size, 16);
  EXPECT_EQ(r.why, limit::saturation);
  EXPECT_THAT(r.reason, HasSubstr("from 9.8 ms at size 1 to 31.8 ms at size 32"));
}

TEST(recommend, coherency_when_throughput_falls_and_kappa_is_above_zero) {
  const std::vector<size_summary> sizes{at(1, 100), at(2, 180),  at(4, 286),
                                        at(8, 350), at(16, 310), at(32, 220)};
  const scaling_fit fit = universal_fit(sizes);
  ASSERT_GT(fit.kappa.low, 0);
  const auto r = of(sizes, 64, &fit);
  EXPECT_EQ(r.size, 8);
  EXPECT_EQ(r.why, limit::coherency);
  EXPECT_THAT(r.reason, HasSubstr("falls by 37 % from size 8 to size 32"));
  EXPECT_EQ(of(sizes, 64).why, limit::coherency) << "also without a fit";
}

TEST(recommend, neighbour_when_workers_wait_for_cores_that_are_not_theirs) {
  const auto r =
      of({at(1, 60, 16, 10, 0, 6), at(2, 100, 20, 10, 0, 10), at(4, 101, 40, 10, 0, 30)});
  EXPECT_EQ(r.size, 2);
  EXPECT_EQ(r.why, limit::neighbour);
  EXPECT_THAT(r.reason, HasSubstr("only 1 of 2 usable cores in use, while 1 workers"));
}

TEST(recommend, tells_a_large_rise_as_a_factor) {
  const auto r = of({at(1, 100, 10, 1, 1), at(2, 101, 20, 1, 1), at(16, 100, 160, 1, 1)});
  EXPECT_EQ(r.why, limit::saturation);
  EXPECT_THAT(r.reason, HasSubstr("from 9 ms at size 1 to 159 ms at size 16 (17.7 times as long)"));
}

TEST(recommend, not_reached_when_the_largest_size_is_needed) {
  const auto r = of({at(1, 100, 10, 0.1, 1), at(2, 200, 10, 0.1, 1), at(4, 400, 10, 0.1, 1)});
  EXPECT_EQ(r.size, 4);
  EXPECT_EQ(r.why, limit::not_reached);
  EXPECT_THAT(r.reason, HasSubstr("try more"));
}

TEST(recommend, of_one_size_there_is_nothing_to_compare) {
  const auto r = of({at(3, 100)});
  EXPECT_EQ(r.size, 3);
  EXPECT_EQ(r.why, limit::unknown);
  EXPECT_THAT(r.reason, HasSubstr("nothing to compare with"));
}

TEST(recommend, without_signals_says_that_it_does_not_know) {
  const auto r = of({at(1, 100), at(2, 101), at(4, 100)});
  EXPECT_EQ(r.size, 1);
  EXPECT_EQ(r.why, limit::unknown);
  EXPECT_THAT(r.reason, HasSubstr("the signals do not tell why"));
}

TEST(recommend, by_the_fit_alone_when_throughput_falls_a_little) {
  const std::vector<size_summary> sizes{at(1, 100), at(2, 170), at(4, 240), at(8, 253),
                                        at(12, 235)};
  const scaling_fit fit = universal_fit(sizes);
  ASSERT_GT(fit.kappa.low, 0);
  EXPECT_EQ(of(sizes, 64, &fit).why, limit::coherency);
}

TEST(as_good, within_the_tolerance_and_as_much_more_as_noise_explains) {
  const estimate best{100, 100, 100};
  EXPECT_TRUE(as_good({97, 97, 97}, best, 0.03));
  EXPECT_FALSE(as_good({96.9, 96.9, 96.9}, best, 0.03));
  EXPECT_TRUE(as_good({95, 93, 97}, best, 0.03)) << "2 of doubt";
  EXPECT_FALSE(as_good({94.9, 92.9, 96.9}, best, 0.03));
  constexpr double without_end = std::numeric_limits<double>::infinity();
  EXPECT_TRUE(as_good({94, -without_end, without_end}, best, 0.03))
      << "doubt counts up to the tolerance";
  EXPECT_FALSE(as_good({93.9, -without_end, without_end}, best, 0.03));
  EXPECT_TRUE(as_good(best, best, 0));
}

TEST(recommend, refuses_nonsense_and_names_it) {
  const std::vector<size_summary> one{at(1, 1)};
  const auto refused = [&](recommend_options o, const char* text) {
    EXPECT_THAT([&] { recommend(one, o); }, ThrowsMessage<std::invalid_argument>(HasSubstr(text)));
  };
  refused({.cores = 0}, "cores is 0");
  refused({.cores = -2}, "cores is -2");
  refused({.cores = std::nan("")}, "cores is nan");
  refused({.tolerance = 1}, "tolerance is 1");
  refused({.tolerance = -0.5}, "tolerance is -0.5");
  EXPECT_THAT([] { recommend({}, {}); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("0 sizes")));
}

}  // namespace
