#include <heddle/process/spawn.hpp>

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <heddle/future/state.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/process/descriptor.hpp>

#include "loop_resident.hpp"

namespace heddle::inline HEDDLE_ABI::process {
namespace {

[[noreturn]] void fail(const command& what, const char* step) {
  const int error = errno;
  throw std::system_error(error, std::generic_category(),
                          "cannot run '" + what.argv.front() + "': " + step);
}

struct pipe_ends {
  unique_descriptor read;
  unique_descriptor write;
};

pipe_ends open_pipe(const command& what) {
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_CLOEXEC) < 0) fail(what, "pipe");
  pipe_ends result{unique_descriptor(ends[0]), unique_descriptor(ends[1])};
  // Only this end: the child's own would surprise programs that do not expect it.
  if (::fcntl(result.read.get(), F_SETFL, O_NONBLOCK) < 0) fail(what, "fcntl");
  return result;
}

// A file in memory that holds the text, sealed, ready to be read from its beginning.
unique_descriptor file_of(const command& what, const std::string& text) {
  unique_descriptor file(::memfd_create("heddle-input", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) fail(what, "memfd_create");
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(file.get(), text.data() + done, text.size() - done);
    if (n >= 0) {
      done += static_cast<std::size_t>(n);
    } else if (errno != EINTR) {
      fail(what, "writing its input");
    }
  }
  if (::lseek(file.get(), 0, SEEK_SET) < 0 ||
      ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) <
          0) {
    fail(what, "preparing its input");
  }
  return file;
}

void validate(const command& what, const spawn_options& o) {
  const auto reject = [](bool bad, const char* text) {
    if (bad) throw std::invalid_argument(std::string("spawn: ") + text);
  };
  const bool output =
      o.collect == capture::output || o.collect == capture::both || o.collect == capture::merged;
  const bool error =
      o.collect == capture::error || o.collect == capture::both || o.collect == capture::merged;
  reject(what.argv.empty(), "argv is empty");
  reject(output && what.standard_output >= 0, "standard output is both given and collected");
  reject(error && what.standard_error >= 0, "standard error is both given and collected");
  reject(o.input && what.standard_input >= 0, "standard input is given twice");
  reject(o.timeout && o.timeout->count() < 0, "negative timeout");
  reject(o.grace.count() < 0, "negative grace period");
}

