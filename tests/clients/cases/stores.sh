# shellcheck shell=bash
# The same clients over every other store: pkcs11-tool makes and uses keys, OpenSSL verifies, the command says where they are.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
# shellcheck source=tests/clients/stores.sh
. "$PROJECT/tests/clients/stores.sh"
declare -A ed25519=([softhsm]="in the HSM" [tpm]="TPM" [nitro]="enclave")
declare -A ml_dsa=([softhsm]="sealed" [tpm]="TPM" [nitro]="enclave")
head -c 50000 /dev/urandom >message
head -c 50001 /dev/urandom >other

for store in "${STORES[@]}"; do
    echo "  $store"
    top=$WORK
    WORK=$WORK/$store
    mkdir "$WORK"
    new_token "$store" "${store}_slot"
    trellis() { TEST_PIN=$PIN "$CLI" --module "$MODULE" "$@" --token "$TOKEN" --pin-source env:TEST_PIN; }
    check "pkcs11-tool makes a key" user --keypairgen --key-type EC:edwards25519 --id 01 --label ed25519
    check_output "the command says where it is" "place.*${ed25519[$store]}" trellis key show ed25519
    check "pkcs11-tool signs" user --sign -m EDDSA --id 01 --input-file message --output-file "$store.sig"
    check "its public key" trellis key export-public ed25519 --out "$store.pem"
    check "OpenSSL verifies" openssl pkeyutl -verify -pubin -inkey "$store.pem" -rawin -in message -sigfile "$store.sig"
    check_fails "and refuses another message" "[Ff]ail" openssl pkeyutl -verify -pubin -inkey "$store.pem" -rawin -in other -sigfile "$store.sig"
    check "the command makes an ML-DSA key" trellis key generate --algorithm ml-dsa-65 --label ml-dsa-65
    check_output "and says where it is" "place.*${ml_dsa[$store]}" trellis key show ml-dsa-65
    check "it signs" trellis sign message --key ml-dsa-65 --out "$store.ml-dsa"
    check_output "doctor finds nothing broken" "store" "$CLI" --module "$MODULE" doctor
    WORK=$top
done
