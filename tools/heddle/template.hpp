// The command that is run for every input, with places where the input goes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace heddle::tool {

// What a placeholder takes from an input, seen as a path.
//   {}    dir/file.txt    all of it
//   {.}   dir/file        without the extension: from the last dot, if no slash follows it
//   {/}   file.txt        what follows the last slash
//   {//}  dir             the directory, "." when there is none
//   {/.}  file            what follows the last slash, without the extension
enum class part_of_input { whole, stem, base, directory, base_stem };

std::string_view take_part(std::string_view input, part_of_input part);

// Words with placeholders. {N}, {N.}, {N/}, {N//} and {N/.} mean the N-th input source alone, where
// there are that many; {#} is the job's sequence number; everything else between braces is text.
// A template without a placeholder gets {} as its last word.
class command_template {
 public:
  // A word that is only {}, or one of its variants, becomes one word for each of the `sources`;
  // inside a longer word the values of all sources are joined by spaces.
  // With `through_shell`, the words are joined by spaces into the script of /bin/sh -c, and values
  // are put in as quoted words.
  command_template(std::span<const std::string> words, std::size_t sources, bool through_shell);

  // Writes the argument vector for these inputs, one value for each source. `argv` is either empty
  // or what an earlier call wrote: words without placeholders are then left alone.
  void expand(std::span<const std::string> values, std::uint64_t sequence,
              std::vector<std::string>& argv) const;

  // Whether every job runs the same program.
  bool fixed_program() const noexcept { return words_.front().fixed; }

 private:
  struct segment {
    enum class kind { text, sequence, input };
    kind what;
    std::string text{};
    part_of_input part = part_of_input::whole;
    std::size_t first = 0;  // sources [first, last), joined by spaces
    std::size_t last = 0;
  };
  struct word {
    std::vector<segment> segments;
    bool fixed = true;
  };

  void parse(std::string_view text, std::size_t sources, word& into) const;
  void add_words(std::string_view text, std::size_t sources);
  void write(const word& from, std::span<const std::string> values, std::uint64_t sequence,
             std::string& to) const;

  std::vector<word> words_;
  bool through_shell_;
};

}  // namespace heddle::tool
