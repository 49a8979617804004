//! Parameters, keys and data that do not fit, each with its answer.

use algorithms::{
    Algorithm,
    ecdsa::Curve,
    ml_dsa::{Hedging, ParameterSet},
};
use cryptoki_sys as ck;

use super::*;
use crate::{
    error::Error,
    operation::{Family, stream::WHOLE_MESSAGE_LIMIT},
};

fn context(hedging: Hedging, len: usize) -> Parameters {
    Parameters::SignContext { hedging, context: vec![b'c'; len] }
}

fn pss(hash: u64, mgf: u64, salt_len: usize) -> Parameters {
    Parameters::Pss { hash, mgf, salt_len }
}

#[test]
fn signature_parameters_are_judged_when_the_operation_begins() {
    let bench = Bench::new();
    let ml_dsa = bench.pair(Algorithm::MlDsa(ParameterSet::MlDsa44), &[]);
    let ed25519 = bench.pair(Algorithm::Ed25519, &[]);
    let rsa = bench.pair(Algorithm::Rsa, &[]);
    let secret = bench.secret(ck::CKK_GENERIC_SECRET, b"key");
    let mac = (secret, secret);
    let eddsa =
        |prehash, context: Option<&[u8]>| Parameters::Eddsa { prehash, context: context.map(<[u8]>::to_vec) };
    let hash_ml_dsa =
        |hash, len| Parameters::HashSignContext { hedging: Hedging::Hedged, context: vec![1; len], hash };
    let bad = Err(Error::MechanismParamInvalid);
    for (keys, mechanism, parameters, answer) in [
        (ml_dsa, ck::CKM_ML_DSA, context(Hedging::Hedged, 255), Ok(())),
        (ml_dsa, ck::CKM_ML_DSA, context(Hedging::Hedged, 256), bad),
        (ml_dsa, ck::CKM_ML_DSA, Parameters::MacLength(1), bad),
        (ml_dsa, ck::CKM_HASH_ML_DSA_SHA256, context(Hedging::Deterministic, 0), Ok(())),
        (ml_dsa, ck::CKM_HASH_ML_DSA_SHA256, context(Hedging::Deterministic, 256), bad),
        (ml_dsa, ck::CKM_HASH_ML_DSA, Parameters::None, bad),
        (ml_dsa, ck::CKM_HASH_ML_DSA, hash_ml_dsa(ck::CKM_SHA512, 255), Ok(())),
        (ml_dsa, ck::CKM_HASH_ML_DSA, hash_ml_dsa(ck::CKM_SHA512, 256), bad),
        (ml_dsa, ck::CKM_HASH_ML_DSA, hash_ml_dsa(ck::CKM_SHA_1, 0), bad),
        (ml_dsa, ck::CKM_HASH_ML_DSA, hash_ml_dsa(ck::CKM_SHA512_HMAC, 0), bad),
        (ml_dsa, ck::CKM_HASH_ML_DSA, hash_ml_dsa(0, 0), bad),
        (ed25519, ck::CKM_EDDSA, Parameters::None, Ok(())),
        (ed25519, ck::CKM_EDDSA, eddsa(false, Some(b"c")), Ok(())),
        (ed25519, ck::CKM_EDDSA, eddsa(false, Some(b"")), bad),
        (ed25519, ck::CKM_EDDSA, eddsa(false, None), bad),
        (ed25519, ck::CKM_EDDSA, eddsa(true, None), Ok(())),
        (ed25519, ck::CKM_EDDSA, eddsa(true, Some(&[0; 255])), Ok(())),
        (ed25519, ck::CKM_EDDSA, eddsa(true, Some(&[0; 256])), bad),
        (ed25519, ck::CKM_EDDSA, eddsa(false, Some(&[0; 256])), bad),
        (rsa, ck::CKM_RSA_PKCS, context(Hedging::Hedged, 0), bad),
        (rsa, ck::CKM_RSA_PKCS_PSS, Parameters::None, bad),
        (rsa, ck::CKM_SHA256_RSA_PKCS_PSS, pss(ck::CKM_SHA256, ck::CKG_MGF1_SHA256, 0), Ok(())),
        (rsa, ck::CKM_SHA256_RSA_PKCS_PSS, pss(ck::CKM_SHA256, ck::CKG_MGF1_SHA1, 32), Ok(())),
        (rsa, ck::CKM_SHA256_RSA_PKCS_PSS, pss(ck::CKM_SHA384, ck::CKG_MGF1_SHA256, 32), bad),
        (rsa, ck::CKM_SHA256_RSA_PKCS_PSS, pss(ck::CKM_SHA256, 99, 32), bad),
        // 2048 bits: 256 - 2 - 32 bytes of salt at most.
        (rsa, ck::CKM_SHA256_RSA_PKCS_PSS, pss(ck::CKM_SHA256, ck::CKG_MGF1_SHA256, 222), Ok(())),
        (rsa, ck::CKM_SHA256_RSA_PKCS_PSS, pss(ck::CKM_SHA256, ck::CKG_MGF1_SHA256, 223), bad),
        (rsa, ck::CKM_RSA_PKCS_PSS, pss(ck::CKM_SHA256, ck::CKG_MGF1_SHA256, usize::MAX), bad),
        (mac, ck::CKM_SHA256_HMAC, Parameters::MacLength(32), bad),
        (mac, ck::CKM_SHA256_HMAC_GENERAL, Parameters::None, bad),
        (mac, ck::CKM_SHA256_HMAC_GENERAL, Parameters::MacLength(0), bad),
        (mac, ck::CKM_SHA256_HMAC_GENERAL, Parameters::MacLength(1), Ok(())),
        (mac, ck::CKM_SHA256_HMAC_GENERAL, Parameters::MacLength(32), Ok(())),
        (mac, ck::CKM_SHA256_HMAC_GENERAL, Parameters::MacLength(33), bad),
        (mac, ck::CKM_SHA256_HMAC_GENERAL, Parameters::MacLength(u64::MAX), bad),
    ] {
        let call = call(mechanism, parameters);
        let (module, session) = (&bench.module, bench.session);
        assert_eq!(module.sign_init(session, call.clone(), keys.0), answer, "{call:?}");
        assert_eq!(module.verify_init(session, call.clone(), keys.1), answer, "{call:?}");
        module.end_operation(session, Family::Sign).unwrap();
        module.end_operation(session, Family::Verify).unwrap();
    }
}

