#include "output.hpp"

#include <iterator>
#include <utility>

namespace heddle::tool {
namespace {

void append_all(spool_pair& to, spool_pair& from) {
  for (std::size_t i = 0; i < streams; ++i) to[i].append(std::move(from[i]));
}

}  // namespace

void ordered_output::finish(std::uint64_t sequence, spool_pair& output) {
  if (sequence == head_) {
    print(output);
    ++head_;
    print_ready();
    return;
  }
  auto after = waiting_.upper_bound(sequence);
  auto here = waiting_.end();
  if (after != waiting_.begin() && std::prev(after)->second.last + 1 == sequence) {
    here = std::prev(after);
    append_all(here->second.output, output);
    here->second.last = sequence;
  } else {
    spool_pair taken{std::move(output[0]), std::move(output[1])};
    here = waiting_.emplace_hint(after, sequence, run{sequence, std::move(taken)});
  }
  if (after != waiting_.end() && after->first == sequence + 1) {
    append_all(here->second.output, after->second.output);
    here->second.last = after->second.last;
    waiting_.erase(after);
  }
}

void ordered_output::flush() {
  for (auto& [first, waiting] : waiting_) print(waiting.output);
  waiting_.clear();
}

void ordered_output::print(spool_pair& output) {
  for (std::size_t i = 0; i < streams; ++i) sinks_[i]->write(std::move(output[i]));
}

void ordered_output::print_ready() {
  while (!waiting_.empty() && waiting_.begin()->first == head_) {
    run& next = waiting_.begin()->second;
    head_ = next.last + 1;
    print(next.output);
    waiting_.erase(waiting_.begin());
  }
}

void append_tagged(std::string& to, std::string_view bytes, std::string_view tag,
                   bool& at_line_start) {
  while (!bytes.empty()) {
    if (at_line_start) to += tag;
    const auto newline = bytes.find('\n');
    at_line_start = newline != bytes.npos;
    const std::size_t length = at_line_start ? newline + 1 : bytes.size();
    to += bytes.substr(0, length);
    bytes.remove_prefix(length);
  }
}

}  // namespace heddle::tool
