#include <gtest/gtest.h>

#include <functional>
#include <heddle/sizing/formulas.hpp>
#include <limits>
#include <stdexcept>
#include <string>

namespace {

using namespace heddle::sizing;

constexpr double infinite = std::numeric_limits<double>::infinity();
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
constexpr int largest = std::numeric_limits<int>::max();

// The message must name the value, so that the reader sees what was wrong.
void expect_refused(const std::function<decision()>& formula, const std::string& value) {
  try {
    const decision d = formula();
    ADD_FAILURE() << "accepted, with size " << d.size;
  } catch (const std::invalid_argument& e) {
    EXPECT_NE(std::string(e.what()).find(value), std::string::npos) << e.what();
  }
}

TEST(formulas, cpu_bound) {
  const struct {
    double cores;
    int physical, size;
  } table[] = {{4, 4, 4},   {8, 4, 4},     {2, 4, 2},
               {1.5, 4, 2}, {0.25, 4, 1},  {1e-9, 1, 1},
               {3.5, 4, 4}, {1e300, 6, 6}, {1e300, largest, largest}};
  for (const auto& row : table)
    EXPECT_EQ(cpu_bound(row.cores, row.physical).size, row.size)
        << row.cores << " of " << row.physical;
}

TEST(formulas, io_bound) {
  const struct {
    double cores;
    io_options options;
    int size;
  } table[] = {
      {4, {}, 20},
      {1, {}, 5},
      {0.5, {}, 3},
      {12, {}, 60},
      {12.8, {}, 64},
      {13, {}, 64},
      {128, {}, 64},
      {4, {.wait_to_compute = 0}, 4},
      {4, {.wait_to_compute = 9}, 40},
      {4, {.wait_to_compute = 9, .cap = 10}, 10},
      {4, {.cap = 1}, 1},
      {10, {.wait_to_compute = 0.1}, 11},
      {8.8, {.wait_to_compute = 5.25}, 55},  // the product is a little above 55
      {1e308, {.wait_to_compute = 1e308}, 64},
      {1e308, {.wait_to_compute = 1e308, .cap = largest}, largest},
      {1e-300, {.wait_to_compute = 0}, 1},
  };
  for (const auto& row : table)
    EXPECT_EQ(io_bound(row.cores, row.options).size, row.size)
        << row.cores << ", " << row.options.wait_to_compute << ", " << row.options.cap;
}

TEST(formulas, mixed) {
  EXPECT_EQ(mixed(4).size, 8);
  EXPECT_EQ(mixed(1.5).size, 3);
  EXPECT_EQ(mixed(1.2).size, 3);
  EXPECT_EQ(mixed(0.1).size, 1);
  EXPECT_EQ(mixed(1e12).size, largest);
  EXPECT_EQ(mixed(1e308).size, largest);
}

TEST(formulas, small_io) {
  EXPECT_EQ(small_io(1).size, 5);
  EXPECT_EQ(small_io(0.5).size, 5);
  EXPECT_EQ(small_io(28).size, 32);
  EXPECT_EQ(small_io(27.5).size, 32);
  EXPECT_EQ(small_io(29).size, 32);
  EXPECT_EQ(small_io(1e308).size, 32);
}

TEST(formulas, reasons_name_the_numbers) {
  EXPECT_EQ(
      cpu_bound(8, 4).reason,
      "one thread for each of 4 physical cores: work that never waits gains nothing from more");
  EXPECT_EQ(
      cpu_bound(1.5, 4).reason,
      "1.5 usable cores, rounded up, carry no more, though the work may run on 4 physical cores");
  EXPECT_EQ(io_bound(2).reason, "2 cores x (1 + 4): a task waits 4 times as long as it computes");
  EXPECT_EQ(io_bound(0.5, {.wait_to_compute = 0.5}).reason,
            "0.5 cores x (1 + 0.5), rounded up: a task waits 0.5 times as long as it computes");
  EXPECT_EQ(io_bound(100).reason, "100 cores x (1 + 4) makes 500, capped at 64");
  EXPECT_EQ(io_bound(12.8).reason,
            "12.8 cores x (1 + 4): a task waits 4 times as long as it computes")
      << "reaches the cap without being capped";
  EXPECT_EQ(cpu_bound(4, 4).reason, cpu_bound(8, 4).reason);
  EXPECT_EQ(small_io(28).reason, "28 cores + 4: a few threads more than cores cover short waits");
  EXPECT_EQ(mixed(1).reason, "2 x 1 core: one computes while another waits");
  EXPECT_EQ(small_io(2.5).reason,
            "2.5 cores + 4, rounded up: a few threads more than cores cover short waits");
  EXPECT_EQ(small_io(64).reason, "64 cores + 4, capped at 32");
}

TEST(formulas, nonsense_cores_are_refused_by_all) {
  const std::pair<double, std::string> table[] = {
      {0, "cores is 0"},          {-1, "cores is -1"},          {-0.5, "cores is -0.5"},
      {infinite, "cores is inf"}, {-infinite, "cores is -inf"}, {nan_value, "nan"}};
  for (const auto& [cores, text] : table) {
    expect_refused([c = cores] { return cpu_bound(c, 4); }, text);
    expect_refused([c = cores] { return io_bound(c); }, text);
    expect_refused([c = cores] { return mixed(c); }, text);
    expect_refused([c = cores] { return small_io(c); }, text);
  }
}

TEST(formulas, nonsense_options_are_refused) {
  expect_refused([] { return cpu_bound(4, 0); }, "physical_cores is 0");
  expect_refused([] { return cpu_bound(4, -2); }, "physical_cores is -2");
  expect_refused([] { return io_bound(4, {.wait_to_compute = -0.1}); }, "-0.1");
  expect_refused([] { return io_bound(4, {.wait_to_compute = infinite}); }, "inf");
  expect_refused([] { return io_bound(4, {.wait_to_compute = nan_value}); }, "nan");
  expect_refused([] { return io_bound(4, {.cap = 0}); }, "cap is 0");
  expect_refused([] { return io_bound(4, {.cap = -64}); }, "cap is -64");
}

}  // namespace