#[test]
fn cipher_parameters_and_key_sizes_are_judged_when_the_operation_begins() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    let aes = bench.secret(ck::CKK_AES, &[1; 32]);
    let odd = bench.secret(ck::CKK_AES, &[1; 20]);
    let gcm = |iv_len, tag_bits| Parameters::Gcm { iv: vec![1; iv_len], aad: vec![], tag_bits };
    let ctr = |counter_bits| Parameters::Ctr { counter_bits, block: [0; 16] };
    let bad = Err(Error::MechanismParamInvalid);
    for (key, mechanism, parameters, answer) in [
        (aes, ck::CKM_AES_CBC, Parameters::None, bad),
        (aes, ck::CKM_AES_CTR, ctr(0), bad),
        (aes, ck::CKM_AES_CTR, ctr(1), Ok(())),
        (aes, ck::CKM_AES_CTR, ctr(128), Ok(())),
        (aes, ck::CKM_AES_CTR, ctr(129), bad),
        (aes, ck::CKM_AES_CTR, ctr(1 << 32), bad),
        (aes, ck::CKM_AES_GCM, gcm(12, 128), Ok(())),
        (aes, ck::CKM_AES_GCM, gcm(1, 32), Ok(())),
        (aes, ck::CKM_AES_GCM, gcm(0, 128), bad),
        (aes, ck::CKM_AES_GCM, gcm(257, 128), bad),
        (aes, ck::CKM_AES_GCM, gcm(12, 0), bad),
        (aes, ck::CKM_AES_GCM, gcm(12, 100), bad),
        (aes, ck::CKM_AES_GCM, gcm(12, 136), bad),
        (odd, ck::CKM_AES_GCM, gcm(12, 128), Err(Error::KeySizeRange)),
    ] {
        let call = call(mechanism, parameters);
        assert_eq!(module.encrypt_init(session, call.clone(), key), answer, "{call:?}");
        assert_eq!(module.decrypt_init(session, call.clone(), key), answer, "{call:?}");
        module.end_operation(session, Family::Encrypt).unwrap();
        module.end_operation(session, Family::Decrypt).unwrap();
    }
}

