// Where the inputs of the jobs come from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <heddle/process/descriptor.hpp>
#include <heddle/process/event_loop.hpp>

#include "map_options.hpp"

namespace heddle::tool {

class input_listener {
 public:
  // A call that said `wait` is worth repeating.
  virtual void on_input() noexcept = 0;

 protected:
  ~input_listener() = default;
};

enum class input_state { ready, wait, end };

// Splits a file, pipe or terminal into records as they arrive. Reads no more than some 256 KiB
// ahead of what is taken, unless a record is longer; there is no limit to the length of a record.
// Every separator ends a record, so an empty line is an empty record, and a carriage return
// belongs to its line. What follows the last separator is a record too, if there is anything.
class record_reader final : public process::io_handler {
 public:
  // Takes the descriptor over, except that standard input stays open.
  // `name` is for messages. Throws run_error when it cannot be read.
  record_reader(process::event_loop& loop, int descriptor, std::string name, char separator,
                input_listener& listener);
  ~record_reader();
  record_reader(const record_reader&) = delete;
  record_reader& operator=(const record_reader&) = delete;

  // The next record, if there is a whole one. Throws run_error when reading fails.
  input_state next(std::string& record);

  // All records up to the end, however long they take to arrive. Throws run_error.
  std::vector<std::string> take_all();

  // Records seen so far, taken or not; exact once seen_end().
  std::uint64_t records_seen() const noexcept { return records_seen_; }
  bool seen_end() const noexcept { return ended_; }
  // Whole records that wait to be taken, as far as they have been read.
  std::uint64_t records_at_hand() const noexcept { return records_seen_ - records_taken_; }
  // Whether more can be read without waiting for anybody.
  bool at_hand() const noexcept { return records_at_hand() != 0 || (!pollable_ && !ended_); }
  // For a regular file, a guess at the number of records from the part that was read.
  std::optional<double> expected_records() const noexcept;

 private:
  static constexpr std::size_t chunk = std::size_t{64} << 10;
  static constexpr std::size_t read_ahead = 4 * chunk;

  void on_ready(std::uint32_t events) noexcept override;
  // One read; what it finds is in ended_ and error_.
  void fill();
  bool find_separator() noexcept;
  void tidy();
  void take(std::string& record, std::size_t end);
  void watch();
  void unwatch() noexcept;

  process::event_loop& loop_;
  input_listener& listener_;
  process::unique_descriptor owned_;
  const int descriptor_;
  const std::string name_;
  const char separator_;
  std::optional<std::uint64_t> file_size_;  // of a regular file
  bool pollable_ = false;
  bool watched_ = false;
  bool ended_ = false;
  int error_ = 0;

  std::string buffer_;
  std::size_t begin_ = 0;    // first byte not taken
  std::size_t scanned_ = 0;  // no separator in [begin_, scanned_), one here if it was found
  std::uint64_t records_seen_ = 0;
  std::uint64_t records_taken_ = 0;
  std::uint64_t bytes_read_ = 0;
};

// The inputs of one job: a value from each source.
struct job_input {
  std::uint64_t sequence = 0;  // from 1
  std::vector<std::string> values;
};

// All combinations of the sources, the last one varying fastest. The first source is read as it
// arrives; further files are read whole at the beginning.
class input_sequence {
 public:
  // Throws run_error when a file cannot be read.
  input_sequence(process::event_loop& loop, const map_options& options, input_listener& listener);

  // Throws run_error when reading fails.
  input_state next(job_input& into);

  // Jobs whose inputs can be had without waiting: at least so many, and 0 only if there are none.
  std::uint64_t at_hand() const noexcept;

  // Jobs that there will be, when that is known, and when it is a fair guess.
  struct size {
    double jobs = 0;
    bool exact = false;
  };
  std::optional<size> expected() const noexcept;

 private:
  input_state next_of_first();

  // The first source: a reader, or a list.
  std::optional<record_reader> reader_;
  std::vector<std::string> first_list_;
  std::size_t first_position_ = 0;
  std::string first_value_;
  bool has_first_ = false;

  std::vector<std::vector<std::string>> others_;
  std::vector<std::size_t> positions_;
  std::uint64_t combinations_ = 1;  // of the others
  std::uint64_t sequence_ = 0;
};

}  // namespace heddle::tool
