// Outputs that wait to be printed: in memory while there is room, else in one temporary file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <heddle/process/descriptor.hpp>

namespace heddle::tool {

// What all spools of a run share: a budget of memory, and the file for the rest.
//
// The file lives in TMPDIR (or /tmp), is made when it is first needed, and has no name, so that
// nothing is left of it however the program ends. It is used in blocks, which are given out again
// when they are free: however many outputs wait, they take one descriptor, and no more disk than
// the most that waited at one time. When no block is in use the disk space is given back.
class output_store {
 public:
  static constexpr std::size_t block_size = std::size_t{256} << 10;

  explicit output_store(std::size_t memory_budget);

  // Bytes of disk taken, counted in whole blocks.
  std::uint64_t on_disk() const noexcept { return blocks_in_use_ * block_size; }

 private:
  friend class spool;

  std::uint64_t take_block();
  void give_block(std::uint64_t block) noexcept;
  // Throw run_error when the disk does not do as told, which it does when it is full.
  void write(std::uint64_t offset, std::string_view bytes);
  void read(std::uint64_t offset, char* into, std::size_t length);
  void open();
  [[noreturn]] void fail(const char* doing) const;

  std::size_t memory_left_;
  process::unique_descriptor file_;
  process::unique_descriptor spare_;  // given up for file_ when there are no others left
  std::string folder_;
  std::vector<std::uint64_t> free_blocks_;
  std::uint64_t blocks_ = 0;
  std::uint64_t blocks_in_use_ = 0;
};

// A queue of bytes. Costs nothing while it is empty.
class spool {
 public:
  explicit spool(output_store& store) noexcept : store_(&store) {}
  ~spool() { clear(); }
  spool(spool&& other) noexcept;
  spool& operator=(spool&& other) noexcept;

  bool empty() const noexcept { return size_ == 0; }
  std::uint64_t size() const noexcept { return size_; }

  // Throws run_error when the bytes fit neither in memory nor on disk.
  void append(std::string_view bytes);
  // Takes everything out of `other`. Requires: same store, and nothing was popped from `other`.
  void append(spool&& other);

  // The next bytes, at least one when there are any. Valid until the spool is changed.
  std::string_view front();
  void pop(std::size_t count) noexcept;
  void clear() noexcept;

 private:
  // Up to one block of bytes: in memory, or at the beginning of a block on disk.
  struct piece {
    static constexpr std::uint64_t in_memory = UINT64_MAX;

    std::string memory{};
    std::uint64_t block = in_memory;
    std::size_t length = 0;

    std::size_t room() const noexcept { return output_store::block_size - length; }
  };

  void append_to_memory(std::string_view bytes);
  void append_to_disk(std::string_view bytes);
  void move_to_disk(piece& p);
  void release(piece& p) noexcept;

  output_store* store_;
  std::vector<piece> pieces_;
  std::size_t first_ = 0;   // pieces before it have been popped
  std::size_t popped_ = 0;  // bytes popped from the first piece
  std::uint64_t size_ = 0;
  std::string loaded_;  // what front() read from disk
};

}  // namespace heddle::tool
