// An HTTP server of fixed capacity on 127.0.0.1: SLOTS requests are served at a time, each takes
// MICROSECONDS; the others wait their turn. Prints its port. One thread that sleeps nearly all the
// time, so that it takes little from those who are measured. Ends with its parent.
// usage: server SLOTS MICROSECONDS
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <string_view>

namespace {

using clock_type = std::chrono::steady_clock;

struct served {
  int client;
  clock_type::time_point done;
};

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

class server {
 public:
  server(std::size_t slots, std::chrono::microseconds time) : slots_(slots), time_(time) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (listener_ < 0 || bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
        listen(listener_, SOMAXCONN) != 0 ||
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0)
      fail("server");
    std::printf("%d\n", ntohs(address.sin_port));
    std::fflush(stdout);
    watch(listener_);
    watch(timer_);
  }

  [[noreturn]] void run() {
    for (;;) {
      epoll_event events[64];
      const int count = epoll_wait(epoll_, events, 64, -1);
      for (int i = 0; i < count; ++i) {
        const int which = events[i].data.fd;
        if (which == listener_) {
          accept_all();
        } else if (which != timer_) {
          read_request(which);
        }
      }
      serve();
    }
  }

 private:
  void watch(int which) const {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = which;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, which, &event) != 0) fail("epoll_ctl");
  }

  void accept_all() const {
    for (;;) {
      const int client = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (client < 0) return;
      const int on = 1;
      setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      watch(client);
    }
  }

  // A request comes in one piece: it is short, and a client sends one at a time.
  void read_request(int client) {
    char text[1024];
    const ssize_t length = recv(client, text, sizeof text, 0);
    if (length > 0) {
      waiting_.push_back(client);
    } else {
      close(client);
    }
  }

  // Answers what is done, starts what waits, and sets the timer to what is done next.
  void serve() {
    const auto now = clock_type::now();
    while (!in_service_.empty() && in_service_.front().done <= now) {
      constexpr std::string_view answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
      send(in_service_.front().client, answer.data(), answer.size(), MSG_NOSIGNAL);
      in_service_.pop_front();
    }
    while (!waiting_.empty() && in_service_.size() < slots_) {
      in_service_.push_back({waiting_.front(), now + time_});
      waiting_.pop_front();
    }
    itimerspec next{};
    if (!in_service_.empty()) {
      const auto at = in_service_.front().done.time_since_epoch();
      const auto whole = std::chrono::floor<std::chrono::seconds>(at);
      next.it_value.tv_sec = whole.count();
      next.it_value.tv_nsec = std::chrono::nanoseconds(at - whole).count();
    }
    timerfd_settime(timer_, TFD_TIMER_ABSTIME, &next, nullptr);
  }

  std::size_t slots_;
  std::chrono::microseconds time_;
  int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  int timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  int listener_ = -1;
  std::deque<int> waiting_;
  std::deque<served> in_service_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: server SLOTS MICROSECONDS\n");
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_TIMERSLACK, 1000);
  server(static_cast<std::size_t>(std::atoi(argv[1])),
         std::chrono::microseconds(std::atoi(argv[2])))
      .run();
}
