# What cannot work gets one clear line and a right status; nothing is lost in silence.
# processors: 0
. "$(dirname "$0")/lib.sh"

# Wrong command lines.
usage() {
  local word=$1
  shift
  map 2 "$@" </dev/null
  one_line "$word"
  equal "$(cat out)" "" "standard output of a wrong command line"
}
for jobs in 0 -3 0% -50% x 5x 1.5 '' ' 4' +2 99999999999999999999 auto% auto: auto:0 auto:-1 auto:x auto:9999999; do
  usage "-j" -j "$jobs" echo ::: a
done
usage -j -j0 echo ::: a
usage "needs a value" -j
usage "needs a value" --joblog
usage "--nosuch" --nosuch echo ::: a
usage "-x" -x echo ::: a
usage "takes no value" --tag=1 echo ::: a
usage "no command"
usage "no command" ::: a b
usage "no command" -j2 ::: a b
usage "no command" -- ::: a
usage "--timeout" --timeout 0 echo ::: a
usage "--timeout" --timeout -1 echo ::: a
usage "--timeout" --timeout 5x echo ::: a
usage "--timeout" --timeout nan echo ::: a
usage "--delay" --delay x echo ::: a
usage "--retries" --retries -1 echo ::: a
usage "--retries" --retries many echo ::: a
for halt in now soon now,fail=0 later,fail=1 now,fail=x now,success=1 ''; do
  usage "--halt" --halt "$halt" echo ::: a
done
usage "--report" --report=xml echo ::: a
usage "--jobserver" --jobserver=socket echo ::: a
usage "--explain" --explain -j 50% echo ::: a
usage "--spill-limit" --spill-limit lots echo ::: a
usage "--joblog" --resume echo ::: a
usage "--joblog" --resume-failed echo ::: a
usage "--joblog" --sync echo ::: a
usage "-u" -u -k echo ::: a
usage "-u" -u --tag echo ::: a
usage "-u" -u --results x echo ::: a
usage "::::" echo :::: file
usage "only once" -a - -a - echo

# No inputs.
map 0 echo </dev/null
one_line "no inputs"
map 0 echo :::
one_line "no inputs"
map 0 echo ::: a :::
one_line "no inputs"
map 0 --joblog log echo </dev/null
equal "$(wc -l <log)" 1 "a log of nothing has a header"

# Inputs that cannot be read.
map 255 -a missing echo
one_line missing "No such file"
map 255 -a . echo
one_line . "Is a directory"
map 255 echo <.
one_line "standard input" "Is a directory"
map 255 echo <&-
one_line "standard input"
if [ "$(id -u)" != 0 ]; then
  : >secret
  chmod 0 secret
  map 255 -a secret echo
  one_line secret "Permission denied"
fi

# A NUL in a line: this job fails, the others run, all are logged.
map 1 -k --joblog log echo < <(printf 'a\nb\0c\nd\n')
equal "$(cat out)" $'a\nd' "jobs without NUL"
one_line "job 2" NUL
equal "$(cut -f 1,7 log | sort -n | tail -n +2)" $'1\t0\n2\t126\n3\t0' "joblog of a job with NUL"

# An input that no command line can hold.
{ echo a; head -c 3000000 /dev/zero | tr '\0' x; echo; echo b; } >long
map 1 -k --joblog log echo <long
equal "$(cat out)" $'a\nb' "jobs besides one with too long an input"
one_line "job 2" "bytes"
equal "$(cut -f 1,7 log | sort -n | tail -n +2)" $'1\t0\n2\t126\n3\t0' "joblog of a job with too long an input"
equal "$(wc -c <err)" "$(head -c 300 err | wc -c)" "length of the message"

# A command that does not run: said once, and nothing else is tried.
map 255 -j4 --joblog log nosuchcommand < <(seq 100000)
one_line "command not found: nosuchcommand"
map 255 -j4 ./nosuchfile ::: 1 2 3
one_line "./nosuchfile" "No such file"
: >plain
map 255 ./plain ::: 1 2 3
one_line "./plain" "Permission denied"
printf '#!/nosuch/interpreter\n' >script
chmod +x script
map 255 ./script ::: 1 2 3
one_line "./script" "interpreter"
map 255 / ::: 1
one_line "cannot run /"
# When each input names the command, the others are run.
map 2 -k --joblog log {} x ::: echo nosuchcommand ./plain printf
equal "$(cat out)" $'x\nx' "commands that are found"
equal "$(wc -l <err)" 2 "lines about commands that are not"
equal "$(cut -f 7 log | tail -n +2 | sort -n | tr '\n' ' ')" "0 0 126 127 " "joblog of commands that are not found"

