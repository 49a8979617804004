"""Signs a file with an ML-DSA-65 key in a PKCS#11 token, with python-pkcs11 0.10.

    TRELLIS_MODULE=/path/to/libtrellis_pkcs11.so PIN=... python sign.py TOKEN KEY FILE SIGNATURE
"""

import os
import sys
from pathlib import Path

import pkcs11
from pkcs11 import KeyType, Mechanism, ObjectClass


def main(token_label, key_label, file, signature):
    token = pkcs11.lib(os.environ["TRELLIS_MODULE"]).get_token(token_label=token_label)
    with token.open(user_pin=os.environ["PIN"]) as session:
        key = session.get_key(object_class=ObjectClass.PRIVATE_KEY, key_type=KeyType.ML_DSA, label=key_label)
        signed = key.sign(Path(file).read_bytes(), mechanism=Mechanism.ML_DSA)
    Path(signature).write_bytes(signed)
    print(f"signed {file}: {len(signed)} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
