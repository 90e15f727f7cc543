# --bar: on a terminal only, honest about what is not known, and out of the way of output.
# processors: 0
. "$(dirname "$0")/lib.sh"

map 0 --bar -k echo ::: 1 2 3
nothing_on_stderr
equal "$(cat out)" $'1\n2\n3' "output without a terminal"

command -v script >/dev/null || skip "script(1) is not here"

# Runs the words on a terminal 70 columns wide; what appeared there is in the file screen.
on_terminal() {
  rm -f screen
  COLUMNS=70 script -qefc "stty cols 70 rows 24; $*" screen </dev/null >/dev/null
}
# The states of the bar, one a line.
bars() { tr '\r' '\n' <screen | sed 's/\x1b\[K//g' | grep -E '^ *[0-9]+(%| done) '; }

# appears PATTERN: waits until the bar has said it; for jobs and feeders.
cat >appears <<'END'
#!/bin/sh
until grep -aqE "$1" screen; do sleep 0.05; done
END
chmod +x appears

on_terminal "'$HEDDLE' map --bar -j2 ./appears ::: ' 0%' ' 0%' 'ETA [0-9]' 'ETA [0-9]' 3/6 4/6" || fail "status $?"
bars | tail -1 | grep -q '^100% .* 6/6 .* took ' || fail "last state: $(bars | tail -1)"
bars | head -1 | grep -q '^  0% .* 0/6 .* running' || fail "first state: $(bars | head -1)"
[ "$(bars | awk '{ if (length($0) > longest) longest = length($0) } END { print longest }')" -le 69 ] ||
  fail "wider than the terminal"
equal "$(bars | grep 100% | grep -v ' 6/6 ')" "" "states that say 100 % before the end"

# Input that is still coming: no percentage, and no 100 % before its end is seen.
mkfifo feed
rm -f screen
{ echo 1; ./appears '1 done .* more input to come' 2>/dev/null; echo 2; } >feed &
on_terminal "'$HEDDLE' map --bar -j2 true <feed" || fail "status $?"
equal "$(bars | grep 100% | grep -v ' 2/2 ')" "" "states that say 100 % before the end of streamed input"
bars | tail -1 | grep -q '^100% .* 2/2' || fail "last state with streamed input: $(bars | tail -1)"

# Output on the same terminal: every line stands alone, with nothing of the bar in it.
on_terminal "'$HEDDLE' map --bar -j1 --shell 'sleep 0.25; echo output-{}' ::: 1 2 3 4" || fail "status $?"
# What is seen: each bar is erased (ESC [ K) before output begins in the same line.
sed 's/\r$//; s/.*\r\x1b\[K//' screen | grep -E '^output-[1-4]$' >seen
equal "$(cat seen)" $'output-1\noutput-2\noutput-3\noutput-4' "lines of output among the bars"

# A line that a job has begun is left alone until it is finished.
on_terminal "'$HEDDLE' map --bar --shell 'printf begun-; sleep 0.5; echo finished' ::: 1" || fail "status $?"
tr -d '\r' <screen | grep -q 'begun-finished' || fail "the bar in a line of output: $(cat -v screen)"

# Failures are counted.
on_terminal "'$HEDDLE' map --bar -j1 --shell 'sleep 0.15; exit {}' ::: 0 1 1; true"
bars | tail -1 | grep -q '2 failed' || fail "failures in the bar: $(bars | tail -1)"

# A regular file gives an estimate, marked as one, until its end has been read.
seq -f 'a line of input that takes some room %06g' 20000 >inputs
on_terminal "'$HEDDLE' map --bar -j2 --halt now,fail=1 --shell './appears \"[0-9]/~[12][0-9]{4} \"; exit 1' <inputs; true"
bars | grep -qE '[0-9]+/~(1|2)[0-9]{4} ' || fail "no estimate: $(bars | head -3)"
