#include "architecture/rules.hpp"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>

namespace architecture {
namespace {

struct room {
  int floor;
  bool modelled;  // compiled against the interleaving checker too, so bound to the seam
};

// The one table of rooms. A file that lies in no room has its own line.
// clang-format off
const std::map<std::string, room, std::less<>> rooms{
    {"version.hpp", {0, false}},
    {"prim", {0, false}},  // the seam itself
    {"base", {1, true}}, {"kernel", {1, true}}, {"probe", {1, true}}, {"sizing", {1, true}},
    {"lockfree", {2, true}}, {"sync", {2, true}},
    {"queue", {3, true}}, {"future", {3, true}}, {"data", {3, true}},
    {"exec", {4, true}},
    {"algorithm", {5, true}}, {"coro", {5, true}}, {"process", {5, false}},
    {"asio", {5, false}},  // headers alone, which need Boost's: nobody includes them
    {"pattern", {6, false}}, {"watch", {6, false}},
    {"system.hpp", {7, false}}, {"system.cpp", {7, false}}, {"fwd.hpp", {7, false}},
};
// clang-format on

// Names in namespace std that share memory, block or start a thread behind the checker's back.
const std::set<std::string, std::less<>> forbidden_in_std{"mutex",
                                                          "timed_mutex",
                                                          "recursive_mutex",
                                                          "recursive_timed_mutex",
                                                          "shared_mutex",
                                                          "shared_timed_mutex",
                                                          "condition_variable",
                                                          "condition_variable_any",
                                                          "thread",
                                                          "jthread",
                                                          "this_thread",
                                                          "call_once",
                                                          "once_flag",
                                                          "stop_callback",
                                                          "shared_ptr",
                                                          "weak_ptr",
                                                          "make_shared",
                                                          "allocate_shared",
                                                          "enable_shared_from_this",
                                                          "promise",
                                                          "future",
                                                          "shared_future",
                                                          "packaged_task",
                                                          "async",
                                                          "latch",
                                                          "barrier",
                                                          "counting_semaphore",
                                                          "binary_semaphore",
                                                          "memory_order_consume"};

const std::set<std::string, std::less<>> forbidden_words{
    "thread_local",       "volatile",          "asm",        "__asm__",
    "SYS_futex",          "__NR_futex",        "FUTEX_WAIT", "FUTEX_WAKE",
    "FUTEX_WAIT_PRIVATE", "FUTEX_WAKE_PRIVATE"};

const std::set<std::string, std::less<>> forbidden_headers{
    "atomic", "mutex",   "shared_mutex", "condition_variable", "thread",       "future",
    "latch",  "barrier", "semaphore",    "pthread.h",          "linux/futex.h"};

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// Reading C++.

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// The text with comments and the contents of string and character literals blanked out; lines stay
// where they are. An #include keeps its file name.
std::string code_of(const std::string& text) {
  std::string code = text;
  const auto blank = [&](std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to && i < code.size(); ++i)
      if (code[i] != '\n') code[i] = ' ';
  };
  const auto in_include = [&](std::size_t at) {
    const auto line_start = text.rfind('\n', at) + 1;  // npos + 1 is 0
    const auto first = text.find_first_not_of(" \t", line_start);
    return text[first] == '#' &&
           text.substr(first, at - first).find("include") != std::string::npos;
  };
  std::size_t i = 0;
  while (i < text.size()) {
    if (text.compare(i, 2, "//") == 0) {
      const auto end = std::min(text.find('\n', i), text.size());
      blank(i, end);
      i = end;
    } else if (text.compare(i, 2, "/*") == 0) {
      const auto close = text.find("*/", i + 2);
      const auto end = close == std::string::npos ? text.size() : close + 2;
      blank(i, end);
      i = end;
    } else if (text.compare(i, 2, "R\"") == 0 && (i == 0 || !is_word(text[i - 1]))) {
      const auto open = text.find('(', i);
      const auto delimiter = std::string(")").append(text, i + 2, open - i - 2).append("\"");
      const auto close = text.find(delimiter, open);
      const auto end = close == std::string::npos ? text.size() : close + delimiter.size();
      blank(i + 2, end - 1);
      i = end;
    } else if (text[i] == '"' || (text[i] == '\'' && (i == 0 || !is_word(text[i - 1])))) {
      const char quote = text[i];
      auto end = i + 1;
      while (end < text.size() && text[end] != quote && text[end] != '\n')
        end += text[end] == '\\' ? 2 : 1;
      if (quote == '\'' || !in_include(i)) blank(i + 1, end);
      i = end + 1;
    } else {
      ++i;
    }
  }
  return code;
}

struct token {
  std::string text;  // a word, "::", or one other character
  int line;
};

// The tokens of code_of(...), preprocessor lines left out.
std::vector<token> tokens_of(const std::string& code) {
  std::vector<token> tokens;
  int line = 1;
  bool at_line_start = true;
  for (std::size_t i = 0; i < code.size();) {
    if (code[i] == '\n') {
      ++line, ++i;
      at_line_start = true;
    } else if (std::isspace(static_cast<unsigned char>(code[i]))) {
      ++i;
    } else if (code[i] == '#' && at_line_start) {
      while (i < code.size() && code[i] != '\n') {
        if (code[i] == '\\' && code.compare(i, 2, "\\\n") == 0) ++i, ++line;
        ++i;
      }
    } else if (is_word(code[i])) {
      auto end = i;
      while (end < code.size() && is_word(code[end])) ++end;
      tokens.push_back({code.substr(i, end - i), line});
      i = end;
      at_line_start = false;
    } else {
      const std::size_t length = code.compare(i, 2, "::") == 0 ? 2 : 1;
      tokens.push_back({code.substr(i, length), line});
      i += length;
      at_line_start = false;
    }
  }
  return tokens;
}

struct include {
  std::string target;  // what stands between the brackets or quotes
  int line;
};

std::vector<include> includes_of(const std::string& code) {
  std::vector<include> found;
  std::istringstream lines(code);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    const auto hash = line.find_first_not_of(" \t");
    if (hash == std::string::npos || line[hash] != '#') continue;
    const auto word = line.find_first_not_of(" \t", hash + 1);
    if (word == std::string::npos || line.compare(word, 7, "include") != 0) continue;
    const auto open = line.find_first_of("<\"", word);
    if (open == std::string::npos) continue;
    const auto close = line.find_first_of(">\"", open + 1);
    found.push_back({line.substr(open + 1, close - open - 1), number});
  }
  return found;
}