#[test]
fn data_of_a_length_that_the_mechanism_cannot_take() {
    let bench = Bench::new();
    let rsa = bench.pair(Algorithm::Rsa, &[]);
    let p256 = bench.pair(Algorithm::Ecdsa(Curve::P256), &[]);
    let ml_dsa = bench.pair(Algorithm::MlDsa(ParameterSet::MlDsa44), &[]);
    let hash_ml_dsa =
        Parameters::HashSignContext { hedging: Hedging::Hedged, context: vec![], hash: ck::CKM_SHA384 };
    let range = Err(Error::DataLenRange);
    for (keys, call, len, answer) in [
        (rsa, plain(ck::CKM_RSA_PKCS), 245, Ok(())),
        (rsa, plain(ck::CKM_RSA_PKCS), 246, range),
        (rsa, call(ck::CKM_RSA_PKCS_PSS, pss(ck::CKM_SHA256, ck::CKG_MGF1_SHA256, 32)), 32, Ok(())),
        (rsa, call(ck::CKM_RSA_PKCS_PSS, pss(ck::CKM_SHA256, ck::CKG_MGF1_SHA256, 32)), 31, range),
        (rsa, call(ck::CKM_RSA_PKCS_PSS, pss(ck::CKM_SHA256, ck::CKG_MGF1_SHA256, 32)), 48, range),
        (p256, plain(ck::CKM_ECDSA), 0, range),
        (p256, plain(ck::CKM_ECDSA), 1, Ok(())),
        (p256, plain(ck::CKM_ECDSA), 128, Ok(())),
        (p256, plain(ck::CKM_ECDSA), 129, range),
        (ml_dsa, call(ck::CKM_HASH_ML_DSA, hash_ml_dsa.clone()), 48, Ok(())),
        (ml_dsa, call(ck::CKM_HASH_ML_DSA, hash_ml_dsa.clone()), 47, range),
        (ml_dsa, call(ck::CKM_HASH_ML_DSA, hash_ml_dsa), 64, range),
    ] {
        let data = vec![1; len];
        let signed = bench.sign(&call, keys.0, &data);
        assert_eq!(signed.as_ref().map(|_| ()).map_err(|error| *error), answer, "{call:?} of {len}");
        let none = bench.module.sign(bench.session, &data, Output::length());
        assert_eq!(none, Err(Error::OperationNotInitialized), "{call:?} of {len}");
        match signed {
            Ok(signature) => assert_eq!(bench.verify(&call, keys.1, &data, &signature), Ok(())),
            Err(_) => {
                let signature = vec![0; signature_len(&bench, &call, keys.0)];
                assert_eq!(bench.verify(&call, keys.1, &data, &signature), answer, "{call:?} of {len}");
            }
        }
    }
}

fn signature_len(bench: &Bench, call: &MechanismCall, key: ObjectHandle) -> usize {
    bench.module.sign_init(bench.session, call.clone(), key).unwrap();
    let Ok(Written::Needs(len)) = bench.module.sign(bench.session, &[], Output::length()) else { panic!() };
    bench.module.end_operation(bench.session, Family::Sign).unwrap();
    len
}

