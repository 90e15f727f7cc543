# heddle doctor: on this machine, on an invented one, and with everything that can go wrong.
set -u
failures=0
fail() { echo "FAILED: $*" >&2; failures=$((failures + 1)); }

# expect STATUS PATTERN COMMAND...: the exit status, and a line on stderr that matches; PATTERN ""
# means that stderr stays empty.
expect() {
  local status=$1 pattern=$2
  shift 2
  "$@" >out 2>err
  local got=$?
  [ $got = "$status" ] || fail "$* ended with $got instead of $status: $(cat err)"
  if [ -z "$pattern" ]; then
    [ ! -s err ] || fail "$* wrote to stderr: $(cat err)"
  else
    grep -q -e "$pattern" err || fail "$*: no '$pattern' in: $(cat err)"
    [ "$(wc -l <err)" = 1 ] || fail "$* complained in more than one line: $(cat err)"
  fi
}
says() { grep -q -e "$1" out || fail "no '$1' in: $(cat out)"; }

expect 0 "" "$HEDDLE" doctor
says '^Linux '
says '^  usable cores '
says '^  CPU-bound '
expect 0 "" "$HEDDLE" doctor --help
says '^  heddle doctor \[options\]'
expect 0 "" "$HEDDLE" doctor --json
says '"usable_cores": '

# An invented machine: 4 cores with 2 threads, the process allowed on 3 of them, and limits set by a
# group in the middle whose name would move the cursor of a terminal.
mkdir -p tree/proc/self tree/proc/sys/kernel tree/sys/devices/system/cpu
echo 6.1.0-test >tree/proc/sys/kernel/osrelease
printf 'Cpus_allowed_list:\t0-2,4-6\n' >tree/proc/self/status
printf 'MemTotal: 1048576 kB\nMemAvailable: 524288 kB\n' >tree/proc/meminfo
echo 0-7 >tree/sys/devices/system/cpu/online
for cpu in 0 1 2 3 4 5 6 7; do
  topology=tree/sys/devices/system/cpu/cpu$cpu/topology
  mkdir -p $topology
  echo "$((cpu % 4)),$((cpu % 4 + 4))" >$topology/thread_siblings_list
done
middle=$(printf 'mid\033[2Jdle')
echo "0::/outer/$middle/own" >tree/proc/self/cgroup
echo '31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw' >tree/proc/self/mountinfo
mkdir -p "tree/sys/fs/cgroup/outer/$middle/own"
echo 'max 100000' >"tree/sys/fs/cgroup/outer/$middle/own/cpu.max"
echo '150000 100000' >"tree/sys/fs/cgroup/outer/$middle/cpu.max"
echo '400000 100000' >tree/sys/fs/cgroup/outer/cpu.max
echo 268435456 >tree/sys/fs/cgroup/outer/memory.max

expect 0 "" "$HEDDLE" doctor --root tree
says '^Linux 6.1.0-test$'
says '^  allowed         6 of them: 0-2,4-6'
says '^  physical cores  3 in 1 package, 2 threads each'
says '^  CPU quota       1.5 cores (150 ms in every 100 ms)'
says '^  usable cores    1.5, what the quota allows'
says '^  compact order   0, 4, 1, 5, 2, 6$'
says '^  scatter order   0, 1, 2, 4, 5, 6$'
says 'mid?\[2Jdle'
says '^  limit           256 MiB, set by control group /outer$'
says '^  CPU-bound    2  1.5 usable cores'
says '^  mixed        3  '
says '^  I/O-bound    8  1.5 cores x (1 + 4)'
grep -q "$(printf '\033')" out && fail "an escape sequence reached the terminal"
grep -q 'Kernel features' out && fail "features of the running kernel in a recorded tree"

expect 0 "" "$HEDDLE" doctor --root tree --ratio 0.5 --cap 2 --json
says '"usable_cores": 1.5'
says '"physical_cores": 3'
says '"compact_order": "0,4,1,5,2,6"'
says '"reason": "1.5 cores x (1 + 0.5) makes 2.25, capped at 2"'
says '"features": null'
if command -v python3 >/dev/null; then
  python3 -c 'import json; json.load(open("out"))' || fail "not JSON: $(cat out)"
fi

mkdir -p bare/proc
expect 0 "" "$HEDDLE" doctor --root bare
says '^  usable cores    1, every allowed CPU'

expect 2 'not expected: --frobnicate' "$HEDDLE" doctor --frobnicate
expect 2 'not expected: extra' "$HEDDLE" doctor extra
expect 2 'neither proc nor sys' "$HEDDLE" doctor --root /nonexistent
expect 2 'the name is empty' "$HEDDLE" doctor --root ''
for cap in 0 -3 x 1.5 99999999999; do
  expect 2 "^heddle doctor: --cap $cap: " "$HEDDLE" doctor --cap $cap
done
for ratio in -1 nan inf 1e999 2x; do
  expect 2 "^heddle doctor: --ratio $ratio: " "$HEDDLE" doctor --ratio $ratio
done

expect 255 'standard output: No space left' bash -c '"$0" doctor >/dev/full' "$HEDDLE"
expect 255 'standard output: Bad file' bash -c '"$0" doctor >&-' "$HEDDLE"
expect 255 'standard output: Broken pipe' \
  bash -c 'exec 3> >(:); wait $!; exec "$0" doctor >&3' "$HEDDLE"

exit $((failures > 0))
