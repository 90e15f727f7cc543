#include "spool.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "failure.hpp"

namespace heddle::tool {
namespace {

// Assigning an empty string would keep the memory.
void free_memory(std::string& s) noexcept { std::string().swap(s); }

}  // namespace

output_store::output_store(std::size_t memory_budget)
    : memory_left_(memory_budget), spare_(::open("/dev/null", O_RDONLY | O_CLOEXEC)) {}

std::uint64_t output_store::take_block() {
  if (!file_) open();
  ++blocks_in_use_;
  if (free_blocks_.empty()) return blocks_++;
  const std::uint64_t block = free_blocks_.back();
  free_blocks_.pop_back();
  return block;
}

void output_store::give_block(std::uint64_t block) noexcept {
  if (--blocks_in_use_ != 0) {
    free_blocks_.push_back(block);
    return;
  }
  free_blocks_.clear();
  blocks_ = 0;
  // Giving the space back is a courtesy: if it fails, the blocks are reused all the same.
  [[maybe_unused]] const int result = ::ftruncate(file_.get(), 0);
}

void output_store::write(std::uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("keep output in");
    bytes.remove_prefix(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
}

void output_store::read(std::uint64_t offset, char* into, std::size_t length) {
  while (length != 0) {
    const ssize_t n = ::pread(file_.get(), into, length, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = EIO;  // shorter than what was written
    if (n <= 0) fail("read output back from");
    into += n;
    length -= static_cast<std::size_t>(n);
    offset += static_cast<std::uint64_t>(n);
  }
}

void output_store::open() {
  const char* folder = ::getenv("TMPDIR");
  folder_ = folder != nullptr && *folder != '\0' ? folder : "/tmp";
  spare_.reset();
  file_.reset(::open(folder_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file_) return;
  // Not every file system knows files without a name.
  if (errno != EOPNOTSUPP && errno != EISDIR) fail("make a temporary file in");
  std::string name = folder_ + "/heddle-XXXXXX";
  file_.reset(::mkostemp(name.data(), O_CLOEXEC));
  if (!file_) fail("make a temporary file in");
  ::unlink(name.c_str());
}

void output_store::fail(const char* doing) const {
  const int error = errno;
  throw run_error(
      fmt::format("cannot {} the temporary folder {}: {}", doing, folder_, std::strerror(error)));
}

spool::spool(spool&& other) noexcept
    : store_(other.store_),
      pieces_(std::move(other.pieces_)),
      first_(std::exchange(other.first_, 0)),
      popped_(std::exchange(other.popped_, 0)),
      size_(std::exchange(other.size_, 0)) {
  other.pieces_.clear();
}

spool& spool::operator=(spool&& other) noexcept {
  if (this == &other) return *this;
  clear();
  store_ = other.store_;
  pieces_ = std::move(other.pieces_);
  other.pieces_.clear();
  first_ = std::exchange(other.first_, 0);
  popped_ = std::exchange(other.popped_, 0);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

void spool::append(std::string_view bytes) {
  if (bytes.empty()) return;
  if (bytes.size() <= store_->memory_left_) {
    append_to_memory(bytes);
    return;
  }
  for (std::size_t i = first_; i < pieces_.size(); ++i) {
    if (pieces_[i].block == piece::in_memory) move_to_disk(pieces_[i]);
  }
  append_to_disk(bytes);
}

void spool::append_to_memory(std::string_view bytes) {
  while (!bytes.empty()) {
    if (pieces_.empty() || pieces_.back().block != piece::in_memory || pieces_.back().room() == 0) {
      pieces_.emplace_back();
    }
    piece& last = pieces_.back();
    const std::string_view part = bytes.substr(0, last.room());
    last.memory += part;
    last.length += part.size();
    store_->memory_left_ -= part.size();
    size_ += part.size();
    bytes.remove_prefix(part.size());
  }
}

void spool::append_to_disk(std::string_view bytes) {
  while (!bytes.empty()) {
    if (pieces_.empty() || pieces_.back().block == piece::in_memory || pieces_.back().room() == 0) {
      piece next;
      next.block = store_->take_block();
      pieces_.push_back(std::move(next));
    }
    piece& last = pieces_.back();
    const std::string_view part = bytes.substr(0, last.room());
    store_->write(last.block * output_store::block_size + last.length, part);
    last.length += part.size();
    size_ += part.size();
    bytes.remove_prefix(part.size());
  }
}

void spool::move_to_disk(piece& p) {
  const std::uint64_t block = store_->take_block();
  try {
    store_->write(block * output_store::block_size, p.memory);
  } catch (...) {
    store_->give_block(block);
    throw;
  }
  store_->memory_left_ += p.length;
  p.block = block;
  free_memory(p.memory);
}

void spool::append(spool&& other) {
  if (other.empty()) return;
  if (empty()) {
    // Swapping leaves both their room for pieces: most spools come and go with one piece.
    clear();
    pieces_.swap(other.pieces_);
  } else {
    for (piece& p : other.pieces_) {
      piece& last = pieces_.back();
      const bool both_in_memory = p.block == piece::in_memory && last.block == piece::in_memory;
      if (both_in_memory && p.length <= last.room()) {
        // Small outputs are joined, so that a million of them are not a million pieces.
        last.memory += p.memory;
        last.length += p.length;
      } else {
        pieces_.push_back(std::move(p));
      }
    }
    other.pieces_.clear();
  }
  size_ += std::exchange(other.size_, 0);
}

std::string_view spool::front() {
  if (empty()) return {};
  piece& p = pieces_[first_];
  if (p.block == piece::in_memory) return std::string_view(p.memory).substr(popped_);
  if (loaded_.empty()) {
    loaded_.resize(p.length - popped_);
    store_->read(p.block * output_store::block_size + popped_, loaded_.data(), loaded_.size());
  }
  // More may have been appended to the block since it was loaded; that comes next time.
  return loaded_;
}

void spool::pop(std::size_t count) noexcept {
  piece& p = pieces_[first_];
  popped_ += count;
  size_ -= count;
  if (p.block != piece::in_memory) loaded_.erase(0, count);
  if (popped_ < p.length) return;
  release(p);
  popped_ = 0;
  loaded_.clear();
  if (++first_ == pieces_.size()) {
    pieces_.clear();
    first_ = 0;
  } else if (first_ > 64 && first_ > pieces_.size() / 2) {
    pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
}

void spool::clear() noexcept {
  for (std::size_t i = first_; i < pieces_.size(); ++i) release(pieces_[i]);
  pieces_.clear();
  first_ = popped_ = 0;
  size_ = 0;
  loaded_.clear();
}

void spool::release(piece& p) noexcept {
  if (p.block == piece::in_memory) {
    store_->memory_left_ += p.length;
  } else {
    store_->give_block(p.block);
  }
  free_memory(p.memory);
}

}  // namespace heddle::tool
