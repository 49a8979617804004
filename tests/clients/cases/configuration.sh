# shellcheck shell=bash
# The packaged trellis.toml, with its folders moved: two slots with stable ids, the log in a file, and a clear error
# for what it does not know.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
mkdir -p log lib
sed -e "s|/var/log|$WORK/log|" -e "s|/var/lib/trellis|$WORK/lib|" "$PROJECT/packaging/trellis.toml" >trellis.toml
export TRELLIS_CONF=$WORK/trellis.toml
tool() { pkcs11-tool --module "$MODULE" "$@"; }

for slot in 1 2; do
    check "slot $slot is initialised" tool --slot $slot --init-token --label "token-$slot" --so-pin "$SO_PIN"
    check "slot $slot gets its user PIN" tool --slot $slot --init-pin --login --login-type so --so-pin "$SO_PIN" --new-pin "$PIN"
done
check_output "both tokens are there" "token-1" tool --list-slots
check_output "each below its own folder" "^web$" ls lib

check_output "a slot has its description" "Keys of the web server" tool --list-slots

# TRELLIS_LOG goes before the configuration; no level logs a PIN.
export TRELLIS_LOG=debug,file=$WORK/log/debug.log
tool --token-label token-1 --login --pin "$PIN" --keypairgen --key-type EC:edwards25519 --id 01 --label ed >output 2>&1
check_output "every call is in the log" "C_Login" cat log/debug.log
tool --token-label token-1 --login --pin wrong-pin --list-objects >output 2>&1 || true
check "a wrong PIN too" grep -q CKR_PIN_INCORRECT log/debug.log
no_pin() { ! grep -rE "$PIN|$SO_PIN|wrong-pin" log; }
check "without a PIN in it" no_pin
unset TRELLIS_LOG

# A program that has no PIN to give takes the slot's.
printf '%s\n' "$PIN" >pin
printf '[[slot]]\npath = "%s"\npin-source = "file:%s"\n' "$WORK/lib/default" "$WORK/pin" >source.toml
by_source() { TRELLIS_CONF=$WORK/source.toml "$@"; }
check_output "pkcs11-tool logs in without a PIN" "Private Key Object" \
    by_source pkcs11-tool --module "$MODULE" --login --list-objects --type privkey
check "so does the command" by_source "$CLI" --module "$MODULE" sign trellis.toml --key ed --out sig
check "and verifies" by_source "$CLI" --module "$MODULE" verify trellis.toml --key ed --signature sig

echo 'colour = "green"' | cat - trellis.toml >unknown.toml
# Nothing is logged that nobody asked for, and then it goes to standard error.
printf '[[slot]]\npath = "%s"\n' "$WORK/lib/default" >quiet.toml
wrong() { TRELLIS_CONF=$WORK/quiet.toml pkcs11-tool --module "$MODULE" --login --pin wrong-pin --list-objects 2>&1; true; }
silent() { [[ $(wrong) != *"trellis["* ]]; }
check "it is silent unless told" silent
check_output "and otherwise says it on standard error" "trellis\[[0-9]+\] warn: .*wrong PIN" env TRELLIS_LOG=warn bash -c "$(declare -f wrong); wrong"
check_fails "an unknown key is an error with file and line" "unknown.toml:1" \
    env TRELLIS_CONF="$WORK/unknown.toml" TRELLIS_LOG=error pkcs11-tool --module "$MODULE" --list-slots
