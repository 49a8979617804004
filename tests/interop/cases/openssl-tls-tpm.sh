# shellcheck shell=bash
# The TLS server and its client once more, with keys that a software TPM seals. libtss2 calls OpenSSL in the same process
# that has called the module through OpenSSL.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
command -v swtpm >/dev/null || cannot_run "there is no swtpm here"
[[ -r $(dirname "$MODULE")/libtrellis_tpm.so ]] || cannot_run "there is no libtrellis_tpm.so beside the module; install libtss2-dev and type: make build"
port=$(free_port)
mkdir "$WORK/tpm"
serve tpm.log swtpm socket --tpm2 --server "type=tcp,port=$port" --ctrl "type=unixio,path=$WORK/tpm/control" \
    --tpmstate "dir=$WORK/tpm" --flags not-need-init,startup-clear
is_up() { [[ -S $WORK/tpm/control ]]; }
check "the TPM is on" wait_until is_up
SLOT_LINES=$(printf 'backend = "tpm"\ntcti = "swtpm:host=127.0.0.1,port=%s"\npcrs = "sha256:0,7"' "$port")
# shellcheck source=tests/interop/cases/openssl-tls.sh
. "$PROJECT/tests/interop/cases/openssl-tls.sh"
check_output "the keys are sealed by the TPM" "sha256:0,7" "$CLI" --module "$MODULE" tpm show
