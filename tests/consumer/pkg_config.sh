#!/usr/bin/env bash
# Builds and runs the program with what pkg-config says. The library is linked by its path at run
# time too, as pkg-config leaves that to the user.
# usage: pkg_config.sh COMPILER PROGRAM PREFIX LIBDIR WORK
set -euo pipefail
compiler=$1 program=$2 prefix=$3 libdir=$4 work=$5
command -v pkg-config >/dev/null || { echo "pkg-config is not installed"; exit 77; }

export PKG_CONFIG_PATH=$prefix/$libdir/pkgconfig
pkg-config --print-errors --atleast-version=0.1 heddle
mkdir -p "$work"
read -ra flags < <(pkg-config --cflags --libs heddle)
"$compiler" -std=c++20 "$program" "${flags[@]}" -o "$work/program"
LD_LIBRARY_PATH=$prefix/$libdir "$work/program"
