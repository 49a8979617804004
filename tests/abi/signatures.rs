//! Keys are made, used and found again: every signature mechanism through the `cryptoki` crate.

use cryptoki::{
    error::{Error, RvError},
    mechanism::MechanismType,
    mechanism::{
        Mechanism,
        dsa::{HashSignAdditionalContext, HedgeType, SignAdditionalContext},
        eddsa::{EddsaParams, EddsaSignatureScheme},
        rsa::{PkcsMgfType, PkcsPssParams},
    },
    object::{Attribute, AttributeType, KeyType, MlDsaParameterSetType, ObjectClass, ObjectHandle},
    session::Session,
};
use trellis_tests::{
    isolated,
    rust::{user_session, with_token},
};

const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];

fn rv<T: std::fmt::Debug>(result: Result<T, Error>) -> RvError {
    match result {
        Err(Error::Pkcs11(rv, _)) => rv,
        other => panic!("{other:?}"),
    }
}

fn generate(
    session: &Session,
    mechanism: &Mechanism,
    token: bool,
    what: &[Attribute],
) -> (ObjectHandle, ObjectHandle) {
    let mut public = vec![Attribute::Token(token), Attribute::Verify(true), Attribute::Id(vec![1])];
    public.extend_from_slice(what);
    let private = [Attribute::Token(token), Attribute::Sign(true), Attribute::Id(vec![1])];
    session.generate_key_pair(mechanism, &public, &private).unwrap()
}

/// Signs in one part and in several; both verify in every way, and anything altered is refused exactly.
fn round_trip(
    session: &Session,
    mechanism: &Mechanism,
    (public, private): (ObjectHandle, ObjectHandle),
    parts: bool,
) {
    let message = b"a message of some length, in parts";
    let signature = session.sign(mechanism, private, message).unwrap();
    session.verify(mechanism, public, message, &signature).unwrap();
    session.verify_signature_init(mechanism, public, &signature).unwrap();
    session.verify_signature(message).unwrap();
    if parts {
        session.sign_init(mechanism, private).unwrap();
        message.chunks(5).for_each(|part| session.sign_update(part).unwrap());
        let signature = session.sign_final().unwrap();
        session.verify_init(mechanism, public).unwrap();
        message.chunks(7).for_each(|part| session.verify_update(part).unwrap());
        session.verify_final(&signature).unwrap();
        session.verify_signature_init(mechanism, public, &signature).unwrap();
        message.chunks(9).for_each(|part| session.verify_signature_update(part).unwrap());
        session.verify_signature_final().unwrap();
    }
    let mut altered = signature.clone();
    altered[signature.len() / 2] ^= 1;
    assert_eq!(rv(session.verify(mechanism, public, message, &altered)), RvError::SignatureInvalid);
    assert_eq!(
        rv(session.verify(mechanism, public, b"another message", &signature)),
        RvError::SignatureInvalid
    );
    let short = &signature[..signature.len() - 1];
    assert_eq!(rv(session.verify(mechanism, public, message, short)), RvError::SignatureLenRange);
}

