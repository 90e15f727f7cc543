// The loads under which sizing is measured.
#pragma once

#include <cstdint>
#include <heddle/exec/thread_pool.hpp>
#include <memory>
#include <string>
#include <vector>

namespace bench {

// A stretch of time in which a load stays the same. Phases of one name are of one kind.
struct phase {
  std::string name;
  double seconds = 0;
};

class load {
 public:
  load() = default;
  load(const load&) = delete;
  load& operator=(const load&) = delete;
  virtual ~load() = default;

  // One task. Equal indices do equal work. Called by the workers of the pool.
  virtual void task(std::uint64_t index, heddle::thread_pool& pool) = 0;

  // 0: there is always more to do. Else so many tasks arrive, at random times.
  virtual double arrivals_per_second() const { return 0; }

  // They follow one another round and round; empty: the load stays the same.
  virtual std::vector<phase> phases() const { return {}; }
  // Called at the beginning of each phase, by the thread that made the load.
  virtual void enter(std::size_t /*phase*/) {}

  // CPU time that programs have used which belong to the load.
  virtual double companions_cpu_seconds() const { return 0; }

  // What a reader of the results should know; may be empty.
  virtual std::string remark() const { return {}; }
};

struct load_name {
  std::string name;
  std::string text;  // what its tasks do
};

// The named loads, in the order of the table.
const std::vector<load_name>& named_loads();

// A named load, or "mix:SEED", a mixture made at random from the seed. Programs that a load
// needs are started; they are looked for in the folder of this one. Throws std::invalid_argument
// for another name.
std::unique_ptr<load> make_load(const std::string& name);

// What the tasks of a mixture do, in words.
std::string describe_mixture(std::uint64_t seed);
std::unique_ptr<load> make_mixture(std::uint64_t seed);

}  // namespace bench
