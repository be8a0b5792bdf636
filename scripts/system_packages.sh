#!/bin/sh
# Installs the Debian packages that building (argument: run), testing (test), fuzzing (fuzz) or measuring (bench) needs.
# As root it installs what is missing; otherwise it says in one line what to install.
set -eu
python=${PYTHON:-python3}
missing=""

need() { # need COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

need cc gcc
need make make
need openssl openssl
need curl curl
if ! command -v "$python" >/dev/null 2>&1; then
    missing="$missing python3 python3-venv python3-dev"
else
    "$python" -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
    "$python" -c 'import os, sysconfig; raise SystemExit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))' ||
        missing="$missing python3-dev"
fi
case "${1:-run}" in
test) need wrk wrk ;;
fuzz) need c++ g++ ;;
bench)
    need wrk wrk
    need cmake cmake
    ;;
esac

if ! command -v cargo >/dev/null 2>&1; then
    echo "error: cargo (Rust 1.88 or newer) is needed: install it with rustup, then run make again" >&2
    exit 1
fi
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
    echo "error: Debian packages are missing; run: sudo apt-get install$missing" >&2
    exit 1
fi
echo "installing Debian packages:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 || {
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
}
