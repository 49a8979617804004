# shellcheck shell=bash
# OpenSSL 3.6 with pkcs11-provider: a TLS 1.3 server, and a client with a certificate, whose keys are in the token.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
new_token openssl-tls
# shellcheck source=tests/interop/provider.sh
. "$PROJECT/tests/interop/provider.sh"
# shellcheck source=tests/interop/tls.sh
. "$PROJECT/tests/interop/tls.sh"

for algorithm in ML-DSA-65 ED25519; do
    new_identity "$algorithm"
done
for algorithm in ML-DSA-65 ED25519; do
    check_server "$algorithm"
done

port=$(free_port)
serve mutual.log provider openssl s_server -accept "127.0.0.1:$port" -www -tls1_3 -cert ED25519.pem -key "$(private ED25519)" \
    -CAfile ML-DSA-65.pem -Verify 1 -verify_return_error
check "the server that wants a client certificate listens" wait_until listens "$port"
with_token_key() { OPENSSL_CONF=$WORK/conf/openssl.cnf get "$port" ED25519.pem -cert ML-DSA-65.pem -key "$(private ML-DSA-65)"; }
check_output "a client with an ML-DSA key in the token is let in" "HTTP/1.0 200" with_token_key
curl() { OPENSSL_CONF=$WORK/conf/openssl.cnf command curl --silent --show-error --cacert ED25519.pem --connect-to "::127.0.0.1:$port" "$@" "https://localhost/"; }
check_output "curl with that key too" "s_server" curl --cert ML-DSA-65.pem --key-type PROV --key "$(private ML-DSA-65)"
without_key() { get "$port" ED25519.pem; }
check_fails "one without a certificate is not" "certificate required|handshake failure" without_key
