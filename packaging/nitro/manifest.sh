#!/usr/bin/env bash
# The manifest of an image out of what `nitro-cli build-enclave` or `nitro-cli describe-eif` says about it.
#   manifest.sh VERSION <measurements.json >manifest.json
set -euo pipefail
(($# == 1)) || { sed -n '2,3s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2; }
measurements=$(cat)
pcrs=
for index in 0 1 2 8; do
    value=$(sed -n "s/.*\"PCR$index\": *\"\([0-9a-f]\{96\}\)\".*/\1/p" <<<"$measurements")
    [[ -n $value ]] || { echo "manifest.sh: there is no PCR$index: is the image signed?" >&2; exit 1; }
    # Zero is what every enclave in debug mode has.
    [[ -n ${value//0/} ]] || { echo "manifest.sh: PCR$index is zero" >&2; exit 1; }
    pcrs+=${pcrs:+,}"\"PCR$index\":\"$value\""
done
printf '{"enclave_version":"%s","pcrs":{%s}}\n' "$1" "$pcrs"
