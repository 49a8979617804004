# shellcheck shell=bash
# The devices behind the other stores, started for one case: each function prints the lines of a [[slot]] for new_token.
# $PARTS has the programs and the plug-in that scripts/parts.sh built. Whatever is started here ends with the case.

# Every store there is.
STORES=(softhsm tpm nitro)

# A folder of SoftHSM's without a token: new_token has named it in $SOFTHSM2_CONF.
softhsm_slot() {
    local library
    library=$(ls /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so 2>/dev/null | head -n 1)
    printf 'backend = "pkcs11"\nmodule-path = "%s"\n' "$library"
}

# A TPM of its own, empty.
tpm_slot() {
    local port
    port=$(free_ports 2)
    mkdir -p "$WORK/tpm"
    swtpm socket --tpm2 --flags not-need-init,startup-clear --tpmstate "dir=$WORK/tpm" \
        --server "type=tcp,port=$port,bindaddr=127.0.0.1" --ctrl "type=tcp,port=$((port + 1)),bindaddr=127.0.0.1" \
        >"$WORK/swtpm.log" 2>&1 </dev/null &
    wait_until listens "$((port + 1))" || return
    printf 'backend = "tpm"\ntcti = "swtpm:host=127.0.0.1,port=%s"\n' "$port"
    # Beside the module it is found.
    [[ -e ${MODULE%/*}/libtrellis_tpm.so ]] || printf 'plug-in = "%s"\n' "$PARTS/libtrellis_tpm.so"
}

# An enclave with an emulated NSM, the KMS double, and the host between them.
nitro_slot() {
    local key=arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-0000-4000-8000-00000000000a
    local caller=arn:aws:iam::111122223333:role/parent image
    image=$(printf '10%.0s' {1..48})
    mkdir -p "$WORK/nitro"
    (cd "$WORK/nitro" && start_enclave) || return
    printf 'backend = "nitro"\nhost = "unix:%s"\n' "$WORK/nitro/host.sock"
}

# In the current folder; $key, $caller and $image are nitro_slot's.
start_enclave() {
    "$PARTS/trellis-enclave-emulated" --nsm nsm --pcr "0=$image" --listen "unix:$PWD/enclave.sock" >enclave.log 2>&1 </dev/null &
    wait_until test -S enclave.sock || return
    local root
    root=$(sed -n 's/.*root SHA-256 //p' enclave.log)
    cat >policy.json <<JSON
{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "$caller"},
 "Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": "*",
 "Condition": {"StringEqualsIgnoreCase": {"kms:RecipientAttestation:ImageSha384": "$image"}}}]}
JSON
    # It lives as long as its standard input.
    mkfifo kms.stdin
    "$PARTS/trellis-kms-double" --keys kms-keys --policy policy.json --root "$root" --caller "$caller" --key "$key" \
        <kms.stdin >kms.out 2>kms.log &
    sleep infinity >kms.stdin &
    wait_until grep -q ^http:// kms.out || return
    AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test "$PARTS/trellis-cosigner-host" --listen "unix:$PWD/host.sock" \
        --enclave "unix:$PWD/enclave.sock" --records records --kms-key "$key" --kms-endpoint "$(<kms.out)" \
        >host.log 2>&1 </dev/null &
    wait_until test -S host.sock
}
