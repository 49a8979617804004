#!/usr/bin/env bash
# From nothing to a SoftHSM token of your own behind Trellis: an ML-DSA-65 key sealed by it, an Ed25519 key in it, and a
# signature with each that the command verifies. Run again, it reuses what it finds.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

token=quickstart-softhsm
work=${XDG_DATA_HOME:-$HOME/.local/share}/trellis/$token
pin=$work/pin

say "Debian packages"
need_packages softhsm2
say "Release module and command (the first time takes minutes)"
"$top/scripts/build.sh"
say "Token"
umask 077
mkdir -p "$work"
softhsm=
for library in /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so /usr/lib64/pkcs11/libsofthsm2.so; do
    [[ -z $softhsm && -e $library ]] && softhsm=$library
done
[[ -n $softhsm ]] || die "libsofthsm2.so is nowhere to be found"
for file in "$pin" "$work/so-pin"; do
    [[ -e $file ]] || (set -o noclobber && head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$file")
done
[[ -e $work/softhsm ]] || "$top/softhsm-config/make-token.sh" "$work/softhsm" "$token" "$(<"$pin")" "$(<"$work/so-pin")" >/dev/null
cat >"$work/trellis.toml" <<TOML
[[slot]]
backend = "pkcs11"
path = "$work/records"
module-path = "$softhsm"
token = "pkcs11:token=$token"
TOML
export SOFTHSM2_CONF=$work/softhsm/softhsm2.conf TRELLIS_CONF=$work/trellis.toml
trellis=("$TRELLIS_CLI" --module "$TRELLIS_MODULE")
name=(--token "$token" --pin-source "file:$pin")

for key in ml-dsa-65 ed25519; do
    "${trellis[@]}" key show "$key" "${name[@]}" >/dev/null 2>&1 ||
        "${trellis[@]}" key generate --algorithm "$key" --label "$key" "${name[@]}"
    echo "$key: $("${trellis[@]}" key show "$key" "${name[@]}" | grep '^place')"
    "${trellis[@]}" sign --key "$key" "${name[@]}" --out "$work/$key.sig.new" "$work/trellis.toml"
    mv "$work/$key.sig.new" "$work/$key.sig"
    "${trellis[@]}" verify --key "$key" "${name[@]}" --signature "$work/$key.sig" "$work/trellis.toml"
done

cat <<NEXT

== Ready. What to type next
  export SOFTHSM2_CONF=$SOFTHSM2_CONF TRELLIS_CONF=$TRELLIS_CONF TRELLIS_MODULE=$TRELLIS_MODULE
  $TRELLIS_CLI key list ${name[*]}
  softhsm2-util --show-slots                # the same token, seen by SoftHSM's own tool
NEXT
