#include "input.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>

#include "failure.hpp"
#include "text.hpp"

namespace heddle::tool {
namespace {

[[noreturn]] void cannot_read(const std::string& name, int error) {
  throw run_error(fmt::format("cannot read {}: {}", name, std::strerror(error)));
}

struct opened {
  int descriptor;
  std::string name;
};

opened open_input(const std::string& file) {
  if (file == "-") return {STDIN_FILENO, "standard input"};
  const std::string name = shortened(file);
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) cannot_read(name, errno);
  return {descriptor, name};
}

// Reads by reading on, whatever the descriptor is.
class no_listener final : public input_listener {
  void on_input() noexcept override {}
};

}  // namespace

record_reader::record_reader(process::event_loop& loop, int descriptor, std::string name,
                             char separator, input_listener& listener)
    : loop_(loop),
      listener_(listener),
      owned_(descriptor == STDIN_FILENO ? -1 : descriptor),
      descriptor_(descriptor),
      name_(std::move(name)),
      separator_(separator) {
  struct stat status{};
  if (::fstat(descriptor_, &status) != 0) cannot_read(name_, errno);
  if (S_ISDIR(status.st_mode)) cannot_read(name_, EISDIR);
  if (S_ISREG(status.st_mode)) {
    const off_t position = ::lseek(descriptor_, 0, SEEK_CUR);
    file_size_ = static_cast<std::uint64_t>(std::max<off_t>(status.st_size - position, 0));
    return;
  }
  try {
    loop_.watch(descriptor_, EPOLLIN, *this);
    pollable_ = watched_ = true;
  } catch (const std::system_error& e) {
    // Some devices cannot be waited for, since they never make anybody wait.
    if (e.code() != std::errc::operation_not_permitted) throw;
  }
}

record_reader::~record_reader() { unwatch(); }

input_state record_reader::next(std::string& record) {
  for (;;) {
    if (find_separator()) {
      take(record, scanned_);
      begin_ = ++scanned_;
      if (pollable_ && !ended_ && buffer_.size() - begin_ < read_ahead / 2) watch();
      return input_state::ready;
    }
    if (error_ != 0) cannot_read(name_, error_);
    if (ended_) {
      if (begin_ == buffer_.size()) return input_state::end;
      take(record, buffer_.size());
      return input_state::ready;
    }
    if (pollable_) {
      watch();
      return input_state::wait;
    }
    do {
      fill();
    } while (!ended_ && error_ == 0 && buffer_.size() - begin_ < read_ahead);
  }
}

std::vector<std::string> record_reader::take_all() {
  while (!ended_ && error_ == 0) fill();
  std::vector<std::string> all;
  std::string record;
  while (next(record) == input_state::ready) all.push_back(record);
  return all;
}

// Moves scanned_ to the next separator, or to the end.
bool record_reader::find_separator() noexcept {
  const void* found = std::memchr(buffer_.data() + scanned_, separator_, buffer_.size() - scanned_);
  scanned_ = found == nullptr
                 ? buffer_.size()
                 : static_cast<std::size_t>(static_cast<const char*>(found) - buffer_.data());
  return found != nullptr;
}

void record_reader::take(std::string& record, std::size_t end) {
  record.assign(buffer_, begin_, end - begin_);
  begin_ = end;
  ++records_taken_;
}

std::optional<double> record_reader::expected_records() const noexcept {
  if (!file_size_ || bytes_read_ == 0) return std::nullopt;
  return static_cast<double>(records_seen_) * static_cast<double>(*file_size_) /
         static_cast<double>(bytes_read_);
}

void record_reader::on_ready(std::uint32_t) noexcept {
  try {
    fill();
  } catch (const std::bad_alloc&) {
    error_ = ENOMEM;  // a line longer than memory
  }
  const bool whole_record = find_separator();
  const bool over = ended_ || error_ != 0;
  if (over || (whole_record && buffer_.size() - begin_ >= read_ahead)) unwatch();
  if (over || whole_record) listener_.on_input();
}

