// The best fixed size of each load, found by trying many; what was found is kept in a file.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "outcome.hpp"

namespace bench {

struct sweep {
  std::vector<int> sizes;
  int runs = 5;
  double seconds = 0;  // of a run; of each phase in a load that has phases
  double warm_up = 0;  // of that
  bool phased = false;
  // When tasks arrive by themselves, all sizes that keep up have the same throughput: the best is
  // then the one with the shortest task times.
  bool arrivals = false;
};

struct best_size {
  std::string kind;
  int size = 0;
};

class oracle_book {
 public:
  // What `file` has is used again, unless it is to be found `anew`.
  oracle_book(std::filesystem::path file, laboratory& where, bool anew);

  // The best sizes of a load, for each kind of stretch. Runs what is not in the book yet: each size
  // once, in turn, again and again; those that fall behind clearly are not tried again.
  std::vector<best_size> best(const std::string& load, const sweep& how);

 private:
  nlohmann::ordered_json tried(const std::string& load, const sweep& how);

  std::filesystem::path file_;
  laboratory* where_;
  nlohmann::ordered_json book_;
};

}  // namespace bench
