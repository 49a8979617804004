"""Verifies a signature in software, away from the token: `cryptography` 50 brings an OpenSSL that has ML-DSA.

    python verify.py PUBLIC_KEY.pem FILE SIGNATURE

Exits with 0 when the signature is valid, with 1 when it is not. Takes ML-DSA and Ed25519 keys.
"""

import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_public_key


def main(public_key, file, signature):
    key = load_pem_public_key(Path(public_key).read_bytes())
    try:
        key.verify(Path(signature).read_bytes(), Path(file).read_bytes())
    except InvalidSignature:
        sys.exit(f"{signature} is not {public_key}'s signature of {file}")
    print(f"{signature} is {public_key}'s signature of {file}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    main(*sys.argv[1:])
