# shellcheck shell=bash
# A token that a TPM seals, reached through the resource manager tpm2-abrmd on a bus of its own, with several programs at once.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
if [[ -z ${DBUS_SESSION_BUS_ADDRESS:-} ]]; then
    exec dbus-run-session -- bash "${BASH_SOURCE[0]}"
fi
# shellcheck source=tests/clients/stores.sh
. "$PROJECT/tests/clients/stores.sh"
# Where Debian has it, and the search path of nobody but root.
PATH=$PATH:/usr/sbin
tabrmd_slot() {
    tpm_slot >slot || return
    local swtpm
    swtpm=$(sed -n 's/^tcti = "\(.*\)"/\1/p' slot)
    tpm2-abrmd --session --allow-root "--tcti=$swtpm" >"$WORK/abrmd.log" 2>&1 </dev/null &
    wait_until tpm2_getcap -T tabrmd:bus_type=session properties-fixed >/dev/null 2>&1 || return
    sed 's/^tcti = .*/tcti = "tabrmd:bus_type=session"/' slot
}
new_token tabrmd tabrmd_slot
trellis() { TEST_PIN=$PIN TEST_SO_PIN=$SO_PIN "$CLI" --module "$MODULE" "$@" --token "$TOKEN"; }
user_of() { trellis "$@" --pin-source env:TEST_PIN; }
check "a key" user_of key generate --algorithm ml-dsa-65 --label key
check_output "it is sealed by the TPM" "place.*TPM" user_of key show key
check_output "the command looks at the TPM" "PIN|policy|tries" trellis tpm show
head -c 1000 /dev/urandom >message

at_once() {
    local each failed=0 pids=()
    for each in 1 2 3 4 5 6; do
        user_of sign message --key key --out "$each.sig" & pids+=($!)
    done
    for each in "${pids[@]}"; do wait "$each" || failed=1; done
    return "$failed"
}
check "six programs sign at once" at_once
for each in 1 2 3 4 5 6; do
    check "signature $each" user_of verify message --key key --signature "$each.sig"
done
wrong() { TEST_PIN=wrong-pin "$CLI" --module "$MODULE" sign message --key key --token "$TOKEN" --pin-source env:TEST_PIN --out x; }
check_fails "a wrong PIN is the TPM's to refuse" "CKR_PIN_INCORRECT" wrong
check "and the right one is taken" user_of sign message --key key --out again.sig
