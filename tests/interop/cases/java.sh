# shellcheck shell=bash
# Java's SunPKCS11, by keytool: signs with EC and RSA keys in the token, and passes over the keys that it does not know.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
new_token java
check "an ML-DSA key" user --keypairgen --key-type ML-DSA-65 --id 01 --label m65 --usage-sign
check "an Ed25519 key" user --keypairgen --key-type EC:edwards25519 --id 02 --label ed25519 --usage-sign
check "an unrelated certificate is made" openssl req -x509 -newkey ed25519 -nodes -keyout other.key -subj /CN=other -days 2 \
    -outform DER -out other.der
check "and written" user --write-object other.der --type cert --id 03 --label other

printf 'name = Trellis\nlibrary = %s\nslotListIndex = 0\n' "$MODULE" >java.cfg
keytool() {
    command keytool "$@" -keystore NONE -storetype PKCS11 -storepass:env PIN -providerClass sun.security.pkcs11.SunPKCS11 \
        -providerArg "$WORK/java.cfg"
}
check_output "the keystore opens" "Keystore type: PKCS11" keytool -list
check "an EC key with its certificate" keytool -genkeypair -alias ec -keyalg EC -groupname secp256r1 -dname CN=ec -validity 2
check "an RSA key with its certificate" keytool -genkeypair -alias rsa -keyalg RSA -keysize 2048 -dname CN=rsa -validity 2
for alias in ec rsa; do
    check_output "$alias is listed" "^$alias, .*PrivateKeyEntry" keytool -list
    check "$alias: the certificate is exported" keytool -exportcert -rfc -alias $alias -file $alias.pem
    check "$alias: openssl accepts it" openssl verify -CAfile $alias.pem -check_ss_sig $alias.pem
    check "$alias: a request" keytool -certreq -alias $alias -file $alias.csr
    check_output "$alias: openssl accepts it" "verify OK" openssl req -in $alias.csr -noout -verify
done
check "a key is deleted" keytool -delete -alias ec
check_output "the other keys are still there" "label: +m65" user --list-objects
