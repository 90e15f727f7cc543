# -j auto with jobs and machines that make it hard: it works in a plainer way and says so.
# processors: 2
. "$(dirname "$0")/lib.sh"

is_sanitized() { grep -qE '__(asan|tsan)_init' "$HEDDLE"; }

# Jobs that fail, that end at once, and that print nonsense.
map 101 -j auto false < <(seq 300)
nothing_on_stderr
seq 300 | "$HEDDLE" map -j auto --report=json true 2>err || fail "status $? of jobs that end at once"
equal "$(number succeeded err)" 300 "jobs that end at once"
map 0 -j auto -k sh -c 'head -c 20000 /dev/urandom; printf "\0\033[2J\377"' ::: $(seq 30)
equal "$(wc -c <out)" $((30 * 20006)) "bytes of nonsense"
nothing_on_stderr

# No inputs, and no room for what is printed.
map 0 -j auto --explain echo </dev/null
grep -q '^heddle map: no inputs' err || fail "no inputs: $(cat err)"
"$HEDDLE" map -j auto sh -c 'echo $0' ::: $(seq 50) 2>err >/dev/full
equal "$?" 255 "status when the disk is full"
one_line "standard output" "No space left"

# Jobs that take a minute. Asleep, they get company; one Ctrl-C is enough to be rid of all.
set -m  # else this shell makes what runs in the background ignore SIGINT
"$HEDDLE" map -j auto --explain --report=json sh -c 'echo $$ >>pids; exec sleep 60' < <(seq 500) 2>err &
pid=$!
set +m
several() { [ "$(wc -l <pids)" -ge 9 ]; }
wait_until test -e pids
wait_until several
kill -INT $pid
status=0
wait $pid || status=$?
equal "$status" 130 "status after Ctrl-C"
while read -r job; do wait_until not_alive "$job"; done <pids
grep -qE '^heddle map: [0-9.]+ s: [0-9]+ jobs at once instead of' err || fail "no company: $(head -3 err)"
share=$(number cpu_share err)
[ -n "$share" ] || fail "the report does not tell what auto has cost: $(tail -1 err)"
is_sanitized || awk "BEGIN { exit !($share < 0.02) }" || fail "auto has cost $share of the cores' time"
rm pids

# --explain tells the cost in the end.
map 0 -j auto --explain sleep ::: 0.1 0.1 0.1 0.1
tail -1 err | grep -qE "^heddle map: in all: [0-9]+ at first.*; [0-9]+ changes? in [0-9]+ looks?, .* of CPU \([0-9.e-]+ % of the cores' time\)$" ||
  fail "--explain does not tell the cost: $(tail -1 err)"
grep -qE '(^|[^0-9.])1 (jobs|workers|cores)' err && fail "one of several: $(cat err)"
grep -q worker err && fail "jobs are no workers: $(cat err)"

[ "$(id -u)" = 0 ] || exit 0

# A fifth of a core, where groups can be made.
fifth_of_a_core() {
  (echo 0 >"$1/cgroup.procs" && exec "$HEDDLE" map -j auto --explain --report true ::: 1 2 3 4 5 >out 2>err) ||
    fail "status $? with a fifth of a core: $(cat err)"
  grep -q '^heddle map: begins with 1 job at once: one job for each usable core: 0.2$' err ||
    fail "a fifth of a core: $(cat err)"
}
for root in /sys/fs/cgroup /sys/fs/cgroup/cpu; do
  group=$root/heddle-test-$$
  [ -e $root/cgroup.procs ] && mkdir $group 2>/dev/null || continue
  if [ -e $group/cpu.max ]; then
    echo '20000 100000' >$group/cpu.max && fifth_of_a_core $group
  elif [ -e $group/cpu.cfs_quota_us ]; then
    echo 20000 >$group/cpu.cfs_quota_us && fifth_of_a_core $group
  fi
  is_gone() { rmdir $group 2>/dev/null; }
  wait_until is_gone
done

# Without /proc.
if is_sanitized; then exit 0; fi
mkdir empty
unshare -m true 2>/dev/null || exit 0
without_proc() { unshare -m sh -c 'mount --bind empty /proc && [ ! -e /proc/self ] && exec "$@"' sh "$@" >out 2>err; }
without_proc true || exit 0
seq 40 | without_proc "$HEDDLE" map -j auto -k sh -c 'sleep 0.1; echo $0'
equal "$?" 0 "status without /proc"
equal "$(cat out)" "$(seq 40)" "jobs without /proc"
one_line "how long jobs wait for a CPU"
without_proc "$HEDDLE" map -j2 --jobserver=fifo --report sh -c 'echo "$MAKEFLAGS"' ::: 1
equal "$?" 0 "status of a jobserver without /proc"
grep -qE '^-j2 --jobserver-auth=[0-9]+,[0-9]+$' out || fail "a jobserver without /proc: $(cat out)"
