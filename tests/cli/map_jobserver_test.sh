# GNU make's job slots: taken from a make that has started us, and given to those that we start.
# processors: 2
. "$(dirname "$0")/lib.sh"

# The most jobs that ran at once, according to a log of lines "start" and "end".
most() { awk '/^start/ { if (++n > m) m = n } /^end/ { n-- } END { print m + 0 }' log; }
at_most() {
  [ "$(most)" -le "$1" ] || fail "$2: $(most) jobs at once instead of $1"
  equal "$(grep -c ^start log)" "$3" "$2: jobs run"
  rm -f log
}
job='echo start >>log; sleep 0.05; echo end >>log'

# A jobserver of ours, with tokens that can be told apart.
mkfifo slots
exec 5<>slots
tokens=xy
printf $tokens >&5
all_back() {
  local back
  back=$(timeout 10 head -c ${#tokens} <&5 | fold -w 1 | sort | tr -d '\n')
  equal "$back" "$tokens" "tokens that came back after $1"
  read -r -t 0 -u 5 && fail "more tokens came back after $1 than were taken"
  printf $tokens >&5
}
export MAKEFLAGS="-j3 --jobserver-auth=fifo:$PWD/slots -- V=--jobserver-auth=9,9"

map 0 sh -c "$job" ::: 1 2 3 4 5 6 7 8
nothing_on_stderr
at_most 3 "a named pipe" 8
all_back "success"

# Two tokens are three jobs, which wait for each other.
map 0 -j auto sh -c ': >met$0; until [ -e met1 ] && [ -e met2 ] && [ -e met3 ]; do sleep 0.05; done' ::: 1 2 3
all_back "jobs that met"

map 3 sh -c "$job; exit 1" ::: 1 2 3
rm -f log
all_back "failures"
map 255 -j auto --joblog /dev/full sh -c "$job" ::: 1 2 3 4 5 6
rm -f log
all_back "a full disk"
map 255 nosuchcommand ::: 1 2 3
all_back "a command that does not exist"

# Interrupted, and killed by signals that can be caught; the jobs do not mind SIGTERM.
for how in INT TERM 'TERM TERM' 'TERM TERM TERM'; do
  rm -f going*
  set -m  # else this shell makes what runs in the background ignore SIGINT
  "$HEDDLE" map -j auto sh -c 'trap : TERM; echo $$ >going$0; while :; do sleep 0.1; [ ! -e enough ] || exit 1; done' \
    ::: 1 2 3 4 >out 2>err &
  pid=$!
  set +m
  several() { [ "$(cat going* 2>/dev/null | wc -l)" -ge 2 ]; }
  wait_until several
  for signal in $how; do
    kill "-$signal" $pid
    sleep 0.1
  done
  : >enough
  wait $pid && fail "no failure after $how"
  for job_pid in $(cat going*); do wait_until not_alive "$job_pid"; done
  rm enough
  all_back "$how"
done

# A number of jobs is what the user wants, whatever make says.
rm -f met*
map 0 -j 5 sh -c ': >met$0; until [ "$(ls met* | wc -l)" = 5 ]; do sleep 0.05; done' ::: 1 2 3 4 5
nothing_on_stderr

# What cannot be used: said once, and one job at a time.
unusable() {
  map 0 sh -c "$job" ::: 1 2 3
  one_line "make's job slots" "$1" "-j N"
  equal "$(most)" 1 "jobs at once without a jobserver"
  rm -f log
  map 0 -j2 true ::: 1
  nothing_on_stderr
  map 0 --dry-run true ::: 1
  nothing_on_stderr
}
MAKEFLAGS="-j --jobserver-auth=98,99" unusable "98 and 99"
MAKEFLAGS="-j --jobserver-fds=0,1" unusable "0 and 1" </dev/null
MAKEFLAGS="-j --jobserver-auth=-2,-2" unusable "keeps it"
MAKEFLAGS="-j --jobserver-auth=fifo:$PWD/nowhere" unusable "No such file"
MAKEFLAGS="-j --jobserver-auth=fifo:$PWD" unusable "directory"
MAKEFLAGS="-j --jobserver-auth=semaphore" unusable "semaphore"
# Numbers that now stand for the pipes of others, whose bytes are not ours to take.
mkfifo others
exec 7<>others
printf 'precious' >&7
MAKEFLAGS="-j3 --jobserver-auth=5,7" unusable "5 and 7"
equal "$(timeout 10 head -c 8 <&7)" precious "what was in somebody else's pipe"
exec 7>&-
unset MAKEFLAGS

# The servers' side: a job takes a token and does not give it back, twice, though there is only one.
cat >keep_token <<'END'
#!/bin/bash
auth=${MAKEFLAGS##*--jobserver-auth=}
case $auth in
fifo:*) pipe=${auth#fifo:} ;;
*) pipe=/dev/fd/${auth%,*} ;;
esac
head -c 1 "$pipe" >"token$1"
END
chmod +x keep_token
for style in fifo pipe; do
  rm -f token*
  mkfifo inputs
  "$HEDDLE" map -j2 --jobserver=$style ./keep_token <inputs >out 2>err &
  pid=$!
  exec 6>inputs
  for i in 1 2; do
    echo $i >&6
    wait_until test -s token$i
  done
  exec 6>&-
  wait $pid || fail "status $? with tokens that are lost ($style): $(cat err)"
  equal "$(cat token1 token2)" ++ "tokens ($style)"
  one_line "2 job tokens did not come back"
  rm inputs
done
map 0 -j1 --jobserver=fifo sh -c 'echo "$MAKEFLAGS"' ::: 1
grep -qE '^-j1 --jobserver-auth=fifo:/' out || fail "MAKEFLAGS: $(cat out)"
MAKEFLAGS='ks -j9 --jobserver-auth=5,6 -- A=b' map 0 -j1 --jobserver=pipe sh -c 'echo "$MAKEFLAGS"' ::: 1
grep -qE '^ks -j1 --jobserver-auth=[0-9]+,[0-9]+ -- A=b$' out || fail "MAKEFLAGS: $(cat out)"

# The real one, where there is one.
command -v make >/dev/null || exit 0
cat >Makefile <<END
all:
	+@"$HEDDLE" map sh -c '$job' ::: 1 2 3 4 5 6
fails:
	+@"$HEDDLE" map sh -c 'exit 1' ::: 1 2 3
alone:
	@"$HEDDLE" map sh -c '$job' ::: 1 2 3
meeting: meet1 meet2 meet3
meet%:
	@: >\$@; until [ -e meet1 ] && [ -e meet2 ] && [ -e meet3 ]; do sleep 0.05; done
many: a1 a2 a3 a4
a%:
	@$job
END
sed -i 's/\\\$@/$@/; s/\$0/$$0/g' Makefile
make -j3 >out 2>err || fail "status $? in make: $(cat err)"
nothing_on_stderr
at_most 3 "started by make" 6
make -j3 fails >out 2>err && fail "make does not see failures"
grep -q INTERNAL err && fail "make misses tokens: $(cat err)"
make -j3 alone >out 2>err || fail "status $? without +"
one_line "make's job slots"
at_most 1 "started by make without +" 3
# A make that is killed keeps its tokens: they are made up for when no job runs.
cat >killed.mk <<'END'
killed: k1 k2
k%:
	@echo $$PPID >make.pid; echo $$$$ >$@.pid; : >$@.up; exec sleep 1000
both: b1 b2
b%:
	@: >$@; until [ -e b1 ] && [ -e b2 ]; do sleep 0.05; done
END
rm -f inputs
mkfifo inputs
"$HEDDLE" map -j2 --jobserver make -s -f killed.mk <inputs >out 2>err &
pid=$!
exec 6>inputs
echo killed >&6
for i in 1 2; do wait_until test -e k$i.up; done
kill -KILL "$(cat make.pid)"
kill "$(cat k1.pid)" "$(cat k2.pid)"
wait_until grep -q 'signal 9' err
echo both >&6
exec 6>&-
got=0
wait $pid || got=$?
equal "$got" 1 "status after a make was killed"
grep -q '1 job token did not come back' err || fail "nothing is said of a lost token: $(cat err)"
equal "$(wc -l <err)" 2 "lines on standard error after a make was killed"
# One make gets all slots, several share them.
map 0 -j3 --jobserver make -s ::: meeting
nothing_on_stderr
map 0 -j3 --jobserver make -s ::: many many many
nothing_on_stderr
at_most 3 "makes" 12
# Make in a map in a make.
printf 'all:\n\t+@"%s" map make -s ::: many many\n' "$HEDDLE" >outer
make -j3 -f outer >out 2>err || fail "status $? of a make in a map in a make: $(cat err)"
nothing_on_stderr
at_most 3 "makes in a map in a make" 8