// Which room a file lies in.

// The room that a path below include/heddle/ or src/ begins with. The interleaving checker is the
// modelled half of the seam, so it counts as one room with prim.
std::string room_at(std::string_view path) {
  const auto name = path.substr(0, path.find('/'));
  return std::string(name == "model" || name == "model.hpp" ? "prim" : name);
}

std::string room_of_file(std::string_view path) {
  for (const std::string_view root : {"include/heddle/", "src/"})
    if (starts_with(path, root)) return room_at(path.substr(root.size()));
  return {};
}

// The room an include leads to, if it leads to one of ours: <heddle/ROOM/...>, or "ROOM/..." for a
// header that is private to src/.
std::optional<std::string> room_of_include(std::string_view target) {
  if (starts_with(target, "heddle/")) return room_at(target.substr(7));
  const auto name = room_at(target);
  if (target.find('/') != std::string_view::npos && rooms.contains(name)) return name;
  return std::nullopt;
}

// The path of the file of ours that an include in `from` leads to.
std::optional<std::string> file_of_include(const std::string& target, const std::string& from) {
  if (starts_with(target, "heddle/")) return "include/" + target;
  if (target.find('/') == std::string::npos && target.ends_with(".hpp"))
    return from.substr(0, from.rfind('/') + 1) + target;
  if (room_of_include(target)) return "src/" + target;
  return std::nullopt;
}

bool is_header(std::string_view path) { return path.ends_with(".hpp"); }

// Circles.

struct arrow {
  std::string to;
  int line;
  std::string path;  // the file whose include draws the arrow
};
using graph = std::map<std::string, std::vector<arrow>>;

// Depth first; a node met again while it is still being visited closes a circle.
std::vector<violation> circles_in(const graph& arrows, const std::string& kind) {
  std::vector<violation> found;
  std::set<std::string> finished;
  std::vector<std::string> trail;
  const std::function<void(const std::string&)> visit = [&](const std::string& node) {
    trail.push_back(node);
    if (const auto from = arrows.find(node); from != arrows.end()) {
      for (const auto& next : from->second) {
        if (const auto start = std::find(trail.begin(), trail.end(), next.to);
            start != trail.end()) {
          std::string circle;
          for (auto step = start; step != trail.end(); ++step) circle += *step + " -> ";
          found.push_back({next.path, next.line, "circle of " + kind + ": " + circle + next.to});
        } else if (!finished.contains(next.to)) {
          visit(next.to);
        }
      }
    }
    trail.pop_back();
    finished.insert(node);
  };
  for (const auto& [node, unused] : arrows)
    if (!finished.contains(node)) visit(node);
  return found;
}

// Function-local statics.

enum class scope { of_namespace, of_class, of_code };

// What kind of scope the brace after tokens [begin, end) opens, those being its statement so far.
scope scope_opened_by(std::vector<token>::const_iterator begin,
                      std::vector<token>::const_iterator end) {
  int depth = 0;  // of parentheses and of template brackets
  for (auto at = begin; at != end; ++at) {
    if (at->text == "(" || at->text == "<") ++depth;
    if (at->text == ")" || at->text == ">") --depth;
    if (depth > 0) continue;
    if (at->text == "namespace" || at->text == "extern") return scope::of_namespace;
    if (at->text == "class" || at->text == "struct" || at->text == "union" || at->text == "enum")
      return scope::of_class;
    if (at->text == "=" || at->text == "return") return scope::of_code;
  }
  return scope::of_code;
}

