# Outputs come whole, each stream by itself, in the order asked for.
# After the tests MIX, STDERRMERGE and NUMWORDS of man parallel_alternatives.
# processors: 2
. "$(dirname "$0")/lib.sh"

# 20 jobs that write 2 MB in turns to both streams: every job's output is one line, unmixed.
cat >turns <<'END'
#!/bin/bash
block() { head -c 300000 /dev/zero | tr '\0' "$1"; }
block a; block b >&2; block c; block d >&2; block e; block f >&2
echo; echo >&2
END
chmod +x turns
"$HEDDLE" map -j6 ./turns > >(tr -s a-f >out) 2> >(tr -s a-f >err) < <(seq 20) || fail "status $?"
# The filters may end after heddle.
all_there() { [ "$(wc -l <out)" -eq 20 ] && [ "$(wc -l <err)" -eq 20 ]; }
wait_until all_there
equal "$(sort -u out)" ace "mixed standard output"
equal "$(sort -u err)" bdf "mixed standard error"

# Each stream stays what it is.
map 0 sh -c 'echo out1; echo err1 >&2; echo out2; echo err2 >&2' ::: x
equal "$(cat out)" $'out1\nout2' "standard output"
equal "$(cat err)" $'err1\nerr2' "standard error"

# A line that is not ended is printed as it is.
map 0 -k printf %s ::: a b
equal "$(cat out)" ab "no newline is added"

# Order: of the inputs with -k, of the ends without.
map 0 -k -j3 sh -c 'sleep $0; echo $0; echo $0 >&2' ::: 0.6 0.3 0
equal "$(cat out)" $'0.6\n0.3\n0' "-k"
equal "$(cat err)" $'0.6\n0.3\n0' "-k, standard error"
rm -f go
map 0 -j2 --shell 'if [ {} = late ]; then until [ -e go ]; do sleep 0.05; done; else touch go; fi; echo {}' \
  ::: late early
equal "$(cat out)" $'early\nlate' "without -k"

# With -k the first job's output passes through while it runs.
mkfifo pipe
"$HEDDLE" map -k -j2 sh -c 'echo begin $0; until [ -e end$0 ]; do sleep 0.05; done' ::: 1 2 >pipe &
exec 5<pipe
read -r -t 60 line <&5 || fail "-k holds back the output of the first job"
equal "$line" "begin 1" "the first job's output"
touch end2 end1
equal "$(cat <&5)" "begin 2" "the second job's output"
exec 5<&-
wait $! || fail "status $?"

# Tags.
map 0 -k --tag sh -c 'echo one; echo; printf two' ::: a 'b c'
equal "$(cat out)" $'a\tone\na\t\na\ttwob c\tone\nb c\t\nb c\ttwo' "--tag"
map 0 -k --tag echo x ::: a ::: b
equal "$(cat out)" $'a b\tx a b' "--tag of two sources"
map 0 -k -0 --tag echo x < <(printf 'two\nlines\0')
equal "$(head -1 out)" "\$'two\\nlines'"$'\tx two' "--tag of an input with a newline"

# Ungrouped output does not wait for the end of the job.
"$HEDDLE" map -u -j1 sh -c 'echo now; until [ -e stop ]; do sleep 0.05; done' ::: 1 >pipe &
exec 5<pipe
read -r -t 60 line <&5 || fail "-u holds output back"
equal "$line" now "-u"
touch stop
wait $! || fail "status $?"
exec 5<&-

# What a job's background processes write after its end is not lost.
map 0 sh -c '(sleep 0.5; echo late) & echo first' ::: x
equal "$(cat out)" $'first\nlate' "output of a background process"

# Many words in the output do not slow it down, and a reader that starts late gets everything.
seq -s ' ' 1000 >words
for i in $(seq 2000); do cat words; done >many
map 0 -j2 sh -c 'cat many' ::: 1 2 3 4
equal "$(wc -c <out)" $((4 * $(wc -c <many))) "words"
"$HEDDLE" map -k -j2 sh -c 'cat many' ::: 1 2 3 4 | (sleep 1; md5sum) >got
cat many many many many | md5sum >wanted
same_file got wanted "a slow reader"

# A socket as standard output.
if command -v python3 >/dev/null; then
  python3 - >got <<'END'
import os, socket, subprocess
ours, theirs = socket.socketpair()
p = subprocess.Popen([os.environ["HEDDLE"], "map", "-k", "cat", ":::", "many", "many"], stdout=theirs)
theirs.close()
total = 0
while chunk := ours.recv(65536): total += len(chunk)
print(total, p.wait())
END
  equal "$(cat got)" "$((2 * $(wc -c <many))) 0" "a socket"
fi

# Outputs that must wait do not fill the disk: past the limit their jobs wait, too.
rm -f go_on ended*
"$HEDDLE" map -k -j2 --spill-limit 4M --shell \
  'if [ {} = 1 ]; then until [ -e go_on ]; do sleep 0.05; done; fi; head -c 100000000 /dev/zero; : >ended{}' \
  ::: 1 2 >out 2>err &
pid=$!
on_disk() {
  local file size=0
  for file in /proc/$pid/fd/*; do
    case $(readlink "$file") in *'(deleted)') size=$(stat -L -c %s "$file") ;; esac
  done
  echo "$size"
}
some_on_disk() { [ "$(on_disk)" -ge 4000000 ]; }
wait_until some_on_disk
sleep 0.5
# What was in memory has gone there in one go.
[ "$(on_disk)" -le 24000000 ] || fail "$(on_disk) bytes on disk instead of 4M"
[ ! -e ended2 ] || fail "a job goes on though there is no room for its output"
: >go_on
wait $pid || fail "status $?: $(cat err)"
equal "$(wc -c <out)" 200000000 "bytes of output"
# Without an order all of them wait but one.
seq 4 | "$HEDDLE" map -j4 --spill-limit 1M sh -c 'head -c 30000000 /dev/zero' 2>err | wc -c >out
equal "$(cat out)" 120000000 "bytes of output past the limit"
nothing_on_stderr
