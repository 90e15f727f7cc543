#include "template.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "text.hpp"

namespace heddle::tool {
namespace {

constexpr std::array<std::pair<std::string_view, part_of_input>, 5> parts{{
    {"", part_of_input::whole},
    {".", part_of_input::stem},
    {"/", part_of_input::base},
    {"//", part_of_input::directory},
    {"/.", part_of_input::base_stem},
}};

std::string_view base_of(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string_view stem_of(std::string_view path) {
  const auto dot = path.rfind('.');
  if (dot == std::string_view::npos || path.find('/', dot) != std::string_view::npos) return path;
  return path.substr(0, dot);
}

std::string_view directory_of(std::string_view path) {
  const auto last = path.find_last_not_of('/');
  if (last == std::string_view::npos) return path.empty() ? "." : "/";
  const auto slash = path.rfind('/', last);
  if (slash == std::string_view::npos) return ".";
  const auto end = path.find_last_not_of('/', slash);
  return end == std::string_view::npos ? "/" : path.substr(0, end + 1);
}

struct placeholder {
  std::size_t source = 0;  // from 1; 0 means all
  part_of_input part = part_of_input::whole;
};

// What stands between the braces, when it is a placeholder for inputs.
std::optional<placeholder> read_placeholder(std::string_view inside, std::size_t sources) {
  placeholder found;
  const auto digits = std::min(inside.find_first_not_of("0123456789"), inside.size());
  if (digits != 0) {
    const auto number = parse_count(inside.substr(0, digits));
    if (!number || *number == 0 || *number > sources) return std::nullopt;
    found.source = static_cast<std::size_t>(*number);
  }
  for (const auto& [sign, part] : parts) {
    if (inside.substr(digits) == sign) {
      found.part = part;
      return found;
    }
  }
  return std::nullopt;
}

}  // namespace

std::string_view take_part(std::string_view input, part_of_input part) {
  switch (part) {
    case part_of_input::whole:
      return input;
    case part_of_input::stem:
      return stem_of(input);
    case part_of_input::base:
      return base_of(input);
    case part_of_input::directory:
      return directory_of(input);
    case part_of_input::base_stem:
      return stem_of(base_of(input));
  }
  return input;
}

command_template::command_template(std::span<const std::string> words, std::size_t sources,
                                   bool through_shell)
    : through_shell_(through_shell) {
  const auto has_placeholder = [](const word& w) { return !w.fixed; };
  if (through_shell) {
    std::string script;
    for (const std::string& text : words) {
      if (!script.empty()) script += ' ';
      script += text;
    }
    word parsed;
    parse(script, sources, parsed);
    if (!has_placeholder(parsed)) parse(" {}", sources, parsed);
    for (const std::string_view fixed : {"/bin/sh", "-c"}) add_words(fixed, sources);
    words_.push_back(std::move(parsed));
    return;
  }
  for (const std::string& text : words) add_words(text, sources);
  if (std::none_of(words_.begin(), words_.end(), has_placeholder)) add_words("{}", sources);
}

// One word of the template: a placeholder that stands alone becomes a word for each source.
void command_template::add_words(std::string_view text, std::size_t sources) {
  word parsed;
  parse(text, sources, parsed);
  const bool alone =
      parsed.segments.size() == 1 && parsed.segments.front().what == segment::kind::input;
  if (!alone) {
    words_.push_back(std::move(parsed));
    return;
  }
  const segment all = parsed.segments.front();
  for (std::size_t source = all.first; source < all.last; ++source) {
    word one{{all}, false};
    one.segments.front().first = source;
    one.segments.front().last = source + 1;
    words_.push_back(std::move(one));
  }
}

void command_template::parse(std::string_view text, std::size_t sources, word& into) const {
  const auto add_text = [&into](std::string_view literal) {
    if (literal.empty() && !into.segments.empty()) return;
    if (into.segments.empty() || into.segments.back().what != segment::kind::text) {
      into.segments.push_back({segment::kind::text});
    }
    into.segments.back().text += literal;
  };

  std::size_t done = 0;
  for (std::size_t open = text.find('{'); open != text.npos; open = text.find('{', open + 1)) {
    const auto close = text.find('}', open);
    if (close == text.npos) break;
    const std::string_view inside = text.substr(open + 1, close - open - 1);
    const bool is_sequence = inside == "#";
    const auto input = read_placeholder(inside, sources);
    if (!is_sequence && !input) continue;

    if (open > done) add_text(text.substr(done, open - done));
    done = close + 1;
    into.fixed = false;
    if (is_sequence) {
      into.segments.push_back({segment::kind::sequence});
    } else {
      into.segments.push_back({.what = segment::kind::input,
                               .part = input->part,
                               .first = input->source == 0 ? 0 : input->source - 1,
                               .last = input->source == 0 ? sources : input->source});
    }
    open = close;
  }
  if (done < text.size() || into.segments.empty()) add_text(text.substr(done));
}

void command_template::expand(std::span<const std::string> values, std::uint64_t sequence,
                              std::vector<std::string>& argv) const {
  const bool first_time = argv.empty();
  if (first_time) argv.resize(words_.size());
  for (std::size_t i = 0; i < words_.size(); ++i) {
    if (first_time || !words_[i].fixed) write(words_[i], values, sequence, argv[i]);
  }
}

void command_template::write(const word& from, std::span<const std::string> values,
                             std::uint64_t sequence, std::string& to) const {
  to.clear();
  for (const segment& s : from.segments) {
    switch (s.what) {
      case segment::kind::text:
        to += s.text;
        break;
      case segment::kind::sequence:
        to += std::to_string(sequence);
        break;
      case segment::kind::input:
        for (std::size_t source = s.first; source < s.last; ++source) {
          if (source != s.first) to += ' ';
          const std::string_view value = take_part(values[source], s.part);
          if (through_shell_) {
            append_quoted(to, value);
          } else {
            to += value;
          }
        }
        break;
    }
  }
}

}  // namespace heddle::tool
