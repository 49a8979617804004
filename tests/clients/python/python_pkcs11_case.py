"""python-pkcs11: generates, signs, verifies and deletes ML-DSA, Ed25519, EC and AES keys; `cryptography` verifies too."""

import os

import pkcs11
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey, MLDSA65PublicKey, MLDSA87PublicKey
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.mechanisms import MLDSAParameterSet
from pkcs11.util.ec import encode_named_curve_parameters

MESSAGE = os.urandom(3000)
SOFTWARE = {
    MLDSAParameterSet.ML_DSA_44: MLDSA44PublicKey,
    MLDSAParameterSet.ML_DSA_65: MLDSA65PublicKey,
    MLDSAParameterSet.ML_DSA_87: MLDSA87PublicKey,
}


def refuses(action):
    """Whether `action` answers False or raises an error of the module's or of `cryptography`."""
    try:
        return action() is False
    except (InvalidSignature, pkcs11.PKCS11Error):
        return True


def ml_dsa(session, parameter_set):
    public, private = session.generate_keypair(
        KeyType.ML_DSA, label=parameter_set.name, store=True,
        public_template={Attribute.PARAMETER_SET: parameter_set},
    )
    signature = private.sign(MESSAGE)
    assert public.verify(MESSAGE, signature)
    assert refuses(lambda: public.verify(MESSAGE + b"!", signature))
    software = SOFTWARE[parameter_set].from_public_bytes(public[Attribute.VALUE])
    software.verify(signature, MESSAGE)
    assert refuses(lambda: software.verify(signature, MESSAGE + b"!"))
    return private


def ed25519(session):
    parameters = session.create_domain_parameters(
        KeyType.EC_EDWARDS, {Attribute.EC_PARAMS: bytes.fromhex("06032b6570")}, local=True)
    public, private = parameters.generate_keypair(mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN, label="ed25519", store=True)
    signature = private.sign(MESSAGE, mechanism=Mechanism.EDDSA)
    assert len(signature) == 64
    assert public.verify(MESSAGE, signature, mechanism=Mechanism.EDDSA)
    # The point's 32 bytes, which a module may still wrap in an OCTET STRING.
    Ed25519PublicKey.from_public_bytes(public[Attribute.EC_POINT][-32:]).verify(signature, MESSAGE)


def ecdsa(session):
    parameters = session.create_domain_parameters(
        KeyType.EC, {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}, local=True)
    public, private = parameters.generate_keypair(label="p256", store=True)
    signature = private.sign(MESSAGE, mechanism=Mechanism.ECDSA_SHA256)
    assert public.verify(MESSAGE, signature, mechanism=Mechanism.ECDSA_SHA256)
    assert refuses(lambda: public.verify(MESSAGE + b"!", signature, mechanism=Mechanism.ECDSA_SHA256))


def aes(session):
    key = session.generate_key(KeyType.AES, 256, label="aes", store=True)
    iv = session.generate_random(128)
    secret = key.encrypt(MESSAGE, mechanism_param=iv)
    assert secret != MESSAGE and key.decrypt(secret, mechanism_param=iv) == MESSAGE


def main():
    token = pkcs11.lib(os.environ["MODULE"]).get_token(token_label=os.environ["TOKEN"])
    with token.open(rw=True, user_pin=os.environ["PIN"]) as session:
        for parameter_set in MLDSAParameterSet:
            private = ml_dsa(session, parameter_set)
        ed25519(session)
        ecdsa(session)
        aes(session)
        found = session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: private.label})
        assert [key.label for key in found] == [private.label]
        private.destroy()
        assert not list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: "ML_DSA_87"}))
    with token.open() as session:
        assert not list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY}))


main()
