# shellcheck shell=bash
# OpenSSL 3.6 with pkcs11-provider: certificate authorities and CMS with keys in the token; Python's
# `cryptography` verifies the chains too.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
new_token openssl-ca
# shellcheck source=tests/interop/provider.sh
. "$PROJECT/tests/interop/provider.sh"
printf 'To whom it may concern.\n' >letter

authority() { # LABEL ALGORITHM SIGNATURE_ALGORITHM RULES [GENPKEY_OPTION...]
    local label=$1 algorithm=$2 signature=$3 rules=$4 owner
    shift 4
    for owner in ca server; do
        check "$algorithm: a key for the $owner" provider openssl genpkey -propquery provider=pkcs11 -algorithm "$algorithm" "$@" \
            -pkeyopt "pkcs11_uri:pkcs11:token=$TOKEN;object=$label-$owner" -out "$label-$owner.ref"
    done
    check "$algorithm: a self-signed certificate" provider openssl req -x509 -key "$(private "$label-ca")" -subj "/CN=$algorithm CA" \
        -extensions ca -days 30 -out "$label-ca.pem"
    check "$algorithm: it verifies" openssl verify -x509_strict -CAfile "$label-ca.pem" -check_ss_sig "$label-ca.pem"
    check "$algorithm: a request" provider openssl req -new -key "$(private "$label-server")" -subj "/CN=localhost" -out "$label.csr"
    check_output "$algorithm: it verifies" "verify OK" openssl req -in "$label.csr" -noout -verify
    check "$algorithm: a certificate is issued" provider openssl x509 -req -in "$label.csr" -CA "$label-ca.pem" \
        -CAkey "$(private "$label-ca")" -extfile "$WORK/conf/openssl.cnf" -extensions server -days 10 -out "$label.pem"
    check "$algorithm: the chain verifies" openssl verify -x509_strict -CAfile "$label-ca.pem" "$label.pem"
    check_output "$algorithm: it is signed so" "Signature Algorithm: $signature" openssl x509 -in "$label.pem" -noout -text
    check "$algorithm: Python verifies the chain" python3 "$PROJECT/tests/interop/verify_chain.py" \
        "$rules" "$label-ca.pem" "$label.pem" localhost

    # CMS hashes the signed attributes, and the provider tells OpenSSL no default hash: -md is needed.
    check "$algorithm: CMS signs" provider openssl cms -sign -binary -nodetach -in letter -md sha512 -signer "$label.pem" \
        -inkey "$(private "$label-server")" -outform PEM -out "$label.cms"
    check "$algorithm: CMS verifies" openssl cms -verify -binary -in "$label.cms" -inform PEM -CAfile "$label-ca.pem" \
        -purpose any -out "$label.letter"
    check "$algorithm: with the letter inside" cmp letter "$label.letter"
}
# The web's certificate rules, which Python follows to the letter, admit neither ML-DSA nor Ed25519 so far.
authority m65 ML-DSA-65 ML-DSA-65 signature
authority ed ED25519 ED25519 signature
authority ec EC ecdsa-with-SHA256 web -pkeyopt ec_paramgen_curve:P-256
check_fails "no chain from one authority to the other's server" "verification failed" openssl verify -CAfile ed-ca.pem m65.pem
