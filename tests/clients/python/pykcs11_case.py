"""PyKCS11, which knows the 2.40 function list only: ML-DSA, HashML-DSA and Ed25519 through the constants alone."""

import ctypes
import os

import PyKCS11 as p11
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_der_public_key

MESSAGE = os.urandom(3000)
CKA_PUBLIC_KEY_INFO = 0x129
CKH_DETERMINISTIC_REQUIRED = 2
HASHES = [f"SHA{size}" for size in (224, 256, 384, 512)] + [f"SHA3_{size}" for size in (224, 256, 384, 512)] + ["SHAKE128", "SHAKE256"]


class SignAdditionalContext(ctypes.Structure):
    """CK_SIGN_ADDITIONAL_CONTEXT."""

    _fields_ = [("hedge", ctypes.c_ulong), ("context", ctypes.c_char_p), ("length", ctypes.c_ulong)]


def generate(session, mechanism, label, *attributes):
    common = [(p11.CKA_TOKEN, p11.CK_TRUE), (p11.CKA_LABEL, label)]
    public = common + [(p11.CKA_VERIFY, p11.CK_TRUE), *attributes]
    private = common + [(p11.CKA_SIGN, p11.CK_TRUE), (p11.CKA_PRIVATE, p11.CK_TRUE)]
    return session.generateKeyPair(public, private, mecha=p11.Mechanism(mechanism))


def software(session, key):
    """The public key for `cryptography`, read from either half: CKA_PUBLIC_KEY_INFO."""
    return load_der_public_key(bytes(session.getAttributeValue(key, [CKA_PUBLIC_KEY_INFO])[0]))


def refused(session, public, message, signature, mechanism):
    """The module's answer to a wrong signature is CKR_SIGNATURE_INVALID: PyKCS11 makes that False."""
    return session.verify(public, message, signature, mechanism) is False


def ml_dsa(session, parameter_set, label):
    public, private = generate(session, p11.CKM_ML_DSA_KEY_PAIR_GEN, label, (p11.CKA_PARAMETER_SET, bytes(ctypes.c_ulong(parameter_set))))
    plain = p11.Mechanism(p11.CKM_ML_DSA)
    signature = bytes(session.sign(private, MESSAGE, plain))
    assert session.verify(public, MESSAGE, signature, plain)
    assert refused(session, public, MESSAGE + b"!", signature, plain)
    software(session, public).verify(signature, MESSAGE)
    software(session, private).verify(signature, MESSAGE)

    parameters = SignAdditionalContext(CKH_DETERMINISTIC_REQUIRED, b"invoices", len(b"invoices"))
    in_context = p11.Mechanism(p11.CKM_ML_DSA, bytes(parameters))
    signature = bytes(session.sign(private, MESSAGE, in_context))
    assert signature == bytes(session.sign(private, MESSAGE, in_context))
    assert refused(session, public, MESSAGE, signature, plain)
    software(session, public).verify(signature, MESSAGE, b"invoices")
    try:
        software(session, public).verify(signature, MESSAGE)
        raise AssertionError("a signature with a context is none without")
    except InvalidSignature:
        pass

    for name in HASHES:
        hashed = p11.Mechanism(getattr(p11, f"CKM_HASH_ML_DSA_{name}"))
        signature = bytes(session.sign(private, MESSAGE, hashed))
        assert session.verify(public, MESSAGE, signature, hashed), name
        assert refused(session, public, MESSAGE, signature, plain), name


def ed25519(session):
    public, private = generate(
        session, p11.CKM_EC_EDWARDS_KEY_PAIR_GEN, "ed25519", (p11.CKA_EC_PARAMS, bytes.fromhex("06032b6570")))
    signature = bytes(session.sign(private, MESSAGE, p11.Mechanism(p11.CKM_EDDSA)))
    software(session, public).verify(signature, MESSAGE)
    assert refused(session, public, MESSAGE + b"!", signature, p11.Mechanism(p11.CKM_EDDSA))


def main():
    library = p11.PyKCS11Lib()
    library.load(os.environ["MODULE"])
    slot = next(s for s in library.getSlotList(tokenPresent=True) if library.getTokenInfo(s).label.strip() == os.environ["TOKEN"])
    session = library.openSession(slot, p11.CKF_SERIAL_SESSION | p11.CKF_RW_SESSION)
    session.login(os.environ["PIN"])
    for number, name in enumerate(("ML-DSA-44", "ML-DSA-65", "ML-DSA-87"), start=1):
        ml_dsa(session, number, name)
    ed25519(session)
    assert len(session.findObjects([(p11.CKA_CLASS, p11.CKO_PRIVATE_KEY)])) == 4
    for handle in session.findObjects():
        session.destroyObject(handle)
    assert not session.findObjects()
    session.logout()
    session.closeSession()


main()
