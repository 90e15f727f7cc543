// Queues that producers and consumers wait at: room and items, the end, priorities, and the pattern
// that starts and ends both sides.

#include <atomic>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <heddle/pattern/producer_consumer.hpp>
#include <heddle/queue/bounded_queue.hpp>
#include <heddle/queue/priority_queue.hpp>

namespace {

using namespace std::chrono_literals;

struct page {
  int number = 0;
};

bool a_queue() {
  int read = 0;
  // [queue]
  heddle::bounded_queue<page> pages(8, "pages");  // never more than 8 wait

  std::jthread reader([&] {
    for (page& p : pages) read += p.number;  // until the queue is closed and empty
  });
  for (int i = 1; i <= 100; ++i) pages.put({i});  // waits while the queue is full
  pages.close();                                  // no more will come
  // [queue end]
  reader.join();
  std::printf("read %d, at most %zu waited\n", read, pages.peak());
  return read == 5050;
}

bool giving_up() {
  heddle::bounded_queue<std::string> letters(1);
  // [giving_up]
  std::string letter = "Dear weaver, ...";
  if (!letters.try_put(std::move(letter))) std::puts("full: the letter is still mine");
  if (!letters.try_put_for("the next one", 5ms)) std::puts("full for 5 ms");

  std::stop_source stop;
  auto first = letters.get(stop.get_token());  // nothing when a stop is requested first
  auto second = letters.try_get_for(5ms);      // nothing: none has come
  // [giving_up end]
  return first.has_value() && !second.has_value();
}

bool tasks() {
  std::atomic<int> done{0};
  // [join]
  heddle::bounded_queue<int> jobs(16);
  const auto worker = [&] {
    for (const int job : jobs) {
      done += job;
      jobs.task_done();
    }
  };
  std::jthread one(worker);
  std::jthread other(worker);
  for (int i = 0; i < 50; ++i) jobs.put(1);
  jobs.join();  // every job that was put is done, not only taken
  // [join end]
  const bool all = done == 50;
  jobs.close();
  return all;
}

bool batches() {
  heddle::bounded_queue<int> numbers(64);
  // [batches]
  const std::vector<int> twenty(20, 1);
  const std::size_t accepted = numbers.put_range(twenty);  // in portions for which there is room
  const std::vector<int> some = numbers.get_n(8);          // at least one, at most 8
  // [batches end]
  return accepted == 20 && some.size() == 8;
}

// [priority]
struct request {
  int urgency;
  std::string what;
};
struct less_urgent {
  bool operator()(const request& a, const request& b) const { return a.urgency < b.urgency; }
};

std::string most_urgent_first() {
  heddle::priority_queue<request, less_urgent> requests(100);
  requests.put({1, "sweep"});
  requests.put({5, "mend the warp"});
  requests.put({5, "fill the shuttle"});
  requests.close();
  std::string order;
  for (const request& r : requests) order += r.what + "; ";
  return order;  // mend the warp; fill the shuttle; sweep;
}
// [priority end]

bool both_sides() {
  std::atomic<long> indexed{0};
  // [pattern]
  heddle::producer_consumer_options options;
  options.name = "pages";
  options.producers = 2;
  options.consumers = 3;
  options.capacity = 32;

  heddle::producer_consumer<page> work(
      options,
      [](heddle::item_sink<page>& pages) {
        for (int i = 1; i <= 100; ++i) {
          if (!pages.put({i})) return;  // it is over
        }
      },
      [&](page p) { indexed += p.number; });

  const heddle::producer_consumer_report report = work.wait();
  // [pattern end]
  std::printf("%llu pages put, %llu consumed\n", static_cast<unsigned long long>(report.produced),
              static_cast<unsigned long long>(report.consumed));
  return indexed == 10100;
}

bool errors() {
  bool told = false;
  // [errors]
  heddle::producer_consumer<page> work(
      {},
      [](heddle::item_sink<page>& pages) {
        while (pages.put({1})) {
        }
      },
      [n = 0](page) mutable {
        if (++n == 3) throw std::runtime_error("page 3 is torn");
      });
  try {
    work.wait();
  } catch (const heddle::producer_consumer_error& e) {
    std::puts(e.what());
    told = e.side() == heddle::producer_consumer_side::consumer;
  }
  // [errors end]
  return told;
}

}  // namespace

int main() {
  const bool good = a_queue() && giving_up() && tasks() && batches() && both_sides() && errors();
  std::puts(most_urgent_first().c_str());
  return good && most_urgent_first() == "mend the warp; fill the shuttle; sweep; " ? 0 : 1;
}