#[test]
fn ciphertexts_that_cannot_be() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    let key = bench.secret(ck::CKK_AES, &[1; 16]);
    let iv = Parameters::Iv16([2; 16]);
    let gcm = Parameters::Gcm { iv: vec![2; 12], aad: b"aad".to_vec(), tag_bits: 128 };
    let (cbc, pad, gcm) =
        (call(ck::CKM_AES_CBC, iv.clone()), call(ck::CKM_AES_CBC_PAD, iv), call(ck::CKM_AES_GCM, gcm));
    let ctr = |counter_bits, block| call(ck::CKM_AES_CTR, Parameters::Ctr { counter_bits, block });
    let in_parts = |encrypt: bool, data: &[u8]| {
        let out = &mut [0; 256];
        if encrypt {
            module.encrypt_update(session, data, Output::buffer(out))?;
            module.encrypt_final(session, Output::buffer(out))
        } else {
            module.decrypt_update(session, data, Output::buffer(out))?;
            module.decrypt_final(session, Output::buffer(out))
        }
    };
    let in_one = |encrypt: bool, data: &[u8]| {
        let out = Output::length();
        let len =
            if encrypt { module.encrypt(session, data, out)? } else { module.decrypt(session, data, out)? };
        assert!(matches!(len, Written::Needs(_)));
        let out = &mut [0; 256];
        let out = Output::buffer(out);
        if encrypt { module.encrypt(session, data, out) } else { module.decrypt(session, data, out) }
    };
    module.encrypt_init(session, gcm.clone(), key).unwrap();
    let mut forged = filled(|out| module.encrypt(session, b"message", out)).unwrap();
    forged[0] ^= 1;
    let none = Err(Error::OperationNotInitialized);
    for (call, encrypt, data, answer) in [
        (&cbc, true, vec![0; 17], Error::DataLenRange),
        (&cbc, false, vec![0; 15], Error::EncryptedDataLenRange),
        (&pad, false, vec![], Error::EncryptedDataLenRange),
        (&pad, false, vec![0; 17], Error::EncryptedDataLenRange),
        (&pad, false, vec![0; 32], Error::EncryptedDataInvalid),
        (&gcm, false, vec![0; 15], Error::EncryptedDataLenRange),
        (&gcm, false, forged, Error::AeadDecryptFailed),
        // Two counter bits that start at 1: three blocks.
        (&ctr(2, [1; 16]), true, vec![0; 49], Error::DataLenRange),
        (&ctr(2, [1; 16]), false, vec![0; 49], Error::DataLenRange),
    ] {
        let init = || match encrypt {
            true => module.encrypt_init(session, call.clone(), key).unwrap(),
            false => module.decrypt_init(session, call.clone(), key).unwrap(),
        };
        init();
        assert_eq!(in_one(encrypt, &data), Err(answer), "{call:?} {encrypt} {}", data.len());
        assert_eq!(in_one(encrypt, &data), none);
        init();
        assert_eq!(in_parts(encrypt, &data), Err(answer), "{call:?} {encrypt} {}", data.len());
        assert_eq!(in_parts(encrypt, &data), none);
    }
}

