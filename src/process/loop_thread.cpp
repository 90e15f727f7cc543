#include <heddle/process/loop_thread.hpp>

#include <string>

namespace heddle::inline HEDDLE_ABI::process {

loop_thread::loop_thread(std::string_view name)
    : thread_([this, own_name = std::string(name)] {
        prim::set_thread_name(own_name);
        loop_.run();
      }) {}

loop_thread::~loop_thread() {
  loop_.stop();
  thread_.join();
}

}  // namespace heddle::inline HEDDLE_ABI::process
