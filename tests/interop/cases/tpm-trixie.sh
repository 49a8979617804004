# shellcheck shell=bash
# A token that a TPM seals, with the tss of Debian trixie (4.1) under the plug-in: key, signature, wrong PIN, reseal.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
# shellcheck source=tests/clients/stores.sh
. "$PROJECT/tests/clients/stores.sh"
LD_LIBRARY_PATH=$(echo /opt/tss-trixie/usr/lib/*-linux-gnu)
TRELLIS_MODULE=$MODULE
export LD_LIBRARY_PATH TRELLIS_MODULE
new_token tpm-trixie tpm_slot

pin=(--pin-source env:PIN)
check_output "tss 4.1 is what is loaded" "calling init: /opt/tss-trixie/.*/libtss2-esys" \
    env LD_DEBUG=libs "$CLI" key generate -a ml-dsa-65 -l k "${pin[@]}"
check_output "the key is sealed by the TPM" "sealed by the TPM" "$CLI" key show k "${pin[@]}"
check "it signs" "$CLI" sign "$TRELLIS_CONF" --key k --out signature "${pin[@]}"
check "and verifies" "$CLI" verify "$TRELLIS_CONF" --key k --signature signature "${pin[@]}"
export WRONG=wrong-pin-1
check_fails "a wrong PIN is the TPM's to judge" "wrong PIN|CKR_PIN_INCORRECT" "$CLI" key list --pin-source env:WRONG
check "reseal" "$CLI" tpm reseal --so-pin-source env:SO_PIN
check_output "the TPM says what it holds" "way to the TPM +swtpm" "$CLI" tpm show
check_output "doctor finds nothing" "Nothing is broken" "$CLI" doctor
