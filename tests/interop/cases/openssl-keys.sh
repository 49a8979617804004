# shellcheck shell=bash
# OpenSSL 3.6 with pkcs11-provider: generates ML-DSA, Ed25519, EC and RSA keys in the token, signs and verifies with each.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
new_token openssl-keys
# shellcheck source=tests/interop/provider.sh
. "$PROJECT/tests/interop/provider.sh"
head -c 3000 /dev/urandom >message
head -c 3001 /dev/urandom >other

generate() { # LABEL GENPKEY_ARGUMENTS...
    local label=$1
    shift
    provider openssl genpkey -propquery provider=pkcs11 "$@" -pkeyopt "pkcs11_uri:pkcs11:token=$TOKEN;object=$label" -out "$label.pem"
}
check "ML-DSA-44 is generated" generate m44 -algorithm ML-DSA-44
check "ML-DSA-65 is generated" generate m65 -algorithm ML-DSA-65
check "ML-DSA-87 is generated" generate m87 -algorithm ML-DSA-87
check "Ed25519 is generated" generate ed -algorithm ED25519
check "EC P-256 is generated" generate p256 -algorithm EC -pkeyopt ec_paramgen_curve:P-256
check "RSA-2048 is generated" generate rsa -algorithm RSA -pkeyopt rsa_keygen_bits:2048
check_output "what was written is a reference" "BEGIN PKCS#11 PROVIDER URI" cat m65.pem

for label in m44 m65 m87 ed; do
    check "$label: the public key is exported" provider openssl pkey -in "$(public $label)" -pubin -pubout -out $label.pub
    check "$label: signs" provider openssl pkeyutl -sign -rawin -inkey "$(private $label)" -in message -out $label.sig
    check "$label: software accepts it" openssl pkeyutl -verify -rawin -pubin -inkey $label.pub -in message -sigfile $label.sig
    check_fails "$label: not for another message" "Verification Failure" \
        openssl pkeyutl -verify -rawin -pubin -inkey $label.pub -in other -sigfile $label.sig
    check "$label: the token accepts it" provider openssl pkeyutl -verify -rawin -pubin -propquery "?provider=pkcs11" \
        -inkey "$(public $label)" -in message -sigfile $label.sig
    check_fails "$label: the token not for another message" "Verification Failure" \
        provider openssl pkeyutl -verify -rawin -pubin -propquery "?provider=pkcs11" -inkey "$(public $label)" -in other -sigfile $label.sig
done
for label in p256 rsa; do
    check "$label: the public key is exported" provider openssl pkey -in "$(public $label)" -pubin -pubout -out $label.pub
    check "$label: signs" provider openssl dgst -sha256 -sign "$(private $label)" -out $label.sig message
    check "$label: software accepts it" openssl dgst -sha256 -verify $label.pub -signature $label.sig message
    check_fails "$label: not for another message" "Verification failure" \
        openssl dgst -sha256 -verify $label.pub -signature $label.sig other
done

check "ML-DSA-65 signs with a context" provider openssl pkeyutl -sign -rawin -inkey "$(private m65)" -pkeyopt context-string:invoices \
    -in message -out context.sig
check "software accepts it with that context" openssl pkeyutl -verify -rawin -pubin -inkey m65.pub -pkeyopt context-string:invoices \
    -in message -sigfile context.sig
check_fails "not without" "Verification Failure" openssl pkeyutl -verify -rawin -pubin -inkey m65.pub -in message -sigfile context.sig
for n in 1 2; do
    check "ML-DSA-65 signs deterministically" provider openssl pkeyutl -sign -rawin -inkey "$(private m65)" -pkeyopt deterministic:1 \
        -in message -out det$n.sig
done
check "twice the same" cmp det1.sig det2.sig
check "software accepts it" openssl pkeyutl -verify -rawin -pubin -inkey m65.pub -in message -sigfile det1.sig
check "the reference signs too" provider openssl pkeyutl -sign -rawin -inkey m65.pem -in message -out ref.sig
check "software accepts it" openssl pkeyutl -verify -rawin -pubin -inkey m65.pub -in message -sigfile ref.sig
