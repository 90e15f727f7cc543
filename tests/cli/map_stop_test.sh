# Jobs that take too long, runs that are interrupted, and what is left of them: nothing.
# After the test CLEANUP of man parallel_alternatives.
# processors: 0
. "$(dirname "$0")/lib.sh"

# A job that leaves word of its processes: itself and a child that ignores SIGTERM when told so.
cat >job <<'END'
#!/bin/bash
echo $$ >>pids
[ "$1" != stubborn ] || trap '' TERM
sleep 1000 &
echo $! >>pids
wait
END
chmod +x job

nobody_left() {
  local pid
  while read -r pid; do
    ! alive "$pid" || fail "$1: process $pid is left: $(tr '\0' ' ' </proc/$pid/cmdline)"
    [ ! -e "/proc/$pid" ] || fail "$1: process $pid is left as a zombie"
  done <pids
  rm -f pids
}

# The time limit ends the whole group, with SIGKILL where SIGTERM does not help. Longer limits are for
# machines on which the jobs are not up before.
for limit in 2 10 50; do
  rm -f pids log
  map 2 --timeout $limit -j3 --joblog log ./job ::: plain stubborn </dev/null
  [ "$(cat pids | wc -l)" -lt 4 ] || break
done
nobody_left "--timeout"
equal "$(grep -c 'time limit' err)" 2 "a line about each job that took too long"
equal "$(awk '$9 ~ /job/ && /plain/ {print $7, $8}' log)" "-1 15" "joblog of a job that took too long"
equal "$(awk '$9 ~ /job/ && /stubborn/ {print $7, $8}' log)" "-1 9" "joblog of a job that was killed"
map 0 --timeout 60 true ::: a
for limit in 2 10 50; do
  map 1 --timeout $limit sh -c 'echo before; sleep 100; echo after' ::: a
  [ ! -s out ] || break
done
equal "$(cat out)" before "output before the time limit"
# A background process that holds the output open counts.
map 1 --timeout 2 sh -c 'sleep 1000 & echo $! >>pids; exit 0' ::: a
nobody_left "--timeout and a background process"

# run_and_signal JOB COUNT SIGNAL...: starts two jobs, sends the signals, sets `status`.
run_and_signal() {
  local kind=$1
  shift
  rm -f log
  env --default-signal=INT,QUIT "$HEDDLE" map -j2 --joblog log ./job ::: $kind $kind third >out 2>err &
  local pid=$! first=1
  both_run() { [ -e pids ] && [ "$(wc -l <pids)" -eq 4 ]; }
  wait_until both_run
  local signal
  for signal in "$@"; do
    [ $first = 1 ] || wait_until grep -q 'told to stop' err
    first=0
    kill -"$signal" $pid
  done
  status=0
  wait $pid || status=$?
}

for signal in INT TERM HUP USR1 ALRM XCPU; do
  run_and_signal plain $signal
  equal "$status" $((128 + $(kill -l $signal))) "status after SIG$signal"
  nobody_left "SIG$signal"
  equal "$(wc -l <log)" 3 "lines of the joblog after SIG$signal"
  equal "$(awk 'NR > 1 {print $8}' log | sort -u)" 15 "the joblog tells what ended the jobs"
  one_line "2 jobs are told to stop"
done
run_and_signal stubborn INT INT
equal "$status" 130 "status after two SIGINT"
nobody_left "two SIGINT"
run_and_signal stubborn TERM INT
equal "$status" 143 "status after SIGTERM and SIGINT"
nobody_left "SIGTERM and SIGINT"

# Ctrl-\ does not wait for anybody.
ulimit -c 0
run_and_signal stubborn QUIT
equal "$status" 131 "status after SIGQUIT"
nobody_left "SIGQUIT"

# A job may end properly when it is told to stop, and its output is printed.
"$HEDDLE" map sh -c 'trap "echo saved; exit 0" TERM; : >ready; while :; do sleep 0.05; done' ::: 1 >out 2>err &
pid=$!
wait_until test -e ready
kill -TERM $pid
status=0
wait $pid || status=$?
equal "$status" 143 "status"
equal "$(cat out)" saved "output of a job that saved its work"

# Signals that we were told to ignore are ignored, as under nohup.
(
  trap '' HUP
  exec "$HEDDLE" map sh -c ': >up; until [ -e enough ]; do sleep 0.05; done; echo done' ::: 1 >out 2>err
) &
pid=$!
wait_until test -e up
kill -HUP $pid
touch enough
wait $pid || fail "status $? under nohup"
equal "$(cat out)" done "under nohup"

# Halting.
map 1 -j3 --joblog log --halt now,fail=1 --shell 'if [ {} = bad ]; then sleep 0.3; exit 5; else ./job {}; fi' \
  ::: a b bad never
nobody_left "--halt now"
equal "$(awk 'NR > 1 {print $7, $8}' log | sort | uniq -c | tr -s ' ')" " 2 0 15
 1 5 0" "joblog after --halt now"
# The second job goes on for a while after the first one's end has been seen.
map 1 -j2 --halt soon,fail=1 --shell \
  'if [ {} = 1 ]; then echo $$ >first; until [ -e second ]; do sleep 0.05; done; exit 5; fi
  : >second; until [ -s first ]; do sleep 0.05; done; while [ -e /proc/$(cat first) ]; do sleep 0.05; done
  sleep 0.3; echo {}' ::: 1 2 3 4 5
equal "$(cat out)" 2 "--halt soon lets the running job end"
map 2 -j1 --halt soon,fail=2 sh -c 'exit $0' ::: 0 1 0 1 0 1 0 1
map 4 -j1 --halt never sh -c 'exit $0' ::: 0 1 0 1 0 1 0 1