void record_reader::fill() {
  tidy();
  const std::size_t old_size = buffer_.size();
  buffer_.resize(old_size + chunk);
  ssize_t n;
  do {
    n = ::read(descriptor_, buffer_.data() + old_size, chunk);
  } while (n < 0 && errno == EINTR);
  if (n < 0) error_ = errno == EAGAIN ? 0 : errno;
  const auto got = static_cast<std::size_t>(std::max<ssize_t>(n, 0));
  buffer_.resize(old_size + got);
  bytes_read_ += got;
  records_seen_ += static_cast<std::uint64_t>(
      std::count(buffer_.data() + old_size, buffer_.data() + buffer_.size(), separator_));
  if (n == 0) {
    ended_ = true;
    if (begin_ < buffer_.size() && buffer_.back() != separator_) ++records_seen_;
  }
}

// Drops what was taken, and gives back the memory that an unusually long record needed.
void record_reader::tidy() {
  constexpr std::size_t usual = std::size_t{4} << 20;
  if (begin_ < buffer_.size() / 2 && begin_ < read_ahead) return;
  buffer_.erase(0, begin_);
  scanned_ -= begin_;
  begin_ = 0;
  if (buffer_.capacity() > usual && buffer_.size() < read_ahead) buffer_.shrink_to_fit();
}

void record_reader::watch() {
  if (watched_) return;
  loop_.watch(descriptor_, EPOLLIN, *this);
  watched_ = true;
}

void record_reader::unwatch() noexcept {
  if (watched_) loop_.unwatch(descriptor_);
  watched_ = false;
}

input_sequence::input_sequence(process::event_loop& loop, const map_options& options,
                               input_listener& listener) {
  const char separator = options.null_separated ? '\0' : '\n';
  std::vector<std::string> files = options.input_files;
  if (files.empty() && options.argument_lists.empty()) files.emplace_back("-");

  for (std::size_t i = 0; i < files.size(); ++i) {
    const opened file = open_input(files[i]);
    if (i == 0) {
      reader_.emplace(loop, file.descriptor, file.name, separator, listener);
      continue;
    }
    process::event_loop aside;
    no_listener nobody;
    record_reader whole(aside, file.descriptor, file.name, separator, nobody);
    others_.push_back(whole.take_all());
  }
  for (std::size_t i = 0; i < options.argument_lists.size(); ++i) {
    if (i == 0 && files.empty()) {
      first_list_ = options.argument_lists[i];
    } else {
      others_.push_back(options.argument_lists[i]);
    }
  }
  positions_.resize(others_.size());
  for (const auto& list : others_) combinations_ *= list.size();
}

input_state input_sequence::next(job_input& into) {
  if (combinations_ == 0) return input_state::end;
  if (!has_first_) {
    const input_state state = next_of_first();
    if (state != input_state::ready) return state;
    has_first_ = true;
  }
  into.sequence = ++sequence_;
  into.values.resize(1 + others_.size());
  for (std::size_t i = 0; i < others_.size(); ++i) into.values[i + 1] = others_[i][positions_[i]];

  std::size_t turn = others_.size();
  while (turn > 0 && ++positions_[turn - 1] == others_[turn - 1].size()) positions_[--turn] = 0;
  if (turn == 0) {
    has_first_ = false;
    into.values[0].swap(first_value_);
  } else {
    into.values[0] = first_value_;
  }
  return input_state::ready;
}

input_state input_sequence::next_of_first() {
  if (reader_) return reader_->next(first_value_);
  if (first_position_ == first_list_.size()) return input_state::end;
  first_value_ = std::move(first_list_[first_position_++]);
  return input_state::ready;
}

std::uint64_t input_sequence::at_hand() const noexcept {
  if (combinations_ == 0) return 0;
  std::uint64_t first = first_list_.size() - first_position_;
  if (reader_)
    first = reader_->at_hand() ? std::max<std::uint64_t>(1, reader_->records_at_hand()) : 0;
  return first * combinations_ + (has_first_ ? 1 : 0);
}

std::optional<input_sequence::size> input_sequence::expected() const noexcept {
  const auto each = static_cast<double>(combinations_);
  if (!reader_) return size{static_cast<double>(first_list_.size()) * each, true};
  if (reader_->seen_end()) return size{static_cast<double>(reader_->records_seen()) * each, true};
  if (const auto guess = reader_->expected_records()) return size{*guess * each, false};
  return std::nullopt;
}

}  // namespace heddle::tool
