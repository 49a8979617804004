#!/usr/bin/env bash
# Signs a file with an EC P-256 key in a PKCS#11 token by pkcs11-tool, makes the key if there is none, and verifies
# the signature with OpenSSL in software. Any pkcs11-tool and any OpenSSL can do this.
#
#   TRELLIS_MODULE=/path/to/libtrellis_pkcs11.so PIN=... sign.sh TOKEN ID FILE SIGNATURE
#
# ID is the key's CKA_ID in hexadecimal: pkcs11-tool picks the key to sign with by --id, not by --label.
set -euo pipefail
[[ $# == 4 ]] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
token=$1 id=$2 file=$3 signature=$4
export PIN

# The PIN goes through the environment: a command line can be read by every user of the machine.
tool() { pkcs11-tool --module "$TRELLIS_MODULE" --token-label "$token" --login --pin env:PIN "$@"; }

# pkcs11-tool lists every private key, whatever --id says.
if ! tool --list-objects --type privkey | grep -qiE "^ +ID: +$id$"; then
    tool --keypairgen --key-type EC:prime256v1 --id "$id" --label "example-$id" --usage-sign
fi
public=$(mktemp)
trap 'rm -f "$public"' EXIT
tool --sign --id "$id" --mechanism ECDSA-SHA256 --signature-format openssl --input-file "$file" --output-file "$signature"
tool --read-object --type pubkey --id "$id" --output-file "$public"
openssl dgst -sha256 -verify "$public" -keyform DER -signature "$signature" "$file"
