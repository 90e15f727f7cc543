# heddle profile: what is measured, what is printed, and everything that can go wrong.
# timeout: 300
. "$(dirname "$0")/lib.sh"

# profile STATUS WORDS...: runs heddle profile with output to the files out and err.
profile() {
  local wanted=$1 got=0
  shift
  "$HEDDLE" profile "$@" >out 2>err </dev/null || got=$?
  [ "$got" -eq "$wanted" ] || fail "heddle profile $(printf '%q ' "$@"): status $got instead of $wanted
  $(head -c 2000 err)"
}
# long_enough TEST WORDS...: profile 0 with a --time-limit, with longer ones where the machine is so slow
# that the test does not hold.
long_enough() {
  local holds=$1 limit
  shift
  for limit in 0.5 5 50; do
    profile 0 --time-limit $limit "$@"
    ! $holds || return 0
  done
}
says() { grep -qF -- "$1" "${2:-out}" || fail "${2:-out} does not say \"$1\": $(head -c 3000 "${2:-out}")"; }
is_json() { ! command -v python3 >/dev/null || python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$1" || fail "$1 is not JSON"; }
is_xml() { ! command -v python3 >/dev/null || python3 -c 'import sys, xml.dom.minidom as x; x.parse(sys.argv[1])' "$1" || fail "$1 is not XML"; }
# The sizes of the rows of a CSV file.
sizes_in() { tail -n +2 "$1" | cut -d, -f1 | paste -sd' '; }

# Every option is in the page, and in the guide.
profile 0 --help
guide=$(dirname "$0")/../../docs/guide/reading-a-profile.md
for option in kernel once waiters compare arg-file null shell show-output sizes max precision time-limit csv json svg; do
  says "--$option"
  grep -qF -- "--$option" "$guide" || fail "docs/guide/reading-a-profile.md does not tell --$option"
done
equal "$(awk 'length($0) > 80' out)" "" "lines wider than 80 columns"

# A command over inputs, which are used again when they have all been used.
cat >task <<'END'
#!/bin/sh
echo "$1" >>seen
echo nonsense
END
chmod +x task
all_seen() { [ "$(sizes_in all.csv)" = "1 2" ] && [ "$(wc -l <seen)" -gt 3 ]; }
long_enough all_seen --sizes 2,1 --csv all.csv --json all.json --svg all.svg ./task -{}- ::: a 'b c' '<d>&'
nothing_on_stderr
says 'Recommended size: '
says 'task'
grep -q nonsense out && fail "the output of the tasks was not dropped"
equal "$(sort -u seen | paste -sd'|')" '-<d>&-|-a-|-b c-' "what the tasks were given"
[ "$(wc -l <seen)" -gt 3 ] || fail "inputs were not used again"
equal "$(sizes_in all.csv)" "1 2" "sizes in the CSV file"
is_json all.json
is_xml all.svg
says 'jobs at once' all.svg
says 'recommended: ' all.svg

# In the picture the command is text, whatever is in it.
profile 0 --sizes 1 --time-limit 0.2 --svg - -- ./task '</text><script>' ::: x
is_xml out
says '&lt;script&gt;'
says 'Recommended size: 1' err

# Without inputs the words are run as they stand; standard input is read otherwise.
rm seen
profile 0 --sizes 1 --time-limit 0.2 ./task alone
equal "$(sort -u seen)" alone "without inputs"
for limit in 0.2 5 50; do
  rm -f seen
  printf 'one\0two\n\0' | "$HEDDLE" profile --sizes 1 --time-limit $limit -0 ./task >out 2>err ||
    fail "inputs from a pipe: $(cat err)"
  [ "$(wc -l <seen)" -lt 4 ] || break
done
equal "$(sort -u seen | paste -sd'|')" "|one|two" "inputs from a pipe"
profile 2 ./task {}
one_line "no inputs"
printf 'a\0b\n' >nul
profile 255 --sizes 1 -a nul ./task
one_line "NUL byte" "-0"

# In a shell, and with its output shown.
profile 0 --sizes 1 --time-limit 0.2 --show-output --shell 'echo {} | tr a-z A-Z; echo e >&2' ::: loud
grep -q LOUD err || fail "the output is not shown: $(cat err)"
grep -q '^e$' err || fail "the errors are not shown: $(cat err)"
grep -q LOUD out && fail "the output is where the table is"

# Tasks that fail.
profile 255 --time-limit 1 -- sh -c 'echo no such table >&2; exit 3'
one_line "failed" "exit status 3" "no such table"
profile 255 --time-limit 1 -- sh -c 'kill -SEGV $$'
one_line "failed" "signal 11"
profile 1 --sizes 1,2 --time-limit 2 sh -c 'exit $0' ::: 0 1
says "tasks failed"
says "exit status 1"
profile 255 nosuchcommand
one_line "command not found: nosuchcommand"
profile 255 -- ./all.csv
one_line "cannot run ./all.csv: Permission denied"

# Kernels.
for kernel in cpu io memory lock mixed; do
  profile 0 --kernel $kernel --once=1000
  nothing_on_stderr
  equal "$(cat out)" "" "output of --once"
done
both_sizes() { [ "$(sizes_in out)" = "1 4" ]; }
long_enough both_sizes --kernel io --sizes 1,4 --csv - --svg io.svg
equal "$(sizes_in out)" "1 4" "sizes of a kernel"
says 'Recommended size: ' err
is_xml io.svg
says 'threads at once' io.svg
profile 0 --kernel mixed --max 3 --time-limit 0.5 --json -
is_json out
says '"workload":"kernel mixed'

# The ways of doing the same work.
profile 0 --compare --time-limit 0.5 --json ways.json
for way in sequential threads processes coroutines 'CPU-bound' 'I/O-bound' 'wait at once' 'choose'; do says "$way"; done
is_json ways.json

# Tasks that wait, all of which run.
for way in threads coroutines; do
  profile 0 --waiters $way
  is_json out
  says '"refused":""'
done

# Command lines that make no sense: one line, and status 2.
for words in "" "--nosuch" "--kernel nosuch" "--kernel cpu true" "--compare --kernel cpu" "--compare true" \
  "--once true" "--once=0 --kernel cpu" "--kernel io ::: a" "--kernel io --shell" "--kernel io --show-output" \
  "--sizes 0 true" "--sizes 1,x true" "--sizes 1,,2 true" "--sizes -1 true" "--sizes 2,1,2 true" "--sizes 65537 true" \
  "--max 0 true" "--max 99999999999999999999 true" "--max 3 --sizes 1 true" "--precision 0 true" "--precision 51% true" \
  "--precision x true" "--time-limit 0 true" "--time-limit -1 true" "--time-limit x true" "--csv= true" \
  "--csv - --json - true" "--compare --svg x" "--compare --sizes 1" "--waiters x" "--waiters" "--waiters threads true" "--waiters threads --json -" "-a - -a - cat" "--sizes"; do
  # shellcheck disable=SC2086
  profile 2 $words
  one_line "heddle profile: "
  equal "$(cat out)" "" "standard output of heddle profile $words"
done
profile 2 --sizes ''
one_line "--sizes"

# Limits: sizes that were asked for and cannot be had are refused, a search stays below them.
(
  ulimit -n 64
  profile 2 --sizes 1,500 true
  one_line "--sizes: 500 is too many here" "open files"
  # So few that the search gets there on the slowest machine.
  ulimit -n 28
  sizes_left_out() { grep -q "were left out" out; }
  long_enough sizes_left_out --max 500 --precision 50% sleep 0.01
  says "were left out"
) || exit 1

# Files that cannot be written are found before anything is measured; a full disk when it is full.
profile 255 --time-limit 5m --csv nosuch/x ./task x
one_line "cannot write nosuch/x: No such file"
for form in csv json svg; do
  profile 255 --sizes 1 --time-limit 0.2 --$form /dev/full ./task x
  one_line "cannot write /dev/full: No space left"
done
status=0
"$HEDDLE" profile --sizes 1 --time-limit 0.2 ./task x >/dev/full 2>err </dev/null || status=$?
equal "$status" 255 "status with a full disk as standard output"
one_line "standard output" "No space left"

# What was there is replaced, not written over in part.
head -c 100000 /dev/zero >all.csv
profile 0 --sizes 1 --time-limit 0.2 --csv all.csv ./task x
equal "$(sizes_in all.csv)" 1 "a file that was longer before"

# Interrupted: what was measured is printed, the tasks are gone, and the signal is ours, too.
cat >slow <<'END'
#!/bin/bash
[ -e enough ] || { echo >>quick; exit 0; }
echo $$ >>pids
sleep 1000 &
echo $! >>pids
wait
END
chmod +x slow
# Left alone it would go on for nearly all of its time: no size is known so exactly.
env --default-signal=INT "$HEDDLE" profile --sizes 1,2,3,4,5,6,7,8 --precision 0.1% --time-limit 20 ./slow \
  >out 2>err </dev/null &
pid=$!
has_begun() { [ -e quick ] && [ "$(wc -l <quick)" -ge 100 ]; }
wait_until has_begun
sleep 1
: >enough
wait_until test -s pids
kill -INT $pid
status=0
wait $pid || status=$?
equal "$status" 130 "status after SIGINT"
says "Interrupted"
says "Recommended size: "
while read -r left; do wait_until not_alive "$left"; done <pids

rm -f pids
env --default-signal=TERM "$HEDDLE" profile --time-limit 5m ./slow >out 2>err </dev/null &
pid=$!
wait_until test -s pids
kill -TERM $pid
status=0
wait $pid || status=$?
equal "$status" 143 "status after SIGTERM before anything was measured"
equal "$(cat out)" "" "a report of nothing"
while read -r left; do wait_until not_alive "$left"; done <pids

env --default-signal=INT "$HEDDLE" profile --kernel cpu --time-limit 5m >out 2>err </dev/null &
pid=$!
catches_int() { [ $((0x$(sed -n 's/^SigBlk:\t//p' /proc/$pid/status) >> 1 & 1)) = 1 ]; }
wait_until catches_int
sleep 0.4
kill -INT $pid
status=0
wait $pid || status=$?
equal "$status" 130 "status of a kernel after SIGINT"

# A fifth of a core, where groups can be made.
fifth_of_a_core() {
  (echo 0 >"$1/cgroup.procs" && exec "$HEDDLE" profile --kernel cpu --sizes 1 --time-limit 1 >out 2>err) ||
    fail "status $? with a fifth of a core: $(cat err)"
  says 'on 0.2 usable cores'
  says 'Recommended size: 1'
}
is_gone() { rmdir "$group" 2>/dev/null; }
for root in /sys/fs/cgroup /sys/fs/cgroup/cpu; do
  group=$root/heddle-profile-test-$$
  [ -e $root/cgroup.procs ] && mkdir $group 2>/dev/null || continue
  if [ -e $group/cpu.max ]; then
    echo '20000 100000' >$group/cpu.max && fifth_of_a_core $group
  elif [ -e $group/cpu.cfs_quota_us ]; then
    echo 20000 >$group/cpu.cfs_quota_us && fifth_of_a_core $group
  fi
  wait_until is_gone
done

# Without /proc it works in a plainer way, and says so.
if [ "$(id -u)" = 0 ] && ! is_sanitized && unshare -m true 2>/dev/null; then
  mkdir -p nothing
  for work in "./task x" "--kernel cpu"; do
    # shellcheck disable=SC2016,SC2086
    unshare -m sh -c 'mount --bind nothing /proc && [ ! -e /proc/self ] && exec "$@"' sh \
      "$HEDDLE" profile --sizes 1,2 --time-limit 0.5 $work >out 2>err </dev/null || fail "without /proc: $(cat err)"
    nothing_on_stderr
    says 'Recommended size: '
    says 'could not be read here'
    says '/proc is not mounted'
  done
fi
exit 0
