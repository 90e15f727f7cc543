# Memory, disk and descriptors stay bounded however much goes through.
# After the tests RAM and 4GB of man parallel_alternatives.
# timeout: 600
# processors: 2
. "$(dirname "$0")/lib.sh"

bound=65536  # KiB
inputs=1000000
others=20000

peak_is_bounded() {
  local peak
  peak=$(number peak_rss_kib "$1")
  [ -n "$peak" ] || fail "$2: no peak in $(cat "$1")"
  [ "$peak" -le "$bound" ] || fail "$2: $peak KiB of memory"
}

# The sanitizers' shadow memory is counted too: there only the results are checked, and of a tenth.
if grep -qE '__(asan|tsan)_init' "$HEDDLE"; then
  bound=100000000
  inputs=100000
  others=2000
fi

# A million inputs on a pipe, of which two thousand are run and the others were run before.
{
  printf 'Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n'
  seq $inputs | awk '$1 % 500 { print $1 "\t:\t1.0\t0.1\t0\t0\t0\t0\ttrue" }'
} >log
seq $inputs | "$HEDDLE" map -k -j2 --report=json --joblog log --resume echo >out 2>err ||
  fail "a million inputs: status $?"
peak_is_bounded err "a million inputs"
equal "$(number jobs err) $(number skipped err)" "$((inputs / 500)) $((inputs / 500 * 499))" "jobs run and skipped"
seq 500 500 $inputs >wanted
same_file out wanted "outputs of a million inputs"

# A million inputs, printed.
seq $inputs | "$HEDDLE" map --dry-run --report=json echo 2>err | tail -1 >out
peak_is_bounded err "a million commands"
equal "$(cat out)" "echo $inputs" "the last of a million commands"

# One job that prints 4 GiB in one line.
"$HEDDLE" map --report=json sh -c 'head -c 4294967297 /dev/zero' ::: 1 2>err | wc -c >out
equal "$(cat out)" 4294967297 "4 GiB of output"
peak_is_bounded err "4 GiB of output"

# Several large outputs at once, which have to wait for each other.
"$HEDDLE" map -j4 --report=json sh -c 'head -c 150000000 /dev/zero; sleep 0.1' ::: 1 2 3 4 2>err | wc -c >out
equal "$(cat out)" 600000000 "4 x 150 MB of output"
peak_is_bounded err "4 x 150 MB of output"

# A first job that sleeps until all the others are done: with many small outputs ...
seq 0 "$others" | "$HEDDLE" map -k -j3 --report=json --shell \
  "if [ {} = 0 ]; then until [ -e done ]; do sleep 0.2; done; fi; [ {} != $others ] || : >done; echo {}" \
  >out 2>err &
pid=$!
most=0
while alive $pid; do
  open=$(ls /proc/$pid/fd 2>/dev/null | wc -l)
  [ "$open" -le "$most" ] || most=$open
  sleep 0.2
done
wait $pid || fail "small outputs behind a sleeping job: status $?"
[ "$most" -gt 5 ] && [ "$most" -le 40 ] || fail "$most descriptors open"
peak_is_bounded err "small outputs behind a sleeping job"
seq 0 "$others" >wanted
same_file out wanted "order of small outputs behind a sleeping job"

# ... and with large ones: past the limit on disk no job is started until the first one is done.
rm -f done
seq 0 40 | "$HEDDLE" map -k -j3 --spill-limit 40M --report=json --joblog log --shell \
  "if [ {} = 0 ]; then until [ -e done ]; do sleep 0.1; done; fi; echo {}; head -c 5000000 /dev/zero" \
  >out 2>err &
pid=$!
# Some 16 MB wait in memory and 40 MB on disk.
held() {
  before=$(wc -l <log)
  [ "$before" -ge 9 ] && sleep 1 && [ "$(wc -l <log)" = "$before" ]
}
wait_until held
[ "$before" -le 20 ] || fail "jobs go on though the disk limit is reached: $before"
: >done
wait $pid || fail "large outputs behind a sleeping job: status $?"
peak_is_bounded err "large outputs behind a sleeping job"
equal "$(tr -d '\0' <out)" "$(seq 0 40)" "order of large outputs behind a sleeping job"

# More jobs than descriptors.
(
  ulimit -n 30
  seq 60 | "$HEDDLE" map -j40 sh -c 'sleep 0.1; echo $0' >out 2>err
) || fail "few descriptors: status $?"
equal "$(sort -n out)" "$(seq 60)" "few descriptors"
nothing_on_stderr
