// Sizes that a model wants small so that growth, wrap-around and overflow happen in few steps.
#pragma once

#include <cstddef>
#include <cstdint>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::prim::limits {

#if HEDDLE_MODEL
inline constexpr std::size_t deque_capacity = 2;
inline constexpr std::uint64_t first_position = ~std::uint64_t{0} - 1;  // soon wraps around
inline constexpr std::size_t queue_block = 2;
inline constexpr std::size_t queue_table = 1;
inline constexpr std::size_t queue_spares = 1;
inline constexpr unsigned queue_turn = 2;
inline constexpr std::size_t hazard_records = 2;
inline constexpr std::size_t reader_rows = 4;
inline constexpr std::size_t reader_slots = 1;
inline constexpr unsigned reader_calm = 1;
inline constexpr unsigned reader_calm_per_row = 0;
inline constexpr unsigned rw_lock_overtakings = 1;
inline constexpr std::size_t snapshot_rows = 4;
inline constexpr std::size_t snapshot_slots = 1;
inline constexpr unsigned spin_turns = 1;
inline constexpr unsigned yield_turns = ~0u - 1;  // a model has no priorities to be inverted
inline constexpr int pool_spin_ns = 0;
inline constexpr std::size_t pool_batch = 2;
inline constexpr std::size_t pool_raid = 1;
inline constexpr std::size_t pool_shards = 2;
inline constexpr int pool_sizes = 4;
inline constexpr bool pool_reads_kernel =
    false;  // whose answers are not the same in each execution
inline constexpr unsigned strand_turn = 2;
inline constexpr std::size_t timer_batch = 2;
inline constexpr unsigned fork_turns = 1;
inline constexpr unsigned fork_patience = 1;
#else
inline constexpr std::size_t deque_capacity = 256;
inline constexpr std::uint64_t first_position = 0;  // of rings and queues
inline constexpr std::size_t queue_block = 128;
inline constexpr std::size_t queue_table = 32;
inline constexpr std::size_t queue_spares = 16;
inline constexpr unsigned queue_turn = 512;
inline constexpr std::size_t hazard_records = 16;
inline constexpr std::size_t reader_rows = 1024;  // threads that read without being counted
inline constexpr std::size_t reader_slots = 5;    // locks that each of them reads so at a time
inline constexpr unsigned reader_calm = 2;  // reads after a write before readers are not counted
inline constexpr unsigned reader_calm_per_row = 1;
inline constexpr unsigned rw_lock_overtakings = 3;
inline constexpr std::size_t snapshot_rows = 1024;  // threads that read without being counted
inline constexpr std::size_t snapshot_slots = 6;    // values that each of them reads so at a time
inline constexpr unsigned spin_turns = 64;
inline constexpr unsigned yield_turns = 256;
inline constexpr int pool_spin_ns = 20'000;
inline constexpr std::size_t pool_batch = 16;
inline constexpr std::size_t pool_raid = 15;
inline constexpr std::size_t pool_shards = 8;
inline constexpr int pool_sizes = 1024;  // of adaptive pools
inline constexpr bool pool_reads_kernel = true;
inline constexpr unsigned strand_turn = 32;
inline constexpr std::size_t timer_batch = 64;
inline constexpr unsigned fork_turns = 512;    // some 20 microseconds
inline constexpr unsigned fork_patience = 64;  // some 3
#endif

}  // namespace heddle::inline HEDDLE_ABI::prim::limits
