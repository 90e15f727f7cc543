# The joblog: GNU parallel's columns, written line by line, and runs that go on from it.
# processors: 0
. "$(dirname "$0")/lib.sh"

header=$'Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand'

map 2 -j1 --joblog log sh -c ::: 'echo 12345' 'exit 7' 'kill -9 $$' 'printf "%s\n" "a	b"'
equal "$(head -1 log)" "$header" "header"
equal "$(cut -f 1,2,5-8 log | tail -n +2)" $'1\t:\t0\t6\t0\t0
2\t:\t0\t0\t7\t0
3\t:\t0\t0\t0\t9
4\t:\t0\t4\t0\t0' "columns"
equal "$(awk -F'\t' '{print NF}' log | sort -u)" 9 "a tab in a command makes a column"
tail -n +2 log | cut -f 3,4 | grep -qvE $'^[0-9]{10}\\.[0-9]{3}\t +[0-9]+\\.[0-9]{3}$' &&
  fail "times: $(cat log)"
now=$(date +%s)
awk -F'\t' -v now="$now" 'NR > 1 && ($3 < now - 300 || $3 > now + 5) {exit 1}' log || fail "start times"

# Every command is one line, from which bash gets the same words back.
printf '%s\0' $'new\nline' $'tab\t' "quo'te" 'dollar $x' $'\001\033' $'b\\slash' '' >words
map 0 -0 -j1 --joblog log printf '%s\0' <words
same_file out words "the words themselves"
cut -f 9 log | tail -n +2 >commands
equal "$(wc -l <commands)" 7 "a line for each job"
bash commands >again
same_file again words "the commands of the log, run by bash"
map 0 -0 --shell --joblog log 'printf "%s\0"' <words
cut -f 9 log | tail -n +2 | bash >again
sort -z words >wanted
sort -z again | cmp - wanted || fail "the commands of the log of --shell, run by bash"

# Every line is written with one call, and made durable with --sync.
if command -v strace >/dev/null && strace -o trace true 2>/dev/null; then
  strace -f -s 200 -o trace -e trace=write,fdatasync,openat "$HEDDLE" map -j2 --joblog log --sync true ::: 1 2 3
  joblog_fd=$(sed -nE 's/.*openat\(.*"log".*= ([0-9]+)$/\1/p' trace)
  equal "$(grep -c "write($joblog_fd, .*true [123]\\\\n\"" trace)" 3 "writes of log lines"
  equal "$(grep -c "fdatasync($joblog_fd" trace)" 4 "syncs of the header and three lines"
fi

# A log made by GNU parallel is understood, and the other way round.
if command -v parallel >/dev/null; then
  parallel --will-cite --joblog theirs 'exit {}' ::: 0 3 0 2>/dev/null
  map 0 -k --joblog theirs --resume-failed echo ran ::: 1 2 3 4
  equal "$(cat out)" $'ran 2\nran 4' "--resume-failed from a log of GNU parallel"
  map 1 --joblog ours sh -c 'exit $0' ::: 0 3 0
  parallel --will-cite -k --joblog ours --resume-failed echo ran ::: 1 2 3 4 >got 2>/dev/null
  equal "$(cat got)" $'ran 2\nran 4' "GNU parallel goes on from our log"
fi

# --resume runs what the log does not have; --resume-failed also what failed; the last line counts.
map 1 -k --joblog log sh -c 'echo $0; [ $0 != b ]' ::: a b c
map 0 -k --joblog log --resume echo ::: a b c d
equal "$(cat out)" d "--resume"
map 0 -k --joblog log --resume-failed echo ::: a b c d e
equal "$(cat out)" $'b\ne' "--resume-failed"
map 0 -k --joblog log --resume-failed echo ::: a b c d e
equal "$(cat out)" '' "nothing is left to do"
nothing_on_stderr
equal "$(grep -c "^Seq" log)" 1 "headers"
map 0 -k --joblog fresh --resume echo ::: a b
equal "$(head -1 fresh; wc -l <fresh)" "$header"$'\n3' "--resume without a log begins one"
map 0 --joblog fresh echo ::: a
equal "$(wc -l <fresh)" 2 "without --resume the log begins anew"

# Torn at any byte, the last line's job runs again, and the log stays readable.
map 0 -j1 --joblog whole echo ::: a b c
size=$(wc -c <whole)
keep=$(head -3 whole | wc -c)
for ((length = keep + 1; length < size; length += 3)); do
  head -c $length whole >log
  map 0 --joblog log --resume echo ::: a b c
  equal "$(cat out)" c "resumed from a log torn at byte $length"
  equal "$(tail -1 log | cut -f 1,9)" $'3\techo c' "last line after a log torn at byte $length"
  map 0 --joblog log --resume echo ::: a b c
  equal "$(cat out)" "" "resumed twice from a log torn at byte $length"
done
head -c 20 whole >log
map 0 -k --joblog log --resume echo ::: a b
equal "$(cat out)" $'a\nb' "resumed from a torn header"

# Killed in the middle, a run goes on where it was: every job has run, and few of them twice.
seq 300 >inputs
"$HEDDLE" map -j2 --joblog log sh -c 'echo $0 >>ran; sleep 0.01' <inputs &
pid=$!
many() { [ -e ran ] && [ "$(wc -l <ran)" -gt 60 ]; }
wait_until many
kill -KILL $pid
wait $pid 2>/dev/null
sleep 0.2
map 0 -j2 --joblog log --resume sh -c 'echo $0 >>ran' <inputs
equal "$(sort -nu ran)" "$(cat inputs)" "jobs that ran"
[ "$(wc -l <ran)" -le 302 ] || fail "$(wc -l <ran) starts for 300 jobs"
equal "$(tail -n +2 log | cut -f 1 | sort -n)" "$(cat inputs)" "jobs in the log"

# Lines that are none are told about.
printf 'garbage\n1\t:\tx\n' >>log
map 0 --joblog log --resume true <inputs
one_line "2 lines"
