# What a job inherits: nothing that it should not.
. "$(dirname "$0")/lib.sh"

# Standard input is /dev/null, even when heddle reads its own.
map 0 -j1 sh -c 'readlink /proc/self/fd/0; cat' x < <(printf 'a\nb\n')
equal "$(cat out)" $'/dev/null\n/dev/null' "standard input"

# No descriptors but the three, though our parent left some open and other jobs run.
exec 7</dev/null 8>side 9>&1
map 0 -k -j4 --joblog log --results results sh -c 'ls /proc/$$/fd; :' ::: 1 2 3 4
exec 7<&- 8>&- 9>&-
equal "$(tr '\n' ' ' <out)" "0 1 2 0 1 2 0 1 2 0 1 2 " "inherited descriptors"

# No signal is ignored or blocked, though we ignore some.
(trap '' USR1 PIPE; "$HEDDLE" map --shell 'grep -E "^Sig(Blk|Ign)" /proc/self/status; :' ::: x) >out
equal "$(awk '{print $2}' out | sort -u)" 0000000000000000 "signals blocked or ignored"

# The limit on descriptors is the one we were given, though many jobs need a higher one.
(
  ulimit -Sn 64
  map 0 -j40 sh -c 'ulimit -Sn' ::: 1
) || exit 1
equal "$(cat out)" 64 "limit on descriptors"

# A process group of its own for every job.
map 0 -k -j3 sh -c 'test $(ps -o pgid= -p $$) -eq $$ && echo own' ::: 1 2 3
equal "$(sort -u out)" own "process group"

# The environment and the working directory are ours.
export OURS='with spaces'
map 0 sh -c 'echo "$OURS"; pwd' ::: x
equal "$(cat out)" "with spaces
$PWD" "environment and directory"
