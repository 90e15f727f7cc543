// How many jobs run at once.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string_view>

#include <heddle/process/child.hpp>

namespace heddle::tool {

// What the user asked for with -j.
struct parallelism {
  enum class kind { automatic, count, percent };
  kind what = kind::automatic;
  // Jobs, or per cent of the usable cores. With kind::automatic the most jobs; 0: as many as there
  // is room for.
  std::uint64_t value = 0;
};

inline constexpr std::uint64_t most_slots = 65536;

// "8", "50%", "200%", "auto" or "auto:64". Throws usage_error for anything else.
parallelism parse_parallelism(std::string_view text);

// Decides how many jobs may run at this moment, and is told what a decision may depend on.
class slot_policy {
 public:
  virtual ~slot_policy() = default;

  // At least 1. Asked again whenever something has happened that may have made room.
  virtual unsigned slots() = 0;
  // How many there might be, as far as can be said now.
  virtual unsigned most() { return slots(); }

  virtual void on_start(pid_t) {}
  // The job has ended or is about to; its process can still be looked at.
  virtual void before_reap(pid_t) noexcept {}
  virtual void on_end(pid_t, const process::exit_report&) noexcept {}
  // No more jobs are started because all slots are in use. So many inputs are at hand.
  virtual void on_limit(std::uint64_t) {}
  // No more jobs are started for any other reason.
  virtual void on_shortage() noexcept {}
  // The jobs were stopped for a while.
  virtual void on_interruption() noexcept {}
};

// A policy that does not learn. Shares of the cores are computed from the cores that affinity mask
// and cgroup quota leave to this process, and follow them when they change during the run.
// Requires: what was asked is not kind::automatic.
std::unique_ptr<slot_policy> make_plain_policy(const parallelism& wanted);

}  // namespace heddle::tool
