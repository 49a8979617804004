"""verify_chain.py signature|web CA.pem LEAF.pem NAME: verifies that CA issued LEAF, and with `web` that LEAF is NAME's TLS
server certificate by the strict rules of the web."""

import sys

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store


def load(path):
    with open(path, "rb") as file:
        return x509.load_pem_x509_certificate(file.read())


rules, ca, leaf, name = sys.argv[1], load(sys.argv[2]), load(sys.argv[3]), sys.argv[4]
leaf.verify_directly_issued_by(ca)
ca.verify_directly_issued_by(ca)
if rules == "web":
    verifier = PolicyBuilder().store(Store([ca])).build_server_verifier(x509.DNSName(name))
    assert verifier.verify(leaf, []) == [leaf, ca]
