// The parts of the command that can be seen without running a process.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <fstream>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "heddle/bar.hpp"
#include "heddle/failure.hpp"
#include "heddle/joblog.hpp"
#include "heddle/map_options.hpp"
#include "heddle/output.hpp"
#include "heddle/report.hpp"
#include "heddle/sequence_set.hpp"
#include "heddle/spool.hpp"
#include "heddle/template.hpp"
#include "heddle/text.hpp"

namespace {

using namespace heddle::tool;
using namespace std::chrono_literals;

std::string readable(std::string_view word) {
  std::string out;
  append_readable(out, word);
  return out;
}

TEST(text, writes_words_as_a_shell_reads_them) {
  EXPECT_EQ(readable("plain-word_1.txt"), "plain-word_1.txt");
  EXPECT_EQ(readable(""), "''");
  EXPECT_EQ(readable("two words"), "'two words'");
  EXPECT_EQ(readable("it's"), "'it'\\''s'");
  EXPECT_EQ(readable("~"), "'~'");
  EXPECT_EQ(readable("A=b"), "'A=b'");
  EXPECT_EQ(readable("a\nb\tc'd\\"), "$'a\\nb\\tc\\'d\\\\'");
  EXPECT_EQ(readable(std::string_view("\1\x7f", 2)), "$'\\001\\177'");
}

TEST(text, shortens_what_is_longer_than_a_line) {
  EXPECT_EQ(shortened("short"), "short");
  const std::string line = shortened(std::string(1'000'000, 'x'));
  EXPECT_LT(line.size(), 100u);
  EXPECT_NE(line.find("1000000 bytes"), std::string::npos);
}

TEST(text, reads_durations) {
  EXPECT_EQ(parse_duration("1.5"), 1500ms);
  EXPECT_EQ(parse_duration("200ms"), 200ms);
  EXPECT_EQ(parse_duration("2m"), 2min);
  EXPECT_EQ(parse_duration("1h"), 1h);
  EXPECT_EQ(parse_duration("0"), 0s);
  for (const char* bad : {"", "-1", "x", "1x", "1 s", "nan", "inf", "1e3", "-0", "99999999999"}) {
    EXPECT_EQ(parse_duration(bad), std::nullopt) << bad;
  }
}

TEST(text, reads_sizes) {
  EXPECT_EQ(parse_size("12"), 12u);
  EXPECT_EQ(parse_size("4K"), 4096u);
  EXPECT_EQ(parse_size("2g"), std::uint64_t{2} << 30);
  for (const char* bad : {"", "K", "-1", "1.5G", "1KB", "99999999999T"}) {
    EXPECT_EQ(parse_size(bad), std::nullopt) << bad;
  }
}

std::vector<std::string> expanded(std::vector<std::string> words, std::vector<std::string> values,
                                  bool shell = false) {
  std::vector<std::string> argv;
  command_template(words, values.size(), shell).expand(values, 7, argv);
  return argv;
}

using words = std::vector<std::string>;

TEST(command_template, takes_parts_of_a_path) {
  EXPECT_EQ(take_part("d.x/f.tar.gz", part_of_input::stem), "d.x/f.tar");
  EXPECT_EQ(take_part("d.x/f", part_of_input::stem), "d.x/f");
  EXPECT_EQ(take_part("d/f.c", part_of_input::base), "f.c");
  EXPECT_EQ(take_part("d/f.c", part_of_input::base_stem), "f");
  EXPECT_EQ(take_part("d/e/f", part_of_input::directory), "d/e");
  EXPECT_EQ(take_part("f", part_of_input::directory), ".");
  EXPECT_EQ(take_part("", part_of_input::directory), ".");
  EXPECT_EQ(take_part("/f", part_of_input::directory), "/");
  EXPECT_EQ(take_part("///", part_of_input::directory), "/");
  EXPECT_EQ(take_part("d//f", part_of_input::directory), "d");
  EXPECT_EQ(take_part("d/e/", part_of_input::directory), "d");
}

TEST(command_template, appends_the_input_only_without_a_placeholder) {
  EXPECT_EQ(expanded({"echo"}, {"a"}), (words{"echo", "a"}));
  EXPECT_EQ(expanded({"echo", "<{}>"}, {"a"}), (words{"echo", "<a>"}));
  EXPECT_EQ(expanded({"echo", "{#}"}, {"a"}), (words{"echo", "7"}));
  EXPECT_EQ(expanded({"echo", "{x}", "{", "}{"}, {"a"}), (words{"echo", "{x}", "{", "}{", "a"}));
}

TEST(command_template, spreads_several_sources) {
  EXPECT_EQ(expanded({"echo"}, {"a", "b"}), (words{"echo", "a", "b"}));
  EXPECT_EQ(expanded({"echo", "x{}"}, {"a", "b"}), (words{"echo", "xa b"}));
  EXPECT_EQ(expanded({"{2}", "{1}{2/}"}, {"a", "d/b"}), (words{"d/b", "ab"}));
  EXPECT_EQ(expanded({"e", "{3}{0}{1}"}, {"a", "b"}), (words{"e", "{3}{0}a"}));
}

TEST(command_template, quotes_for_the_shell) {
  EXPECT_EQ(expanded({"echo", "x;", "cat {}"}, {"it's"}, true),
            (words{"/bin/sh", "-c", "echo x; cat 'it'\\''s'"}));
  EXPECT_EQ(expanded({"echo"}, {""}, true), (words{"/bin/sh", "-c", "echo ''"}));
}

TEST(command_template, leaves_no_trace_of_the_input_before) {
  const words text{"echo", "{}", "fixed"};
  const command_template t(text, 1, false);
  words argv;
  const words first{"long first value"};
  const words second{"b"};
  t.expand(first, 1, argv);
  t.expand(second, 2, argv);
  EXPECT_EQ(argv, (words{"echo", "b", "fixed"}));
}

TEST(map_options, end_at_the_command) {
  const map_options o =
      parse_map_options({"-kj3", "--tag", "cmd", "-k", "{}", ":::", "a", ":::", "b"});
  EXPECT_TRUE(o.keep_order && o.tag);
  EXPECT_EQ(o.jobs.value, 3u);
  EXPECT_EQ(o.command, (words{"cmd", "-k", "{}"}));
  EXPECT_EQ(o.argument_lists, (std::vector<words>{{"a"}, {"b"}}));
  EXPECT_EQ(o.sources(), 2u);
  EXPECT_EQ(parse_map_options({"--", "-x"}).command, (words{"-x"}));
  EXPECT_THROW(parse_map_options({"-x", "cmd"}), usage_error);
}

TEST(sequence_set, agrees_with_a_plain_set) {
  std::mt19937 random(3);
  sequence_set ranges;
  std::set<std::uint64_t> plain;
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t number = random() % 300;
    if (random() % 3 == 0) {
      ranges.erase(number);
      plain.erase(number);
    } else {
      ranges.insert(number);
      plain.insert(number);
    }
    const std::uint64_t probe = random() % 300;
    ASSERT_EQ(ranges.contains(probe), plain.count(probe) == 1) << probe;
  }
}

