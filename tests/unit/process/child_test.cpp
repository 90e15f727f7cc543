#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <vector>

#include "support.hpp"

namespace {

using namespace process_test;
namespace fs = std::filesystem;

// The errno and text with which a start fails; 0 if it does not.
struct failure {
  int error = 0;
  std::string text;
};

failure failure_of(const command& what, event_loop* on = nullptr) {
  std::unique_ptr<event_loop> own;
  if (on == nullptr) on = (own = std::make_unique<event_loop>()).get();
  stop_at_exit handler(*on);
  try {
    child c(*on, what, handler);
  } catch (const std::system_error& e) {
    EXPECT_FALSE(has_children()) << "a failed start leaves no process";
    return {e.code().value(), e.what()};
  }
  return {};
}

class temporary_directory {
 public:
  temporary_directory() {
    std::string pattern = (fs::temp_directory_path() / "heddle-process-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~temporary_directory() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }

  std::string file(const std::string& name, const std::string& text, fs::perms mode) const {
    const fs::path p = path_ / name;
    std::ofstream(p) << text;
    fs::permissions(p, mode);
    return p.string();
  }

 private:
  fs::path path_;
};

// Restores PATH.
class path_variable {
 public:
  explicit path_variable(const std::string& value) : old_(std::getenv("PATH")) {
    ::setenv("PATH", value.c_str(), 1);
  }
  ~path_variable() { ::setenv("PATH", old_.c_str(), 1); }

 private:
  std::string old_;
};

TEST(child, reports_the_exit_status) {
  for (const int status : {0, 1, 42, 255}) {
    const auto [report, output] = run(shell("exit " + std::to_string(status)));
    EXPECT_EQ(report.status, status);
    EXPECT_EQ(report.signal, 0);
    EXPECT_EQ(report.success(), status == 0);
    EXPECT_FALSE(report.lost);
    EXPECT_LE(report.started, report.ended);
  }
}

TEST(child, reports_the_signal) {
  const auto [report, output] = run(shell("kill -KILL $$"));
  EXPECT_EQ(report.signal, SIGKILL);
  EXPECT_EQ(report.status, 0);
  EXPECT_FALSE(report.success());
}

TEST(child, measures_what_it_used) {
  const auto [report, output] =
      run(shell("i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; sleep 0.01"));
  EXPECT_GT((report.user + report.system).count(), 0);
  EXPECT_GT(report.max_rss_kib, 0);
  EXPECT_GT(report.voluntary_switches, 0) << "it slept";
  EXPECT_GE(report.ended - report.started, std::chrono::milliseconds(10));
}

TEST(child, passes_arguments_byte_for_byte) {
  const auto [report, output] = run({.argv = {"printf", "%s|", "", "a b", "\xff\n'\"$(x)"}});
  EXPECT_EQ(output, "|a b|\xff\n'\"$(x)|");
}

TEST(child, reads_nothing_by_default) {
  EXPECT_EQ(run({.argv = {"cat"}}).output, "");
  EXPECT_EQ(run({.argv = {"readlink", "/proc/self/fd/0"}}).output, "/dev/null\n");
}

TEST(child, connects_the_standard_descriptors) {
  event_loop loop;
  pipe_ends in;
  pipe_ends out;
  pipe_ends error;
  command what = shell("cat; echo to-error >&2");
  what.standard_input = in.read.get();
  what.standard_output = out.write.get();
  what.standard_error = error.write.get();
  stop_at_exit handler(loop);
  child c(loop, what, handler);
  ASSERT_EQ(::write(in.write.get(), "fed", 3), 3);
  in.write.reset();
  out.write.reset();
  error.write.reset();
  loop.run();
  EXPECT_EQ(read_all(out.read.get()), "fed");
  EXPECT_EQ(read_all(error.read.get()), "to-error\n");
}

// In a process of its own, whose standard descriptors are swapped around.
TEST(child, standard_descriptors_may_be_permuted) {
  pipe_ends result;
  const pid_t pid = ::fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    pipe_ends out;
    pipe_ends error;
    ::dup2(out.write.get(), 2);
    ::dup2(error.write.get(), 1);
    int status = 1;
    try {
      event_loop loop;
      command what = shell("echo out; echo err >&2");
      what.standard_output = 2;
      what.standard_error = 1;
      stop_at_exit handler(loop);
      child c(loop, what, handler);
      loop.run();
      for (const int fd : {1, 2, out.write.release(), error.write.release()}) ::close(fd);
      const std::string text = read_all(out.read.get()) + read_all(error.read.get());
      status = text == "out\nerr\n" ? 0 : 2;
    } catch (...) {
    }
    ::_exit(status);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

TEST(child, inherits_no_other_descriptor) {
  const unique_descriptor plain(::open("/dev/null", O_RDONLY));  // not close-on-exec
  const unique_descriptor high(::fcntl(plain.get(), F_DUPFD, 700));
  ASSERT_GE(high.get(), 700);
  EXPECT_EQ(run({.argv = {"ls", "/proc/self/fd"}}).output, "0\n1\n2\n3\n") << "3 is ls reading";
}

TEST(child, starts_with_default_signals_and_an_empty_mask) {
  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  struct sigaction handle{};
  handle.sa_handler = [](int) {};
  struct sigaction old_int, old_pipe, old_usr1;
  ::sigaction(SIGINT, &ignore, &old_int);
  ::sigaction(SIGPIPE, &ignore, &old_pipe);
  ::sigaction(SIGUSR1, &handle, &old_usr1);
  sigset_t all, old_mask, mask_after;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &old_mask);
  const std::string status = run({.argv = {"cat", "/proc/self/status"}}).output;
  ::pthread_sigmask(SIG_SETMASK, &old_mask, &mask_after);
  struct sigaction int_after;
  ::sigaction(SIGINT, &old_int, &int_after);
  ::sigaction(SIGPIPE, &old_pipe, nullptr);
  ::sigaction(SIGUSR1, &old_usr1, nullptr);
  for (const char* kind : {"SigBlk", "SigIgn", "SigCgt"}) {
    const std::string none = std::string(kind) + ":\t0000000000000000\n";
    EXPECT_NE(status.find(none), std::string::npos) << kind << status;
  }
  EXPECT_TRUE(::sigismember(&mask_after, SIGTERM)) << "the parent's mask is as it was";
  EXPECT_EQ(int_after.sa_handler, SIG_IGN) << "the parent's actions are as they were";
}

TEST(child, leads_a_group_of_its_own_or_not) {
  const auto group = [](bool own) {
    command what = shell("cut -d' ' -f5 /proc/$$/stat; echo $$");
    what.own_group = own;
    const std::string out = run(what).output;
    const auto line = out.find('\n');
    return std::pair(std::stoi(out.substr(0, line)), std::stoi(out.substr(line + 1)));
  };
  const auto [own, own_pid] = group(true);
  EXPECT_EQ(own, own_pid);
  const auto [shared, shared_pid] = group(false);
  EXPECT_EQ(shared, ::getpgrp());
}

TEST(child, environment_is_added_to_and_replaced) {
  ::setenv("HEDDLE_TEST_KEPT", "kept", 1);
  ::setenv("HEDDLE_TEST_REPLACED", "old", 1);
  command what = shell("echo $HEDDLE_TEST_KEPT $HEDDLE_TEST_REPLACED $HEDDLE_TEST_NEW");
  what.environment = {"HEDDLE_TEST_NEW=first", "HEDDLE_TEST_REPLACED=new", "HEDDLE_TEST_NEW=last"};
  EXPECT_EQ(run(what).output, "kept new last\n");
  EXPECT_EQ(std::string(::getenv("HEDDLE_TEST_REPLACED")), "old");
  ::unsetenv("HEDDLE_TEST_KEPT");
  ::unsetenv("HEDDLE_TEST_REPLACED");
}

TEST(child, directory_applies_to_relative_paths_too) {
  const temporary_directory d;
  d.file("tool", "#!/bin/sh\npwd\n", fs::perms::owner_all);
  command what{.argv = {"./tool"}, .directory = d.path().string()};
  EXPECT_EQ(run(what).output, fs::canonical(d.path()).string() + "\n");
  what.directory = "/nonexistent/directory";
  const failure f = failure_of(what);
  EXPECT_EQ(f.error, ENOENT);
  EXPECT_NE(f.text.find("chdir to '/nonexistent/directory'"), std::string::npos) << f.text;
}

TEST(child, rejects_nonsense) {
  EXPECT_THROW(failure_of({.argv = {}}), std::invalid_argument);
  EXPECT_THROW(failure_of({.argv = {"true", std::string("a\0b", 3)}}), std::invalid_argument);
  EXPECT_THROW(failure_of({.argv = {"true"}, .environment = {"no equals"}}), std::invalid_argument);
  EXPECT_THROW(failure_of({.argv = {"true"}, .environment = {"=x"}}), std::invalid_argument);
  EXPECT_THROW(failure_of({.argv = {"true"}, .directory = std::string("a\0b", 3)}),
               std::invalid_argument);
}

TEST(child, inherits_the_descriptors_that_are_named) {
  pipe_ends first;
  pipe_ends second;
  pipe_ends third;
  std::string script;
  for (const pipe_ends* p : {&first, &second, &third}) {
    for (const int fd : {p->read.get(), p->write.get()}) {
      const std::string number = std::to_string(fd);
      script += "[ ! -e /proc/$$/fd/" + number + " ] || echo " + number + ";";
    }
  }
  command what = shell(script);
  what.descriptors = {third.read.get(), first.write.get(), third.read.get()};
  EXPECT_EQ(run(what).output,
            std::to_string(first.write.get()) + '\n' + std::to_string(third.read.get()) + '\n');
  what.descriptors = {first.write.get(), 2};
  EXPECT_THROW(run(what), std::invalid_argument);
  what.descriptors = {9999};
  EXPECT_EQ(failure_of(what).error, EBADF);
}

TEST(child, tells_why_a_program_cannot_run) {
  const temporary_directory d;
  const std::string plain = d.file("plain", "text", fs::perms::owner_read);
  failure f = failure_of({.argv = {"heddle-no-such-program"}});
  EXPECT_EQ(f.error, ENOENT);
  EXPECT_EQ(f.text, "cannot execute 'heddle-no-such-program': No such file or directory");
  EXPECT_EQ(failure_of({.argv = {""}}).error, ENOENT);
  EXPECT_EQ(failure_of({.argv = {"/nonexistent/program"}}).error, ENOENT);
  EXPECT_EQ(failure_of({.argv = {plain}}).error, EACCES);
  EXPECT_EQ(failure_of({.argv = {"/"}}).error, EACCES);
  EXPECT_EQ(failure_of({.argv = {plain + "/x"}}).error, ENOTDIR);
  EXPECT_EQ(failure_of({.argv = {"true", std::string(std::size_t{4} << 20, 'x')}}).error, E2BIG);
  command what{.argv = {"true"}};
  what.standard_error = 9999;
  f = failure_of(what);
  EXPECT_EQ(f.error, EBADF);
  EXPECT_NE(f.text.find("descriptors"), std::string::npos) << f.text;
}

TEST(child, gets_a_limit_of_its_own_on_descriptors) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  command what = shell("ulimit -Sn; ulimit -Hn");
  what.descriptor_limit = 17;
  const std::string hard =
      before.rlim_max == RLIM_INFINITY ? "unlimited" : std::to_string(before.rlim_max);
  EXPECT_EQ(run(what).output, "17\n" + hard + "\n");
  what.descriptor_limit = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(run(what).output, hard + "\n" + hard + "\n") << "no more than the hard limit";
  rlimit after{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, before.rlim_cur) << "the parent's own";
}

TEST(child, says_when_descriptors_run_out) {
  event_loop loop;
  run(shell("exit 0"), &loop);
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  rlimit tight = old;
  // No number is free below the limit: the loop's own descriptors are the last ones.
  const unique_descriptor probe(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  tight.rlim_cur = static_cast<rlim_t>(probe.get()) + 1;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
  const failure f = failure_of({.argv = {"true"}}, &loop);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
  EXPECT_EQ(f.error, EMFILE);
  EXPECT_NE(f.text.find("'true'"), std::string::npos) << f.text;
  EXPECT_EQ(run({.argv = {"true"}}, &loop).report.status, 0) << "and goes on afterwards";
}

TEST(child, looks_programs_up_as_execvp_does) {
  const temporary_directory first;
  const temporary_directory second;
  event_loop loop;
  const path_variable path(first.path().string() + ":/nonexistent:" + second.path().string());
  EXPECT_EQ(failure_of({.argv = {"tool"}}, &loop).error, ENOENT);
  first.file("tool", "#!/bin/sh\necho first\n", fs::perms::owner_read);
  EXPECT_EQ(failure_of({.argv = {"tool"}}, &loop).error, EACCES) << "found, not executable";
  const std::string found = second.file("tool", "#!/bin/sh\necho second\n", fs::perms::owner_all);
  EXPECT_EQ(run({.argv = {"tool"}}, &loop).output, "second\n") << "the search goes on";
  fs::permissions(first.path() / "tool", fs::perms::owner_all);
  fs::remove(found);
  EXPECT_EQ(run({.argv = {"tool"}}, &loop).output, "first\n") << "looked up again";
  fs::remove(first.path() / "tool");
  EXPECT_EQ(failure_of({.argv = {"tool"}}, &loop).error, ENOENT);
}

TEST(child, notices_that_PATH_changed) {
  const temporary_directory first;
  const temporary_directory second;
  first.file("tool", "#!/bin/sh\necho first\n", fs::perms::owner_all);
  second.file("tool", "#!/bin/sh\necho second\n", fs::perms::owner_all);
  event_loop loop;
  const path_variable path(first.path().string());
  EXPECT_EQ(run({.argv = {"tool"}}, &loop).output, "first\n");
  const path_variable changed(second.path().string());
  EXPECT_EQ(run({.argv = {"tool"}}, &loop).output, "second\n");
}

TEST(child, an_empty_PATH_entry_is_the_childs_directory) {
  const temporary_directory d;
  d.file("tool", "#!/bin/sh\necho here\n", fs::perms::owner_all);
  const path_variable path("/nonexistent:");
  EXPECT_EQ(run({.argv = {"tool"}, .directory = d.path().string()}).output, "here\n");
}

TEST(child, runs_a_script_without_interpreter_line_by_the_shell) {
  const temporary_directory d;
  const std::string tool = d.file("tool", "echo \"$0 $1\"\n", fs::perms::owner_all);
  EXPECT_EQ(run({.argv = {tool, "argument"}}).output, tool + " argument\n");
}

TEST(child, kills_the_whole_group) {
  event_loop loop;
  pipe_ends out;
  command what = shell("sleep 1000 & echo $!; wait");
  what.standard_output = out.write.get();
  stop_at_exit handler(loop);
  child c(loop, what, handler);
  out.write.reset();
  char line[32] = {};
  ASSERT_GT(::read(out.read.get(), line, sizeof line - 1), 0);
  const pid_t grandchild = std::atoi(line);
  ASSERT_TRUE(alive(grandchild));
  c.signal_group(SIGKILL);
  loop.run();
  EXPECT_EQ(handler.report->signal, SIGKILL);
  // The pipe closes when the last of the group is gone.
  EXPECT_EQ(read_all(out.read.get()), "");
  EXPECT_TRUE(ends(grandchild));
}

TEST(child, kill_group_at_exit_takes_what_the_leader_left_behind) {
  event_loop loop;
  pipe_ends out;
  command what = shell("trap '' TERM; sleep 1000 & echo $!");
  what.standard_output = out.write.get();
  stop_at_exit handler(loop);
  child c(loop, what, handler);
  c.kill_group_at_exit();
  out.write.reset();
  loop.run();
  EXPECT_TRUE(handler.report->success());
  const pid_t grandchild = std::stoi(read_all(out.read.get()));  // ends with the grandchild
  EXPECT_TRUE(ends(grandchild));
}

TEST(child, signals_the_child_alone) {
  event_loop loop;
  command what = shell("trap 'exit 7' USR1; kill -STOP $$; while :; do sleep 0.01; done");
  stop_at_exit handler(loop);
  child c(loop, what, handler);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(c.pid()), &info, WSTOPPED), 0);
  c.signal(SIGUSR1);
  c.signal(SIGCONT);
  loop.run();
  EXPECT_EQ(handler.report->status, 7);
  EXPECT_FALSE(c.running());
  c.signal(SIGKILL);
  c.signal_group(SIGKILL);
}

TEST(child, destroyed_handle_kills_and_leaves_no_zombie) {
  event_loop loop;
  pipe_ends out;
  command what = shell("sleep 1000 & wait");
  what.standard_output = out.write.get();
  stop_at_exit handler(loop);
  {
    child c(loop, what, handler);
    EXPECT_TRUE(c.running());
    EXPECT_TRUE(alive(c.pid()));
  }
  EXPECT_FALSE(has_children());
  out.write.reset();
  EXPECT_EQ(read_all(out.read.get()), "") << "the grandchild is gone too";
  EXPECT_FALSE(handler.report.has_value());
}

TEST(child, can_be_moved) {
  event_loop loop;
  stop_at_exit handler(loop);
  child a(loop, shell("exit 3"), handler);
  const pid_t pid = a.pid();
  child b(std::move(a));
  EXPECT_EQ(b.pid(), pid);
  EXPECT_FALSE(a.running());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(a.pid(), 0);
  child c;
  EXPECT_FALSE(c.running());
  c = std::move(b);
  loop.run();
  EXPECT_EQ(handler.report->status, 3);
  c = child();
  EXPECT_EQ(c.pid(), 0);
}

TEST(child, is_honest_when_the_program_ignores_SIGCHLD) {
  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  struct sigaction old;
  ::sigaction(SIGCHLD, &ignore, &old);
  const auto [report, output] = run(shell("echo done; exit 3"));
  EXPECT_EQ(failure_of({.argv = {"heddle-no-such-program"}}).error, ENOENT);
  ::sigaction(SIGCHLD, &old, nullptr);
  EXPECT_EQ(output, "done\n");
  EXPECT_TRUE(report.lost);
  EXPECT_FALSE(report.success());
}

// Starts the next child from inside on_exit, with a handle destroyed there.
class relay final : public exit_handler {
 public:
  relay(event_loop& loop, int& remaining, int& running)
      : loop_(loop), remaining_(remaining), running_(running) {}

