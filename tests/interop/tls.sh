# shellcheck shell=bash
# A TLS 1.3 server with its key in the token, for the case that sources it after provider.sh.

# new_identity ALGORITHM : a key of that name in the token and its self-signed certificate, ALGORITHM.pem.
new_identity() {
    local algorithm=$1
    check "$algorithm: a key" provider openssl genpkey -propquery provider=pkcs11 -algorithm "$algorithm" \
        -pkeyopt "pkcs11_uri:pkcs11:token=$TOKEN;object=$algorithm" -out "$algorithm.ref"
    check "$algorithm: a self-signed certificate" provider openssl req -x509 -key "$(private "$algorithm")" -subj "/CN=localhost" \
        -addext subjectAltName=DNS:localhost -days 2 -out "$algorithm.pem"
}

# get PORT CERTIFICATE [S_CLIENT_ARGUMENTS...] : sends a line and waits for the server's page to end.
get() {
    local port=$1 ca=$2
    shift 2
    printf 'GET / HTTP/1.0\r\n\r\n' | timeout 20 openssl s_client -ign_eof -connect "127.0.0.1:$port" -servername localhost \
        -CAfile "$ca" -verify_return_error -verify_hostname localhost -tls1_3 "$@"
}

# check_server ALGORITHM : OpenSSL serves a page under that certificate, to an OpenSSL that knows nothing of the token.
check_server() {
    local algorithm=$1 port
    port=$(free_port)
    serve "$algorithm.log" provider openssl s_server -accept "127.0.0.1:$port" -www -tls1_3 -cert "$algorithm.pem" \
        -key "$(private "$algorithm")"
    check "$algorithm: the server listens" wait_until listens "$port"
    check_output "$algorithm: the handshake verifies" "Verify return code: 0 \(ok\)" get "$port" "$algorithm.pem"
    check_output "$algorithm: signed with $algorithm" "Peer signature type: ($algorithm|mldsa65|ed25519)" get "$port" "$algorithm.pem"
    check_output "$algorithm: a page is served" "HTTP/1.0 200" get "$port" "$algorithm.pem"
}

# check_store_signs ALGORITHM : pkcs11-tool signs with the same key; OpenSSL verifies in software.
check_store_signs() {
    local algorithm=$1
    openssl x509 -in "$algorithm.pem" -noout -pubkey >"$algorithm.pub"
    head -c 100000 /dev/urandom >message
    check "$algorithm: pkcs11-tool signs" user --sign -m ML-DSA --input-file message --output-file signature
    check "$algorithm: OpenSSL verifies" openssl pkeyutl -verify -pubin -inkey "$algorithm.pub" -rawin -in message -sigfile signature
    echo changed >>message
    check_fails "$algorithm: and refuses another message" "Verification Failure|Verified Failure|failure" openssl pkeyutl -verify -pubin \
        -inkey "$algorithm.pub" -rawin -in message -sigfile signature
}
