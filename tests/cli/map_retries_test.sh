# --retries, --delay and what they leave in log and report.
# processors: 0
. "$(dirname "$0")/lib.sh"

# Fails until its file has as many lines as its name says.
cat >attempt <<'END'
#!/bin/bash
echo x >>"count$1"
n=$(wc -l <"count$1")
echo "attempt $n of $1"
[ "$n" -ge "$1" ]
END
chmod +x attempt

map 0 -k --retries 3 --joblog log --report=json ./attempt ::: 1 2 4
equal "$(cat out)" "attempt 1 of 1
attempt 2 of 2
attempt 4 of 4" "output of the last attempts only"
equal "$(awk 'NR > 1 {print $1, $7}' log | sort)" $'1 0\n2 0\n3 0' "one line a job in the joblog"
equal "$(number jobs err) $(number attempts err) $(number retries err) $(number failed err)" "3 7 4 0" "report"

rm -f count*
map 1 --retries 1 --joblog log ./attempt ::: 5
equal "$(cat count5 | wc -l)" 2 "attempts"
equal "$(cat out)" "attempt 2 of 5" "output of the last attempt"
equal "$(awk 'NR > 1 {print $7}' log)" 1 "joblog of a job that failed each time"

# Interrupted while a job waits for its next attempt: the last one counts, with its output.
rm -f count*
"$HEDDLE" map --retries 1000 --joblog log ./attempt ::: 2000 >out 2>err &
pid=$!
# Between two attempts, which are almost a second apart by then.
several() { [ -e count2000 ] && [ "$(wc -l <count2000)" -ge 5 ] && [ -z "$(ps -o pid= --ppid $pid)" ]; }
wait_until several
kill -TERM $pid
wait $pid && fail "no failure"
equal "$(wc -l <log)" 2 "lines in the joblog"
grep -q "^attempt [0-9]* of 2000$" out || fail "the output of the last attempt is lost"

# A time limit holds for each attempt. Longer limits are for machines on which they do not begin before.
for limit in 1.5 10 50; do
  rm -f count*
  map 1 --retries 1 --timeout $limit --report=json sh -c 'echo x >>counts; sleep 100' ::: a
  [ "$(cat counts | wc -l)" -lt 2 ] || break
done
equal "$(wc -l <counts)" 2 "attempts with a time limit"
equal "$(tail -1 err | grep -oE '"timeouts": [0-9]+')" '"timeouts": 2' "time limits in the report"

# --delay: starts are apart, though there is room. Compared with each other, not with a clock.
map 0 -j4 --delay 0.2 --joblog log true ::: 1 2 3 4
awk 'NR > 1 {print $3}' log | sort -n | awk 'NR > 1 && $1 - last < 0.19 {exit 1} {last = $1}' ||
  fail "--delay: $(cat log)"

# Nothing to gain: an input that cannot be an argument is not tried again.
map 1 --retries 5 --report=json echo < <(printf 'a\0b\n')
equal "$(number retries <(tail -1 err))" 0 "retries of a job that cannot be started"

# A further attempt that the kernel refuses: the job is logged with the one it had.
if command -v prlimit >/dev/null; then
  # Where a leak checker is built in, it cannot work without descriptors.
  ASAN_OPTIONS=detect_leaks=0:${ASAN_OPTIONS-} \
    map 255 --retries 5 --joblog log sh -c 'echo x; prlimit --pid $PPID --nofile=4:4; exit 7' ::: 1
  one_line "cannot start any process" "Too many open files"
  equal "$(awk 'NR > 1 {print $1, $7}' log)" "1 7" "joblog of a job whose retry was refused"
  equal "$(cat out)" x "its output"
fi