isolated! {
    fn ml_dsa(_place) {
        let (p11, slot) = with_token();
        let session = user_session(&p11, slot);
        for (set, len) in [
            (MlDsaParameterSetType::ML_DSA_44, 2420),
            (MlDsaParameterSetType::ML_DSA_65, 3309),
            (MlDsaParameterSetType::ML_DSA_87, 4627),
        ] {
            let key = generate(&session, &Mechanism::MlDsaKeyPairGen, true, &[Attribute::ParameterSet(set.into())]);
            for (hedge, context) in [
                (HedgeType::Preferred, None),
                (HedgeType::Required, Some(&b"context"[..])),
                (HedgeType::DeterministicRequired, Some(&[7; 255][..])),
            ] {
                let context = SignAdditionalContext::new(hedge, context);
                round_trip(&session, &Mechanism::MlDsa(context), key, true);
                round_trip(&session, &Mechanism::HashMlDsaSha512(context), key, true);
                round_trip(&session, &Mechanism::HashMlDsaShake128(context), key, true);
            }
            let mechanism = Mechanism::MlDsa(SignAdditionalContext::new(HedgeType::DeterministicRequired, None));
            let first = session.sign(&mechanism, key.1, b"message").unwrap();
            assert_eq!(first.len(), len);
            assert_eq!(session.sign(&mechanism, key.1, b"message").unwrap(), first);
        }
        let key = generate(&session, &Mechanism::MlDsaKeyPairGen, false,
            &[Attribute::ParameterSet(MlDsaParameterSetType::ML_DSA_65.into())]);
        let hash = HashSignAdditionalContext::new(HedgeType::Preferred, None, MechanismType::SHA384);
        let signature = session.sign(&Mechanism::HashMlDsa(hash), key.1, &[3; 48]).unwrap();
        session.verify(&Mechanism::HashMlDsa(hash), key.0, &[3; 48], &signature).unwrap();
        let long = [7; 256];
        let too_long = SignAdditionalContext::new(HedgeType::Preferred, Some(&long));
        let refused = session.sign(&Mechanism::MlDsa(too_long), key.1, b"message");
        assert_eq!(rv(refused), RvError::MechanismParamInvalid);
    }

    fn ed25519(_place) {
        let (p11, slot) = with_token();
        let session = user_session(&p11, slot);
        let key = generate(&session, &Mechanism::EccEdwardsKeyPairGen, true, &[Attribute::EcParams(ED25519.into())]);
        round_trip(&session, &Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)), key, true);
    }

    fn ed25519_with_context_and_prehashed(_place) {
        let (p11, slot) = with_token();
        let session = user_session(&p11, slot);
        let key = generate(&session, &Mechanism::EccEdwardsKeyPairGen, true, &[Attribute::EcParams(ED25519.into())]);
        for scheme in [
            EddsaSignatureScheme::Ed25519ctx(b"context"),
            EddsaSignatureScheme::Ed25519ph(b""),
            EddsaSignatureScheme::Ed25519ph(b"context"),
        ] {
            round_trip(&session, &Mechanism::Eddsa(EddsaParams::new(scheme)), key, true);
        }
    }

    fn ecdsa_and_rsa(_place) {
        let (p11, slot) = with_token();
        let session = user_session(&p11, slot);
        let key = generate(&session, &Mechanism::EccKeyPairGen, true, &[Attribute::EcParams(P256.into())]);
        round_trip(&session, &Mechanism::EcdsaSha256, key, true);
        round_trip(&session, &Mechanism::EcdsaSha512, key, true);
        let bits = [Attribute::ModulusBits(2048.into()), Attribute::PublicExponent(vec![1, 0, 1])];
        let key = generate(&session, &Mechanism::RsaPkcsKeyPairGen, true, &bits);
        round_trip(&session, &Mechanism::Sha256RsaPkcs, key, true);
        let pss = PkcsPssParams { hash_alg: MechanismType::SHA256, mgf: PkcsMgfType::MGF1_SHA256, s_len: 32.into() };
        round_trip(&session, &Mechanism::Sha256RsaPkcsPss(pss), key, true);
    }

    fn keys_are_found_and_described(_place) {
        let (p11, slot) = with_token();
        let session = user_session(&p11, slot);
        let set = [Attribute::ParameterSet(MlDsaParameterSetType::ML_DSA_65.into())];
        let key = generate(&session, &Mechanism::MlDsaKeyPairGen, true, &set);
        let found = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(vec![1])]).unwrap();
        assert_eq!(found, [key.1]);
        assert_eq!(session.find_objects(&[Attribute::Id(vec![2])]).unwrap(), []);
        let wanted = [AttributeType::KeyType, AttributeType::Value, AttributeType::PublicKeyInfo, AttributeType::Label];
        let attributes = session.get_attributes(key.1, &wanted).unwrap();
        assert!(attributes.contains(&Attribute::KeyType(KeyType::ML_DSA)), "{attributes:?}");
        assert!(attributes.contains(&Attribute::Label(Vec::new())), "{attributes:?}");
        assert!(!attributes.iter().any(|attribute| matches!(attribute, Attribute::Value(_))), "{attributes:?}");
        let info = |handle| session.get_attributes(handle, &[AttributeType::PublicKeyInfo]).unwrap();
        assert_eq!(info(key.0), info(key.1));
        // A copy for one session signs as well.
        let copy = session.copy_object(key.1, &[Attribute::Token(false), Attribute::Label(b"copy".into())]).unwrap();
        round_trip(&session, &Mechanism::MlDsa(SignAdditionalContext::new(HedgeType::Preferred, None)), (key.0, copy), true);
        session.destroy_object(copy).unwrap();
        session.update_attributes(key.1, &[Attribute::Label(b"renamed".into())]).unwrap();
        assert_eq!(session.find_objects(&[Attribute::Label(b"renamed".into())]).unwrap(), [key.1]);
        session.destroy_object(key.1).unwrap();
        assert_eq!(rv(session.get_attributes(key.1, &[AttributeType::Label])), RvError::ObjectHandleInvalid);
    }

    /// Keys of the token sign in a later run, and only after a login.
    fn keys_stay(_place) {
        let (p11, slot) = with_token();
        let session = user_session(&p11, slot);
        generate(&session, &Mechanism::EccEdwardsKeyPairGen, true, &[Attribute::EcParams(ED25519.into())]);
        drop(session);
        p11.finalize().unwrap();
        let p11 = cryptoki::context::Pkcs11::new(trellis_tests::library::path()).unwrap();
        let flags = cryptoki::context::CInitializeFlags::OS_LOCKING_OK;
        p11.initialize(cryptoki::context::CInitializeArgs::new(flags)).unwrap();
        let public_session = p11.open_ro_session(slot).unwrap();
        let private = [Attribute::Class(ObjectClass::PRIVATE_KEY)];
        assert_eq!(public_session.find_objects(&private).unwrap(), []);
        let session = user_session(&p11, slot);
        let keys = session.find_objects(&private).unwrap();
        let public = session.find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY)]).unwrap();
        let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
        round_trip(&session, &mechanism, (public[0], keys[0]), true);
        session.logout().unwrap();
        assert_eq!(rv(session.sign(&mechanism, keys[0], b"message")), RvError::KeyHandleInvalid);
    }
}
