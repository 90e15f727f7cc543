// What a thief can do about a deque in which it finds nothing. Of a ws_deque everything can be
// stolen; a split_deque keeps a part for its owner.
#pragma once

#include <heddle/lockfree/split_deque.hpp>
#include <heddle/lockfree/ws_deque.hpp>

namespace heddle_test {

template <class Deque>
inline constexpr bool keeps_some_private = false;
template <class T>
inline constexpr bool keeps_some_private<heddle::split_deque<T>> = true;

template <class T>
void ask_for_more(heddle::ws_deque<T>&) noexcept {}
template <class T>
void ask_for_more(heddle::split_deque<T>& d) noexcept {
  d.ask();
}

// Whether there is something to steal now that was not before.
template <class T>
bool share_more(heddle::ws_deque<T>&) noexcept {
  return false;
}
template <class T>
bool share_more(heddle::split_deque<T>& d) noexcept {
  return d.raise() == heddle::split_deque<T>::theft::success;
}

// The oldest value, private or not, for a thief without rivals.
template <class Deque, class T>
bool steal_oldest(Deque& d, T& value) noexcept {
  if (d.steal(value) == Deque::theft::success) return true;
  return share_more(d) && d.steal(value) == Deque::theft::success;
}

}  // namespace heddle_test
