# What the scripts of this folder share; sourced by each. A script stops at its first failure.
set -u

# Nothing but the test's own folder and variables: no leftovers of the caller's environment.
unset TMPDIR
export LC_ALL=C

fail() {
  printf 'FAILED %s line %s: %s\n' "$0" "${BASH_LINENO[-2]}" "$*" >&2
  exit 1
}

skip() {
  printf 'skipped: %s\n' "$*" >&2
  exit 77
}

# equal GOT WANTED WHAT
equal() {
  [ "$1" = "$2" ] || fail "$3
  got:    $(printf %q "$1")
  wanted: $(printf %q "$2")"
}

# same_file GOT WANTED WHAT
same_file() {
  cmp "$1" "$2" >&2 || fail "$3: $1 and $2 differ"
}

# map STATUS WORDS...: runs heddle map with output to the files out and err.
map() {
  local wanted=$1 got=0
  shift
  "$HEDDLE" map "$@" >out 2>err || got=$?
  [ "$got" -eq "$wanted" ] || fail "heddle map $(printf '%q ' "$@"): status $got instead of $wanted
  $(head -c 2000 err)"
}

# Exactly one line on standard error, which contains every WORD.
one_line() {
  equal "$(wc -l <err)" 1 "not one line on standard error: $(head -c 2000 err)"
  local word
  for word in "$@"; do
    grep -qF -- "$word" err || fail "standard error does not say \"$word\": $(cat err)"
  done
}

nothing_on_stderr() { equal "$(cat err)" "" "standard error should be empty"; }

# The value of a number in a JSON report: number KEY FILE
number() { grep -oE "\"$1\": [0-9.]+" "$2" | head -1 | grep -oE '[0-9.]+$'; }

# Waits until the command succeeds; fails the test after a generous time.
wait_until() {
  local tries=0
  until "$@"; do
    tries=$((tries + 1))
    [ "$tries" -lt 600 ] || fail "waited in vain for: $*"
    sleep 0.05
  done
}

# Whether a sanitizer is built in, which cannot do without /proc: the presets set its options.
is_sanitized() { [ -n "${ASAN_OPTIONS-}${TSAN_OPTIONS-}" ]; }

# Whether a process with this number exists and is no zombie.
alive() {
  local state
  state=$(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null)
  [ -n "$state" ] && [ "$state" != Z ]
}
not_alive() { ! alive "$1"; }
