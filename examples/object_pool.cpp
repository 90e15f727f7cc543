// Objects that are expensive to make, used again and again.

#include <cstddef>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <heddle/data/object_pool.hpp>

namespace {

struct buffer {
  explicit buffer(std::size_t size) : bytes(size) {}
  std::vector<char> bytes;
  std::size_t used = 0;
};

void fill(buffer& b) { b.used = b.bytes.size() / 2; }

bool use_again() {
  // [pool]
  heddle::object_pool<buffer> buffers([] { return buffer(64 * 1024); },  // makes one
                                      [](buffer& b) { b.used = 0; });    // as one is given back

  {
    const auto lease = buffers.acquire();
    fill(*lease);
    std::printf("%zu bytes\n", lease->used);
  }  // given back here

  const auto again = buffers.acquire();  // the same buffer, with nothing used
  // [pool end]
  return again->used == 0 && buffers.statistics().created == 1;
}

bool give_to_others() {
  heddle::object_pool<buffer> buffers([] { return buffer(16); });
  // [lease]
  auto lease = buffers.acquire();
  fill(*lease);
  std::jthread writer([mine = std::move(lease)]() mutable {
    std::printf("writing %zu bytes\n", mine->used);
    mine.give_back();  // on this thread, which keeps the buffer for its next use
  });
  writer.join();

  auto torn = buffers.acquire();
  torn.discard();  // destroyed: not to be used again
  // [lease end]
  return !torn && buffers.statistics().discarded == 1;
}

bool have_few() {
  // [options]
  heddle::object_pool_options options;
  options.initial = 4;          // made at once
  options.kept_per_thread = 0;  // few and large: none lies idle where others cannot get it
  options.most = 4;
  heddle::object_pool<buffer> buffers([] { return buffer(1 << 20); }, options);

  const auto a = buffers.acquire();
  const auto b = buffers.acquire();
  const auto c = buffers.acquire();
  const auto d = buffers.acquire();
  if (!buffers.try_acquire()) std::puts("all four are in use");
  // [options end]
  return static_cast<bool>(d);
}

struct codec {
  virtual ~codec() = default;
  virtual const char* name() const = 0;
};
struct plain final : codec {
  const char* name() const override { return "plain"; }
};

bool tell() {
  // [owner]
  heddle::object_pool<codec> codecs([] { return std::make_unique<plain>(); });
  std::puts(codecs.acquire()->name());
  // [owner end]
  // [statistics]
  const heddle::object_pool_statistics s = codecs.statistics();
  std::printf("%d made, %d uses of old ones, at most %d at a time\n", static_cast<int>(s.created),
              static_cast<int>(s.reused), static_cast<int>(s.peak));
  for (const auto& thread : codecs.statistics_by_thread()) {
    std::printf("a thread: %d uses of old ones\n", static_cast<int>(thread.reused));
  }
  // [statistics end]
  return s.created == 1 && s.peak == 1;
}

}  // namespace

int main() { return use_again() && give_to_others() && have_few() && tell() ? 0 : 1; }
