#include "jobserver_flags.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstddef>
#include <utility>
#include <vector>

namespace heddle::tool {
namespace {

constexpr std::string_view end_of_flags = "--";
constexpr std::string_view auth = "--jobserver-auth=";
constexpr std::string_view old_auth = "--jobserver-fds=";
constexpr std::string_view fifo = "fifo:";

bool is_blank(char c) { return c == ' ' || c == '\t'; }

// Make puts a backslash before each blank and each backslash of a word.
std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t at = 0; at < text.size();) {
    if (is_blank(text[at])) {
      ++at;
      continue;
    }
    const std::size_t begin = at;
    while (at < text.size() && !is_blank(text[at])) at += text[at] == '\\' ? 2 : 1;
    words.push_back(text.substr(begin, at - begin));
  }
  return words;
}

std::string without_escapes(std::string_view word) {
  std::string plain;
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (word[i] == '\\' && i + 1 < word.size()) ++i;
    plain += word[i];
  }
  return plain;
}

bool is_number(std::string_view word) {
  return !word.empty() && word.find_first_not_of("0123456789") == word.npos;
}

bool read_descriptors(std::string_view text, int& first, int& second) {
  const char* const end = text.data() + text.size();
  const auto comma = std::from_chars(text.data(), end, first);
  if (comma.ec != std::errc{} || comma.ptr == end || *comma.ptr != ',') return false;
  const auto rest = std::from_chars(comma.ptr + 1, end, second);
  return rest.ec == std::errc{} && rest.ptr == end;
}

jobserver_address parse_address(std::string_view text) {
  jobserver_address found{.text = std::string(text)};
  if (text.starts_with(fifo) && text.size() > fifo.size()) {
    found.what = jobserver_address::kind::fifo;
    found.path = without_escapes(text.substr(fifo.size()));
  } else if (read_descriptors(text, found.read, found.write)) {
    const bool is_closed = found.read < 0 || found.write < 0;
    found.what = is_closed ? jobserver_address::kind::closed : jobserver_address::kind::pipe;
  }
  return found;
}

// -j, -j8, --jobs, --jobs=8, --jobserver-...
bool is_about_jobs(std::string_view word) {
  return word.starts_with("-j") || word == "--jobs" || word.starts_with("--jobs=") ||
         word.starts_with(auth) || word.starts_with(old_auth);
}

}  // namespace

std::optional<jobserver_address> find_jobserver(std::string_view makeflags) {
  std::optional<jobserver_address> found;
  for (const std::string_view word : words_of(makeflags)) {
    if (word == end_of_flags) break;
    for (const std::string_view name : {auth, old_auth}) {
      if (word.starts_with(name)) found = parse_address(word.substr(name.size()));
    }
  }
  return found;
}

std::string with_jobserver(std::string_view makeflags, unsigned slots, std::string_view address) {
  std::string flags;
  std::string_view variables;
  bool wants_number = false;  // "-j 8" in two words is not make's, but users write it
  for (const std::string_view word : words_of(makeflags)) {
    if (std::exchange(wants_number, word == "-j" || word == "--jobs") && is_number(word)) continue;
    if (word == end_of_flags) {
      variables = makeflags.substr(static_cast<std::size_t>(word.data() - makeflags.data()));
      break;
    }
    if (is_about_jobs(word)) continue;
    flags += word;
    flags += ' ';
  }
  // A first word without a dash is a bundle of one-letter flags; it stays the first.
  flags += fmt::format("-j{} {}{}", slots, auth, address);
  if (!variables.empty()) {
    flags += ' ';
    flags += variables;
  }
  return flags;
}

}  // namespace heddle::tool
