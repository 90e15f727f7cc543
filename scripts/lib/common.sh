# What the scripts share: sourced, never run. Each script starts at the top of the project.

cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# packages_of SECTION...: the packages that scripts/packages.txt lists in these sections.
packages_of() {
  local section line current=
  while IFS= read -r line; do
    case $line in
      '' | '#'*) ;;
      '['*']') current=${line:1:-1} ;;
      *) for section in "$@"; do [[ $section != "$current" ]] || printf '%s\n' "$line"; done ;;
    esac
  done < scripts/packages.txt
}

# missing_packages NAME...: those of them that are not installed.
missing_packages() {
  local name
  for name in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] ||
      printf '%s\n' "$name"
  done
}

# install_packages SECTION...: installs what is missing; needs no network when nothing is.
install_packages() {
  local missing=() as_root=()
  mapfile -t missing < <(missing_packages $(packages_of "$@"))
  ((${#missing[@]})) || return 0
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "as root, install these packages first: ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing ${missing[*]}"
  mkdir -p build
  local install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends "${missing[@]}")
  # The package lists may be absent, as in a fresh image, or too old: read them anew only then.
  "${install[@]}" </dev/null >build/apt.log 2>&1 ||
    { "${as_root[@]}" apt-get update -qq </dev/null >>build/apt.log 2>&1 &&
      "${install[@]}" </dev/null >>build/apt.log 2>&1; } ||
    { tail -n 20 build/apt.log >&2; die "apt-get could not install: ${missing[*]}"; }
}

# build PRESET [TARGET...]: configures and builds, and shows what the compiler said if that fails.
build() {
  local preset=$1 log=build/$1.log started=$SECONDS
  shift
  mkdir -p build
  say "building $preset (log: $log)"
  if ! { cmake --preset "$preset" && cmake --build --preset "$preset" ${1:+--target "$@"}; } \
    </dev/null >"$log" 2>&1; then
    grep -E -A 12 'error:|FAILED:|CMake Error' "$log" | head -n 80 >&2 || tail -n 40 "$log" >&2
    die "the $preset build failed; the whole log is in $log"
  fi
  say "built $preset in $((SECONDS - started)) s"
}
