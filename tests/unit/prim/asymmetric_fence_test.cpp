#include <heddle/prim/asymmetric_fence.hpp>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "support/threads.hpp"

namespace {

namespace prim = heddle::prim;

// Store buffering: each thread writes its own location and reads the other's. With a light fence on
// one side and a heavy one on the other at least one of them sees the other.
TEST(asymmetric_fences, one_of_two_sees_the_other) {
  const heddle_test::watchdog dog;
  constexpr int most = 20'000;
  // Where both have to share a busy CPU, each turn may take as long as others compute there.
  const auto enough = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  std::atomic<int> rounds{most};
  std::atomic<int> turn[2] = {0, 0};
  std::atomic<int> written[2] = {0, 0};
  std::vector<bool> saw[2] = {std::vector<bool>(most), std::vector<bool>(most)};
  heddle_test::run_together(2, [&](unsigned i) {
    for (int r = 1; r <= rounds; ++r) {
      if (i == 0 && std::chrono::steady_clock::now() > enough) rounds = r;
      turn[i].store(r);
      while (turn[1 - i].load() < r) std::this_thread::yield();
      written[i].store(r, std::memory_order_relaxed);
      if (i == 0) {
        prim::light_fence();
      } else {
        ASSERT_TRUE(prim::heavy_fence());
      }
      saw[i][static_cast<std::size_t>(r - 1)] = written[1 - i].load(std::memory_order_relaxed) >= r;
    }
  });
  for (std::size_t r = 0; r < static_cast<std::size_t>(rounds); ++r)
    ASSERT_TRUE(saw[0][r] || saw[1][r]) << "round " << r;
}

// Runs f in a child, whose status it is.
template <class F>
int status_in_child(F f) {
  const pid_t child = fork();
  if (child == 0) _exit(f());
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(asymmetric_fences, work_in_a_forked_child) {
  const bool before = prim::detail::kernel_fences;
  EXPECT_EQ(status_in_child([before] {
              if (!prim::heavy_fence()) return 1;
              return prim::detail::kernel_fences == before ? 0 : 2;
            }),
            0);
}

bool forbid_membarrier() {
  sock_filter rules[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{.len = std::size(rules), .filter = rules};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// Who is refused says so; after a while both sides fence for themselves.
TEST(asymmetric_fences, outlive_a_sandbox_that_forbids_them) {
  if (!prim::detail::kernel_fences) GTEST_SKIP() << "the kernel has none";
  const int status = status_in_child([] {
    if (!forbid_membarrier()) return 77;
    const auto before = std::chrono::steady_clock::now();
    const auto just_now = [&] {
      return std::chrono::steady_clock::now() - before < std::chrono::seconds(1);
    };
    if (prim::heavy_fence()) return 1;
    if (prim::detail::kernel_fences) return 2;
    if (prim::heavy_fence() && just_now()) return 3;  // others may not know yet
    while (!prim::heavy_fence()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    prim::light_fence();
    return 0;
  });
  if (status == 77) GTEST_SKIP() << "no seccomp here";
  EXPECT_EQ(status, 0);
}

}  // namespace