#[test]
fn a_padded_message_is_decrypted_into_a_buffer_of_just_its_length() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    let key = bench.secret(ck::CKK_AES, &[1; 16]);
    let pad = || call(ck::CKM_AES_CBC_PAD, Parameters::Iv16([2; 16]));
    let message = b"eleven byte";
    module.encrypt_init(session, pad(), key).unwrap();
    let encrypted = filled(|out| module.encrypt(session, message, out)).unwrap();

    module.decrypt_init(session, pad(), key).unwrap();
    let mut out = [0; 11];
    assert_eq!(module.decrypt(session, &encrypted, Output::buffer(&mut out[..10])), Ok(Written::Needs(11)));
    assert_eq!(module.decrypt(session, &encrypted, Output::buffer(&mut out)), Ok(Written::Bytes(11)));
    assert_eq!(&out, message);

    module.decrypt_init(session, pad(), key).unwrap();
    module.decrypt_update(session, &encrypted, Output::buffer(&mut [0; 16])).unwrap();
    out = [0; 11];
    assert_eq!(module.decrypt_final(session, Output::buffer(&mut out[..10])), Ok(Written::Needs(11)));
    assert_eq!(module.decrypt_final(session, Output::length()), Ok(Written::Needs(11)));
    assert_eq!(module.decrypt_final(session, Output::buffer(&mut out)), Ok(Written::Bytes(11)));
    assert_eq!(&out, message);
    let again = module.decrypt_final(session, Output::buffer(&mut out));
    assert_eq!(again, Err(Error::OperationNotInitialized));
}

#[test]
fn keys_that_do_not_fit_or_are_not_there() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    let (ed25519, ed25519_public) = bench.pair(Algorithm::Ed25519, &[]);
    let (mute, _) = bench.pair(Algorithm::Ed25519, &[(ck::CKA_SIGN, false)]);
    for (mechanism, key, answer) in [
        (ck::CKM_ML_DSA, ed25519, Error::KeyTypeInconsistent),
        (ck::CKM_EDDSA, ed25519_public, Error::KeyTypeInconsistent),
        (ck::CKM_EDDSA, mute, Error::KeyFunctionNotPermitted),
        (ck::CKM_EDDSA, ObjectHandle(0), Error::KeyHandleInvalid),
        (ck::CKM_EDDSA, ObjectHandle(u64::MAX), Error::KeyHandleInvalid),
    ] {
        assert_eq!(module.sign_init(session, plain(mechanism), key), Err(answer), "{mechanism:#x}");
        assert_eq!(module.message_sign_init(session, plain(mechanism), key), Err(answer), "{mechanism:#x}");
    }
    let nobody = SessionHandle(u64::MAX);
    let answer = module.sign_init(nobody, plain(ck::CKM_EDDSA), ed25519);
    assert_eq!(answer, Err(Error::SessionHandleInvalid));
}

#[test]
fn a_message_that_must_be_held_whole_has_a_bound_and_other_ways_have_none() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    let ed25519 = bench.pair(Algorithm::Ed25519, &[]);
    let set = Algorithm::MlDsa(ParameterSet::MlDsa44);
    let device = bench.pair_of(Arc::new(TestKey { tr: None, ..TestKey::new(set) }), &[]);
    let seedless = bench.pair_of(Arc::new(TestKey { mu_deterministic: false, ..TestKey::new(set) }), &[]);
    let hedged = || call(ck::CKM_ML_DSA, context(Hedging::Hedged, 3));
    let deterministic = || call(ck::CKM_ML_DSA, context(Hedging::Deterministic, 3));
    let part = vec![0; WHOLE_MESSAGE_LIMIT / 4];
    for (keys, call, bounded) in [
        (ed25519, plain(ck::CKM_EDDSA), true),
        (ed25519, call(ck::CKM_EDDSA, Parameters::Eddsa { prehash: true, context: None }), false),
        (device, hedged(), true),
        (device, deterministic(), true),
        (seedless, hedged(), false),
        (seedless, deterministic(), true),
    ] {
        module.sign_init(session, call.clone(), keys.0).unwrap();
        for _ in 0..4 {
            module.sign_update(session, &part).unwrap();
        }
        let beyond = module.sign_update(session, b"!");
        if bounded {
            assert_eq!(beyond, Err(Error::TokenResourceExceeded), "{call:?}");
            assert_eq!(module.sign_update(session, b"!"), Err(Error::OperationNotInitialized));
            continue;
        }
        assert_eq!(beyond, Ok(()), "{call:?}");
        filled(|out| module.sign_final(session, out)).unwrap();
    }
}
