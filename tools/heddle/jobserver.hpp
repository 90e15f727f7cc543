// The job slots that GNU make and its children share: a pipe with a byte, a token, for each job
// that may be started.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <heddle/process/descriptor.hpp>
#include <heddle/process/event_loop.hpp>

#include "jobserver_flags.hpp"

namespace heddle::tool {

class token_listener {
 public:
  // There may be a token now.
  virtual void on_token() noexcept = 0;

 protected:
  ~token_listener() = default;
};

// The pipe, whoever made it. Its two ends belong to open files that other programs have, too, so
// that they may not be made non-blocking; nor does it matter if others do. Tokens are therefore
// taken with splice(2), which does not wait if it is asked not to, into a pipe of our own, and
// given only while poll(2) sees room.
class token_pipe {
 public:
  // The ends are borrowed. Throws std::system_error when a descriptor cannot be had.
  token_pipe(int read_end, int write_end);

  // Nothing when there is none at the moment.
  std::optional<char> take() noexcept;
  // False when the pipe is full or broken. Does not wait, unless somebody else fills the pipe with
  // what are no tokens at this very moment.
  bool put(char token) noexcept;
  // Tokens in the pipe.
  std::size_t count() const noexcept;
  // Tokens cannot be taken here, and there is no use in waiting for one.
  bool is_broken() const noexcept { return is_broken_; }

  int read_end() const noexcept { return read_end_; }
  int write_end() const noexcept { return write_end_; }

 private:
  int read_end_;
  int write_end_;
  process::unique_descriptor out_;  // of our own pipe
  process::unique_descriptor in_;
  bool is_broken_ = false;
};

// Tokens for the jobs of a run. Each running job holds one.
class job_tokens {
 public:
  virtual ~job_tokens() = default;

  // How many jobs there may be, as far as the run is concerned.
  virtual void resize(unsigned) noexcept {}
  // Whether so many jobs can be given a token. If not, the listener is told when to ask again.
  virtual bool have(unsigned jobs) noexcept = 0;
  // A job has ended, so many are left; the next one may be started at once.
  virtual void on_job_end(unsigned jobs) noexcept = 0;
  // No more jobs are started for now.
  virtual void settle(unsigned jobs) noexcept = 0;

  // Tokens that did not come back and were made up for.
  virtual std::uint64_t lost() const noexcept { return 0; }
  // What children get of it: their MAKEFLAGS, "" for ours, and descriptors.
  virtual std::string makeflags() const { return {}; }
  virtual std::vector<int> descriptors() const { return {}; }
};

// Takes tokens from the jobserver of a make that has started us. The first job needs none: make has
// given one for us ourselves. Each token is given back as soon as its job has ended, all of them
// when this is destroyed.
class jobserver_client final : public job_tokens, private process::io_handler {
 public:
  // Throws run_error, saying why it cannot be used.
  jobserver_client(process::event_loop& loop, const jobserver_address& address,
                   token_listener& listener);
  ~jobserver_client() override;

  bool have(unsigned jobs) noexcept override;
  void on_job_end(unsigned jobs) noexcept override { give_back(jobs); }
  void settle(unsigned jobs) noexcept override;
  std::vector<int> descriptors() const override { return inherited_; }

 private:
  void on_ready(std::uint32_t events) noexcept override;
  void give_back(unsigned jobs) noexcept;
  void wait() noexcept;
  void stop_waiting() noexcept;

  process::event_loop& loop_;
  token_listener& listener_;
  process::unique_descriptor fifo_;
  std::vector<int> inherited_;
  std::optional<token_pipe> pipe_;
  std::vector<char> tokens_;
  bool watched_ = false;
};

// The descriptors of a make's jobserver that children can use as well, when they can be used.
std::vector<int> usable_descriptors(const jobserver_address& address) noexcept;

enum class jobserver_style {
  best,  // fifo, unless the make that is found in PATH is older than 4.4 and would refuse it
  fifo,  // children open the pipe by name
  pipe,  // children inherit two descriptors
};

// Makes a jobserver for the children, so that all of them together have as many jobs as the run has
// slots. Tokens that the run has no use for are in the pipe.
class jobserver final : public job_tokens, private process::io_handler {
 public:
  // Throws std::system_error when descriptors cannot be had.
  jobserver(process::event_loop& loop, jobserver_style style, token_listener& listener);
  ~jobserver() override;

  void resize(unsigned slots) noexcept override;
  bool have(unsigned jobs) noexcept override;
  void on_job_end(unsigned) noexcept override {}
  void settle(unsigned jobs) noexcept override;
  std::uint64_t lost() const noexcept override { return lost_; }
  std::string makeflags() const override;
  std::vector<int> descriptors() const override;

 private:
  struct ends {
    process::unique_descriptor read;
    process::unique_descriptor write;
  };

  static ends make_pipe();
  void on_ready(std::uint32_t events) noexcept override;
  void take_stock() noexcept;
  bool take() noexcept;
  void stop_waiting() noexcept;

  process::event_loop& loop_;
  token_listener& listener_;
  ends ends_;
  token_pipe pipe_;
  const std::string name_;
  jobserver_style style_;
  unsigned slots_ = 0;    // tokens that there should be
  unsigned total_ = 0;    // that there are, in hand, in the pipe and with children
  unsigned in_hand_ = 0;  // of them those of our jobs, and those not in the pipe yet
  std::uint64_t lost_ = 0;
  bool watched_ = false;
};

}  // namespace heddle::tool
