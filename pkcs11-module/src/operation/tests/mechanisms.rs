//! Every row of the mechanism table does what its flags say, and nothing else.

use algorithms::{
    Algorithm,
    digest::Hash,
    ecdsa::Curve,
    ml_dsa::{Hedging, ParameterSet},
    rsa::Padding,
};
use cryptoki_sys as ck;

use super::*;
use crate::{
    error::Error,
    mechanism::{MECHANISMS, Mechanism, Scheme},
};

/// Parameters that fit a mechanism.
fn fitting(row: &Mechanism) -> Parameters {
    match row.scheme {
        Scheme::HashMlDsa(None) => Parameters::HashSignContext {
            hedging: Hedging::Hedged,
            context: b"ctx".to_vec(),
            hash: ck::CKM_SHA256,
        },
        Scheme::HmacGeneral(_) => Parameters::MacLength(20),
        Scheme::RsaPss(hash) => {
            let hash = hash.unwrap_or(Hash::Sha256);
            let row = MECHANISMS.iter().find(|row| row.scheme == Scheme::Digest(hash)).unwrap();
            Parameters::Pss { hash: row.kind, mgf: ck::CKG_MGF1_SHA256, salt_len: hash.output_len() }
        }
        Scheme::AesCbc | Scheme::AesCbcPad => Parameters::Iv16([7; 16]),
        Scheme::AesCtr => Parameters::Ctr { counter_bits: 32, block: [7; 16] },
        Scheme::AesGcm => Parameters::Gcm { iv: vec![7; 12], aad: b"aad".to_vec(), tag_bits: 128 },
        _ => Parameters::None,
    }
}

/// Private (or secret) and public (or the same secret) keys for a signature mechanism.
fn keys(bench: &Bench, row: &Mechanism) -> Vec<(ObjectHandle, ObjectHandle)> {
    match row.key_type {
        ck::CKK_ML_DSA => {
            ParameterSet::ALL.into_iter().map(|set| bench.pair(Algorithm::MlDsa(set), &[])).collect()
        }
        ck::CKK_EC_EDWARDS => vec![bench.pair(Algorithm::Ed25519, &[])],
        ck::CKK_EC => Curve::ALL.into_iter().map(|curve| bench.pair(Algorithm::Ecdsa(curve), &[])).collect(),
        ck::CKK_RSA => vec![bench.pair(Algorithm::Rsa, &[])],
        _ => {
            let key = bench.secret(row.key_type, &[3; 32]);
            vec![(key, key)]
        }
    }
}

#[test]
fn every_mechanism_that_signs_does_so_in_every_way_its_flags_promise() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    let message: Vec<u8> = (0..32).collect();
    let other = [9; 32];
    let parts: [&[u8]; 4] = [&message[..1], &[], &message[1..20], &message[20..]];
    for row in MECHANISMS.iter().filter(|row| row.flags & ck::CKF_SIGN != 0) {
        for (private, public) in keys(&bench, row) {
            let call = call(row.kind, fitting(row));
            let check = |signature: &[u8], how: &str| {
                let ok = bench.verify(&call, public, &message, signature);
                assert_eq!(ok, Ok(()), "{}: {how}", row.name);
                let bad = bench.verify(&call, public, &other, signature);
                assert_eq!(bad, Err(Error::SignatureInvalid), "{}: {how}", row.name);
            };
            let signature = bench.sign(&call, private, &message).unwrap();
            check(&signature, "C_Sign");
            for len in [0, 1, signature.len() - 1, signature.len() + 1] {
                let mut wrong = signature.clone();
                wrong.resize(len, 0);
                let answer = bench.verify(&call, public, &message, &wrong);
                assert_eq!(answer, Err(Error::SignatureLenRange), "{}: length {len}", row.name);
            }

            module.verify_signature_init(session, call.clone(), public, &signature).unwrap();
            assert_eq!(module.verify_signature(session, &message), Ok(()), "{}", row.name);

            module.message_sign_init(session, call.clone(), private).unwrap();
            module.message_verify_init(session, call.clone(), public).unwrap();
            for _ in 0..2 {
                let signature = filled(|out| module.sign_message(session, 0, &message, out)).unwrap();
                check(&signature, "C_SignMessage");
                assert_eq!(module.verify_message(session, 0, &message, &signature), Ok(()), "{}", row.name);
                let bad = module.verify_message(session, 0, &other, &signature);
                assert_eq!(bad, Err(Error::SignatureInvalid), "{}", row.name);
            }

            if row.flags & ck::CKF_MULTI_MESSAGE != 0 {
                let in_parts = bench.sign_parts(&call, private, &parts).unwrap();
                check(&in_parts, "C_SignFinal");
                assert_eq!(bench.verify_parts(&call, public, &parts, &signature), Ok(()), "{}", row.name);

                module.verify_signature_init(session, call.clone(), public, &signature).unwrap();
                for part in parts {
                    module.verify_signature_update(session, part).unwrap();
                }
                assert_eq!(module.verify_signature_final(session), Ok(()), "{}", row.name);

                module.sign_message_begin(session, 0).unwrap();
                assert_eq!(module.sign_message_next(session, 0, &message[..5], None), Ok(None));
                let in_messages = filled(|out| {
                    let written = module.sign_message_next(session, 0, &message[5..], Some(out));
                    written.map(|written| written.unwrap())
                });
                let in_messages = in_messages.unwrap();
                check(&in_messages, "C_SignMessageNext");
                module.verify_message_begin(session, 0).unwrap();
                module.verify_message_next(session, 0, &message[..30], None).unwrap();
                let answer = module.verify_message_next(session, 0, &message[30..], Some(&in_messages));
                assert_eq!(answer, Ok(()), "{}", row.name);
            } else {
                let not_supported = Err(Error::FunctionNotSupported);
                assert_eq!(module.sign_message_begin(session, 0), not_supported, "{}", row.name);
                assert_eq!(module.verify_message_begin(session, 0), not_supported, "{}", row.name);
                let none = Err(Error::OperationNotInitialized);
                assert_eq!(bench.sign_parts(&call, private, &parts), none, "{}", row.name);
            }
            module.message_sign_final(session).unwrap();
            module.message_verify_final(session).unwrap();
        }
    }
}