  void next() {
    if (remaining_ == 0) return;
    --remaining_;
    ++running_;
    child_ = std::make_unique<child>(loop_, what_, *this);
  }

  void on_exit(const exit_report& report) noexcept override {
    succeeded_ += report.success();
    child_.reset();
    --running_;
    next();
    if (running_ == 0) loop_.stop();
  }

  int succeeded() const { return succeeded_; }

 private:
  event_loop& loop_;
  int& remaining_;
  int& running_;
  command what_{.argv = {"true"}};
  std::unique_ptr<child> child_;
  int succeeded_ = 0;
};

TEST(child, two_thousand_with_eight_in_flight) {
  const int before = open_descriptors();
  {
    event_loop loop;
    int remaining = 2000;
    int running = 0;
    std::vector<std::unique_ptr<relay>> relays;
    for (int i = 0; i < 8; ++i) {
      relays.push_back(std::make_unique<relay>(loop, remaining, running));
      relays.back()->next();
    }
    loop.run();
    int succeeded = 0;
    for (const auto& r : relays) succeeded += r->succeeded();
    EXPECT_EQ(succeeded, 2000);
    EXPECT_FALSE(has_children());
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST(child, failed_starts_leak_nothing) {
  event_loop loop;
  run(shell("exit 0"), &loop);
  const int before = open_descriptors();
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(failure_of({.argv = {"heddle-no-such-program"}}, &loop).error, ENOENT);
  }
  EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
