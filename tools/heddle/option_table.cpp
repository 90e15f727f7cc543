#include "option_table.hpp"

namespace heddle::tool {

std::string wrapped(std::string_view text, std::size_t indent, std::size_t line_width) {
  std::string out;
  std::size_t column = indent;
  while (!text.empty()) {
    const auto space = text.find(' ');
    const std::string_view word = text.substr(0, space);
    text = space == text.npos ? "" : text.substr(space + 1);
    if (column != indent && column + 1 + word.size() > line_width) {
      out += '\n';
      out.append(indent, ' ');
      column = indent;
    } else if (column != indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
  }
  return out;
}

}  // namespace heddle::tool
