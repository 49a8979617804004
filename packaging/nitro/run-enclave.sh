#!/usr/bin/env bash
# Starts the enclave and stays as long as it runs, so that systemd sees when it is gone. Installed as
# /usr/lib/trellis/run-enclave.
#   run-enclave.sh CONFIG.json
set -euo pipefail
config=$1
name=$(sed -n 's/.*"enclave_name": *"\([^"]*\)".*/\1/p' "$config")
# One that an earlier run has left behind.
if nitro-cli describe-enclaves | grep -q "\"EnclaveName\": *\"$name\""; then
    nitro-cli terminate-enclave --enclave-name "$name"
fi
nitro-cli run-enclave --config "$config"
trap 'nitro-cli terminate-enclave --enclave-name "$name"; exit' INT TERM
while nitro-cli describe-enclaves | grep -q "\"EnclaveName\": *\"$name\""; do
    # In the background, so that a signal is not kept waiting.
    sleep 5 &
    wait $! || true
done
echo "run-enclave: $name is gone" >&2
exit 1
