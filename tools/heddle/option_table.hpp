// Options of a subcommand as a table: how they are read, and how the help page tells them.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "failure.hpp"
#include "text.hpp"

namespace heddle::tool {

enum class takes { nothing, value, optional_value };

// `Options` is what the options are put into.
template <class Options>
struct option {
  char letter;  // 0 = none
  std::string_view name;
  takes argument;
  std::string_view argument_name;
  std::string_view help;
  void (*apply)(Options&, std::string_view);
};

template <class Options>
struct option_group {
  std::string_view title;
  std::span<const option<Options>> options;
};

// Reads options up to the first word that is none. The value of an option follows it or is
// attached: -j4, -j 4, --jobs 4, --jobs=4.
template <class Options>
class option_reader {
 public:
  // `command` is for messages: "heddle map".
  option_reader(std::string_view command, std::span<const option_group<Options>> groups,
                const std::vector<std::string>& words, Options& into)
      : command_(command), groups_(groups), words_(words), into_(into) {}

  // The index of the first word that is no option; a "--" before it is skipped.
  // Throws usage_error.
  std::size_t read() {
    while (next_ < words_.size()) {
      const std::string_view word = words_[next_];
      if (word == "--") return next_ + 1;
      if (word.size() < 2 || word.front() != '-') return next_;
      ++next_;
      if (word.starts_with("--")) {
        read_long(word);
      } else {
        read_letters(word);
      }
    }
    return next_;
  }

 private:
  void read_long(std::string_view word) {
    const auto equals = word.find('=');
    const std::string_view name = word.substr(2, equals == word.npos ? word.npos : equals - 2);
    const auto& found = find(word.substr(0, equals), [&](const auto& o) { return o.name == name; });
    if (equals != word.npos) {
      if (found.argument == takes::nothing) {
        throw usage_error(fmt::format("--{} takes no value", name));
      }
      found.apply(into_, word.substr(equals + 1));
    } else {
      found.apply(into_, found.argument == takes::value ? value_for(word) : "");
    }
  }

  void read_letters(std::string_view word) {
    for (std::size_t i = 1; i < word.size(); ++i) {
      const auto& found = find(word, [&](const auto& o) { return o.letter == word[i]; });
      if (found.argument != takes::value) {
        found.apply(into_, "");
        continue;
      }
      const std::string_view rest = word.substr(i + 1);
      found.apply(into_, rest.empty() ? value_for(word) : rest);
      return;
    }
  }

  const option<Options>& find(std::string_view word, auto&& matches) const {
    for (const auto& group : groups_) {
      const auto found = std::find_if(group.options.begin(), group.options.end(), matches);
      if (found != group.options.end()) return *found;
    }
    throw usage_error(fmt::format("unknown option {}; see {} --help", shortened(word), command_));
  }

  std::string_view value_for(std::string_view word) {
    if (next_ == words_.size()) throw usage_error(fmt::format("{} needs a value", word));
    return words_[next_++];
  }

  std::string_view command_;
  std::span<const option_group<Options>> groups_;
  const std::vector<std::string>& words_;
  Options& into_;
  std::size_t next_ = 0;
};

// The text in lines of at most `line_width` columns, each after the first indented.
std::string wrapped(std::string_view text, std::size_t indent, std::size_t line_width);

// The options as a help page lists them, with their groups' titles.
template <class Options>
std::string describe(std::span<const option_group<Options>> groups) {
  constexpr std::size_t indent = 28;
  constexpr std::size_t line_width = 79;
  std::string page;
  for (const auto& group : groups) {
    page += fmt::format("\n{}\n", group.title);
    for (const auto& o : group.options) {
      std::string head = o.letter != 0 ? fmt::format("  -{}, --{}", o.letter, o.name)
                                       : fmt::format("      --{}", o.name);
      if (o.argument == takes::value) head += fmt::format(" {}", o.argument_name);
      if (o.argument == takes::optional_value) head += fmt::format("[={}]", o.argument_name);
      const std::string help = wrapped(o.help, indent, line_width);
      page += head.size() + 2 > indent ? fmt::format("{}\n{:{}}{}\n", head, "", indent, help)
                                       : fmt::format("{:{}}{}\n", head, indent, help);
    }
  }
  return page;
}

}  // namespace heddle::tool
