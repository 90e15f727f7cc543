#include "fiber.hpp"

#include <cxxabi.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <new>

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>
#endif

// heddle_model_switch(save, load): pushes what a call must preserve, stores the stack pointer to
// *save, continues where `load` was stored. swapcontext would do, but for two system calls a
// switch.
#if defined(__x86_64__)
asm(R"(
.pushsection .text
.globl heddle_model_switch
.hidden heddle_model_switch
.type heddle_model_switch, @function
heddle_model_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size heddle_model_switch, . - heddle_model_switch
.popsection
)");
#elif defined(__aarch64__)
asm(R"(
.pushsection .text
.globl heddle_model_switch
.hidden heddle_model_switch
.type heddle_model_switch, %function
heddle_model_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x2, sp
  str x2, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size heddle_model_switch, . - heddle_model_switch
.popsection
)");
#endif

#if defined(__x86_64__) || defined(__aarch64__)
extern "C" void heddle_model_switch(void** save, void* load);
#endif

namespace heddle::inline HEDDLE_ABI::model::detail {
namespace {

constexpr std::size_t stack_bytes = std::size_t{256} << 10;

// Of the thread that explores.
void* exceptions_in_flight = nullptr;

std::size_t page_bytes() noexcept { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

}  // namespace

fiber::~fiber() {
#if !defined(__x86_64__) && !defined(__aarch64__)
  delete static_cast<ucontext_t*>(saved_);
#endif
  if (memory_ != nullptr) munmap(memory_, stack_bytes + page_bytes());
}

void fiber::adopt_this_thread() noexcept { exceptions_in_flight = abi::__cxa_get_globals(); }

void fiber::prepare(void (*entry)()) {
  if (memory_ == nullptr) {
    void* const memory = mmap(nullptr, stack_bytes + page_bytes(), PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    mprotect(memory, page_bytes(), PROT_NONE);
    memory_ = memory;
  }
  exceptions_ = {};
  std::byte* const end = static_cast<std::byte*>(memory_) + page_bytes() + stack_bytes;
#if defined(__x86_64__)
  // Six registers, the address to return to, and a null one above it that ends backtraces.
  void** const top = reinterpret_cast<void**>(end) - 10;
  std::memset(top, 0, 10 * sizeof(void*));
  top[6] = reinterpret_cast<void*>(entry);
  saved_ = top;
#elif defined(__aarch64__)
  void** const top = reinterpret_cast<void**>(end - 160);
  std::memset(top, 0, 160);
  top[11] = reinterpret_cast<void*>(entry);  // x30, where it returns to
  saved_ = top;
#else
  if (saved_ == nullptr) saved_ = new ucontext_t;
  auto* const context = static_cast<ucontext_t*>(saved_);
  getcontext(context);
  context->uc_stack.ss_sp = end - stack_bytes;
  context->uc_stack.ss_size = stack_bytes;
  context->uc_link = nullptr;
  makecontext(context, entry, 0);
#endif
}

void fiber::switch_to(fiber& other) noexcept {
  std::memcpy(&exceptions_, exceptions_in_flight, sizeof exceptions_);
  std::memcpy(exceptions_in_flight, &other.exceptions_, sizeof exceptions_);
#if defined(__x86_64__) || defined(__aarch64__)
  heddle_model_switch(&saved_, other.saved_);
#else
  if (saved_ == nullptr) saved_ = new ucontext_t;
  swapcontext(static_cast<ucontext_t*>(saved_), static_cast<ucontext_t*>(other.saved_));
#endif
}

bool fiber::contains(const void* address) const noexcept {
  const auto from = reinterpret_cast<std::uintptr_t>(memory_);
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  return memory_ != nullptr && at >= from && at < from + page_bytes() + stack_bytes;
}

}  // namespace heddle::inline HEDDLE_ABI::model::detail
