# shellcheck shell=bash
# NSS: certutil generates keys in the token through a database that knows the module, and signs with them.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
new_token nss
printf '%s' "$PIN" >pin
mkdir db
check "a database" certutil -N -d sql:db --empty-password
check "the module is added" modutil -force -dbdir sql:db -add trellis -libfile "$MODULE"
check_output "with its token" "Token Name: nss" modutil -dbdir sql:db -list trellis
head -c 64 /dev/urandom >noise

self_signed() { # LABEL CERTUTIL_KEY_ARGUMENTS...
    local label=$1
    shift
    check "$label: a key and its self-signed certificate" certutil -S -d sql:db -h nss -f pin -n "$label" -s "CN=$label" -x -t ,, \
        -z noise -m "$serial" "$@"
    serial=$((serial + 1))
    check_output "$label: the key is listed" "nss:$label" certutil -K -d sql:db -h nss -f pin
    check "$label: the certificate is exported" certutil -L -d sql:db -h nss -f pin -n "nss:$label" -a -o "$label.pem"
    check "$label: openssl accepts it" openssl verify -CAfile "$label.pem" -check_ss_sig "$label.pem"
}
serial=1
self_signed m65 -k mldsa -q ml-dsa-65
self_signed ed -k ed
self_signed p256 -k ec -q secp256r1
self_signed rsa -k rsa -g 2048
check "m65: a request" certutil -R -d sql:db -h nss -f pin -k mldsa -q ml-dsa-65 -s CN=request -z noise -a -o request.pem
sed -n '/BEGIN/,/END/p' request.pem >request.csr
check_output "m65: openssl verifies it" "verify OK" openssl req -in request.csr -noout -verify
