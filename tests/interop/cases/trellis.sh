# shellcheck shell=bash
# The trellis command beside OpenSSL 3.6: imports OpenSSL's private keys in each form, and each accepts the other's
# signatures, with contexts and prehashed where both can.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
new_token trellis
trellis() { "$CLI" --module "$MODULE" "$@"; }
mine() { trellis "$@" --token "$TOKEN" --pin-source env:PIN; }
verify() { openssl pkeyutl -verify -rawin -pubin -inkey "$1" -in message -sigfile "$2" "${@:3}"; }
head -c 5000 /dev/urandom >message

for set in 44 65 87; do
    for form in seed-only priv-only seed-priv; do
        name=m$set-$form
        check "$name: openssl makes it" openssl genpkey -algorithm "ML-DSA-$set" -provparam "ml-dsa.output_formats=$form" -out "$name.key"
        openssl pkey -in "$name.key" -pubout -out "$name.pub"
        check "$name: is imported" mine key import "$name.key" --label "$name"
        check "$name: its public half comes out" mine key export-public "$name" --out "$name.again"
        check "$name: unchanged" cmp "$name.pub" "$name.again"
        check "$name: signs" mine sign message --key "$name" --out "$name.sig"
        check "$name: openssl accepts it" verify "$name.pub" "$name.sig"
        check "$name: signs in a context" mine sign message --key "$name" --context invoice --out "$name.ctx"
        check "$name: openssl accepts it in that context" verify "$name.pub" "$name.ctx" -pkeyopt context-string:invoice
        check_fails "$name: and in no other" "Verif" verify "$name.pub" "$name.ctx" -pkeyopt context-string:order
        openssl pkeyutl -sign -rawin -inkey "$name.key" -in message -out "$name.theirs"
        check "$name: accepts openssl's signature" mine verify message --signature "$name.theirs" --key "$name"
    done
    # The deterministic variant has one signature only, whoever makes it. (Expanded keys cannot make it from mu.)
    name=m$set-seed-only
    openssl pkeyutl -sign -rawin -inkey "$name.key" -in message -pkeyopt deterministic:1 -out "$name.theirs"
    check "$name: signs deterministically" mine sign message --key "$name" --deterministic --out "$name.ours"
    check "$name: as openssl does" cmp "$name.theirs" "$name.ours"
done

# A byte of the expanded half changed: the seed and it disagree.
openssl pkey -in m65-seed-priv.key -outform DER -out wrong.der
printf '\x5a\xa5\x5a\xa5' | dd of=wrong.der bs=1 seek=2000 conv=notrunc status=none
check_fails "two forms that disagree are refused" "CKR_ATTRIBUTE_VALUE_INVALID" mine key import wrong.der --label wrong
check_fails "and nothing is left of them" "no key .wrong" mine key show wrong
openssl pkey -in m65-priv-only.key -outform DER -out wrong.der
printf '\x5a\xa5\x5a\xa5' | dd of=wrong.der bs=1 seek=2000 conv=notrunc status=none
check_fails "an expanded key whose parts disagree is refused" "CKR_ATTRIBUTE_VALUE_INVALID" mine key import wrong.der --label wrong

for algorithm in ED25519 EC RSA; do
    options=()
    [[ $algorithm != EC ]] || options=(-pkeyopt ec_paramgen_curve:P-384)
    openssl genpkey -quiet -algorithm "$algorithm" "${options[@]}" -out "$algorithm.key"
    openssl pkey -in "$algorithm.key" -pubout -out "$algorithm.pub"
    check "$algorithm: is imported" mine key import "$algorithm.key" --label "$algorithm"
    check "$algorithm: its public half comes out" mine key export-public "$algorithm" --out "$algorithm.again"
    check "$algorithm: unchanged" cmp "$algorithm.pub" "$algorithm.again"
done
check "ED25519: signs" mine sign message --key ED25519 --out ed.sig
check "ED25519: openssl accepts it" verify ED25519.pub ed.sig
