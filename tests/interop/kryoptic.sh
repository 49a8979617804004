#!/usr/bin/env bash
# Builds Kryoptic, a software token that has ML-DSA, with the OpenSSL of the forky root file system, once:
# $TRELLIS_CACHE/forky/kryoptic/libkryoptic_pkcs11.so. It stands for an HSM that makes ML-DSA signatures itself.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
. "$here/../../scripts/lib.sh"

version=1.5.4
root=$TRELLIS_CACHE/forky/fs
work=$TRELLIS_CACHE/forky/kryoptic
# A root made anew may have another OpenSSL.
wanted="$version in $(<"$TRELLIS_CACHE/forky/stamp")"
[[ -f $work/stamp && $(<"$work/stamp") == "$wanted" ]] && exit 0

say "Building Kryoptic $version in $work (once, some two minutes)"
rm -rf "$work"
mkdir -p "$work/fetch/src" "$work/build/.cargo"
# Its sources and what they need are fetched here, where cargo knows its registry; they are built there.
cat >"$work/fetch/Cargo.toml" <<TOML
[package]
name = "fetch"
version = "0.0.0"
edition = "2024"
[workspace]
[dependencies]
kryoptic = { version = "=$version", features = ["pqc"] }
TOML
touch "$work/fetch/src/lib.rs"
(cd "$work/fetch" && quietly "$work/fetch.log" cargo vendor ../build/vendor)
cat >"$work/build/Cargo.toml" <<TOML
[package]
name = "kryoptic"
version = "$version"
edition = "2024"
[workspace]
[lib]
name = "kryoptic_pkcs11"
crate-type = ["cdylib"]
path = "vendor/kryoptic/src/lib.rs"
[features]
fips = []
[dependencies]
kryoptic-lib = { version = "=$version", features = ["pqc"] }
TOML
cat >"$work/build/.cargo/config.toml" <<TOML
[source.crates-io]
replace-with = "vendor"
[source.vendor]
directory = "vendor"
TOML

mkdir -p "$root/opt/rust" "$root/opt/kryoptic"
toolchain=$(rustc --print sysroot)
# shellcheck disable=SC2016 # the inner shell has the arguments
quietly "$work/build.log" unshare --mount --propagation private sh -c '
    mount --bind "$2" "$1/opt/rust" && mount --bind "$3" "$1/opt/kryoptic" && shift 3 && exec "$@"
' sh "$root" "$toolchain" "$work/build" "$here/enter.sh" "$root" env PATH=/opt/rust/bin:/usr/bin:/bin \
    sh -c 'cd /opt/kryoptic && exec cargo build --release --offline'
cp "$work/build/target/release/libkryoptic_pkcs11.so" "$work/"
rm -rf "$work/build" "$work/fetch"
echo "$wanted" >"$work/stamp"
