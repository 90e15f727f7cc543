// The rules of the house, applied to the tree, and each rule applied to code that breaks it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>

#include "architecture/rules.hpp"

namespace {

using architecture::source;
using architecture::violation;

std::vector<std::string> described(const std::vector<violation>& found) {
  std::vector<std::string> lines;
  std::transform(found.begin(), found.end(), std::back_inserter(lines),
                 [](const violation& one) { return to_string(one); });
  return lines;
}

const std::vector<source>& tree() {
  static const auto sources = architecture::read_tree(HEDDLE_PROJECT_DIR);
  return sources;
}

std::vector<std::string> seam(const std::string& path, const std::string& text) {
  return described(architecture::steps_past_the_seam({{path, text}}));
}

std::vector<std::string> seam_in_sync(const std::string& text) {
  return seam("src/sync/event.cpp", text);
}

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

}  // namespace

// The tree.

TEST(Tree, IsFound) { EXPECT_GT(tree().size(), 10u); }

TEST(Tree, NoArrowRunsUp) {
  EXPECT_THAT(described(architecture::arrows_running_up(tree())), IsEmpty());
}

TEST(Tree, HasNoCircle) { EXPECT_THAT(described(architecture::circles(tree())), IsEmpty()); }

TEST(Tree, ModelledRoomsKeepToTheSeam) {
  EXPECT_THAT(described(architecture::steps_past_the_seam(tree())), IsEmpty());
}

TEST(Tree, NoHeaderHasAThreadLocal) {
  EXPECT_THAT(described(architecture::thread_locals_in_headers(tree())), IsEmpty());
}

// The rules bite.

TEST(Arrows, UpIsCaught) {
  const auto found = described(architecture::arrows_running_up(
      {{"include/heddle/sync/mutex.hpp",
        "#pragma once\n#include <heddle/exec/thread_pool.hpp>\n"}}));
  EXPECT_THAT(found, ElementsAre(HasSubstr("include/heddle/sync/mutex.hpp:2: an arrow runs up")));
}

TEST(Arrows, UpIsCaughtInSourcesAndThroughPrivateHeaders) {
  const auto found = described(
      architecture::arrows_running_up({{"src/base/job.cpp", "#  include \"exec/core.hpp\"\n"}}));
  EXPECT_THAT(found, ElementsAre(HasSubstr("src/base/job.cpp:1: an arrow runs up")));
}

TEST(Arrows, DownAndSidewaysAreFine) {
  EXPECT_THAT(architecture::arrows_running_up(
                  {{"src/sync/mutex.cpp",
                    "#include <heddle/prim/atomic.hpp>\n#include <heddle/lockfree/counter.hpp>\n"
                    "#include <vector>\n#include <sys/exec/no_room_of_ours.h>\n"}}),
              IsEmpty());
}

TEST(Arrows, InACommentDoNotCount) {
  EXPECT_THAT(architecture::arrows_running_up(
                  {{"src/sync/mutex.cpp", "/*\n#include <heddle/exec/thread_pool.hpp>\n*/\n"}}),
              IsEmpty());
}

TEST(Arrows, AnUnknownRoomIsCaught) {
  const auto found = described(architecture::arrows_running_up(
      {{"include/heddle/attic/trunk.hpp", ""},
       {"include/heddle/exec/strand.hpp", "#include <heddle/cellar/x.hpp>\n"}}));
  EXPECT_THAT(found, ElementsAre(HasSubstr("lies in no room"), HasSubstr("leads to no room")));
}

TEST(Circles, OfHeadersAreCaught) {
  const auto found = described(
      architecture::circles({{"include/heddle/sync/a.hpp", "#include <heddle/sync/b.hpp>\n"},
                             {"include/heddle/sync/b.hpp", "#include <heddle/sync/c.hpp>\n"},
                             {"include/heddle/sync/c.hpp", "#include <heddle/sync/a.hpp>\n"}}));
  EXPECT_THAT(found, ElementsAre(HasSubstr("circle of headers")));
}

TEST(Circles, AHeaderThatIncludesItselfIsCaught) {
  const auto found = described(
      architecture::circles({{"include/heddle/sync/a.hpp", "#include <heddle/sync/a.hpp>\n"}}));
  EXPECT_THAT(found, ElementsAre(HasSubstr("circle of headers")));
}

TEST(Circles, OfPrivateHeadersAreCaught) {
  const auto found =
      described(architecture::circles({{"src/exec/a.hpp", "#include \"exec/b.hpp\"\n"},
                                       {"src/exec/b.hpp", "#include \"a.hpp\"\n"}}));
  EXPECT_THAT(found, ElementsAre(HasSubstr("circle of headers")));
}

TEST(Circles, OfRoomsOnOneFloorAreCaught) {
  const auto found = described(
      architecture::circles({{"include/heddle/queue/a.hpp", "#include <heddle/future/x.hpp>\n"},
                             {"include/heddle/future/b.hpp", "#include <heddle/queue/y.hpp>\n"}}));
  EXPECT_THAT(found, ElementsAre(HasSubstr("circle of rooms")));
}

TEST(Circles, ADiamondIsNone) {
  EXPECT_THAT(
      architecture::circles({{"include/heddle/exec/a.hpp",
                              "#include <heddle/sync/b.hpp>\n#include <heddle/future/c.hpp>\n"},
                             {"include/heddle/sync/b.hpp", "#include <heddle/base/d.hpp>\n"},
                             {"include/heddle/future/c.hpp", "#include <heddle/base/d.hpp>\n"}}),
      IsEmpty());
}

class ForbiddenInStd : public testing::TestWithParam<const char*> {};

