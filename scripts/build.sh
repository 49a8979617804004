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
# What a slot with backend = "tpm" loads; without libtss2 there is none.
built=("$target/release/libtrellis_pkcs11.so" "$target/release/trellis")
if pkg-config --exists tss2-esys tss2-tctildr tss2-mu 2>/dev/null; then
    cargo rustc --quiet -p trellis-tpm-plugin --release --lib --crate-type cdylib
    built+=("$target/release/libtrellis_tpm.so")
else
    warn "libtss2-dev is not installed: no plug-in for TPMs was built (the rest does not need it)"
fi
# The command's other name.
ln -sf trellis "$target/release/pq-attest"
ls "${built[@]}"
