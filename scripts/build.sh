#!/usr/bin/env bash
# Builds the release artefacts, libtrellis_pkcs11.so and trellis, and prints where they are.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$top"

command -v cargo >/dev/null || die "cargo is missing; install Rust as its site says, then run me again"
command -v cc >/dev/null || need_packages gcc libc6-dev
# The module is built as a cdylib alone: beside a Rust library, cargo would leave out link-time optimisation.
cargo rustc --quiet -p trellis-pkcs11 --release --lib --crate-type cdylib
cargo build --quiet -p trellis-cli --release
# The command's other name.
ln -sf trellis "$target/release/pq-attest"
ls "$target/release/libtrellis_pkcs11.so" "$target/release/trellis"
