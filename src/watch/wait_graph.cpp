#include <heddle/watch/wait_graph.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>

#include "base/json_writer.hpp"
#include "watch/wait_scan.hpp"

namespace heddle::inline HEDDLE_ABI {
namespace {

using detail::json_writer;

std::string text(std::chrono::nanoseconds time) {
  const double seconds = std::chrono::duration<double>(time).count();
  char digits[32];
  std::snprintf(digits, sizeof digits, seconds < 1 ? "%.0f ms" : "%.1f s",
                seconds < 1 ? seconds * 1e3 : seconds);
  return digits;
}

std::string quoted(std::string_view name) {
  std::string q(1, '"');
  return q.append(name).append(1, '"');
}

// "a mutex": without the article.
std::string_view kind_of(wait_kind kind) {
  const std::string_view description = describe(kind);
  const std::size_t space = description.find(' ');
  const std::string_view article = description.substr(0, space);
  return article == "a" || article == "an" ? description.substr(space + 1) : description;
}

std::string object_of(const waiting_thread& t) {
  std::string_view kind = kind_of(t.kind);
  if (t.kind == wait_kind::shutdown) kind = "the end of the work of";
  if (t.kind == wait_kind::several) kind = "one of several futures";
  std::string o(kind);
  if (!t.object_name.empty()) o.append(" ").append(quoted(t.object_name));
  return o;
}

// What those do whom it waits for.
std::string_view part_of_owners(const waiting_thread& t) {
  switch (t.kind) {
    case wait_kind::future:
    case wait_kind::several:
    case wait_kind::lazy:
      return "made by";
    case wait_kind::shutdown:
      return "where tasks run on";
    case wait_kind::join:
      return "done by";
    case wait_kind::semaphore:
      return "used by";
    case wait_kind::full_queue:
      return "from which took";
    case wait_kind::empty_queue:
      return "into which put";
    default:
      return "held by";
  }
}

std::string names(const std::vector<awaited_thread>& threads) {
  std::string all;
  for (std::size_t i = 0; i < threads.size(); ++i) {
    if (i > 0) all += i + 1 == threads.size() ? " and " : ", ";
    all.append("thread ").append(quoted(threads[i].name));
  }
  return all;
}

void write(json_writer& json, const waiting_thread& t) {
  json.open('{').field("thread", t.number).field("kernel_thread_id", t.kernel_thread_id);
  json.field("name", std::string_view(t.name)).open("tasks", '[');
  for (const std::string& task : t.tasks) json.value(std::string_view(task));
  json.close(']').field("pool", std::string_view(t.pool)).field("waits_for", kind_of(t.kind));
  json.field("object_name", std::string_view(t.object_name)).field("waited", t.waited);
  json.field("ends_by_itself", t.ends_by_itself).field("are_suspects", t.are_suspects);
  json.open("awaits", '[');
  for (const awaited_thread& a : t.awaits) {
    json.open('{').field("thread", a.number).field("name", std::string_view(a.name)).close('}');
  }
  json.close(']').close('}');
}

void write(json_writer& json, std::string_view name, const std::vector<waiting_thread>& threads) {
  json.open(name, '[');
  for (const waiting_thread& t : threads) write(json, t);
  json.close(']');
}

}  // namespace

std::string waiting_thread::to_text() const {
  std::string line = "thread ";
  line.append(quoted(name));
  if (!tasks.empty()) line.append(" (task ").append(quoted(tasks.front())).append(")");
  line.append(" has waited ").append(text(waited)).append(" for ").append(object_of(*this));
  if (!awaits.empty()) {
    line.append(", ").append(part_of_owners(*this)).append(" ").append(names(awaits));
  }
  return line;
}

std::string deadlock::to_text() const {
  std::string page = is_certain ? "deadlock of " : "suspected deadlock of ";
  if (threads.size() == 1) {
    page.append("a thread with itself:\n");
  } else {
    page.append(std::to_string(threads.size())).append(" threads:\n");
  }
  for (const waiting_thread& t : threads) page.append("  ").append(t.to_text()).append("\n");
  if (!behind.empty()) page.append("  and behind them:\n");
  for (const waiting_thread& t : behind) page.append("    ").append(t.to_text()).append("\n");
  for (const waiting_thread& t : threads) {
    if (t.number != interrupted) continue;
    page.append("  broken: the wait of thread ").append(quoted(t.name));
    page.append(" was ended by deadlock_error\n");
  }
  return page;
}

std::string deadlock::to_json() const {
  json_writer json;
  json.open('{').field("is_certain", is_certain).field("interrupted", interrupted);
  write(json, "threads", threads);
  write(json, "behind", behind);
  json.close('}');
  return std::move(json).take();
}

wait_graph::wait_graph() {
  const detail::wait_scan scan;
  const detail::thread_naming threads;
  for (std::size_t i = 0; i < scan.waits().size(); ++i) waits.push_back(scan.describe(i, threads));
  std::ranges::sort(waits, std::ranges::greater(), &waiting_thread::waited);
}

std::string wait_graph::to_text() const {
  constexpr std::size_t columns = 5;
  using row = std::array<std::string, columns>;
  std::vector<row> table{{"thread", "task", "waits for", "since", "which needs"}};
  for (const waiting_thread& t : waits) {
    table.push_back({t.name, t.tasks.empty() ? "" : t.tasks.front(), object_of(t), text(t.waited),
                     names(t.awaits)});
  }
  std::array<std::size_t, columns> widths{};
  for (const row& r : table) {
    for (std::size_t i = 0; i < columns; ++i) widths[i] = std::max(widths[i], r[i].size());
  }
  std::string page;
  for (const row& r : table) {
    std::string line;
    for (std::size_t i = 0; i < columns; ++i) {
      line += r[i] + std::string(widths[i] - r[i].size() + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    page += line + "\n";
  }
  return page;
}

std::string wait_graph::to_json() const {
  json_writer json;
  json.open('{');
  write(json, "waits", waits);
  json.close('}');
  return std::move(json).take();
}

}  // namespace heddle::inline HEDDLE_ABI