#[test]
fn what_only_verifies_verifies_and_does_not_sign() {
    let bench = Bench::new();
    let message = b"signed long ago";
    let digest = Hash::Sha1.digest(message).unwrap();
    let (ec, ec_public) = bench.pair(Algorithm::Ecdsa(Curve::P256), &[]);
    let (rsa, rsa_public) = bench.pair(Algorithm::Rsa, &[]);
    let algorithms::PrivateKey::Rsa(rsa_key) = &*cached(Algorithm::Rsa) else { panic!() };

    // RFC 8017 section 9.2, note 1.
    let mut digest_info = vec![0x30, 0x21, 0x30, 9, 6, 5, 0x2b, 14, 3, 2, 0x1a, 5, 0, 4, 20];
    digest_info.extend(&digest);
    let pss = Padding::Pss { hash: Hash::Sha1, mgf: Hash::Sha1, salt_len: 20, digest: &digest };
    let pss_parameters = Parameters::Pss { hash: ck::CKM_SHA_1, mgf: ck::CKG_MGF1_SHA1, salt_len: 20 };
    let cases = [
        (plain(ck::CKM_ECDSA_SHA1), ec, ec_public, bench.sign(&plain(ck::CKM_ECDSA), ec, &digest).unwrap()),
        (
            plain(ck::CKM_SHA1_RSA_PKCS),
            rsa,
            rsa_public,
            bench.sign(&plain(ck::CKM_RSA_PKCS), rsa, &digest_info).unwrap(),
        ),
        (
            call(ck::CKM_SHA1_RSA_PKCS_PSS, pss_parameters.clone()),
            rsa,
            rsa_public,
            rsa_key.sign(pss).unwrap(),
        ),
    ];
    let verify_only = MECHANISMS
        .iter()
        .filter(|row| row.flags & ck::CKF_VERIFY != 0 && row.flags & ck::CKF_SIGN == 0)
        .count();
    assert_eq!(cases.len(), verify_only);
    for (call, private, public, signature) in cases {
        assert_eq!(bench.verify(&call, public, message, &signature), Ok(()), "{call:?}");
        assert_eq!(bench.verify(&call, public, b"other", &signature), Err(Error::SignatureInvalid));
        assert_eq!(bench.sign(&call, private, message), Err(Error::MechanismInvalid), "{call:?}");
        let answer = bench.module.message_sign_init(bench.session, call, private);
        assert_eq!(answer, Err(Error::MechanismInvalid));
    }
    // The same through the mechanism that is given a digest.
    let sha1_pss = call(ck::CKM_RSA_PKCS_PSS, pss_parameters);
    assert_eq!(bench.verify(&sha1_pss, rsa_public, &digest, &rsa_key.sign(pss).unwrap()), Ok(()));
    assert_eq!(bench.sign(&sha1_pss, rsa, &digest), Err(Error::MechanismParamInvalid));
}

