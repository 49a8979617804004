#!/usr/bin/env bash
# run.sh [CASE.sh...]: runs the interop cases, or those named, in the Debian forky root file system that root.sh makes:
# the newest clients, of which some know ML-DSA. What `make build` made is copied into it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
. "$here/../../scripts/lib.sh"

if [[ $(id -u) != 0 ]]; then
    as_root=(sudo "TRELLIS_CACHE=$TRELLIS_CACHE" "CARGO_TARGET_DIR=$target" "CI=${CI:-}"
        "TRELLIS_SUMMARY=${TRELLIS_SUMMARY:-}" "$here/run.sh" "$@")
    sudo -n true 2>/dev/null && exec "${as_root[@]}"
    die "only root can make and enter the root file system that these tests run in; type: ${as_root[*]}"
fi
[[ -r $TRELLIS_MODULE && -x $TRELLIS_CLI ]] || die "there is no module $TRELLIS_MODULE or no $TRELLIS_CLI; type: make build"
unshare --mount --pid --fork --net true || die "this machine may not make namespaces; a container must run privileged"
"$here/root.sh"
"$here/kryoptic.sh"
root=$TRELLIS_CACHE/forky/fs

# One run at a time: the files below are shared.
exec 9>"$TRELLIS_CACHE/forky/lock"
flock 9
project=/opt/trellis
rm -rf "$root$project"
mkdir -p "$root$project/target/release"
cp "$(realpath "$TRELLIS_MODULE")" "$(realpath "$TRELLIS_CLI")" "$root$project/target/release/"
parts=$("$top/scripts/parts.sh")
mkdir "$root$project/parts"
cp "$parts"/trellis-{enclave-emulated,cosigner-host,kms-double} "$parts/libtrellis_tpm.so" \
    "$TRELLIS_CACHE/forky/kryoptic/libkryoptic_pkcs11.so" "$root$project/parts/"
# What a slot over a TPM loads.
[[ ! -r $(dirname "$TRELLIS_MODULE")/libtrellis_tpm.so ]] ||
    cp "$(dirname "$TRELLIS_MODULE")/libtrellis_tpm.so" "$root$project/target/release/"
cp -r "$top/packaging" "$top/examples" "$top/scripts" "$root$project/"
mkdir "$root$project/tests"
cp -r "$top/tests/clients" "$top/tests/interop" "$root$project/tests/"

# Clients that Debian 12 has too are tried here in their newest versions by the same cases.
cases=(tests/clients/cases/{pkcs11-tool,p11tool,p11-kit,ssh}.sh)
cd "$top"
cases+=(tests/interop/cases/*.sh)
[[ $# -eq 0 ]] || cases=("$@")

summary=$root/var/tmp/summary
rm -f "$summary"
rc=0
"$here/enter.sh" "$root" env MODULE=$project/target/release/libtrellis_pkcs11.so \
    CLI=$project/target/release/trellis PARTS=$project/parts CI="${CI:-}" \
    TRELLIS_SUMMARY=/var/tmp/summary sh -c 'cd /opt/trellis && exec tests/clients/run.sh interop "$@"' sh "${cases[@]}" || rc=$?
[[ -z ${TRELLIS_SUMMARY:-} || ! -f $summary ]] || cat "$summary" >>"$TRELLIS_SUMMARY"
exit "$rc"
