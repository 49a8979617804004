# shellcheck shell=bash
# pkcs11-tool 0.27: ML-DSA and HashML-DSA with every parameter set, and the import of an expanded private key.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
new_token ml-dsa
head -c 3000 /dev/urandom >message
head -c 3001 /dev/urandom >other

id=10
for set in 44 65 87; do
    id=$((id + 1))
    check "ML-DSA-$set is generated" user --keypairgen --key-type ML-DSA-$set --id $id --label m$set --usage-sign
    check "ML-DSA-$set signs" user --sign --id $id -m ML-DSA -i message -o sig
    check "the public key is read" token --read-object --type pubkey --id $id -o pub.der
    check "openssl accepts the signature" openssl pkeyutl -verify -rawin -pubin -inkey pub.der -keyform DER -in message -sigfile sig
    check_output "the token accepts it" "Signature is valid" user --verify --id $id -m ML-DSA -i message --signature-file sig
    check "not for another message" refused user --verify --id $id -m ML-DSA -i other --signature-file sig
done

for hash in SHA224 SHA256 SHA384 SHA512 SHA3_224 SHA3_256 SHA3_384 SHA3_512 SHAKE128 SHAKE256; do
    check "HASH-ML-DSA-$hash signs" user --sign --id 12 -m "HASH-ML-DSA-$hash" -i message -o "$hash.sig"
    check_output "the token accepts it" "Signature is valid" user --verify --id 12 -m "HASH-ML-DSA-$hash" -i message \
        --signature-file "$hash.sig"
    check "not for another message" refused user --verify --id 12 -m "HASH-ML-DSA-$hash" -i other --signature-file "$hash.sig"
    check "nor as plain ML-DSA" refused user --verify --id 12 -m ML-DSA -i message --signature-file "$hash.sig"
done

check "openssl makes an ML-DSA-65 key" openssl genpkey -algorithm ML-DSA-65 -outform DER -out imported.der
openssl pkey -in imported.der -inform DER -pubout -out imported.pub
check "its 4,032 bytes are imported" user --write-object imported.der --type privkey --id 20 --label imported --usage-sign
check "the import signs" user --sign --id 20 -m ML-DSA -i message -o imported.sig
check "openssl accepts it" openssl pkeyutl -verify -rawin -pubin -inkey imported.pub -in message -sigfile imported.sig
check "the public key is imported" user --write-object imported.pub --type pubkey --id 20 --label imported
openssl pkeyutl -sign -rawin -inkey imported.der -keyform DER -in message -out software.sig
check_output "the token accepts openssl's signature" "Signature is valid" user --verify --id 20 -m ML-DSA -i message \
    --signature-file software.sig
