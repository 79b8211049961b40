#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Builds aarch64-none-elf-gcc (C only, no C library) from Debian's source packages, without root, into
# ${XDG_CACHE_HOME:-~/.cache}/lukos/aarch64-none-elf, where toolchain.cmake looks for it. About ten minutes on two cores
# and 2 GB of disk while it works. Call it again after an interruption: it goes on where it was.
set -eu

TARGET=aarch64-none-elf
GCC=${LUKOS_GCC:-12}
CACHE=${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/lukos
PREFIX=$CACHE/$TARGET
WORK=$CACHE/toolchain-build
LOG=$WORK/build.log
JOBS=$(getconf _NPROCESSORS_ONLN)
STEPS=8

fail() {
    printf '%s\n' "make toolchain: $*" >&2
    exit 1
}

need() {
    for program in "$@"; do
        command -v "$program" >/dev/null || fail "$program is missing (Debian, Ubuntu: apt-get install build-essential xz-utils)." \
            "The kernel also builds without this compiler: make kernel takes what it finds."
    done
}

# step NAME LINES TEXT: run the function NAME once, with its output in the log; LINES is about how long that output is.
step() {
    count=$((${count:-0} + 1))
    [ -e "$WORK/done.$1" ] && { printf '[%d/%d] %-28s done before\n' $count $STEPS "$3"; return; }
    began=$(date +%s)
    progress "$2" "$3" &
    shown=$!
    set +e # not `if (...)`: that would switch off -e inside too
    (set -eux; "$1") >>"$LOG" 2>&1 # in the foreground, so that Ctrl-C reaches the compilers
    status=$?
    set -e
    kill $shown 2>/dev/null || true
    wait $shown 2>/dev/null || true
    shown=
    if [ $status -ne 0 ]; then
        grep -E '(error|\*\*\*|^[EW]):? ' "$LOG" | tail >&2
        fail "failed at: $3. The whole log: $LOG"
    fi
    touch "$WORK/done.$1"
    [ ! -t 1 ] || printf '\r'
    printf '[%d/%d] %-28s %4d s\n' $count $STEPS "$3" $(($(date +%s) - began))
}

progress() {
    [ -t 1 ] || return 0
    before=$(wc -l <"$LOG")
    while kill -0 $$ 2>/dev/null; do
        percent=$((($(wc -l <"$LOG" 2>/dev/null) - before) * 100 / $1))
        [ $percent -lt 99 ] || percent=99
        printf '\r[%d/%d] %-28s %3d %%' $count $STEPS "$2" $percent
        sleep 1
    done
}

# apt with lists and cache of its own when the system's lists are empty: `apt-get update` needs no root that way.
apt_here() {
    tool=$1
    shift
    if [ -e "$WORK/apt/own" ]; then
        set -- -o Dir::State::Lists="$WORK/apt/lists" -o Dir::Cache="$WORK/apt/cache" -o Debug::NoLocking=1 "$@"
    fi
    "$tool" "$@"
}

download() {
    apt_here apt-get download "$@"
    for name in "$@"; do
        dpkg-deb -x "$(find . -maxdepth 1 -name "${name}_*.deb")" "$WORK/debs"
    done
}

fetch_sources() {
    mkdir -p "$WORK/packages" "$WORK/debs" "$WORK/apt/lists/partial" "$WORK/apt/cache/archives/partial"
    cd "$WORK/packages"
    if ! apt-cache show binutils-source "gcc-$GCC-source" >/dev/null; then
        touch "$WORK/apt/own"
        apt_here apt-get update
    fi
    download binutils-source "gcc-$GCC-source"
}

# What configure and make need on the host and the host has not: unpacked privately, the libraries static only, so that
# the compiler runs later without them.
fetch_host_packages() {
    cd "$WORK/packages"
    mkdir -p "$WORK/host/include" "$WORK/host/lib" "$WORK/host/bin"
    if ! printf '#include <mpc.h>\nint main(void) { return mpc_get_version() == 0; }\n' |
        cc -x c - -o "$WORK/host/probe" -lmpc -lmpfr -lgmp; then
        download libgmp-dev libmpfr-dev libmpc-dev
        for file in gmp.h mpfr.h mpf2mpfr.h mpc.h; do
            find "$WORK/debs/usr/include" -name $file -exec cp {} "$WORK/host/include" \;
        done
        for file in libgmp.a libmpfr.a libmpc.a; do
            find "$WORK/debs/usr/lib" -name $file -exec cp {} "$WORK/host/lib" \;
        done
        touch "$WORK/host/private"
    fi
    missing=
    command -v m4 || missing="$missing m4 libsigsegv2"
    command -v flex || missing="$missing flex"
    command -v bison || missing="$missing bison"
    # shellcheck disable=SC2086  # a list of words
    [ -z "$missing" ] || download $missing
}

unpack() {
    cd "$WORK"
    tar xf "$WORK"/debs/usr/src/binutils/binutils-*.tar.*
    tar xf "$WORK/debs/usr/src/gcc-$GCC"/gcc-*.tar.*
}

build_environment() {
    libraries=$(dirname "$(find "$WORK/debs" -name 'libsigsegv.so.2' | head -n 1)")
    PATH=$WORK/install/bin:$PATH:$WORK/debs/usr/bin
    export PATH CFLAGS=-O2 CXXFLAGS=-O2
    export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    if [ -e "$WORK/debs/usr/bin/bison" ]; then
        BISON_PKGDATADIR=$WORK/debs/usr/share/bison
        export BISON_PKGDATADIR
    fi
    M4=$(command -v m4)
    export M4
}

# No manuals: configure does not take MAKEINFO=true from the environment, make does from its command line.
make_here() {
    make -j"$JOBS" MAKEINFO=true "$@"
}

configure_in() {
    build_environment
    mkdir -p "$WORK/build-$1"
    cd "$WORK/build-$1"
    source=$(find "$WORK" -maxdepth 1 -type d -name "$1-[0-9]*")
    shift
    "$source/configure" --target=$TARGET --prefix="$WORK/install" --disable-nls "$@"
}

build_binutils() {
    [ -e "$WORK/build-binutils/Makefile" ] ||
        configure_in binutils --disable-gdb --disable-gprofng --disable-werror --disable-sim
    build_environment
    cd "$WORK/build-binutils"
    make_here
    make_here install-strip
}

configure_gcc() {
    set -- --enable-languages=c --without-headers --with-newlib --disable-shared --disable-threads --disable-libssp \
        --disable-libquadmath --disable-libgomp --disable-libatomic --disable-plugin --enable-checking=release
    if [ -e "$WORK/host/private" ]; then
        for library in gmp mpfr mpc; do
            set -- "$@" "--with-$library-include=$WORK/host/include" "--with-$library-lib=$WORK/host/lib"
        done
    fi
    configure_in gcc "$@"
}

build_gcc() {
    build_environment
    cd "$WORK/build-gcc"
    make_here all-gcc
    touch gcc/s-tm-texi # Debian's tarball has no documentation to compare with
    make_here install-strip-gcc
}

build_libgcc() {
    build_environment
    cd "$WORK/build-gcc"
    make_here all-target-libgcc
    make_here install-target-libgcc
}

# The compiler finds its parts relative to itself, so it may be moved.
put_in_place() {
    echo 'int answer(void) { return 42; }' | "$WORK/install/bin/$TARGET-gcc" -x c -O2 -g3 -c - -o "$WORK/probe.o"
    rm -rf "$PREFIX" "$WORK/install/share"
    mv "$WORK/install" "$PREFIX"
}

main() {
    if [ -x "$PREFIX/bin/$TARGET-gcc" ]; then
        printf '%s\n' "In place already: $PREFIX/bin/$TARGET-gcc" "To build it again, remove $PREFIX first."
        return
    fi
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail \
        "this builds from Debian's source packages, and here is no apt-get. Elsewhere install the compiler by the" \
        "system's package manager (Homebrew: aarch64-elf-gcc) or from Arm's downloads (GNU toolchain for A-profile," \
        "aarch64-none-elf) and put it on PATH; or do nothing: make kernel falls back on zig's clang."
    need cc c++ make tar xz sed awk find
    mkdir -p "$WORK"
    touch "$LOG"
    shown=
    trap 'kill $shown 2>/dev/null || true' EXIT
    trap 'echo; echo "Stopped. Call it again to go on."; exit 130' INT TERM
    echo "Building $TARGET-gcc $GCC in $WORK (log: build.log) with $JOBS jobs."
    step fetch_sources 20 'download the sources'
    step fetch_host_packages 60 'download host packages'
    step unpack 3 'unpack'
    step build_binutils 3200 'build binutils'
    step configure_gcc 150 'configure gcc'
    step build_gcc 5000 'build gcc'
    step build_libgcc 970 'build libgcc'
    step put_in_place 10 'put in place'
    rm -rf "$WORK"
    echo "Ready: $PREFIX/bin/$TARGET-gcc ($("$PREFIX/bin/$TARGET-gcc" -dumpfullversion)). make kernel takes it from now on."
}

main
