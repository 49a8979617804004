# shellcheck shell=bash
# OpenSSL 3.0 with the pkcs11 engine (libengine-pkcs11-openssl): signatures and certificates with RSA and EC.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
new_token openssl-engine
check "an RSA key" user --keypairgen --key-type rsa:2048 --id 01 --label rsa
check "an EC key" user --keypairgen --key-type EC:prime256v1 --id 02 --label ec

sed "s|^MODULE_PATH.*|MODULE_PATH = $MODULE|" "$PROJECT/packaging/openssl/engine.cnf" >openssl.cnf
export OPENSSL_CONF=$WORK/openssl.cnf
engine=(-engine pkcs11)
head -c 3000 /dev/urandom >message
for key in rsa ec; do
    uri="pkcs11:token=openssl-engine;object=$key;type=private?pin-value=$PIN"
    check "$key: the public key is read" openssl pkey "${engine[@]}" -inform engine -in "$uri" -pubout -out "$key.pub"
    check "$key: signs" openssl dgst -sha256 "${engine[@]}" -keyform engine -sign "$uri" -out "$key.sig" message
    check "$key: openssl accepts it in software" openssl dgst -sha256 -verify "$key.pub" -signature "$key.sig" message
    check "$key: a self-signed certificate" openssl req -x509 "${engine[@]}" -keyform engine -key "$uri" -sha256 -days 2 \
        -subj "/CN=$key" -out "$key.pem"
    check "$key: it verifies" openssl verify -CAfile "$key.pem" -check_ss_sig "$key.pem"
    check "$key: a request" openssl req -new "${engine[@]}" -keyform engine -key "$uri" -subj "/CN=$key" -out "$key.csr"
    check_output "$key: it verifies" "verify OK" openssl req -in "$key.csr" -noout -verify
done
check "rsa: PSS signs" openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest "${engine[@]}" -keyform engine \
    -sign "pkcs11:token=openssl-engine;object=rsa;type=private?pin-value=$PIN" -out pss.sig message
check "rsa: openssl accepts it in software" openssl dgst -sha256 -sigopt rsa_padding_mode:pss -verify rsa.pub -signature pss.sig message
check "the RSA key signs for the EC key's request" openssl x509 -req -in ec.csr -CA rsa.pem "${engine[@]}" -CAkeyform engine \
    -CAkey "pkcs11:token=openssl-engine;object=rsa;type=private?pin-value=$PIN" -CAcreateserial -days 2 -out issued.pem
check "the chain verifies" openssl verify -CAfile rsa.pem issued.pem
