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

for store in softhsm tpm nitro; do
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
    check_output "also in its list" "ml-dsa-65 .*${ml_dsa[$store]}" trellis key list
    check "it signs" trellis sign message --key ml-dsa-65 --out "$store.ml-dsa"
    if [[ $store == nitro ]]; then
        attestation=(--birth-attestation birth.b64 --metadata key.json)
        check "what the enclave attested of it" trellis key export-attestation ml-dsa-65 "${attestation[@]}"
        # PCR0, 1, 2 and 8 of the emulation, whose root must be named.
        registers=$(for index in 0 1 2 8; do printf '"PCR%s":"%s",' "$index" "$(printf "1$index%.0s" {1..48})"; done)
        printf '{"enclave_version":"0","pcrs":{%s}}' "${registers%,}" >manifest.json
        root=$(sed -n 's/.*root SHA-256 //p' "$WORK/nitro/enclave.log")
        check_output "it verifies" "^valid$" "$CLI" attest verify "${attestation[@]}" --manifest manifest.json --root-sha256 "$root"
        check_fails "but not as Amazon's" "root" "$CLI" attest verify "${attestation[@]}" --manifest manifest.json
        sed -i 's/"user_id":"/&x/' key.json
        check_fails "nor as another's" "user" "$CLI" attest verify "${attestation[@]}" --manifest manifest.json --root-sha256 "$root"
    fi
    check_output "doctor finds nothing broken" "store" "$CLI" --module "$MODULE" doctor
    # The same device has room for a second token, which the command adds to the configuration.
    options=()
    while IFS=' =' read -r name value; do
        case $name in module-path | tcti | host) options+=("--$name" "$(tr -d '"' <<<"$value")") ;; esac
    done <"$TRELLIS_CONF"
    backend=$(sed -n 's/^backend = "\(.*\)"/\1/p' "$TRELLIS_CONF")
    check "a second token is added" env TEST_PIN="$PIN" TEST_SO_PIN="$SO_PIN" "$CLI" --module "$MODULE" token init \
        --label "second-$store" --backend "$backend" --path "$WORK/second" "${options[@]}" \
        --pin-source env:TEST_PIN --so-pin-source env:TEST_SO_PIN
    TOKEN=second-$store
    check "and a key in it" trellis key generate --algorithm ml-dsa-44 --label k
    check "which signs" trellis sign message --key k --out "$WORK/k.sig"
    check "and is verified" trellis verify message --key k --signature "$WORK/k.sig"
    if [[ -n $DEVICE ]]; then
        kill "$DEVICE"
        check_fails "without its device, doctor says what to do" "try:" "$CLI" --module "$MODULE" doctor
        DEVICE=
    fi
    WORK=$top
done
