# Where inputs come from, and how they are put into the command.
. "$(dirname "$0")/lib.sh"

# The four kinds of sources.
printf '1\n2\n3\n' >numbers
map 0 -k echo ::: a 'b  c' ''
equal "$(cat out)" $'a\nb  c' "words after :::"
map 0 -k echo <numbers
same_file out numbers "standard input, a file"
map 0 -k echo < <(cat numbers)
same_file out numbers "standard input, a pipe"
map 0 -k -a numbers echo </dev/null
same_file out numbers "-a FILE"
map 0 -k -a - echo <numbers
same_file out numbers "-a -"
map 0 -k -a <(cat numbers) echo
same_file out numbers "-a of a pipe"
map 0 -k echo ::: x <numbers
equal "$(cat out)" x "standard input is not read when there are words"

# Lines: none is lost, added or changed.
printf 'a\r\n\n  b \nlast' >lines
map 0 -k printf '[%s]' <lines
printf '[a\r][][  b ][last]' >wanted
same_file out wanted "carriage return, empty line, blanks, last line without newline"
printf 'a\nb\0c\0\0last' >records
map 0 -k -0 printf '[%s]' <records
printf '[a\nb][c][][last]' >wanted
same_file out wanted "-0"

# Inputs are taken as they arrive: the second line is written after the first job has run.
mkfifo pipe
"$HEDDLE" map touch <pipe &
exec 5>pipe
echo first >&5
wait_until test -e first
echo second >&5
wait_until test -e second
exec 5>&-
wait $! || fail "streamed inputs: status $?"

# All combinations, the last source fastest.
map 0 -k echo ::: a b ::: 1 2
equal "$(cat out)" $'a 1\na 2\nb 1\nb 2' "two sources"
map 0 -k echo {2}-{1} ::: a b ::: 1 2
equal "$(cat out)" $'1-a\n2-a\n1-b\n2-b' "{1} {2}"
map 0 -k -a numbers echo ::: x y
equal "$(cat out)" $'1 x\n1 y\n2 x\n2 y\n3 x\n3 y' "a file and words"
map 0 -k -a numbers -a numbers echo
equal "$(wc -l <out)" 9 "two files"
equal "$(sed -n 4p out)" "2 1" "two files"
if command -v parallel >/dev/null; then
  parallel --will-cite -k echo {1} {2} {3} ::: a b ::: 1 2 3 ::: x y >wanted 2>parallel.err
  map 0 -k echo {1} {2} {3} ::: a b ::: 1 2 3 ::: x y
  same_file out wanted "the order of GNU parallel"
fi

# Placeholders.
template() {
  map 0 -k echo "$1" ::: "$2"
  equal "$(cat out)" "$3" "$1 for $2"
}
template {} dir/file.txt dir/file.txt
template {.} dir/file.txt dir/file
template {/} dir/file.txt file.txt
template {//} dir/file.txt dir
template {/.} dir/file.txt file
template {#} x 1
template {.} dir.d/file dir.d/file
template {/.} a.tar.gz a.tar
template {//} file .
template {//} /file /
template {//} a//b a
template {/} dir/ ''
template 'a{}b{/}c' x/y 'ax/ybyc'
template '{1/}' d/x x
template '{1}{2}' x 'x{2}'
template '{} {x} {' y 'y {x} {'
map 0 -k echo {} and {} ::: bar
equal "$(cat out)" "bar and bar" "a placeholder twice"
map 0 -k echo '<{}>' '{#}' ::: a b ::: c
equal "$(cat out)" $'<a c> 1\n<b c> 2' "all sources inside a word"

# The template belongs to the command from its first word on.
map 0 -k echo -k --bar -j x ::: 1
equal "$(cat out)" "-k --bar -j x 1" "options after the command are the command's"
map 0 -kj3 --retries=0 echo ::: 1
equal "$(cat out)" 1 "-kj3"

# What would run.
map 0 --dry-run rm -- '{}' x ::: "it's" 'a b' $'tab\there'
equal "$(cat out)" "rm -- 'it'\\''s' x
rm -- 'a b' x
rm -- \$'tab\\there' x" "--dry-run"
