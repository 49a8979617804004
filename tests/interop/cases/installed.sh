# shellcheck shell=bash
# What `make install` puts on a machine: found by the command, by p11-kit and by every user, configured by
# /etc/trellis/trellis.toml, and gone after `make uninstall`.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
unset TRELLIS_MODULE
system=/etc/trellis/trellis.toml
cleanup() {
    "$PROJECT/scripts/install.sh" uninstall >/dev/null
    rm -rf /etc/trellis "${PROJECT:?}/pkcs11-tool" "${PROJECT:?}/home"
    finish
}
trap cleanup EXIT

install -d -o 65534 -g 65534 "$PROJECT/home"
check "it installs" "$PROJECT/scripts/install.sh" install
trellis=/usr/local/bin/trellis
check_output "the command finds the module" "/usr/local/lib/pkcs11/libtrellis_pkcs11.so" "$trellis" doctor
check "the command has its other name" /usr/local/bin/pq-attest verify --help
check_output "p11-kit finds it" "^module: trellis" p11-kit list-modules
check_output "a user may use it" "^ok +module +loads" setpriv --reuid=65534 --clear-groups env HOME="$PROJECT/home" "$trellis" doctor
check_output "who may lock no memory is told" "^warning +memory locking" prlimit --memlock=0 \
    setpriv --reuid=65534 --clear-groups env HOME="$PROJECT/home" "$trellis" doctor
check "bash has a completion" grep -q trellis /usr/local/share/bash-completion/completions/trellis
check "no example names another place" sh -c '! grep -r x86_64-linux-gnu/pkcs11 /usr/local/share/doc/trellis'

mkdir -p /etc/trellis
printf '[[slot]]\nid = 7\npath = "%s"\n' "$WORK/system" >$system
check_output "the system's configuration holds" "slot 7|\"slot_id\": 7" "$trellis" --json token list
mkdir -p "$WORK/.config/trellis"
printf '[[slot]]\nid = 8\npath = "%s"\n' "$WORK/user" >"$WORK/.config/trellis/trellis.toml"
check_output "the user's goes before it" "\"slot_id\": 8" "$trellis" --json token list
printf '[[slot]]\nid = 9\npath = "%s"\n' "$WORK/named" >"$WORK/named.toml"
check_output "and TRELLIS_CONF before both" "\"slot_id\": 9" env TRELLIS_CONF="$WORK/named.toml" "$trellis" --json token list
# A program with more rights than whoever starts it takes its configuration from nobody but the administrator. (It
# lies outside /tmp, which is mounted without such programs.)
cp "$(command -v pkcs11-tool)" "$PROJECT/pkcs11-tool"
chmod 6755 "$PROJECT/pkcs11-tool"
chmod 711 "$WORK" && chmod 644 "$WORK/named.toml"
check_output "with more rights than its user's, a program sees the system's only" "Slot 0 \(0x7\)" \
    setpriv --reuid=65534 --regid=65534 --clear-groups env HOME="$WORK" TRELLIS_CONF="$WORK/named.toml" \
    "$PROJECT/pkcs11-tool" --module /usr/local/lib/pkcs11/libtrellis_pkcs11.so --list-slots

check "it is taken away" "$PROJECT/scripts/install.sh" uninstall
check "and nothing of it is left" sh -c '! find /usr/local /etc/pkcs11 \( -name "*trellis*" -o -name pq-attest \) -not -type d | grep .'
