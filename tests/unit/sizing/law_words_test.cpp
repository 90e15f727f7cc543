// The sentences of the adaptive law, over many windows of many kinds.
#include <gtest/gtest.h>

#include <random>
#include <regex>
#include <string>

#include <heddle/sizing/law.hpp>

namespace {

using namespace heddle::sizing;
using namespace std::chrono_literals;

// Windows that differ so much from each other that the law has a lot to say.
void say_much(double cores, unsigned seed, const auto& listen) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> share(0, 1);
  const auto law = make_adaptive_law();
  choice c = law->first(cores, 1, 16);
  listen(c);
  window w;
  double awake = 0.1;
  double tasks = 100;
  for (int i = 0; i < 3000; ++i) {
    if (i % 40 == 0) {
      awake = share(random);
      tasks = 1 + 1000 * share(random);
    }
    w.length = 20ms;
    w.end += w.length;
    w.cores = cores;
    w.size = c.size;
    w.most = 16;
    w.busy = w.size;
    w.computing = std::min(cores, w.size * awake);
    w.runnable = w.size * awake - w.computing;
    w.completed = static_cast<std::uint64_t>(tasks * share(random));
    w.queued = 5;
    w.knows_foreign = i % 80 < 40;
    c = law->next(w);
    listen(c);
  }
}

TEST(law_words, have_the_singular_for_one) {
  const std::regex wrong("(^|[^0-9.])1 (workers|(usable )?cores)");
  const std::regex has_one("(^|[^0-9.])1 (worker|core)( |$)");
  int reasons = 0;
  int with_one = 0;
  for (unsigned seed = 1; seed <= 20; ++seed) {
    say_much(seed % 2 + 1, seed, [&](const choice& c) {
      if (c.reason.empty()) return;
      ++reasons;
      EXPECT_FALSE(std::regex_search(c.reason, wrong)) << c.reason;
      if (std::regex_search(c.reason, has_one)) ++with_one;
    });
  }
  EXPECT_GT(reasons, 100);
  EXPECT_GT(with_one, 10) << "else nothing has been tested";
}

}  // namespace
