# shellcheck shell=bash
# An HSM that makes ML-DSA signatures itself, behind Trellis: Kryoptic. OpenSSL 3.6 verifies in software.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
kryoptic_slot() { printf 'backend = "pkcs11"\nmodule-path = "%s"\n' "$PARTS/libkryoptic_pkcs11.so"; }
new_token kryoptic-hsm kryoptic_slot
trellis() { TEST_PIN=$PIN "$CLI" --module "$MODULE" "$@" --token "$TOKEN" --pin-source env:TEST_PIN; }
head -c 300000 /dev/urandom >message
printf changed >other

for set in 44 65 87; do
    name=ml-dsa-$set
    check "$name: a key" trellis key generate --algorithm "$name" --label "$name" --id "$set"
    check_output "$name: it is in the HSM" "place.*in the HSM" trellis key show "$name"
    check_output "$name: the HSM's own view has it" "label: *$name" pkcs11-tool --module "$PARTS/libkryoptic_pkcs11.so" \
        --token-label "$TOKEN" --login --pin "$PIN" --list-objects --type privkey
    check "$name: its public key" trellis key export-public "$name" --out "$name.pem"
    check "$name: pkcs11-tool signs" user --sign -m ML-DSA --id "$set" --input-file message --output-file signature
    check "$name: OpenSSL verifies" openssl pkeyutl -verify -pubin -inkey "$name.pem" -rawin -in message -sigfile signature
    check_fails "$name: and refuses another message" "[Ff]ail" openssl pkeyutl -verify -pubin -inkey "$name.pem" -rawin \
        -in other -sigfile signature
    check "$name: the command signs" trellis sign message --key "$name" --out signature2
    check "$name: OpenSSL verifies that" openssl pkeyutl -verify -pubin -inkey "$name.pem" -rawin -in message -sigfile signature2
    check "$name: a deterministic one with a context" trellis sign message --key "$name" --context here --deterministic --out signature3
    check "$name: OpenSSL verifies that" openssl pkeyutl -verify -pubin -inkey "$name.pem" -rawin -in message -sigfile signature3 \
        -pkeyopt context-string:here
done
check "ed25519: a key" trellis key generate --algorithm ed25519 --label ed25519
check_output "ed25519: it is in the HSM" "place.*in the HSM" trellis key show ed25519
check "ed25519: the command signs" trellis sign other --key ed25519 --out signature
check "ed25519: its public key" trellis key export-public ed25519 --out ed25519.pem
check "ed25519: OpenSSL verifies" openssl pkeyutl -verify -pubin -inkey ed25519.pem -rawin -in other -sigfile signature
