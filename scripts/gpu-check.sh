#!/bin/sh
# Runs every check and measurement of the GPU on a bare x86-64 Linux machine with a GPU driver, without a network, and prints one table.
#
#   node scripts/gpu-check.mjs                     makes out/gpu-check/roundoff-gpu-check.tar.xz, where the project is built
#   sh gpu-check.sh [options]                      on the GPU machine, beside that archive or inside the unpacked folder
#
# Options: --out FOLDER (default: $OUT), --minutes N (10), --quick, --allow-software, --cases NAMES, --skip PARTS; `--help` lists them.
# A Python with torch and transformers is measured beside us where it is found on the path or named in ROUNDOFF_PYTHON.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

fail() {
  echo "gpu-check: $1" >&2
  exit 2
}

[ "$(uname -s)" = Linux ] && [ "$(uname -m)" = x86_64 ] || fail "this archive is for x86-64 Linux; this is $(uname -s) on $(uname -m)."

if [ -x "$here/node" ]; then
  home=$here
else
  archive=$here/roundoff-gpu-check.tar.xz
  [ -f "$archive" ] || archive=$here/../out/gpu-check/roundoff-gpu-check.tar.xz
  [ -f "$archive" ] || fail "roundoff-gpu-check.tar.xz is not beside this script; make it with \"node scripts/gpu-check.mjs\" in the project."
  for tool in tar xz; do
    command -v "$tool" >/dev/null 2>&1 || fail "\"$tool\" is not installed here; unpack $archive elsewhere and run gpu-check.sh in the folder."
  done
  folder=$(mktemp -d "${TMPDIR:-/tmp}/roundoff-gpu-check.XXXXXX")
  trap 'rm -rf "$folder"' EXIT
  tar -xJf "$archive" -C "$folder"
  home=$folder/roundoff-gpu-check
fi

# Node's own needs, taken from the archive only where the system has none: newer ones may be what a driver was built for.
links=$(mktemp -d "${TMPDIR:-/tmp}/roundoff-libraries.XXXXXX")
for library in libatomic.so.1 libgcc_s.so.1 libstdc++.so.6; do
  if ! "${LDCONFIG:-/sbin/ldconfig}" -p 2>/dev/null | grep -q "$library" && [ -f "$home/lib/$library" ]; then
    ln -s "$home/lib/$library" "$links/$library"
    LD_LIBRARY_PATH=$links${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
  fi
done
trap 'rm -rf "$links" ${folder:+"$folder"}' EXIT

"$home/node" --version >/dev/null || fail "Node does not start here; it needs glibc 2.34 or newer."
status=0
ROUNDOFF_CARRIED_LIBRARIES=$home/lib ROUNDOFF_NODE=$home/node "$home/node" "$home/out/main/gpu-check.js" "$@" || status=$?
exit "$status"