TEST_P(ForbiddenInStd, IsCaught) {
  const std::string name = GetParam();
  EXPECT_THAT(seam_in_sync("int x;\nauto f() { return std :: " + name + "<int>{}; }\n"),
              ElementsAre(HasSubstr("src/sync/event.cpp:2: past the seam: std::" + name)));
}

INSTANTIATE_TEST_SUITE_P(Seam, ForbiddenInStd,
                         testing::Values("atomic", "atomic_ref", "atomic_flag",
                                         "atomic_thread_fence", "mutex", "condition_variable",
                                         "thread", "jthread", "call_once", "stop_callback",
                                         "shared_ptr", "make_shared", "memory_order_consume"),
                         [](const auto& one) { return std::string(one.param); });

class ForbiddenWord : public testing::TestWithParam<const char*> {};

TEST_P(ForbiddenWord, IsCaught) {
  const std::string word = GetParam();
  EXPECT_THAT(seam_in_sync("\n\nint " + word + " (3);\n"),
              ElementsAre(HasSubstr("event.cpp:3: past the seam: " + word)));
}

INSTANTIATE_TEST_SUITE_P(Seam, ForbiddenWord,
                         testing::Values("thread_local", "volatile", "asm", "SYS_futex",
                                         "FUTEX_WAIT", "pthread_mutex_lock"),
                         [](const auto& one) { return std::string(one.param); });

class ForbiddenHeader : public testing::TestWithParam<const char*> {};

TEST_P(ForbiddenHeader, IsCaught) {
  const std::string header = GetParam();
  EXPECT_THAT(seam_in_sync("#include <" + header + ">\n"), ElementsAre(HasSubstr("<" + header)));
}

INSTANTIATE_TEST_SUITE_P(Seam, ForbiddenHeader,
                         testing::Values("atomic", "mutex", "condition_variable", "thread",
                                         "future", "linux/futex.h"));

TEST(Seam, BindsFloorsOneToFourAlgorithmAndCoro) {
  for (const auto* room : {"base", "kernel", "probe", "sizing", "lockfree", "sync", "queue",
                           "future", "data", "exec", "algorithm", "coro"})
    EXPECT_THAT(seam("include/heddle/" + std::string(room) + "/x.hpp", "std::mutex m;"),
                testing::SizeIs(1))
        << room;
}

TEST(Seam, LeavesPrimAndTheNativeRoomsAlone) {
  for (const auto* room : {"prim", "process", "asio", "pattern", "watch"})
    EXPECT_THAT(seam("src/" + std::string(room) + "/x.cpp",
                     "#include <mutex>\nstd::mutex m; thread_local int t;"),
                IsEmpty())
        << room;
}

TEST(Seam, CommentsStringsAndNamesOfOursDoNotCount) {
  EXPECT_THAT(seam_in_sync("// std::atomic<int>, thread_local\n"
                           "/* std::mutex */ const char* s = \"std::thread \\\" volatile\";\n"
                           "const char* r = R\"x(std::thread \" )\" )x\"; int n = 1'000'000;\n"
                           "prim::mutex m; heddle::future<int> f; std::memory_order o;\n"
                           "std::stop_token t; char c = '\"';\n"),
              IsEmpty());
}

TEST(Seam, CodeAfterALiteralStillCounts) {
  EXPECT_THAT(seam_in_sync("const char* r = R\"(a)\"; char q = '\\''; std::mutex m;"),
              testing::SizeIs(1));
}

TEST(LocalStatics, AreCaught) {
  EXPECT_THAT(seam_in_sync("namespace a {\nint& f() {\n  static int x = g();\n  return x;\n}\n}\n"),
              ElementsAre(HasSubstr("event.cpp:3: past the seam: a function-local static")));
}

TEST(LocalStatics, AreCaughtInTemplatesMembersAndLambdas) {
  EXPECT_THAT(seam_in_sync("template <class T> T& f() { static T x; return x; }"),
              testing::SizeIs(1));
  EXPECT_THAT(seam_in_sync("struct s { int f() const noexcept { static int x; return x; } };"),
              testing::SizeIs(1));
  EXPECT_THAT(seam_in_sync("auto f = [](int a) { if (a) { static int x; } };"), testing::SizeIs(1));
  EXPECT_THAT(seam_in_sync("int f() { const static int x = g(); return x; }"), testing::SizeIs(1));
}

TEST(LocalStatics, OtherStaticsAreFine) {
  EXPECT_THAT(
      seam_in_sync("static int f();\nnamespace a::inline B { static int x; }\n"
                   "template <class T> struct s : b<T> { static int f(); };\n"
                   "enum class e { x }; class [[nodiscard]] alignas(64) c { static int y; };\n"
                   "int g() { static constexpr int x = 1; static_assert(x == 1);\n"
                   "  struct local { static int f(); }; return static_cast<int>(x); }\n"),
      IsEmpty());
}

TEST(ThreadLocals, InAHeaderAreCaught) {
  EXPECT_THAT(described(architecture::thread_locals_in_headers(
                  {{"include/heddle/watch/x.hpp", "inline thread_local int t;"},
                   {"src/prim/x.cpp", "thread_local int t;"}})),
              ElementsAre(HasSubstr("include/heddle/watch/x.hpp:1")));
  EXPECT_THAT(described(architecture::thread_locals_in_headers(
                  {{"include/heddle/watch/x.hpp", "extern thread_local int t;"}})),
              ElementsAre(HasSubstr("x.hpp:1")));
}

TEST(ThreadLocals, ThatAreExportedMayBeDeclaredInAHeader) {
  EXPECT_THAT(
      described(architecture::thread_locals_in_headers(
          {{"include/heddle/prim/x.hpp", "HEDDLE_API extern constinit thread_local int t;"}})),
      IsEmpty());
}