// The future's state, the job that starts the command, and all that belongs to the running command.
// Everything but the construction, cancel() and request_stop() happens on the loop's thread.
//
// The entry of the state belongs to the start job, which the running command inherits, and to the
// stop job while it is posted: the last of them drops it.
class operation final : public detail::typed_state<completed>,
                        private exit_handler,
                        private loop_resident {
 public:
  operation(event_loop& loop, command&& what, spawn_options&& options)
      : typed_state(&act, executor_ref{}),
        loop_(loop),
        what_(std::move(what)),
        options_(std::move(options)) {}

 private:
  // As far as a request to stop is concerned.
  enum class phase { starting, running, over };
  // Why the command was told to stop.
  enum class reason { none, timeout, cancelled, failure };

  class stream final : public io_handler {
   public:
    stream(operation& o, std::string& sink) noexcept : owner_(o), sink_(sink) {}

    void open(unique_descriptor read) {
      owner_.loop_.watch(read.get(), EPOLLIN, *this);
      descriptor_ = std::move(read);
    }
    bool is_open() const noexcept { return static_cast<bool>(descriptor_); }
    void close() noexcept {
      if (!is_open()) return;
      owner_.loop_.unwatch(descriptor_.get());
      descriptor_.reset();
    }

    void on_ready(std::uint32_t) noexcept override {
      // A bounded bite, so that a fast writer leaves time for the loop's other work.
      if (read(bites)) owner_.stream_ended();
    }

    // Reads up to `count` buffers; true at the end of the stream or when the command is to go.
    bool read(int count) noexcept {
      std::array<char, std::size_t{64} * 1024> buffer;
      while (is_open() && count-- > 0) {
        const ssize_t n = ::read(descriptor_.get(), buffer.data(), buffer.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return false;
        if (n <= 0) {
          close();
          return true;
        }
        if (!owner_.keep(sink_, buffer.data(), static_cast<std::size_t>(n))) return true;
      }
      return false;
    }

    static constexpr int bites = 4;

   private:
    operation& owner_;
    std::string& sink_;
    unique_descriptor descriptor_;
  };

  struct stop_job final : job {
    explicit stop_job(operation& o) noexcept : job(&act), owner(o) {}
    static void act(job* j, verb v) noexcept {
      if (v == verb::help) return;
      operation& o = static_cast<stop_job*>(j)->owner;
      if (v == verb::run) o.tell_to_stop(reason::cancelled);
      o.let_go();
    }
    operation& owner;
  };

  struct forward_stop {
    operation& owner;
    void operator()() const noexcept { owner.request_stop(); }
  };

  static void act(job* j, verb v) noexcept {
    auto* const self = static_cast<operation*>(j);
    if (v == verb::run) {
      if (self->try_claim()) return self->start();
      self->let_go();
    } else if (v == verb::discard) {
      self->cancel();
      self->let_go();
    } else if (v == detail::own_verb::request_stop) {
      self->request_stop();
    } else if (v == detail::own_verb::destroy) {
      detail::destroy_state(self);
    }
  }

  void start() noexcept {
    if (options_.stop.stop_requested()) return end(detail::outcome::cancelled);
    std::exception_ptr error;
    try {
      launch();
    } catch (...) {
      error = std::current_exception();
    }
    // Outside of the handler, which shares the exception with the reader of the future.
    if (error != nullptr) end(detail::outcome::error, std::move(error));
  }

  void launch() {
    unique_descriptor input;
    if (options_.input) {
      input = file_of(what_, *options_.input);
      options_.input.reset();
      what_.standard_input = input.get();
    }
    const capture collect = options_.collect;
    pipe_ends out;
    pipe_ends err;
    if (collect == capture::output || collect == capture::both || collect == capture::merged) {
      out = open_pipe(what_);
      what_.standard_output = out.write.get();
    }
    if (collect == capture::error || collect == capture::both) {
      err = open_pipe(what_);
      what_.standard_error = err.write.get();
    }
    if (collect == capture::merged) what_.standard_error = out.write.get();

    if (out.read) out_.open(std::move(out.read));
    if (err.read) err_.open(std::move(err.read));
    child_ = child(loop_, what_, *this);
    if (collect != capture::none) child_.hold();
    if (options_.timeout) timeout_.arm(prim::deadline_after(*options_.timeout));
    enter(loop_);
    {
      const prim::scoped_lock lock(mutex_);
      phase_ = phase::running;
      if (stop_requested_) post_stop();
    }
    on_stop_.emplace(options_.stop, forward_stop{*this});
  }

  // False when the command is to be killed: for its output, or for want of memory to keep it.
  bool keep(std::string& sink, const char* data, std::size_t size) noexcept {
    const std::size_t room = options_.output_limit - sink.size();
    if (size > room) result_.overflowed = true;
    try {
      sink.append(data, std::min(size, room));
    } catch (...) {
      error_ = std::current_exception();
      stopping_ = reason::failure;
      return false;
    }
    if (size > room && options_.beyond_limit == overflow::kill) return false;
    return true;
  }

  // The last statement of whoever calls it: the operation may be gone afterwards.
  void stream_ended() noexcept {
    const bool killed =
        error_ != nullptr || (result_.overflowed && options_.beyond_limit == overflow::kill);
    if (killed) return kill();
    if (!out_.is_open() && !err_.is_open()) child_.release();
  }

  void tell_to_stop(reason why) noexcept {
    if (!child_.running() || stopping_ != reason::none) return;
    stopping_ = why;
    timeout_.disarm();
    child_.kill_group_at_exit();
    child_.signal_group(SIGTERM);
    child_.signal_group(SIGCONT);
    try {
      kill_.arm(prim::deadline_after(options_.grace));
    } catch (...) {
      kill();
    }
  }

  // The last statement of whoever calls it: the operation may be gone afterwards.
  void kill() noexcept {
    timeout_.disarm();
    kill_.disarm();
    child_.kill_group_at_exit();
    child_.signal_group(SIGKILL);
    for (stream* s : {&out_, &err_}) {
      if (error_ == nullptr) s->read(stream::bites);
      s->close();
    }
    child_.release();
  }

  static void on_timeout(void* self) noexcept {
    static_cast<operation*>(self)->tell_to_stop(reason::timeout);
  }
  static void on_grace_over(void* self) noexcept { static_cast<operation*>(self)->kill(); }

  void on_exit(const exit_report& report) noexcept override {
    result_.report = report;
    result_.timed_out = stopping_ == reason::timeout;
    if (error_ != nullptr) return end(detail::outcome::error, std::move(error_));
    end(stopping_ == reason::cancelled ? detail::outcome::cancelled : detail::outcome::value);
  }

  void abandon() noexcept override { end(detail::outcome::cancelled); }

  // The last statement of whoever calls it. Whatever refers to the loop goes before the result can
  // be seen, since then the loop may be destroyed.
  void end(detail::outcome how, std::exception_ptr error = nullptr) noexcept {
    on_stop_.reset();
    {
      const prim::scoped_lock lock(mutex_);
      phase_ = phase::over;
    }
    timeout_.disarm();
    kill_.disarm();
    out_.close();
    err_.close();
    child_ = child();
    leave();
    if (how == detail::outcome::value) {
      finish_with_value_of(std::move(result_));
    } else {
      finish_with(how, std::move(error));
    }
    let_go();
  }

  void let_go() noexcept {
    if (holders_.fetch_sub(1, prim::acq_rel) == 1) drop_entry();
  }

  // From any thread, also while the command is being started and after its end. Once is enough.
  void request_stop() noexcept {
    const prim::scoped_lock lock(mutex_);
    if (std::exchange(stop_requested_, true)) return;
    if (phase_ == phase::running) post_stop();
  }

  // The loop is alive: end() comes before its destruction, and takes the mutex.
  void post_stop() noexcept HEDDLE_REQUIRES(mutex_) {
    holders_.fetch_add(1, prim::relaxed);
    loop_.post(&stop_job_);
  }

  event_loop& loop_;
  command what_;
  spawn_options options_;
  completed result_;
  child child_;
  stream out_{*this, result_.out};
  stream err_{*this, result_.err};
  timer timeout_{loop_, &on_timeout, this};
  timer kill_{loop_, &on_grace_over, this};
  reason stopping_ = reason::none;
  std::exception_ptr error_;
  prim::atomic<int> holders_{1};

  prim::mutex mutex_;
  phase phase_ HEDDLE_GUARDED_BY(mutex_) = phase::starting;
  bool stop_requested_ HEDDLE_GUARDED_BY(mutex_) = false;
  stop_job stop_job_{*this};
  std::optional<prim::stop_callback<forward_stop>> on_stop_;
};

}  // namespace

future<completed> spawn(event_loop& loop, command what, spawn_options options) {
  validate(what, options);
  auto* const o = detail::make_state<operation>(loop, std::move(what), std::move(options));
  auto result = detail::access::make<completed>(o);
  loop.post(o);
  return result;
}

}  // namespace heddle::inline HEDDLE_ABI::process