# A temporary file has no name, so not even SIGKILL leaves one.
mkdir tmp
TMPDIR=$PWD/tmp "$HEDDLE" map -j3 sh -c 'head -c 30000000 /dev/zero; : >wrote$0; sleep 1000 & echo $! >>pids; wait' \
  ::: 1 2 >out 2>err &
pid=$!
wait_until test -e wrote1
wait_until test -e wrote2
wait_until grep -q "$PWD/tmp" <(ls -l /proc/$pid/fd)
kill -KILL $pid
wait $pid 2>/dev/null
equal "$(ls -A tmp)" "" "left in the temporary folder"
while read -r left; do kill -KILL -- "$left"; done <pids
rm -f pids

# From a terminal: Ctrl-C.
if command -v python3 >/dev/null; then
  cat >ctrl_c.py <<'END'
import os, pty, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.execv(os.environ["HEDDLE"], ["heddle", "map", "-j2", "./job", ":::", "plain", "plain"])
while not os.path.exists("pids") or open("pids").read().count("\n") < 4: time.sleep(0.05)
os.write(terminal, b"\x03")
seen = b""
try:
    while chunk := os.read(terminal, 4096): seen += chunk
except OSError: pass
_, status = os.waitpid(pid, 0)
print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else "exit %d" % os.WEXITSTATUS(status))
END
  python3 ctrl_c.py >got
  equal "$(cat got)" 2 "Ctrl-C on a terminal ends heddle by SIGINT"
  nobody_left "Ctrl-C"
fi

# Ctrl-Z where no shell could continue us is ignored, as it is for other programs.
if command -v python3 >/dev/null; then
  cat >ctrl_z.py <<'END'
import os, pty, time
pid, terminal = pty.fork()
if pid == 0:
    job = ": >going; until [ -e go_on ]; do sleep 0.05; done"
    os.execv(os.environ["HEDDLE"], ["heddle", "map", "sh", "-c", job, ":::", "1"])
while not os.path.exists("going"): time.sleep(0.05)
os.write(terminal, b"\x1a")
time.sleep(0.5)
open("go_on", "w")
for _ in range(600):
    ended, status = os.waitpid(pid, os.WNOHANG)
    if ended: break
    time.sleep(0.05)
else:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
print("ended" if ended else "stopped forever")
END
  python3 ctrl_z.py >got
  equal "$(cat got)" ended "Ctrl-Z without a shell"
fi

# Signals are heard though there is so much to do that it takes forever.
numbers=$(seq 2000)
# shellcheck disable=SC2086
"$HEDDLE" map --dry-run true ::: $numbers ::: $numbers ::: $numbers >/dev/null 2>err &
pid=$!
catches_term() { [ $((0x$(sed -n 's/^SigBlk:\t//p' /proc/$pid/status) >> 14 & 1)) = 1 ]; }
wait_until catches_term
kill -TERM $pid
wait_until not_alive $pid
status=0
wait $pid || status=$?
equal "$status" 143 "status of an endless dry run after SIGTERM"

# As long as somebody holds a job's output open, its number is not given to anybody else, who would
# get the signals that are meant for the job.
rm -f daemon
"$HEDDLE" map sh -c 'echo $$ >number; setsid sh -c "until [ -e enough ]; do sleep 0.05; done" & :' ::: 1 >out 2>err &
pid=$!
rm -f enough
wait_until test -s number
shell_has_ended() { not_alive "$(cat number)"; }
wait_until shell_has_ended
sleep 0.3
[ -e "/proc/$(cat number)" ] || fail "the number of a job that goes on is free"
touch enough
wait $pid || fail "status $? of a job with a daemon"
[ ! -e "/proc/$(cat number)" ] || fail "a job has become a zombie"

# What jobs leave behind is adopted from the first stopped job on, and buried when it has ended.
cat >leave <<'END'
#!/bin/bash
children() { ps -o stat= --ppid $PPID | grep -c "$1"; }
case $1 in
too_long) exec sleep 1000 ;;
wait) until [ "$(children '^[^Z]')" = 1 ]; do sleep 0.05; done ;;
count) children Z || : ;;
*) sleep 0.01 >/dev/null 2>&1 & ;;
esac
END
chmod +x leave
# shellcheck disable=SC2046
for limit in 5 50; do  # where one of the others takes so long, there are more failures
  status=0
  "$HEDDLE" map -j1 --timeout $limit ./leave ::: too_long $(seq 30) wait count >out 2>err || status=$?
  [ $status != 1 ] || break
done
equal $status 1 "failures of jobs that left something behind: $(cat err)"
equal "$(cat out)" 0 "zombies after 30 jobs that left something behind"

# The time for which a run was stopped is not the jobs' fault.
# Counted, it exceeds each of the limits; the longer one is for machines that need the shorter one for
# the rest.
is_stopped() { grep -q '^State:.T' /proc/$pid/status; }
ends_in_time() {
  rm -f go_on going
  set -m  # a group of its own for what runs in the background, which this shell can continue
  "$HEDDLE" map --timeout "$1" sh -c ': >going; until [ -e go_on ]; do sleep 0.05; done' ::: 1 >out 2>err &
  pid=$!
  set +m
  wait_until test -e going
  kill -TSTP $pid
  wait_until is_stopped
  sleep $(($1 + 1))
  : >go_on
  kill -CONT $pid
  wait $pid
}
ends_in_time 5 || ends_in_time 30 || fail "status $? of a run that was stopped for a while: $(cat err)"