# A line that does not fit into memory. The sanitizers need more of that than any limit.
if ! grep -qE '__(asan|tsan)_init' "$HEDDLE"; then
  head -c 100000000 /dev/zero | (
    ulimit -v 60000
    map 255 echo
  ) || exit 1
  one_line "standard input" "Cannot allocate memory"
fi

# A reader who leaves.
seq 100000 | "$HEDDLE" map --joblog log echo 2>err | head -1 >out
equal "${PIPESTATUS[1]}" 255 "status when the reader leaves"
one_line "standard output" "Broken pipe"
[ "$(wc -l <log)" -ge 2 ] || fail "jobs that ran are not logged"
[ "$(wc -l <log)" -lt 50000 ] || fail "jobs go on without a reader"
"$HEDDLE" map echo ::: 1 2>err >&-
equal "$?" 255 "status when standard output is closed"
one_line "standard output" "Bad file descriptor"
"$HEDDLE" map true ::: 1 2>err >&- || fail "a closed standard output matters only when there is output"
"$HEDDLE" map sh -c 'echo x >&2' ::: 1 >out 2>&-
equal "$?" 255 "status when standard error is closed and needed"
for words in '' 'nosuchcommand' 'map' 'map -j0 true' 'map --nosuchoption'; do
  # shellcheck disable=SC2086
  "$HEDDLE" $words 2>&-
  equal "$?" 2 "status of a wrong command line ($words) without standard error"
  # shellcheck disable=SC2086
  "$HEDDLE" $words 2>/dev/full
  equal "$?" 2 "status of a wrong command line ($words) with a full standard error"
done

# No descriptors, no processes: it waits for jobs that run, and gives up when there are none.
(
  ulimit -n 12
  map 255 echo ::: a b
  one_line "Too many open files"
) || exit 1
if [ "$(id -u)" = 0 ] && id nobody >/dev/null 2>&1 && command -v setpriv >/dev/null; then
  chmod 777 .
  belongs_to() { [ "$(ps -o user= -p "$2")" = "$1" ]; }
  as_nobody() { setpriv --reuid nobody --clear-groups bash -c "$1" >out 2>err; }
  # Limits of processes count all of the user's, so leave a few.
  used=$(ps -u nobody -L --no-headers 2>/dev/null | wc -l)
  as_nobody "ulimit -u $((used + 4)); seq 20 | '$HEDDLE' map -j16 env A={} sleep 0.1"
  equal "$?" 0 "status when only some jobs fit"
  nothing_on_stderr
  # A start that is refused is tried again, though no job ends: others may have left.
  mkfifo nothing
  chmod 666 nothing
  setpriv --reuid nobody --clear-groups sleep 100 >/dev/null 2>&1 &
  other=$!
  wait_until belongs_to nobody $other
  used=$(ps -u nobody -L --no-headers 2>/dev/null | wc -l)
  cat >in_turn <<'END'
#!/bin/bash
if [ "$1" = 2 ]; then : >second; exit; fi
exec 9<>nothing
: >first
until [ -e second ]; do read -r -t 0.1 -u 9; done
exit 0
END
  chmod +x in_turn
  (wait_until test -e first; sleep 0.3; kill $other) &
  as_nobody "ulimit -u $((used + 2)); exec '$HEDDLE' map -j2 ./in_turn ::: 1 2"
  equal "$?" 0 "status of a run whose second job was refused at first"
  nothing_on_stderr
  # A leak checker would want a thread of its own.
  as_nobody "export ASAN_OPTIONS=detect_leaks=0; ulimit -u 1; exec '$HEDDLE' map -j2 true ::: 1 2"
  equal "$?" 255 "status when fork is refused"
  one_line "cannot start any process" "temporarily unavailable"
fi

# Statuses.
map 0 true ::: 1
map 3 sh -c 'exit $0' ::: 1 0 2 0 255
map 100 -j2 false < <(seq 100)
map 101 -j2 false < <(seq 103)
map 1 sh -c 'kill -9 $$' ::: 1
one_line "job 1" "signal 9"