TEST(sequence_set, keeps_neighbours_in_one_range) {
  sequence_set s;
  for (std::uint64_t n = 1; n <= 1000; n += 2) s.insert(n);
  EXPECT_EQ(s.ranges(), 500u);
  for (std::uint64_t n = 2; n <= 1000; n += 2) s.insert(n);
  EXPECT_EQ(s.ranges(), 1u);
}

std::string take_all(spool& s) {
  std::string all;
  while (!s.empty()) {
    const std::string_view part = s.front();
    const std::size_t count = std::min<std::size_t>(part.size(), 70'000);
    all += part.substr(0, count);
    s.pop(count);
  }
  return all;
}

TEST(spool, gives_back_what_it_got_from_memory_and_disk) {
  std::mt19937 random(5);
  for (const std::size_t budget : {std::size_t{0}, std::size_t{1000}, std::size_t{1} << 20}) {
    output_store store(budget);
    std::vector<spool> spools;
    std::vector<std::string> wanted(4);
    for (int i = 0; i < 4; ++i) spools.emplace_back(store);
    for (int step = 0; step < 400; ++step) {
      const std::size_t to = random() % 4;
      const std::size_t from = random() % 4;
      if (random() % 10 == 0 && to != from) {
        spools[to].append(std::move(spools[from]));
        wanted[to] += std::exchange(wanted[from], "");
      } else {
        const std::string bytes(random() % 20'000, static_cast<char>('a' + random() % 26));
        spools[to].append(bytes);
        wanted[to] += bytes;
      }
      ASSERT_EQ(spools[to].size(), wanted[to].size());
    }
    for (std::size_t i = 0; i < 4; ++i) EXPECT_TRUE(take_all(spools[i]) == wanted[i]) << budget;
    EXPECT_EQ(store.on_disk(), 0u);
  }
}

TEST(spool, can_be_filled_while_it_is_emptied) {
  output_store store(100);
  spool s(store);
  std::string wanted;
  std::string got;
  for (int i = 0; i < 3000; ++i) {
    const std::string bytes(static_cast<std::size_t>(i % 997), static_cast<char>('a' + i % 26));
    s.append(bytes);
    wanted += bytes;
    if (s.empty()) continue;
    const std::string_view part = s.front().substr(0, 500);
    got += part;
    s.pop(part.size());
  }
  got += take_all(s);
  EXPECT_TRUE(got == wanted);
}

TEST(spool, uses_disk_blocks_again) {
  output_store store(0);
  spool kept(store);
  kept.append("stays");
  for (int round = 0; round < 50; ++round) {
    spool s(store);
    s.append(std::string(output_store::block_size, 'x'));
    EXPECT_EQ(store.on_disk(), 2 * output_store::block_size);
  }
  EXPECT_EQ(take_all(kept), "stays");
}

TEST(append_tagged, tags_each_line_across_calls) {
  std::string out;
  bool at_line_start = true;
  for (const char* part : {"a", "b\n", "\nc\nd", "", "e\n"}) {
    append_tagged(out, part, "T:", at_line_start);
  }
  EXPECT_EQ(out, "T:ab\nT:\nT:c\nT:de\n");
}

class joblog_file : public testing::Test {
 protected:
  void write(const std::string& text) { std::ofstream(path_) << text; }
  void TearDown() override { std::remove(path_.c_str()); }

  const std::string path_ = testing::TempDir() + "heddle_joblog";
};

TEST_F(joblog_file, counts_the_last_line_about_a_job_and_no_torn_one) {
  write(
      "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"
      "1\t:\t1.0\t0.1\t0\t0\t0\t0\ta\n"
      "2\t:\t1.0\t0.1\t0\t0\t3\t0\ta\n"
      "3\t:\t1.0\t0.1\t0\t0\t0\t9\ta\n"
      "2\t:\t1.0\t0.1\t0\t0\t0\t0\ta\n"
      "1\t:\t1.0\t0.1\t0\t0\t-1\t15\ta\n"
      "nonsense\n"
      "4\t:\t1.0\t0.1\t0\t0\t0\t0\ta");
  const joblog_contents any = read_joblog(path_, false);
  const joblog_contents good = read_joblog(path_, true);
  for (const std::uint64_t n : {1u, 2u, 3u}) EXPECT_TRUE(any.done.contains(n)) << n;
  EXPECT_FALSE(any.done.contains(4));
  EXPECT_FALSE(good.done.contains(1));
  EXPECT_TRUE(good.done.contains(2));
  EXPECT_FALSE(good.done.contains(3));
  EXPECT_EQ(any.unreadable_lines, 1u);
  EXPECT_FALSE(any.ends_in_line);
}

TEST_F(joblog_file, is_empty_when_it_is_not_there) {
  const joblog_contents none = read_joblog(path_ + ".none", false);
  EXPECT_TRUE(none.empty);
  EXPECT_TRUE(none.ends_in_line);
}

TEST(concurrency_series, keeps_means_while_it_halves_itself) {
  const std::chrono::steady_clock::time_point start{};
  concurrency_series series(start);
  series.change(start, 4);
  series.change(start + 1h, 2);
  series.change(start + 2h, 0);
  EXPECT_LE(series.size(), concurrency_series::most_steps);
  EXPECT_GT(series.size(), concurrency_series::most_steps / 4);
  EXPECT_NEAR(series.mean(), 3.0, 1e-9);
  EXPECT_NEAR(series.mean(0), 4.0, 1e-9);
  EXPECT_NEAR(series.mean(series.size() - 1), 2.0, 1e-9);
  EXPECT_EQ(series.highest(), 4u);
}

TEST(progress_line, says_100_per_cent_only_when_all_is_known_to_be_done) {
  using size = input_sequence::size;
  const auto line = [](progress p, std::size_t width = 78) {
    return progress_line(p, 2, 5s, width);
  };
  EXPECT_EQ(line({.done = 999, .expected = size{1000, true}}).substr(0, 4), " 99%");
  EXPECT_EQ(line({.done = 1000, .expected = size{1000, true}}).substr(0, 4), "100%");
  EXPECT_EQ(line({.done = 1000, .expected = size{1000, false}}).substr(0, 4), " 99%");
  EXPECT_NE(line({.done = 1, .expected = size{1000, false}}).find("/~1000"), std::string::npos);
  EXPECT_EQ(line({.done = 1000}).find('%'), std::string::npos);
  EXPECT_NE(line({.done = 10, .expected = size{20, true}}).find("ETA 0:05"), std::string::npos);
  for (std::size_t width = 1; width < 100; ++width) {
    EXPECT_LE(line({.done = 10, .failed = 3, .expected = size{20, true}}, width).size(), width);
  }
}

}  // namespace
