//! Secret keys: encryption, MACs, wrapping, digests, through the `cryptoki` crate and raw.

use std::ptr::null_mut;

use cryptoki::{
    mechanism::{Mechanism, MechanismType, aead::GcmParams},
    object::{Attribute, KeyType, ObjectClass, ObjectHandle},
    session::Session,
};
use cryptoki_sys::*;
use trellis_tests::{
    c, isolated,
    rust::{user_session, with_token},
};

fn aes(session: &Session, extractable: bool) -> ObjectHandle {
    let template = [
        Attribute::ValueLen(32.into()),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Wrap(true),
        Attribute::Unwrap(true),
        Attribute::Extractable(extractable),
        Attribute::Sensitive(!extractable),
    ];
    session.generate_key(&Mechanism::AesKeyGen, &template).unwrap()
}

isolated! {
    fn aes_modes(_place) {
        let (p11, slot) = with_token();
        let session = user_session(&p11, slot);
        let key = aes(&session, false);
        let plain = [7; 64];
        for mechanism in [Mechanism::AesCbc([1; 16]), Mechanism::AesCbcPad([1; 16])] {
            let sealed = session.encrypt(&mechanism, key, &plain).unwrap();
            assert_eq!(session.decrypt(&mechanism, key, &sealed).unwrap(), plain);
            session.encrypt_init(&mechanism, key).unwrap();
            let mut parts: Vec<u8> = plain.chunks(10).flat_map(|part| session.encrypt_update(part).unwrap()).collect();
            parts.extend(session.encrypt_final().unwrap());
            assert_eq!(parts, sealed);
        }
        let (mut iv, aad) = ([2; 12], b"associated");
        let mechanism = Mechanism::AesGcm(GcmParams::new(&mut iv, aad, 128.into()).unwrap());
        let mut sealed = session.encrypt(&mechanism, key, &plain).unwrap();
        assert_eq!(sealed.len(), 80);
        assert_eq!(session.decrypt(&mechanism, key, &sealed).unwrap(), plain);
        sealed[3] ^= 1;
        assert!(session.decrypt(&mechanism, key, &sealed).is_err());
    }

    fn wrapping_by_aes_key_wrap(_place) {
        let (p11, slot) = with_token();
        let session = user_session(&p11, slot);
        let (kek, key) = (aes(&session, false), aes(&session, true));
        let wrapped = session.wrap_key(&Mechanism::AesKeyWrap, kek, key).unwrap();
        assert_eq!(wrapped.len(), 40);
        let template = [Attribute::Class(ObjectClass::SECRET_KEY), Attribute::KeyType(KeyType::AES)];
        let again = session.unwrap_key(&Mechanism::AesKeyWrap, kek, &wrapped, &template).unwrap();
        let sealed = |key| session.encrypt(&Mechanism::AesCbc([1; 16]), key, &[7; 16]).unwrap();
        assert_eq!(sealed(key), sealed(again));
        assert!(session.wrap_key(&Mechanism::AesKeyWrap, kek, kek).is_err(), "not extractable");
    }

    /// C_WrapKeyAuthenticated and back, with a generated IV: IV and tag travel in the mechanism's parameter.
    fn authenticated_wrapping(place) {
        let (rust, slot) = with_token();
        let session = user_session(&rust, slot);
        let (kek, key) = (aes(&session, false).handle(), aes(&session, true).handle());
        let (p11, session) = (place.load(), session.handle());
        let (mut iv, mut tag, mut aad) = ([0_u8; 12], [0_u8; 16], *b"associated");
        let mut parameter = CK_GCM_MESSAGE_PARAMS {
            pIv: iv.as_mut_ptr(),
            ulIvLen: 12,
            ulIvFixedBits: 0,
            ivGenerator: CKG_GENERATE,
            pTag: tag.as_mut_ptr(),
            ulTagBits: 128,
        };
        let mut mechanism = CK_MECHANISM {
            mechanism: CKM_AES_GCM,
            pParameter: (&raw mut parameter).cast(),
            ulParameterLen: size_of::<CK_GCM_MESSAGE_PARAMS>() as CK_ULONG,
        };
        let (mut wrapped, mut len) = ([0_u8; 32], 0);
        let (pointer, aad_pointer) = (&raw mut mechanism, aad.as_mut_ptr());
        assert_eq!(
            c!(p11.C_WrapKeyAuthenticated(session, pointer, kek, key, aad_pointer, 10, null_mut(), &raw mut len)),
            CKR_OK
        );
        assert_eq!((len, iv), (32, [0; 12]));
        let out = wrapped.as_mut_ptr();
        assert_eq!(
            c!(p11.C_WrapKeyAuthenticated(session, pointer, kek, key, aad_pointer, 10, out, &raw mut len)),
            CKR_OK
        );
        assert!(len == 32 && iv != [0; 12] && tag != [0; 16]);
        let (mut class, mut kind, mut unwrapped) = (CKO_SECRET_KEY, CKK_AES, 0);
        let mut template = [
            CK_ATTRIBUTE { type_: CKA_CLASS, pValue: (&raw mut class).cast(), ulValueLen: 8 },
            CK_ATTRIBUTE { type_: CKA_KEY_TYPE, pValue: (&raw mut kind).cast(), ulValueLen: 8 },
        ];
        let template = template.as_mut_ptr();
        let mut unwrap = |aad_len| {
            let place = &raw mut unwrapped;
            c!(p11.C_UnwrapKeyAuthenticated(session, pointer, kek, out, 32, template, 2, aad_pointer, aad_len, place))
        };
        assert_eq!(unwrap(10), CKR_OK);
        assert_eq!(unwrap(9), CKR_AEAD_DECRYPT_FAILED);
    }

    fn digests_and_their_state(place) {
        let (rust, slot) = with_token();
        let session = user_session(&rust, slot);
        let whole = session.digest(&Mechanism::Sha256, b"abcdef").unwrap();
        session.digest_init(&Mechanism::Sha256).unwrap();
        session.digest_update(b"abc").unwrap();
        let (p11, handle) = (place.load(), session.handle());
        let (mut state, mut len) = (vec![0_u8; 4096], 4096);
        assert_eq!(c!(p11.C_GetOperationState(handle, state.as_mut_ptr(), &raw mut len)), CKR_OK);
        let other = p11.open(0);
        assert_eq!(c!(p11.C_SetOperationState(other, state.as_mut_ptr(), len, 0, 0)), CKR_OK);
        for session in [handle, other] {
            let (mut digest, mut digest_len) = ([0; 32], 32);
            let rest = b"def".as_ptr().cast_mut();
            assert_eq!(c!(p11.C_DigestUpdate(session, rest, 3)), CKR_OK);
            assert_eq!(c!(p11.C_DigestFinal(session, digest.as_mut_ptr(), &raw mut digest_len)), CKR_OK);
            assert_eq!(digest, *whole);
        }
        assert_eq!(c!(p11.C_SetOperationState(other, state.as_mut_ptr(), 3, 0, 0)), CKR_SAVED_STATE_INVALID);
    }

    fn macs(_place) {
        let (p11, slot) = with_token();
        let session = user_session(&p11, slot);
        let template = [Attribute::ValueLen(32.into()), Attribute::Sign(true), Attribute::Verify(true)];
        let key = session.generate_key(&Mechanism::GenericSecretKeyGen, &template).unwrap();
        let mac = session.sign(&Mechanism::Sha256Hmac, key, b"message").unwrap();
        assert_eq!(mac.len(), 32);
        session.verify(&Mechanism::Sha256Hmac, key, b"message", &mac).unwrap();
        assert!(session.verify(&Mechanism::Sha256Hmac, key, b"massage", &mac).is_err());
        assert!(p11.get_mechanism_list(slot).unwrap().contains(&MechanismType::SHA256_HMAC));
    }
}
