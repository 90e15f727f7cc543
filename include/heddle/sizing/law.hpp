// What a sizing law is told, window by window, and what it answers. A law is a pure function of
// these windows: it reads no clock and no file, so a simulation can feed it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::sizing {

// What happened between two looks at a pool of workers, be they threads or processes.
struct window {
  std::chrono::nanoseconds end{};     // since the pool began
  std::chrono::nanoseconds length{};  // above zero

  double cores = 1;  // that the workers may use, fractions included
  int size = 1;      // workers that were allowed to work, throughout the window
  int least = 1;     // bounds of the answer; they may change from window to window
  int most = 1;

  // Averages over the window, in workers. What is left of busy - computing - runnable was asleep in
  // the kernel.
  double busy = 0;       // inside a task; waits that gave the worker's place away are left out
  double computing = 0;  // on a CPU
  double runnable = 0;   // not on a CPU, though they could have been; 0 when unknown

  std::uint64_t completed = 0;  // tasks that ended
  std::uint64_t queued = 0;     // tasks that waited for a worker, the fewest seen in the window

  std::uint64_t voluntary_switches = 0;  // times that workers went to sleep inside tasks, or more

  double foreign = 0;  // cores that other processes used; read in steps of 10 ms, so a rough figure
  double throttled = 0;  // share of the window in which the CPU quota held the group back

  bool knows_runnable = true;   // else the kernel does not tell
  bool knows_switches = false;  // likewise
  bool knows_foreign = false;
};

// Why a size is what it is.
enum class cause : unsigned char {
  nothing_new,    // the size stays
  start,          // the first size
  idle_cores,     // work waits, and cores lie idle: larger
  crowded_cores,  // workers wait for cores: smaller
  saturation,     // what the tasks wait for gives no more, so fewer may wait for it: smaller
  trial,          // signals cannot tell, so another size is tried
  trial_paid,     // what was tried stays
  trial_failed,   // what was tried was no better: back
  new_load,       // tasks are of another kind than before
  core_count,     // the usable cores became more or fewer
  bounds,         // the bounds changed: memory, descriptors, threads, or the user's
};
HEDDLE_API std::string_view to_string(cause why) noexcept;

// A law's answer.
struct choice {
  int size = 1;
  cause why = cause::nothing_new;
  std::string reason{};                   // a sentence without full stop; empty when nothing is new
  std::chrono::nanoseconds look_again{};  // how long the next window should be
};

// Decides how many workers there should be. Called by one thread at a time.
class HEDDLE_API law {
 public:
  law() = default;
  virtual ~law();
  law(const law&) = delete;
  law& operator=(const law&) = delete;

  // The first size, before anything is known. `cores` as in window.
  virtual choice first(double cores, int least, int most) = 0;

  // Called at the end of each window, of which `now.size` was in force: the size last answered,
  // unless the pool could not follow. The answer lies within now.least and now.most.
  virtual choice next(const window& now) = 0;
};

// Makes a fresh law: pools outlive forks, and then begin anew.
using law_maker = std::unique_ptr<law> (*)();

// The law of adaptive pools and of `heddle map -j auto`: see docs/guide/how-the-pool-decides.md.
HEDDLE_API std::unique_ptr<law> make_adaptive_law();

// A pool that finds its own size.
struct adaptive {
  int min = 1;
  // 0: what the process may have of descriptors, threads and memory, and 1024 at most.
  int max = 0;
  law_maker make_law = &make_adaptive_law;
};

// One change of size, for people.
struct logged_choice {
  std::chrono::nanoseconds at{};  // since the pool began
  int before = 0;
  int after = 0;
  cause why = cause::nothing_new;
  std::string reason{};
  window signals{};  // what the law was told
};

}  // namespace heddle::inline HEDDLE_ABI::sizing
