// A /proc and /sys of our own invention, in a temporary directory.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <heddle/kernel/tree.hpp>
#include <stdexcept>
#include <string>

namespace heddle_test {

class fake_tree {
 public:
  fake_tree() {
    std::string pattern = std::filesystem::temp_directory_path() / "heddle-tree-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp " + pattern);
    root_ = pattern;
  }
  fake_tree(const fake_tree&) = delete;
  fake_tree& operator=(const fake_tree&) = delete;
  ~fake_tree() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }

  // `path` is relative: "proc/self/status".
  void write(const std::string& path, const std::string& content) {
    const std::filesystem::path file = root_ / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << content;
  }
  void make_directory(const std::string& path) {
    std::filesystem::create_directories(root_ / path);
  }
  void remove(const std::string& path) { std::filesystem::remove_all(root_ / path); }

  std::filesystem::path path(const std::string& relative) const { return root_ / relative; }
  heddle::kernel::tree files() const { return heddle::kernel::tree{root_.string()}; }

 private:
  std::filesystem::path root_;
};

}  // namespace heddle_test
