#!/bin/sh
# Runs a command in the sandbox: ./do uname -a
# Builds runsc first, and installs what the build needs where it is missing (as root, on Debian). Flags of runsc: RUNSC_FLAGS.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

say() { echo "do: $*" >&2; }

install_packages() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "please install: $*"
        exit 1
    fi
    say "installing $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update >&2
    apt-get -qq install -y --no-install-recommends "$@" >&2
}

command -v cc >/dev/null || install_packages gcc libc6-dev

# The machine's cargo may be too old for this code, which names its version in Cargo.toml.
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$here/Cargo.toml")
new_enough() {
    have=$(cargo --version 2>/dev/null | cut -d' ' -f2)
    [ -n "$have" ] && [ "$(printf '%s\n%s\n' "$needed" "$have" | sort -V | head -n 1)" = "$needed" ]
}
if ! new_enough; then
    command -v rustup >/dev/null || {
        command -v curl >/dev/null || install_packages curl ca-certificates
        say "installing the Rust toolchain with rustup"
        curl -sSf https://sh.rustup.rs | sh -s -- -q -y --no-modify-path --profile minimal >&2
        PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    }
    new_enough || { rustup -q toolchain install --profile minimal stable >&2 && rustup -q default stable >&2; }
    new_enough || { say "cargo $needed or newer is needed"; exit 1; }
fi

runsc=$here/target/x86_64-unknown-linux-gnu/release/runsc
[ -x "$runsc" ] || say "building runsc, a few minutes the first time"
(cd "$here" && cargo build --quiet --release -p runsc) >&2
[ $# -gt 0 ] || set -- bash
# shellcheck disable=SC2086 # several flags are several words
exec "$runsc" ${RUNSC_FLAGS:-} do "$@"
