# shellcheck shell=bash
# `trellis key move` from the embedded store to each other one and back: OpenSSL verifies with the public key as it was at first.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
# shellcheck source=tests/clients/stores.sh
. "$PROJECT/tests/clients/stores.sh"
head -c 5000 /dev/urandom >message

for store in softhsm tpm nitro; do
    echo "  $store"
    top=$WORK
    WORK=$WORK/$store
    mkdir "$WORK"
    new_token "$store" "${store}_slot"
    trellis() { TEST_PIN=$PIN TEST_SO_PIN=$SO_PIN "$CLI" --module "$MODULE" "$@" --pin-source env:TEST_PIN; }
    move() { trellis key move "$1" --token "$2" --to "$3" --to-pin-source env:TEST_PIN; }
    check "a token in the embedded store" \
        trellis token init --label local --backend embedded --path "$WORK/local" --so-pin-source env:TEST_SO_PIN
    check "a key" trellis key generate --algorithm rsa-2048 --label key --extractable --token local
    check "its public key" trellis key export-public key --token local --out "$store.pem"
    check "an ML-DSA key" trellis key generate --algorithm ml-dsa-65 --label ml-dsa-65 --extractable --token local
    for key in key ml-dsa-65; do
        check_output "$key moves" "private.*moved.*signature" move "$key" local "$store"
        check_fails "$key is no longer where it was" "no key" trellis key show "$key" --token local
        check "$key signs" trellis sign message --key "$key" --token "$store" --out "$store.$key.sig"
        check_output "$key moves back" "private.*moved.*signature" move "$key" "$store" local
    done
    check "OpenSSL verifies" openssl dgst -sha256 -verify "$store.pem" -signature "$store.key.sig" message
    WORK=$top
done
