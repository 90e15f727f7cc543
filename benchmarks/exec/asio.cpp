// Boost.Asio's thread_pool.
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <future>
#include <utility>

#include "rows.hpp"

namespace {

class contender {
 public:
  explicit contender(unsigned workers) : pool_(workers) {}
  ~contender() { pool_.join(); }
  contender(const contender&) = delete;
  contender& operator=(const contender&) = delete;

  template <class F>
  void post(F f) {
    boost::asio::post(pool_, std::move(f));
  }
  template <class F>
  auto submit(F f) {
    std::packaged_task<decltype(f())()> task(std::move(f));
    auto result = task.get_future();
    boost::asio::post(pool_, std::move(task));
    return result;
  }

 private:
  boost::asio::thread_pool pool_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run<contender>(argc, argv); }
