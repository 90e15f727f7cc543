// The command `heddle`: finds the subcommand and hands over.
#include <fmt/format.h>

#include <cstdio>
#include <string_view>

#include "doctor.hpp"
#include "failure.hpp"
#include "map.hpp"
#include "profile.hpp"

namespace {

constexpr std::string_view help_page = R"(heddle - run things in parallel, and see how well they run

Usage
  heddle COMMAND [options]

Commands
  map      Run a command once for each of many inputs, several at a time.
  profile  Measure how throughput depends on the number of tasks at once, and
           recommend one.
  doctor   Print what Heddle sees of this machine, and the pool sizes it would
           choose for each kind of work.

  heddle COMMAND --help tells more about each.

Options
  -h, --help      Print this page.
      --version   Print the version.

Exit status
  0 is success, 2 a wrong command line. The other statuses are explained with
  each command.

Examples
  heddle map gzip ::: *.log
  find . -name '*.jpg' | heddle map --bar convert {} -resize 800 small/{/}
  heddle profile -- gzip -k -c ::: *.log
  heddle doctor
)";

int print(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (written && std::fflush(stdout) == 0) return 0;
  std::perror("heddle: cannot write to standard output");
  return heddle::tool::exit_trouble;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view command = argc > 1 ? argv[1] : "";
  if (command == "map") return heddle::tool::run_map(argc - 1, argv + 1);
  if (command == "profile") return heddle::tool::run_profile(argc - 1, argv + 1);
  if (command == "doctor") return heddle::tool::run_doctor(argc - 1, argv + 1);
  if (command == "-h" || command == "--help" || command == "help") return print(help_page);
  if (command == "--version") return print("heddle " HEDDLE_VERSION "\n");
  if (command.empty()) {
    std::fputs("heddle: no command given; try: heddle --help\n", stderr);
  } else {
    std::fputs(fmt::format("heddle: unknown {} {}; try: heddle --help\n",
                           command.front() == '-' ? "option" : "command", command)
                   .c_str(),
               stderr);
  }
  return heddle::tool::exit_usage;
}
