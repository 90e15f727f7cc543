// An oracle for bodies: everything is taken once, nothing is lost, nothing comes twice.
#pragma once

#include <cstddef>
#include <source_location>
#include <string>
#include <vector>

#include <heddle/model.hpp>
#include <heddle/model/config.hpp>

namespace heddle::inline HEDDLE_ABI::model {

// Made inside of the body; used by all of its threads.
class exactly_once {
 public:
  // The things are numbered from 0.
  explicit exactly_once(std::size_t things) : taken_(things) {}

  // Fails the execution when there is no such thing, or it was taken before.
  void take(std::size_t thing, std::source_location w = std::source_location::current()) {
    if (thing >= taken_.size()) fail("there is no " + std::to_string(thing), w);
    if (taken_[thing]) fail(std::to_string(thing) + " is taken twice", w);
    taken_[thing] = true;
  }

  // At the end of the body: fails the execution when something is left.
  void check_all(std::source_location w = std::source_location::current()) const {
    for (std::size_t thing = 0; thing < taken_.size(); ++thing) {
      if (!taken_[thing]) fail(std::to_string(thing) + " is lost", w);
    }
  }

 private:
  std::vector<bool> taken_;
};

}  // namespace heddle::inline HEDDLE_ABI::model
