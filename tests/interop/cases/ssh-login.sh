# shellcheck shell=bash
# OpenSSH: logs in to a server on the loopback device with the token's keys, Ed25519 among them, by the packaged
# configuration and through an agent.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
new_token ssh-login
check "an Ed25519 key" user --keypairgen --key-type EC:edwards25519 --id 01 --label ed25519 --usage-sign
check "an EC key" user --keypairgen --key-type EC:prime256v1 --id 02 --label ec --usage-sign
ssh-keygen -D "$MODULE" >keys.pub 2>ssh-keygen.log

port=$(free_port)
check "a host key" ssh-keygen -q -t ed25519 -N "" -f host
cat >sshd_config <<CONFIG
ListenAddress 127.0.0.1
Port $port
HostKey $WORK/host
AuthorizedKeysFile $WORK/authorized
AuthenticationMethods publickey
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
PidFile none
CONFIG
mkdir -p /run/sshd
: >authorized
serve sshd.log /usr/sbin/sshd -D -e -f sshd_config
check "sshd listens" wait_until listens "$port"

# The packaged file, with the module where it lies now and the server under test; only an agent's keys without it.
sed -e "s|^Host .*|Host server|" -e "s|/usr/.*\.so|$MODULE|" "$PROJECT/packaging/ssh/config" >token.config
cat >base.config <<CONFIG
Host server
    HostName 127.0.0.1
    Port $port
    User root
    StrictHostKeyChecking accept-new
    UserKnownHostsFile $WORK/known
    PreferredAuthentications publickey
CONFIG
cat base.config >>token.config
printf '#!/bin/sh\necho %s\n' "$PIN" >askpass
chmod 700 askpass
export SSH_ASKPASS=$WORK/askpass SSH_ASKPASS_REQUIRE=force

types=(ssh-ed25519 ecdsa-sha2-nistp256)
for type in "${types[@]}"; do
    grep "^$type " keys.pub >authorized
    check_output "login with the $type key" "^logged in" ssh -F token.config server echo logged in
done
: >authorized
check_fails "no login with a key that is not authorised" "Permission denied" ssh -F token.config server echo logged in

export SSH_AUTH_SOCK=$WORK/agent
serve agent.log ssh-agent -D -a "$SSH_AUTH_SOCK" -P "$MODULE"
check "an agent listens" wait_until test -S "$SSH_AUTH_SOCK"
check "it takes the token" ssh-add -s "$MODULE"
for type in "${types[@]}"; do
    grep "^$type " keys.pub >authorized
    check_output "login with the $type key through it" "^logged in" ssh -F base.config server echo logged in
done
