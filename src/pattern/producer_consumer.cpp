#include <heddle/base/unhandled.hpp>
#include <heddle/pattern/producer_consumer.hpp>
#include <heddle/sync/blocking_region.hpp>

#include <stdexcept>
#include <string>
#include <utility>

namespace heddle::inline HEDDLE_ABI {
namespace {

const char* name_of(producer_consumer_side side) noexcept {
  return side == producer_consumer_side::producer ? "producer" : "consumer";
}

std::string describe_current() {
  try {
    throw;
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception of a type not derived from std::exception";
  }
}

}  // namespace

producer_consumer_error::producer_consumer_error(const std::string& name,
                                                 producer_consumer_side side, unsigned index)
    : error("producer_consumer \"" + name + "\": " + name_of(side) + " " + std::to_string(index) +
            ": " + describe_current()),
      side_(side),
      index_(index) {}
producer_consumer_error::~producer_consumer_error() = default;

namespace detail {

std::ptrdiff_t production::checked(const producer_consumer_options& options) {
  if (options.producers == 0) throw std::invalid_argument("producer_consumer: 0 producers");
  if (options.consumers == 0) throw std::invalid_argument("producer_consumer: 0 consumers");
  return static_cast<std::ptrdiff_t>(options.producers) +
         static_cast<std::ptrdiff_t>(options.consumers);
}

production::production(const producer_consumer_options& options)
    : name_(options.name), ended_(checked(options)) {
  running_[static_cast<std::size_t>(side::producer)].store(options.producers, prim::relaxed);
  running_[static_cast<std::size_t>(side::consumer)].store(options.consumers, prim::relaxed);
}

production::~production() = default;

void production::start(executor_ref where, std::vector<unique_task> parts,
                       const prim::stop_token& stop) {
  on_executor_ = static_cast<bool>(where);
  if (!on_executor_) threads_.reserve(parts.size());
  if (stop.stop_possible()) outside_.emplace(stop, stopping{this});
  for (unique_task& p : parts) {
    if (on_executor_) {
      where.post(p.release());
    } else {
      threads_.emplace_back([task = std::move(p)]() mutable { task(); });
    }
  }
}

bool production::request_stop() noexcept {
  const bool first = stop_.request_stop();
  close_queue();
  return first;
}

production::part::~part() {
  if (owner_ == nullptr) return;
  // Without an executor it is start() that has failed, and tells.
  if (!began_ && owner_->on_executor_) {
    owner_->has_failed(side_, index_,
                       std::make_exception_ptr(cancelled("it was discarded before it began")));
  }
  owner_->has_ended(side_);
}

void production::has_failed(side s, unsigned index, std::exception_ptr what) noexcept {
  bool further = false;
  {
    const std::lock_guard lock(mutex_);
    ++errors_;
    further = first_ != nullptr;
    if (!further) {
      try {
        try {
          std::rethrow_exception(what);
        } catch (...) {
          throw producer_consumer_error(name_, s, index);
        }
      } catch (...) {
        first_ = std::current_exception();
      }
    }
  }
  if (further) report_unhandled(std::move(what));
  request_stop();
}

// Whoever is the last on its side ends the other one: no more items will come, or be taken.
void production::has_ended(side s) noexcept {
  if (running_[static_cast<std::size_t>(s)].fetch_sub(1, prim::acq_rel) == 1) close_queue();
  ended_.count_down();
}

unsigned production::errors() const noexcept {
  const std::lock_guard lock(mutex_);
  return errors_;
}

void production::wait_and_rethrow() {
  ended_.wait();
  std::exception_ptr first;
  {
    const std::lock_guard lock(mutex_);
    first = first_;
    read_ = true;
  }
  if (first != nullptr) std::rethrow_exception(first);
}

void production::finish() noexcept {
  outside_.reset();
  request_stop();
  wait_regardless([this] { ended_.wait(); });
  for (prim::thread& t : threads_) t.join();
  threads_.clear();
  if (first_ != nullptr && !read_) report_unhandled(std::exchange(first_, nullptr));
}

}  // namespace detail

}  // namespace heddle::inline HEDDLE_ABI
