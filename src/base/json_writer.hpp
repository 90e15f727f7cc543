// JSON (RFC 8259) as it is written: valid whatever is put in.
#pragma once

#include <charconv>
#include <chrono>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Objects and arrays are opened and closed by the caller; commas come by themselves. Numbers do not
// depend on the locale, and those that JSON has not are null. Bytes that are no UTF-8 become
// U+FFFD.
class json_writer {
 public:
  json_writer& open(char bracket) {
    separate();
    text_ += bracket;
    is_first_ = true;
    return *this;
  }
  json_writer& open(std::string_view name, char bracket) { return key(name).open(bracket); }
  json_writer& close(char bracket) {
    text_ += bracket;
    is_first_ = false;
    return *this;
  }
  json_writer& key(std::string_view name) {
    value(name);
    text_ += ':';
    is_first_ = true;
    return *this;
  }
  template <class T>
  json_writer& field(std::string_view name, const T& v) {
    key(name);
    return value(v);
  }

  json_writer& null() { return raw("null"); }
  json_writer& value(bool v) { return raw(v ? "true" : "false"); }
  template <std::integral N>
  json_writer& value(N v) {
    return raw(std::to_string(v));
  }
  json_writer& value(double v) {
    if (!std::isfinite(v)) return raw("null");
    char digits[32];
    const auto end =
        std::to_chars(digits, digits + sizeof digits, v, std::chars_format::general, 9);
    return raw({digits, end.ptr});
  }
  // In seconds.
  json_writer& value(std::chrono::nanoseconds v) {
    return value(std::chrono::duration<double>(v).count());
  }
  json_writer& value(std::string_view v) {
    separate();
    text_ += '"';
    while (!v.empty()) v.remove_prefix(append_character(v));
    text_ += '"';
    return *this;
  }
  json_writer& value(const char* v) { return value(std::string_view(v)); }

  std::string take() && { return std::move(text_); }

 private:
  void separate() {
    if (!is_first_) text_ += ',';
    is_first_ = false;
  }
  json_writer& raw(std::string_view v) {
    separate();
    text_ += v;
    return *this;
  }

  // Returns its length.
  std::size_t append_character(std::string_view from) {
    constexpr char hex[] = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(from.front());
    if (byte == '"' || byte == '\\') {
      text_ += '\\';
      text_ += from.front();
    } else if (byte < 0x20) {
      text_ += "\\u00";
      text_ += hex[byte >> 4];
      text_ += hex[byte & 15];
    } else if (const std::size_t length = utf8_length(from); length != 0) {
      text_ += from.substr(0, length);
      return length;
    } else {
      text_ += "\xEF\xBF\xBD";
    }
    return 1;
  }

  // Of the character at the front; 0 when it is none. No overlong forms, surrogates, or numbers
  // beyond U+10FFFF: table 3-7 of the Unicode standard.
  static std::size_t utf8_length(std::string_view text) noexcept {
    const auto at = [text](std::size_t i) {
      return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
    };
    const auto follows = [&](std::size_t i) { return at(i) >= 0x80 && at(i) <= 0xBF; };
    const unsigned lead = at(0);
    if (lead < 0x80) return 1;
    if (lead >= 0xC2 && lead <= 0xDF) return follows(1) ? 2 : 0;
    if (lead >= 0xE0 && lead <= 0xEF) {
      const unsigned low = lead == 0xE0 ? 0xA0 : 0x80;
      const unsigned high = lead == 0xED ? 0x9F : 0xBF;
      return at(1) >= low && at(1) <= high && follows(2) ? 3 : 0;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
      const unsigned low = lead == 0xF0 ? 0x90 : 0x80;
      const unsigned high = lead == 0xF4 ? 0x8F : 0xBF;
      return at(1) >= low && at(1) <= high && follows(2) && follows(3) ? 4 : 0;
    }
    return 0;
  }

  std::string text_;
  bool is_first_ = true;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