#[test]
fn every_digest_agrees_with_itself_in_one_part_and_many() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    for row in MECHANISMS.iter().filter(|row| row.flags & ck::CKF_DIGEST != 0) {
        let Scheme::Digest(hash) = row.scheme else { panic!("{} digests", row.name) };
        let message = [5; 300];
        module.digest_init(session, plain(row.kind)).unwrap();
        let whole = filled(|out| module.digest(session, &message, out)).unwrap();
        assert_eq!(whole, hash.digest(&message).unwrap(), "{}", row.name);
        module.digest_init(session, plain(row.kind)).unwrap();
        module.digest_update(session, &message[..100]).unwrap();
        let state = filled(|out| module.operation_state(session, out)).unwrap();
        module.digest_update(session, &message[100..]).unwrap();
        assert_eq!(filled(|out| module.digest_final(session, out)).unwrap(), whole, "{}", row.name);
        module.set_operation_state(session, &state, None, None).unwrap();
        module.digest_update(session, &message[100..]).unwrap();
        assert_eq!(filled(|out| module.digest_final(session, out)).unwrap(), whole, "{}", row.name);
    }
}

#[test]
fn every_cipher_undoes_itself_in_one_part_and_many_with_every_key_size() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    let message: Vec<u8> = (0..80).collect();
    for row in MECHANISMS.iter().filter(|row| row.flags & ck::CKF_ENCRYPT != 0) {
        assert_ne!(row.flags & ck::CKF_DECRYPT, 0);
        for key_len in [16, 24, 32] {
            let key = bench.secret(ck::CKK_AES, &vec![key_len; usize::from(key_len)]);
            let call = call(row.kind, fitting(row));
            module.encrypt_init(session, call.clone(), key).unwrap();
            let encrypted = filled(|out| module.encrypt(session, &message, out)).unwrap();
            assert_ne!(encrypted, message, "{}", row.name);
            module.decrypt_init(session, call.clone(), key).unwrap();
            let decrypted = filled(|out| module.decrypt(session, &encrypted, out)).unwrap();
            assert_eq!(decrypted, message, "{}", row.name);

            for cut in [0, 1, 15, 16, 17, 63, 80] {
                let parts = [&message[..cut], &message[cut..]];
                module.encrypt_init(session, call.clone(), key).unwrap();
                let mut in_parts = Vec::new();
                for part in parts {
                    in_parts.extend(filled(|out| module.encrypt_update(session, part, out)).unwrap());
                }
                in_parts.extend(filled(|out| module.encrypt_final(session, out)).unwrap());
                assert_eq!(in_parts, encrypted, "{} cut at {cut}", row.name);

                module.decrypt_init(session, call.clone(), key).unwrap();
                let mut back = Vec::new();
                for part in [&encrypted[..cut], &encrypted[cut..]] {
                    back.extend(filled(|out| module.decrypt_update(session, part, out)).unwrap());
                }
                back.extend(filled(|out| module.decrypt_final(session, out)).unwrap());
                assert_eq!(back, message, "{} cut at {cut}", row.name);
            }
        }
    }
}

#[test]
fn a_mechanism_without_a_flag_does_not_begin_that_operation() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    let (private, public) = bench.pair(Algorithm::Rsa, &[]);
    for row in MECHANISMS {
        let call = || call(row.kind, fitting(row));
        type Begin<'a> = (u64, Box<dyn Fn() -> Result<()> + 'a>);
        let begins: [Begin<'_>; 8] = [
            (ck::CKF_SIGN, Box::new(|| module.sign_init(session, call(), private))),
            (ck::CKF_VERIFY, Box::new(|| module.verify_init(session, call(), public))),
            (ck::CKF_VERIFY, Box::new(|| module.verify_signature_init(session, call(), public, &[]))),
            (ck::CKF_MESSAGE_SIGN, Box::new(|| module.message_sign_init(session, call(), private))),
            (ck::CKF_MESSAGE_VERIFY, Box::new(|| module.message_verify_init(session, call(), public))),
            (ck::CKF_DIGEST, Box::new(|| module.digest_init(session, call()))),
            (ck::CKF_ENCRYPT, Box::new(|| module.encrypt_init(session, call(), public))),
            (ck::CKF_DECRYPT, Box::new(|| module.decrypt_init(session, call(), private))),
        ];
        for (flag, begin) in begins.iter().filter(|(flag, _)| row.flags & flag == 0) {
            assert_eq!(begin(), Err(Error::MechanismInvalid), "{} {flag:#x}", row.name);
        }
    }
    for recover in [
        module.sign_recover_init(session, plain(ck::CKM_RSA_PKCS), private),
        module.verify_recover_init(session, plain(ck::CKM_RSA_PKCS), public),
    ] {
        assert_eq!(recover, Err(Error::MechanismInvalid));
    }
}
