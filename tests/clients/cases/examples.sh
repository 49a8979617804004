# shellcheck shell=bash
# What examples/ holds, run as its first lines say.
# shellcheck source=tests/clients/harness.sh
. "$HARNESS"
new_token examples
export TRELLIS_MODULE=$MODULE
head -c 3000 /dev/urandom >message
head -c 3000 /dev/urandom >other

shell() { bash "$PROJECT/examples/shell/sign.sh" examples "$@"; }
# A key that is there already is not mistaken for the one to use.
check "another key" user --keypairgen --key-type EC:prime256v1 --id 77 --label another
check_output "the shell script signs and OpenSSL verifies" "Verified OK" shell 5e11 message shell.sig
check_output "again with the same key" "Verified OK" shell 5e11 message shell2.sig

rust() { cargo run --quiet --manifest-path "$PROJECT/Cargo.toml" -p trellis-example-cryptoki -- examples "$@"; }
check_output "the Rust program makes a key and signs" "^signed message: 3309 bytes" rust rust-key message rust.sig
check_output "again with the same key" "^signed other: 3309 bytes" rust rust-key other rust2.sig

export TRELLIS_PIN=$PIN
check "trellis exports the public key" "$CLI" --module "$MODULE" key export-public --token examples \
    --pin-source env:TRELLIS_PIN rust-key --out rust.pem
python() { "$PYTHON" "$PROJECT/examples/python/$1.py" "${@:2}"; }
check_output "the Python program signs" "^signed message: 3309 bytes" python sign examples rust-key message python.sig
check_output "and verifies" "is rust.pem's signature" python verify rust.pem message python.sig
check_fails "not another message" "is not rust.pem's signature" python verify rust.pem other python.sig
check_fails "nor what was signed in a context" "is not rust.pem's signature" python verify rust.pem message rust.sig
