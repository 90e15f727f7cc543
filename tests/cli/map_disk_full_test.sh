# A full disk is told about once, and what could not be kept is not taken for done.
# After the test DISKFULL of man parallel_alternatives.
. "$(dirname "$0")/lib.sh"

# A file size limit is as good as a full disk, and needs no privileges. Units of 1024 bytes.
limited() {
  local kib=$1
  shift
  (
    ulimit -f "$kib"
    map "$@"
  ) || exit 1
}
big='head -c 20000000 /dev/zero; sleep 0.3; echo the end'

# The temporary folder: 60 MB have to wait, 16 fit into memory and 5 on the disk.
limited 5000 255 -j3 --joblog log sh -c ": >up\$0; until [ -e up3 ]; do sleep 0.05; done; $big" ::: 1 2 3 4 5 6
one_line "temporary folder" "/tmp"
equal "$(tail -n +2 log | wc -l)" 3 "jobs that ran are logged"
equal "$(awk -F'\t' 'NR > 1 && $7 == 0 && $8 == 0' log)" "" "a job whose output is lost counts as done"
map 0 -j1 --joblog log --resume-failed sh -c 'echo again $0' ::: 1 2 3 4 5 6
equal "$(wc -l <out)" 6 "jobs to run again"

TMPDIR=/nonexistent map 255 -j3 sh -c "$big" ::: 1 2 3
one_line /nonexistent "No such file"

# Little output needs no temporary folder at all.
TMPDIR=/nonexistent map 0 -j3 echo ::: 1 2 3

# --results.
limited 5000 255 -j2 --results results --joblog log sh -c "$big" ::: 1 2 3 4 5 6
one_line "results" stdout
equal "$(awk -F'\t' 'NR > 1 && $7 == 0 && $8 == 0' log)" "" "a job whose result is lost counts as done"

# The joblog: the run ends, since what follows could not be told.
ln -s /dev/full full
map 255 --joblog full echo ::: 1
one_line "joblog" "No space left"
# A limit that leaves room for the header and some lines.
seq 200 | limited 1 255 -j1 --joblog small echo
one_line "joblog"

# Standard output.
"$HEDDLE" map -j2 --joblog log echo ::: 1 2 3 4 5 6 >/dev/full 2>err
equal "$?" 255 "status with a full disk as standard output"
one_line "standard output" "No space left"
[ "$(wc -l <log)" -ge 2 ] || fail "the job that ran is not logged"

# A file system that is really full.
mkdir disk
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=8m none disk 2>/dev/null; then
  trap 'umount disk' EXIT
  TMPDIR=$PWD/disk map 255 -j3 --joblog log sh -c "$big" ::: 1 2 3 4
  one_line "temporary folder" "No space left"
  equal "$(ls -A disk)" "" "files left in the temporary folder"
  map 255 -j1 --results disk/results sh -c "$big" ::: 1 2 3 4
  one_line "disk/results/1/stdout" "No space left"
fi
