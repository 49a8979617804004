# shellcheck shell=bash
# nginx with pkcs11-provider: two workers serve TLS 1.3 with ML-DSA-65 and Ed25519 keys from the token, without an
# error through a reload. The master runs as root and the workers as www-data, who owns the store.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
new_token web
# shellcheck source=tests/interop/provider.sh
. "$PROJECT/tests/interop/provider.sh"

mkdir conf.d
declare -A ports
for algorithm in ML-DSA-65 ED25519; do
    check "$algorithm: a key" provider openssl genpkey -propquery provider=pkcs11 -algorithm "$algorithm" \
        -pkeyopt "pkcs11_uri:pkcs11:token=$TOKEN;object=$algorithm" -out "$algorithm.ref"
    check "$algorithm: a certificate" provider openssl req -x509 -key "$(private "$algorithm")" -subj "/CN=localhost" \
        -addext subjectAltName=DNS:localhost -days 2 -out "$algorithm.pem"
    ports[$algorithm]=$(free_port)
    sed -e "s|listen .*|listen 127.0.0.1:${ports[$algorithm]} ssl;|" -e "s|/etc/trellis/web.pem|$WORK/$algorithm.pem|" \
        -e "s|object=server|object=$algorithm|" "$PROJECT/packaging/nginx/trellis.conf" >"conf.d/$algorithm.conf"
done
cat >nginx.conf <<CONFIG
user www-data;
worker_processes 2;
daemon off;
pid $WORK/nginx.pid;
error_log $WORK/error.log info;
env TRELLIS_CONF;
env SOFTHSM2_CONF;
env KRYOPTIC_CONF;
env OPENSSL_CONF;
events { worker_connections 64; }
http {
    access_log off;
    include $WORK/conf.d/*.conf;
}
CONFIG
chmod 711 "$WORK"
chmod 644 "$TRELLIS_CONF" "$SOFTHSM2_CONF" "$KRYOPTIC_CONF"
chown -R www-data: "$WORK/store"

serve nginx.log provider nginx -c "$WORK/nginx.conf" -e "$WORK/error.log"
for algorithm in "${!ports[@]}"; do
    check "$algorithm: nginx listens" wait_until listens "${ports[$algorithm]}"
done

# COUNT new connections, eight at a time; prints who answered, and fails unless each was answered.
requests() { # ALGORITHM COUNT
    curl --silent --show-error --fail --tlsv1.3 --no-sessionid --cacert "$WORK/$1.pem" --parallel --parallel-max 8 \
        "https://localhost:${ports[$1]}/[1-$2]" >"$WORK/answers.$1"
    (($(grep -c "^worker" "$WORK/answers.$1") == $2))
}
# One worker may take all of a short burst, so that several are allowed.
two_workers() {
    local _
    : >"$WORK/seen"
    for _ in {1..20}; do
        requests "$1" 50 || return
        cat "$WORK/answers.$1" >>"$WORK/seen"
        (($(sort -u "$WORK/seen" | wc -l) < 2)) || return 0
    done
    return 1
}
for algorithm in "${!ports[@]}"; do
    check "$algorithm: every request is answered" requests "$algorithm" 100
    check "$algorithm: by two workers" two_workers "$algorithm"
done

workers() { pgrep -P "$(cat "$WORK/nginx.pid")" | sort; }
workers >before
# Requests go on while the master loads the keys again and the workers change.
requesters=()
for algorithm in "${!ports[@]}"; do
    (while [[ ! -e $WORK/reloaded ]]; do
        if requests "$algorithm" 20; then echo "$algorithm" >>"$WORK/meanwhile"; else touch "$WORK/lost"; fi
    done) &
    requesters+=($!)
done
check "nginx reloads" provider nginx -c "$WORK/nginx.conf" -e "$WORK/error.log" -s reload
new_workers() { [[ -n $(workers) && -z $(comm -12 "$WORK/before" <(workers)) ]]; }
check "all workers are new" wait_until new_workers
touch reloaded
wait "${requesters[@]}"
check "requests were answered meanwhile" test -s meanwhile
check "no request was lost meanwhile" test ! -e lost
for algorithm in "${!ports[@]}"; do
    check "$algorithm: every request is answered after it" requests "$algorithm" 100
done
no_errors() { ! grep -E "\[(emerg|alert|crit|error)\]" "$WORK/error.log"; }
check "nginx logged no error" no_errors
