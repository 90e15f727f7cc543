// Hit ratios and throughput of eviction policies, as Markdown tables.
//
//   eviction [--quick]

#include <chrono>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include <heddle/data/cache.hpp>

#include "policies.hpp"
#include "traces.hpp"

namespace {

using eviction::trace;

// The cache as the library has it, in one part or in 16.
template <std::size_t Shards>
class heddle_cache {
 public:
  explicit heddle_cache(std::size_t capacity) : cache_({.capacity = capacity, .shards = Shards}) {}

  bool access(eviction::key k) {
    if (cache_.get(k)) return true;
    cache_.put(k, k);
    return false;
  }

 private:
  heddle::cache<eviction::key, std::uint64_t> cache_;
};

struct outcome {
  double hit_ratio = 0;
  double nanoseconds = 0;  // an access
};

template <class Policy>
outcome run(const trace& t, std::size_t capacity) {
  Policy policy(capacity);
  std::size_t hits = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (const eviction::key k : t.requests) hits += policy.access(k) ? 1 : 0;
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
  const auto length = static_cast<double>(t.requests.size());
  return {100 * static_cast<double>(hits) / length, took.count() / length};
}

using runner = outcome (*)(const trace&, std::size_t);
struct contender {
  const char* name;
  runner run;
};
constexpr contender contenders[] = {
    {"LRU", run<eviction::lru>},
    {"SIEVE", run<eviction::sieve>},
    {"S3-FIFO, 1 use", run<eviction::s3_fifo<1>>},
    {"S3-FIFO, 2 uses", run<eviction::s3_fifo<2>>},
    {"W-TinyLFU", run<eviction::w_tinylfu>},
    {"cache, 1 shard", run<heddle_cache<1>>},
    {"cache, 16 shards", run<heddle_cache<16>>},
};

void print_head(const char* first) {
  fmt::print("| {} |", first);
  for (const contender& c : contenders) fmt::print(" {} |", c.name);
  fmt::print("\n|---|");
  for (std::size_t i = 0; i < std::size(contenders); ++i) fmt::print("---|");
  fmt::print("\n");
}

}  // namespace

int main(int argc, char** argv) {
  const bool quick = argc > 1 && std::strcmp(argv[1], "--quick") == 0;
  const std::uint64_t keys = quick ? 100'000 : 1'000'000;
  const std::size_t length = quick ? 300'000 : 3'000'000;
  const std::size_t tenth = keys / 10;

  std::vector<trace> traces;
  for (const double s : {0.7, 0.8, 0.9, 0.99, 1.1}) {
    traces.push_back(eviction::zipf_trace(s, keys, length));
  }
  traces.push_back(eviction::phase_trace(keys, length));
  const std::size_t same_for_all = traces.size();

  for (const std::size_t capacity : {tenth, tenth / 10}) {
    traces.resize(same_for_all);
    traces.push_back(eviction::scan_trace(keys, length, capacity / 2));
    traces.push_back(eviction::loop_trace(capacity * 12 / 10, length, "loop of 1.2 capacities"));
    traces.push_back(eviction::loop_trace(capacity * 2, length, "loop of 2 capacities"));
    fmt::print("\n{} requests, {} keys, {} entries: hits in per cent\n\n", length, keys, capacity);
    print_head("Trace");
    std::vector<outcome> all;
    for (const trace& t : traces) {
      fmt::print("| {} |", t.name);
      for (const contender& c : contenders) {
        const outcome o = c.run(t, capacity);
        all.push_back(o);
        fmt::print(" {:.1f} |", o.hit_ratio);
      }
      fmt::print("\n");
    }
    fmt::print("\nNanoseconds an access, one thread\n\n");
    print_head("Trace");
    for (std::size_t i = 0; i < traces.size(); ++i) {
      fmt::print("| {} |", traces[i].name);
      for (std::size_t j = 0; j < std::size(contenders); ++j) {
        fmt::print(" {:.0f} |", all[i * std::size(contenders) + j].nanoseconds);
      }
      fmt::print("\n");
    }
  }
}
