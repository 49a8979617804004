# shellcheck shell=bash
# p11-kit: the module as packaging/p11-kit/trellis.module registers it, alone and through the proxy.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
new_token p11-kit
check "an Ed25519 key" user --keypairgen --key-type EC:edwards25519 --id 01 --label ed25519

# The packaged file, with the module where it lies now.
mkdir modules
sed "s|^module:.*|module: $MODULE|" "$PROJECT/packaging/p11-kit/trellis.module" >modules/trellis.module
# p11-kit reads no user configuration when root runs it, so root sees ours in place of the packages', in a mount
# namespace.
if [[ $(id -u) == 0 ]]; then
    registered() {
        unshare --mount --propagation private sh -c 'mount --bind modules /usr/share/p11-kit/modules && exec "$@"' sh "$@"
    }
else
    mkdir -p .config/pkcs11
    mv modules .config/pkcs11/modules
    registered() { "$@"; }
fi
check_output "the module is registered" "^(module: )?trellis" registered p11-kit list-modules
check_output "with its token" "token: p11-kit" registered p11-kit list-modules
check_output "p11tool finds the token by itself" "token=p11-kit" registered p11tool --list-tokens
proxy=$(find /usr/lib -name p11-kit-proxy.so -print -quit)
check_output "the proxy shows the token" "p11-kit" registered pkcs11-tool --module "$proxy" --list-slots
printf 'through the proxy' >message
check "Ed25519 signs through the proxy" registered pkcs11-tool --module "$proxy" --token-label p11-kit --login --pin "$PIN" \
    --sign --id 01 -m EDDSA -i message -o sig
check "and the token accepts it" user --verify --id 01 -m EDDSA -i message --signature-file sig
