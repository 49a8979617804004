# shellcheck shell=bash
# p11tool and certtool (GnuTLS): URIs, Ed25519 keys, certificates.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
new_token p11tool
export GNUTLS_PIN=$PIN GNUTLS_SO_PIN=$SO_PIN
uri="pkcs11:token=p11tool"
p11tool() { command p11tool --batch --provider "$MODULE" "$@"; }

check_output "the token has a URI" "pkcs11:.*token=p11tool" p11tool --list-tokens
check_output "mechanisms" "CKM_SHA256_RSA_PKCS" p11tool --list-mechanisms "$uri"
check "an RSA key" p11tool --login --generate-privkey=rsa --bits=2048 --label=rsa "$uri"
check "RSA signs and verifies" p11tool --login --test-sign "$uri;object=rsa;type=private"
check "an EC key" p11tool --login --generate-privkey=ecdsa --curve=secp384r1 --label=ec "$uri"
check "EC signs and verifies" p11tool --login --test-sign "$uri;object=ec;type=private"

# GnuTLS learnt to generate Ed25519 keys in tokens with 3.8; an older one must list the others beside such a key.
keys=(rsa ec)
if p11tool --version | grep -qE "^p11tool (3\.([89]|[1-9][0-9])|[4-9])"; then
    keys+=(ed)
    check "an Ed25519 key" p11tool --login --generate-privkey=ed25519 --label=ed --outfile=ed.pub "$uri"
    check "the public key is exported" p11tool --login --export-pubkey --outfile=ed.again "$uri;object=ed;type=private"
    check_output "openssl reads it" "^ED25519" openssl pkey -pubin -in ed.again -noout -text
    check "and it is the one that was made" cmp ed.pub ed.again
else
    check "an Ed25519 key, by pkcs11-tool" user --keypairgen --key-type EC:edwards25519 --id 03 --label ed
fi
for key in rsa ec ed; do
    check_output "$key is listed" "object=$key;type=private" p11tool --login --list-all "$uri"
done

printf 'cn = p11tool\nca\ncert_signing_key\nexpiration_days = 2\n' >template
for key in "${keys[@]}"; do
    check "certtool makes a self-signed certificate with $key" certtool --provider "$MODULE" --generate-self-signed \
        --template template --load-privkey "$uri;object=$key;type=private" --outfile "$key.pem"
    check "openssl accepts it" openssl verify -CAfile "$key.pem" -check_ss_sig "$key.pem"
done
check "a certificate is written to the token" p11tool --login --write --load-certificate=ec.pem --label=ca "$uri"
check "and exported" p11tool --export --outfile=ca.pem "$uri;object=ca;type=cert"
check "unchanged" cmp <(openssl x509 -in ec.pem -outform DER) <(openssl x509 -in ca.pem -outform DER)
check "a secret key is written" p11tool --login --write --label=secret \
    --secret-key=000102030405060708090a0b0c0d0e0f1011121314151617 "$uri"
check "an object is deleted" p11tool --login --delete "$uri;object=ca;type=cert"
check_fails "and is gone" "not available" p11tool --export "$uri;object=ca;type=cert"
check "random bytes" p11tool --generate-random=32 --outfile=random "$uri"
check_output "as many as asked for" "^32$" stat -c %s random
