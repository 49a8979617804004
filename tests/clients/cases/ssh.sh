# shellcheck shell=bash
# OpenSSH: lists the token's public keys, and signs files with them through an agent. OpenSSH learnt Ed25519 tokens in
# 10.1; an older one must pass over such a key and use the others.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
new_token ssh
check "an EC key" user --keypairgen --key-type EC:prime256v1 --id 01 --label ec --usage-sign
check "an RSA key" user --keypairgen --key-type rsa:2048 --id 02 --label rsa --usage-sign
check "an Ed25519 key" user --keypairgen --key-type EC:edwards25519 --id 03 --label ed25519 --usage-sign

version=$(ssh -V 2>&1 | sed -n 's/^OpenSSH_\([0-9]*\)\.\([0-9]*\).*/\1 * 100 + \2/p')
types=(ecdsa-sha2-nistp256 ssh-rsa)
((version < 1001)) || types+=(ssh-ed25519)
for type in "${types[@]}"; do
    check_output "ssh-keygen lists the $type key" "^$type " ssh-keygen -D "$MODULE"
done
ssh-keygen -D "$MODULE" >keys.pub 2>ssh-keygen.log

# ssh-add asks for the PIN by this program only.
printf '#!/bin/sh\necho %s\n' "$PIN" >askpass
chmod 700 askpass
export SSH_ASKPASS=$WORK/askpass SSH_ASKPASS_REQUIRE=force SSH_AUTH_SOCK=$WORK/agent
serve agent.log ssh-agent -D -a "$SSH_AUTH_SOCK" -P "$MODULE"
check "the agent listens" wait_until test -S "$SSH_AUTH_SOCK"
check "it takes the token" ssh-add -s "$MODULE"
echo "To whom it may concern" >letter
verify() { ssh-keygen -Y verify -f signers -I me -n letters -s letter.sig <"$1"; }
for type in "${types[@]}"; do
    grep "^$type " keys.pub >key.pub
    echo "me $(cat key.pub)" >signers
    rm -f letter.sig
    check "it signs with the $type key" ssh-keygen -Y sign -f key.pub -n letters letter
    check "which ssh-keygen accepts" verify letter
    check_fails "for no other file" "incorrect signature" verify keys.pub
done
check "it drops the token" ssh-add -e "$MODULE"
check_fails "and signs no more" "No private key found" ssh-keygen -Y sign -f key.pub -n letters letter
