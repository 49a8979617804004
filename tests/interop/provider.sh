# shellcheck shell=bash
# Points OpenSSL at pkcs11-provider with the packaged openssl.cnf, for the case that sources it after new_token.

mkdir -p "$WORK/conf"
printf '%s' "$PIN" >"$WORK/conf/pin"
sed -e "s|^pkcs11-module-path.*|pkcs11-module-path = $MODULE|" \
    -e "s|^pkcs11-module-token-pin.*|pkcs11-module-token-pin = file:$WORK/conf/pin|" \
    "$PROJECT/packaging/openssl/provider.cnf" >"$WORK/conf/openssl.cnf"

# provider COMMAND... : COMMAND with the provider; a plain `openssl` has none, and so verifies in software.
provider() { OPENSSL_CONF=$WORK/conf/openssl.cnf "$@"; }

# private LABEL, public LABEL : the URIs of a key's two halves.
private() { echo "pkcs11:token=$TOKEN;object=$1;type=private"; }
public() { echo "pkcs11:token=$TOKEN;object=$1;type=public"; }
