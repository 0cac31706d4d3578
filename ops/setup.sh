#!/usr/bin/env bash
# Installs the system packages that building and testing need, if they are missing. Debian and Ubuntu only; elsewhere it
# says what to install. Changes nothing when everything is there.
set -euo pipefail
source "$(dirname "$0")/apt.sh"

missing=()
need() { # command package
    command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}
need cc gcc
need c++ g++
need make make
need git git
need python3 python3
need mkfs.ext4 e2fsprogs
# What `weir chaos` breaks networks and clocks with; without them it skips those faults and says so.
need ip iproute2
need nft nftables
need faketime faketime
# etcd-client compiles its protocol with protoc and protobuf's own definitions.
need protoc protobuf-compiler
[ -e /usr/include/google/protobuf/descriptor.proto ] || missing+=(libprotobuf-dev)
python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing+=(python3-venv)

if ! command -v cargo >/dev/null 2>&1; then
    echo "setup: a Rust toolchain (1.94 or newer) is needed: see https://rustup.rs" >&2
    exit 1
fi
install_packages "${missing[@]}"
