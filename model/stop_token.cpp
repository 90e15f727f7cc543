#include <heddle/model/stop_token.hpp>

#include <heddle/prim/mutex.hpp>

namespace heddle::inline HEDDLE_ABI::prim::stop_detail {

state::state() noexcept {
  if (model::detail::executing) {
    model::detail::construct(owners_handle_, model::detail::object_kind::reference_count, this);
  }
}

state::~state() {
  if (model::detail::executing) {
    model::detail::destroy(owners_handle_, model::detail::object_kind::reference_count, this);
  }
}

void state::retain() noexcept { ++owners_; }

void state::release() noexcept {
  if (model::detail::executing) model::detail::give_up_reference(owners_handle_, this);
  if (--owners_ == 0) delete this;
}

void state::source_made() noexcept { ++sources_; }
void state::source_gone() noexcept { --sources_; }

bool state::possible() const noexcept {
  const scoped_lock lock(mutex_);
  return sources_ != 0 || requested_.load(relaxed);
}

bool state::request() noexcept {
  mutex_.lock();
  if (requested_.load(relaxed)) {
    mutex_.unlock();
    return false;
  }
  requested_.store(true, std::memory_order_release);
  runner_ = this_thread_id();
  while (first_ != nullptr) {
    registration& r = *first_;
    unlink(r);
    running_ = &r;
    mutex_.unlock();
    r.call(&r);  // may destroy the registration
    mutex_.lock();
    running_ = nullptr;
    ran_.notify_all();
  }
  mutex_.unlock();
  return true;
}

bool state::add(registration& r) noexcept {
  const scoped_lock lock(mutex_);
  if (requested_.load(relaxed)) return false;
  if (sources_ == 0) return true;  // it never runs
  r.after = first_;
  if (first_ != nullptr) first_->before = &r;
  first_ = &r;
  r.listed = true;
  return true;
}

void state::remove(registration& r) noexcept {
  const scoped_lock lock(mutex_);
  if (r.listed) {
    unlink(r);
  } else if (running_ == &r && runner_ != this_thread_id()) {
    while (running_ == &r) ran_.wait(mutex_);
  }
}

void state::unlink(registration& r) noexcept {
  (r.before != nullptr ? r.before->after : first_) = r.after;
  if (r.after != nullptr) r.after->before = r.before;
  r.before = r.after = nullptr;
  r.listed = false;
}

}  // namespace heddle::inline HEDDLE_ABI::prim::stop_detail
