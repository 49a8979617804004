#!/usr/bin/env bash
# bench.sh [OPTION...]: runs the benchmark, with these options, in the Debian forky root file system that root.sh makes,
# where Kryoptic and the newest SoftHSM are columns beside this module. `--document docs` writes into the docs of this tree.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
. "$here/../../scripts/lib.sh"

cd "$top"
bench=$target/release/trellis-bench
for file in "$TRELLIS_MODULE" "$TRELLIS_CLI" "$bench"; do
    [[ -r $file ]] || die "there is no $file; type: make bench-interop"
done
if [[ $(id -u) != 0 ]]; then
    as_root=(sudo "TRELLIS_CACHE=$TRELLIS_CACHE" "CARGO_TARGET_DIR=$target" "$here/bench.sh" "$@")
    sudo -n true 2>/dev/null && exec "${as_root[@]}"
    die "only root can make and enter the root file system that this runs in; type: ${as_root[*]}"
fi
unshare --mount --pid --fork --net true || die "this machine may not make namespaces; a container must run privileged"
"$here/root.sh"
"$here/kryoptic.sh"
root=$TRELLIS_CACHE/forky/fs

# One benchmark at a time, in a folder of its own; the tests of the same root may run beside it.
exec 9>"$TRELLIS_CACHE/forky/bench-lock"
flock 9
folder=/opt/trellis-bench
rm -rf "$root$folder"
mkdir -p "$root$folder/target/release" "$root$folder/parts" "$root$folder/docs"
cp "$(realpath "$TRELLIS_MODULE")" "$TRELLIS_CLI" "$bench" "$root$folder/target/release/"
[[ ! -r $target/release/libtrellis_tpm.so ]] || cp "$target/release/libtrellis_tpm.so" "$root$folder/target/release/"
parts=$("$top/scripts/parts.sh")
cp "$parts"/trellis-{enclave-emulated,cosigner-host,kms-double} \
    "$TRELLIS_CACHE/forky/kryoptic/libkryoptic_pkcs11.so" "$root$folder/parts/"

read -r kryoptic _ <"$TRELLIS_CACHE/forky/kryoptic/stamp"
# /tmp is memory in there; /var/tmp is the disk.
rc=0
# shellcheck disable=SC2016 # the inner shell has the arguments
"$here/enter.sh" "$root" env TMPDIR=/var/tmp TRELLIS_BENCH_KRYOPTIC="$kryoptic" TRELLIS_STAND_PROGRAMS="$folder/parts" \
    sh -c 'cd "$0" && exec target/release/trellis-bench --kryoptic parts/libkryoptic_pkcs11.so "$@"' "$folder" "$@" || rc=$?
for file in "$root$folder/docs"/*; do
    [[ ! -f $file ]] || cp "$file" "$top/docs/"
done
exit "$rc"
