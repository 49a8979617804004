#!/usr/bin/env bash
# Builds the enclave's image and the manifest by which `trellis attest verify` knows it. Needs docker and nitro-cli, and a
# key and certificate to sign the image with (PCR8). On an instance or any machine; no enclave is started.
#   build-eif.sh FOLDER SIGNING_KEY.pem SIGNING_CERTIFICATE.pem
set -euo pipefail
(($# == 3)) || { sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
key=$(realpath "$2")
certificate=$(realpath "$3")

docker build -f "$here/Dockerfile" -t trellis-enclave:latest "$here/../.."
nitro-cli build-enclave --docker-uri trellis-enclave:latest --output-file "$out/trellis-enclave.eif" \
    --private-key "$key" --signing-certificate "$certificate" >"$out/measurements.json"
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' "$here/../../Cargo.toml")
"$here/manifest.sh" "$version" <"$out/measurements.json" >"$out/manifest.json"
echo "the image, its measurements and its manifest are in $out"