std::vector<int> lines_of_local_statics(const std::vector<token>& tokens) {
  std::vector<int> lines;
  std::vector<scope> scopes;
  auto statement = tokens.begin();
  for (auto at = tokens.begin(); at != tokens.end(); ++at) {
    if (at->text == "{") {
      scopes.push_back(scope_opened_by(statement, at));
    } else if (at->text == "}") {
      if (!scopes.empty()) scopes.pop_back();
    } else if (at->text == "static" && !scopes.empty() && scopes.back() == scope::of_code) {
      const auto next = std::next(at);
      const bool is_constant = (next != tokens.end() && next->text == "constexpr") ||
                               (at != tokens.begin() && std::prev(at)->text == "constexpr");
      if (!is_constant) lines.push_back(at->line);
    }
    if (at->text == "{" || at->text == "}" || at->text == ";") statement = std::next(at);
  }
  return lines;
}

}  // namespace

// The rules.

std::vector<source> read_tree(const std::filesystem::path& project) {
  std::vector<source> sources;
  for (const auto* root : {"include", "src"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(project / root)) {
      const auto extension = entry.path().extension();
      if (extension != ".hpp" && extension != ".cpp") continue;
      std::ostringstream text;
      text << std::ifstream(entry.path()).rdbuf();
      sources.push_back({entry.path().lexically_relative(project).generic_string(), text.str()});
    }
  }
  std::sort(sources.begin(), sources.end(),
            [](const source& a, const source& b) { return a.path < b.path; });
  return sources;
}

std::vector<violation> arrows_running_up(const std::vector<source>& sources) {
  std::vector<violation> found;
  for (const auto& file : sources) {
    const auto own_name = room_of_file(file.path);
    const auto own = rooms.find(own_name);
    if (own == rooms.end()) {
      found.push_back({file.path, 1, "lies in no room of the table in rules.cpp"});
      continue;
    }
    for (const auto& inclusion : includes_of(code_of(file.text))) {
      const auto name = room_of_include(inclusion.target);
      if (!name) continue;
      const auto other = rooms.find(*name);
      if (other == rooms.end()) {
        found.push_back({file.path, inclusion.line,
                         "<" + inclusion.target + "> leads to no room of the table in rules.cpp"});
      } else if (other->second.floor > own->second.floor) {
        found.push_back({file.path, inclusion.line,
                         "an arrow runs up: " + own_name + "/ is on floor " +
                             std::to_string(own->second.floor) + ", <" + inclusion.target +
                             "> on floor " + std::to_string(other->second.floor)});
      }
    }
  }
  return found;
}

std::vector<violation> circles(const std::vector<source>& sources) {
  graph headers;
  graph neighbours;
  for (const auto& file : sources) {
    const auto own = room_of_file(file.path);
    for (const auto& inclusion : includes_of(code_of(file.text))) {
      if (is_header(file.path))
        if (const auto target = file_of_include(inclusion.target, file.path))
          headers[file.path].push_back({*target, inclusion.line, file.path});
      const auto name = room_of_include(inclusion.target);
      if (name && *name != own) neighbours[own].push_back({*name, inclusion.line, file.path});
    }
  }
  auto found = circles_in(headers, "headers");
  const auto of_rooms = circles_in(neighbours, "rooms");
  found.insert(found.end(), of_rooms.begin(), of_rooms.end());
  return found;
}

std::vector<violation> steps_past_the_seam(const std::vector<source>& sources) {
  std::vector<violation> found;
  for (const auto& file : sources) {
    const auto own = rooms.find(room_of_file(file.path));
    if (own == rooms.end() || !own->second.modelled) continue;
    const auto code = code_of(file.text);
    for (const auto& inclusion : includes_of(code))
      if (forbidden_headers.contains(inclusion.target))
        found.push_back({file.path, inclusion.line, "past the seam: <" + inclusion.target + ">"});
    const auto tokens = tokens_of(code);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const auto& word = tokens[i].text;
      if (forbidden_words.contains(word) || starts_with(word, "pthread_"))
        found.push_back({file.path, tokens[i].line, "past the seam: " + word});
      if (i >= 2 && tokens[i - 1].text == "::" && tokens[i - 2].text == "std" &&
          (forbidden_in_std.contains(word) || starts_with(word, "atomic")))
        found.push_back({file.path, tokens[i].line, "past the seam: std::" + word});
    }
    for (const int line : lines_of_local_statics(tokens))
      found.push_back({file.path, line, "past the seam: a function-local static"});
  }
  return found;
}

std::vector<violation> thread_locals_in_headers(const std::vector<source>& sources) {
  std::vector<violation> found;
  for (const auto& file : sources) {
    if (!is_header(file.path)) continue;
    const auto tokens = tokens_of(code_of(file.text));
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      if (tokens[i].text != "thread_local") continue;
      std::size_t first = i;  // of the specifiers before it
      while (first > 0 &&
             (tokens[first - 1].text == "constinit" || tokens[first - 1].text == "extern"))
        --first;
      const bool is_declared = first < i && tokens[first].text == "extern";
      if (is_declared && first > 0 && tokens[first - 1].text == "HEDDLE_API") continue;
      found.push_back({file.path, tokens[i].line, "thread_local in a header"});
    }
  }
  return found;
}

std::string to_string(const violation& found) {
  return found.path + ":" + std::to_string(found.line) + ": " + found.what;
}

}  // namespace architecture
