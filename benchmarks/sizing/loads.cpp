#include "loads.hpp"

#include <array>
#include <atomic>
#include <functional>
#include <heddle/kernel/quota.hpp>
#include <mutex>
#include <stdexcept>

#include "http.hpp"
#include "surroundings.hpp"
#include "work.hpp"

namespace bench {
namespace {

// The small share of computing that comes with most waits.
constexpr double some_computing = 200;  // microseconds

class computing final : public load {
  void task(std::uint64_t, heddle::thread_pool&) override { compute(some_computing); }
};

class sleeping : public load {
 public:
  explicit sleeping(double microseconds) : microseconds_(microseconds) {}
  void task(std::uint64_t, heddle::thread_pool&) override {
    compute(some_computing / 2);
    if (microseconds_ > 0) rest(microseconds_);
    compute(some_computing / 2);
  }

 private:
  double microseconds_;
};

class requesting final : public load {
 public:
  void task(std::uint64_t, heddle::thread_pool&) override {
    compute(some_computing / 2);
    http_get(port_);
    compute(some_computing / 2);
  }

  double companions_cpu_seconds() const override { return server_.cpu_seconds(); }

 private:
  companion server_{"server", {"16", "5000"}};
  std::uint16_t port_ = static_cast<std::uint16_t>(std::stoi(server_.first_line()));
};

class bimodal final : public load {
  void task(std::uint64_t index, heddle::thread_pool&) override {
    compute(some_computing);
    if (random_numbers(1, index).uniform() < 0.1) rest(20'000);
  }
};

class heavy_tailed final : public load {
  void task(std::uint64_t index, heddle::thread_pool&) override {
    compute(some_computing);
    rest(random_numbers(2, index).bounded_pareto(1.1, 200, 100'000));
  }
};

class streaming final : public load {
 public:
  streaming() { prepare_memory(); }
  void task(std::uint64_t index, heddle::thread_pool&) override {
    stream(index, std::size_t{4} << 20);
  }
};

class contending final : public load {
  void task(std::uint64_t, heddle::thread_pool&) override {
    compute(50);
    const std::lock_guard hold(hot_);
    compute(150);
  }

  std::mutex hot_;
};

class nesting final : public load {
  void task(std::uint64_t, heddle::thread_pool& pool) override {
    std::array<heddle::future<void>, 4> parts;
    for (auto& part : parts)
      part = pool.submit([] {
        compute(some_computing);
        rest(5'000);
      });
    for (auto& part : parts) part.get();
  }
};

class arriving final : public sleeping {
 public:
  explicit arriving(double share_of_capacity)
      : sleeping(10'000),
        rate_(share_of_capacity * heddle::kernel::usable_cores() * 1e6 / some_computing) {}
  double arrivals_per_second() const override { return rate_; }

 private:
  double rate_;
};

class flipping final : public load {
 public:
  std::vector<phase> phases() const override { return {{"computes", 3}, {"waits", 3}}; }
  void enter(std::size_t phase) override { waits_.store(phase == 1); }
  void task(std::uint64_t, heddle::thread_pool&) override {
    compute(some_computing);
    if (waits_.load()) rest(10'000);
  }

 private:
  std::atomic<bool> waits_{false};
};

class losing_cores final : public sleeping {
 public:
  losing_cores() : sleeping(10'000) {}
  std::vector<phase> phases() const override { return {{"all cores", 3}, {"half of them", 3}}; }
  void enter(std::size_t phase) override {
    if (phase == 1) {
      limit_->set(heddle::kernel::usable_cores() / 2);
    } else {
      limit_->lift();
    }
  }
  std::string remark() const override { return limit_->how(); }

 private:
  std::unique_ptr<cpu_limit> limit_ = make_cpu_limit();
};

// Beside a neighbour who computes on every core.
class crowded final : public sleeping {
 public:
  explicit crowded(double microseconds) : sleeping(microseconds) { neighbour_.pause(); }
  std::vector<phase> phases() const override { return {{"alone", 3}, {"beside another", 3}}; }
  void enter(std::size_t phase) override {
    if (phase == 1) {
      neighbour_.go_on();
    } else {
      neighbour_.pause();
    }
  }

  double companions_cpu_seconds() const override { return neighbour_.cpu_seconds(); }

 private:
  companion neighbour_{
      "neighbour", {std::to_string(heddle::kernel::whole_cores(heddle::kernel::usable_cores()))}};
};

struct entry {
  load_name what;
  std::function<std::unique_ptr<load>()> make;
};

template <class Load, class... Args>
std::function<std::unique_ptr<load>()> maker(Args... args) {
  return [=] { return std::make_unique<Load>(args...); };
}

const std::vector<entry>& catalogue() {
  static const std::vector<entry> all{
      {{"cpu", "0.2 ms of computing"}, maker<computing>()},
      {{"sleep1", "0.2 ms of computing, 1 ms of sleep"}, maker<sleeping>(1'000.)},
      {{"sleep10", "0.2 ms of computing, 10 ms of sleep"}, maker<sleeping>(10'000.)},
      {{"sleep100", "0.2 ms of computing, 100 ms of sleep"}, maker<sleeping>(100'000.)},
      {{"http", "0.2 ms of computing, a request to a server that serves 16 at a time in 5 ms each"},
       maker<requesting>()},
      {{"bimodal", "0.2 ms of computing; one in ten sleeps 20 ms"}, maker<bimodal>()},
      {{"heavy_tail", "0.2 ms of computing, a sleep of 0.2 to 100 ms, bounded Pareto, shape 1.1"},
       maker<heavy_tailed>()},
      {{"memory", "reads and writes 4 MiB of 256 MiB"}, maker<streaming>()},
      {{"mutex", "0.05 ms of computing, 0.15 ms under one mutex"}, maker<contending>()},
      {{"nested", "waits for four tasks of its own: 0.2 ms of computing, 5 ms of sleep each"},
       maker<nesting>()},
      {{"open50", "as sleep10; tasks arrive at random, half of what the cores can compute"},
       maker<arriving>(0.5)},
      {{"open90", "as sleep10; tasks arrive at random, 0.9 of what the cores can compute"},
       maker<arriving>(0.9)},
      {{"flips", "turns from 0.2 ms of computing to sleep10 and back every 3 s"},
       maker<flipping>()},
      {{"quota", "as sleep10; every other 3 s with half the cores"}, maker<losing_cores>()},
      {{"neighbour",
        "as sleep10; every other 3 s beside another program that computes on all cores"},
       maker<crowded>(10'000.)},
      {{"neighbour_cpu", "0.2 ms of computing; every other 3 s beside another program likewise"},
       maker<crowded>(0.)},
  };
  return all;
}

}  // namespace

const std::vector<load_name>& named_loads() {
  static const std::vector<load_name> names = [] {
    std::vector<load_name> all;
    for (const auto& one : catalogue()) all.push_back(one.what);
    return all;
  }();
  return names;
}

std::unique_ptr<load> make_load(const std::string& name) {
  for (const auto& one : catalogue())
    if (one.what.name == name) return one.make();
  if (name.starts_with("mix:")) return make_mixture(std::stoull(name.substr(4)));
  throw std::invalid_argument("no such load: " + name);
}

}  // namespace bench
