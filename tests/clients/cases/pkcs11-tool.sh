# shellcheck shell=bash
# pkcs11-tool (OpenSC): its own self-tests, and the life of every kind of object.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
new_token pkcs11-tool

check_output "the token lists itself" "token label +: pkcs11-tool" pkcs11-tool --module "$MODULE" --list-slots
check_output "mechanisms" "EDDSA" token --list-mechanisms
check_fails "a wrong PIN" "CKR_PIN_INCORRECT" token --login --pin wrong-pin --list-objects

check "an RSA key" user --keypairgen --key-type rsa:2048 --id 01 --label rsa
check "an EC key" user --keypairgen --key-type EC:prime256v1 --id 02 --label ec
check "an Ed25519 key" user --keypairgen --key-type EC:edwards25519 --id 03 --label ed25519
check_output "self-test" "No errors" user --test
check "self-test in a forked child" user --test-fork
# Each thread initialises with OS locks, lists the slots and reads the token of the first.
check "self-test of threads" token --test-threads ILSLT0SLT0 --test-threads ILSLT0SLT0

head -c 5000 /dev/urandom >message
check "the public RSA key is readable" token --read-object --type pubkey --id 01 -o rsa.der
for hash in 256 384 512; do
    check "RSA signs with SHA-$hash" user --sign --id 01 -m "SHA$hash-RSA-PKCS" -i message -o rsa.sig
    check "openssl accepts it" openssl dgst "-sha$hash" -verify rsa.der -keyform DER -signature rsa.sig message
done
check "RSA signs with PSS" user --sign --id 01 -m SHA256-RSA-PKCS-PSS -i message -o pss.sig
check "openssl accepts it" openssl dgst -sha256 -sigopt rsa_padding_mode:pss -verify rsa.der -keyform DER -signature pss.sig message

check "EC signs" user --sign --id 02 -m ECDSA-SHA256 --signature-format openssl -i message -o ec.sig
check "the public EC key is readable" token --read-object --type pubkey --id 02 -o ec.der
check "openssl accepts it" openssl dgst -sha256 -verify ec.der -keyform DER -signature ec.sig message

# Below 1 kB this pkcs11-tool signs in one call, above in parts; PKCS#11 has EdDSA in one call only.
head -c 1000 message >short
check "Ed25519 signs" user --sign --id 03 -m EDDSA -i short -o ed.sig
check_output "the signature has 64 bytes" "^64$" stat -c %s ed.sig
check_output "the token accepts its own signature" "Signature is valid" user --verify --id 03 -m EDDSA -i short --signature-file ed.sig
head -c 64 /dev/urandom >forged.sig
check "and no other" refused user --verify --id 03 -m EDDSA -i short --signature-file forged.sig

check "an AES key" user --keygen --key-type AES:32 --id 04 --label aes --private --sensitive
check "a generic secret" user --keygen --key-type GENERIC:64 --id 05 --label secret --private --sensitive
# Without --private, pkcs11-tool makes the key a public object: seen by all, used by the user.
check "an AES key for all to see" user --keygen --key-type AES:32 --id 07 --label open
check_output "without a PIN it is listed" "label: +open" token --list-objects --type secrkey
check "with it, it encrypts" user --encrypt --id 07 -m AES-CBC-PAD --iv 00112233445566778899aabbccddeeff -i message -o open.cipher
head -c 64 /dev/urandom >plain
check "AES-CBC-PAD encrypts" user --encrypt --id 04 -m AES-CBC-PAD --iv 00112233445566778899aabbccddeeff -i plain -o cipher
check "and decrypts" user --decrypt --id 04 -m AES-CBC-PAD --iv 00112233445566778899aabbccddeeff -i cipher -o again
check "to the same bytes" cmp plain again

check "a certificate of another key is made" openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
    -subj /CN=client -keyout imported.key -out cert.pem
openssl x509 -in cert.pem -outform DER -out cert.der
openssl pkey -in imported.key -outform DER -out imported.der
openssl pkey -in imported.key -pubout -out imported.pub
check "the certificate is written" user --write-object cert.der --type cert --id 06 --label certificate
check "and read back" token --read-object --type cert --id 06 -o cert.back
check "unchanged" cmp cert.der cert.back
check "its private key is imported" user --write-object imported.der --type privkey --id 06 --label imported --usage-sign
check "and signs" user --sign --id 06 -m ECDSA-SHA256 --signature-format openssl -i message -o imported.sig
check "openssl accepts it" openssl dgst -sha256 -verify imported.pub -signature imported.sig message
check "a data object is written" user --write-object plain --type data --label notes --application-label trellis
check "and read back" user --read-object --type data --label notes -o plain.back
check "unchanged" cmp plain plain.back

check_output "the user sees the private keys" "^Private Key Object" user --list-objects
no_private_keys() { ! token --list-objects | grep "^Private Key Object"; }
check "a stranger does not" no_private_keys
check "a key is deleted" user --delete-object --type privkey --id 03
check_fails "and is gone" "not found" user --sign --id 03 -m EDDSA -i short -o gone.sig
