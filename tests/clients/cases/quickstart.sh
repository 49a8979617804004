# shellcheck shell=bash
# `make quickstart` for a user who has nothing yet, and again.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
unset PIN SO_PIN
quickstart() { make --no-print-directory -C "$PROJECT" quickstart; }
# A token that is not made leaves no PINs behind.
printf '[[slot]]\npath = "/proc/no"\n' >unusable.toml
TRELLIS_CONF=$WORK/unusable.toml check_fails "a store that cannot be made is named" "cannot create /proc/no" quickstart
check_output "and no PIN files are left" "^0$" bash -c 'find .config -name "*pin" | wc -l'
check "quickstart runs" quickstart
cp output first
for line in "ML-DSA-65: .*verified it" "Ed25519: .*verified it"; do
    check_output "it says: $line" "$line" cat first
done
check_output "the PIN is the owner's alone" "^600$" stat -c %a .config/trellis/quickstart.pin
check_output "so is the token's folder" "^700$" stat -c %a .local/share/trellis/default
cp -r .config/trellis before
cp .local/share/trellis/quickstart/ml-dsa-65.pem before.pem

# Another module in the environment is none of its business.
check_output "it runs again" 'token "quickstart" is there already' env TRELLIS_MODULE=/usr/lib/softhsm/libsofthsm2.so \
    make --no-print-directory -C "$PROJECT" quickstart
cp output second
check "with the same PINs" cmp before/quickstart.pin .config/trellis/quickstart.pin
check "and the same keys" cmp before.pem .local/share/trellis/quickstart/ml-dsa-65.pem
check_output "and signs again" "ML-DSA-65: .*verified it" cat second
export TRELLIS_MODULE=$MODULE PIN
PIN=$(cat .config/trellis/quickstart.pin)
check_output "what it says to type works: pkcs11-tool" "ed25519" \
    pkcs11-tool --module "$TRELLIS_MODULE" --token-label quickstart --login --pin env:PIN --list-objects
check_output "what it says to type works: trellis" "ml-dsa-65" \
    "$CLI" key list --token quickstart --pin-source "file:$WORK/.config/trellis/quickstart.pin"
grep -A2 "^ssh " first | tail -n 2 >ssh.sh
check_output "what it says to type works: ssh" "^ecdsa-sha2-nistp256 " bash -euo pipefail ssh.sh

# The README's own example, typed as it stands: the second of its sh blocks.
awk '/^```/ { inside = !inside && /^```sh/ && ++block == 2; next } inside' "$PROJECT/README.md" >readme.sh
check_output "the README's example is there" "^trellis verify" cat readme.sh
mkdir -p target/release
ln -s "$CLI" target/release/trellis
cp "$PROJECT/README.md" .
check_output "and works" "valid" bash -euo pipefail readme.sh

# Somebody whose usual slot has a token of their own keeps it.
export HOME=$WORK/other
mkdir "$HOME"
check "another user has a token" env SO_PIN=officer PIN=user-pin "$CLI" token init --label mine --so-pin-source env:SO_PIN --pin-source env:PIN
check_output "quickstart leaves it alone" "which stays as it is" quickstart
cp output third
check_output "and makes its own" "export TRELLIS_CONF=$HOME/.config/trellis/quickstart.toml" cat third
check_output "which the configuration names" "ml-dsa-65" env "TRELLIS_CONF=$HOME/.config/trellis/quickstart.toml" \
    "$CLI" key list --token quickstart --pin-source "file:$HOME/.config/trellis/quickstart.pin"
check_output "the other is as it was" "mine" "$CLI" token list
check_output "it runs again" 'token "quickstart" is there already' quickstart
