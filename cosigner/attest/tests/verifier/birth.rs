//! Birth attestations: a document and the record of a key belong together, or do not.

use attest::{
    Attestation, Error,
    birth::{Claims, Layout, UserData},
    sha256,
};
use document_maker::Draft;

use crate::{TIME, authority, draft, verify};

const KMS_KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/11111111-2222-3333-4444-555555555555";

fn claims() -> Claims<'static> {
    Claims {
        public_key_sha256: sha256(b"the public key"),
        wrapped_key_sha256: sha256(b"the wrapped key"),
        user_id: "somebody",
        kms_key: KMS_KEY,
        algorithm: "ML-DSA-65",
    }
}

fn user_data() -> UserData {
    let Claims { public_key_sha256, wrapped_key_sha256, user_id, kms_key, algorithm } = claims();
    UserData {
        public_key_sha256,
        wrapped_key_sha256,
        user_id: user_id.into(),
        kms_key: kms_key.into(),
        algorithm: algorithm.into(),
        timestamp: TIME - 1234,
    }
}

fn attestation(user_data: Option<Vec<u8>>) -> Attestation {
    let authority = authority();
    verify(&Draft { user_data, ..draft() }.sign(&authority), authority.root_sha256()).unwrap()
}

#[test]
fn a_birth_attestation_is_of_its_key() {
    let data = user_data().encode().unwrap();
    let birth = claims().verify(&attestation(Some(data.clone())), Layout::V1).unwrap();
    assert_eq!((birth.timestamp, birth.user_data_sha256), (TIME - 1234, sha256(&data)));
}

#[test]
fn every_claim_is_compared() {
    let attestation = attestation(user_data().encode());
    let swapped = Claims {
        public_key_sha256: claims().wrapped_key_sha256,
        wrapped_key_sha256: claims().public_key_sha256,
        ..claims()
    };
    let other = [
        (Claims { public_key_sha256: sha256(b"another"), ..claims() }, Error::OtherPublicKey),
        (swapped, Error::OtherPublicKey),
        (Claims { wrapped_key_sha256: sha256(b"another"), ..claims() }, Error::OtherWrappedKey),
        (Claims { user_id: "somebod", ..claims() }, Error::OtherUser),
        (Claims { user_id: "Somebody", ..claims() }, Error::OtherUser),
        (Claims { kms_key: "arn:aws:kms:::key/2", ..claims() }, Error::OtherKmsKey),
        (Claims { algorithm: "ML-DSA-44", ..claims() }, Error::OtherAlgorithm),
    ];
    for (claims, error) in other {
        assert_eq!(claims.verify(&attestation, Layout::V1), Err(error), "{claims:?}");
    }
}

#[test]
fn letters_do_not_move_between_neighbours() {
    let joined = UserData { user_id: "a".into(), kms_key: "bc".into(), ..user_data() };
    let attestation = attestation(joined.encode());
    assert!(Claims { user_id: "a", kms_key: "bc", ..claims() }.verify(&attestation, Layout::V1).is_ok());
    let moved = Claims { user_id: "ab", kms_key: "c", ..claims() };
    assert_eq!(moved.verify(&attestation, Layout::V1), Err(Error::OtherUser));
}

#[test]
fn the_enclaves_clock_is_within_five_minutes_of_the_nsms() {
    const TOLERANCE: u64 = 300_000;
    for (timestamp, fits) in [
        (TIME - TOLERANCE, true),
        (TIME - TOLERANCE - 1, false),
        (TIME + TOLERANCE, true),
        (TIME + TOLERANCE + 1, false),
        (0, false),
        (u64::MAX, false),
    ] {
        let data = UserData { timestamp, ..user_data() };
        let verified = claims().verify(&attestation(data.encode()), Layout::V1);
        let refused = Error::OtherTime { claimed: timestamp, document: TIME };
        assert_eq!(verified.map(|birth| birth.timestamp), if fits { Ok(timestamp) } else { Err(refused) });
    }
}

#[test]
fn what_is_no_birth_attestation_is_refused() {
    let verify = |data: Option<Vec<u8>>, layout| claims().verify(&attestation(data), layout);
    for layout in [Layout::V1, Layout::V0, Layout::V0Any] {
        assert_eq!(verify(None, layout), Err(Error::UserDataMissing));
        assert_eq!(verify(Some(b"hello".to_vec()), layout), Err(Error::UserDataForm));
    }
    let mut later = user_data().encode().unwrap();
    later[10] = 7;
    assert_eq!(verify(Some(later), Layout::V1), Err(Error::UserDataVersion(7)));
    // One layout is not taken for another.
    assert_eq!(verify(user_data().encode(), Layout::V0Any), Err(Error::OtherPublicKey));
    assert_eq!(verify(Some(version_0(&TIME.to_be_bytes())), Layout::V1), Err(Error::UserDataForm));
}

/// The six parts, joined.
fn version_0(time: &[u8]) -> Vec<u8> {
    let claims = claims();
    [
        &claims.public_key_sha256[..],
        &claims.wrapped_key_sha256,
        claims.user_id.as_bytes(),
        claims.kms_key.as_bytes(),
        claims.algorithm.as_bytes(),
        time,
    ]
    .concat()
}

#[test]
fn version_0_is_compared_with_what_is_known() {
    let second = TIME / 1000;
    let verify = |claims: Claims, time: &[u8], layout| {
        claims.verify(&attestation(Some(version_0(time))), layout).map(|birth| birth.timestamp)
    };
    let seconds = second.to_be_bytes();
    assert_eq!(verify(claims(), &seconds, Layout::V0), Ok(second * 1000));
    assert_eq!(verify(claims(), &seconds, Layout::V0Any), Ok(second * 1000));
    assert_eq!(verify(claims(), &TIME.to_be_bytes(), Layout::V0Any), Ok(TIME));
    let digits = second.to_string();
    assert_eq!(verify(claims(), digits.as_bytes(), Layout::V0Any), Ok(second * 1000));
    // Only one of the three is version 0 itself.
    let claimed = TIME * 1000;
    let refused = Err(Error::OtherTime { claimed, document: TIME });
    assert_eq!(verify(claims(), &TIME.to_be_bytes(), Layout::V0), refused);
    assert_eq!(verify(claims(), digits.as_bytes(), Layout::V0), Err(Error::UserDataForm));
    let signed = format!("+{digits}");
    assert_eq!(verify(claims(), signed.as_bytes(), Layout::V0Any), Err(Error::UserDataForm));
    for (claims, error) in [
        (Claims { public_key_sha256: [0; 32], ..claims() }, Error::OtherPublicKey),
        (Claims { wrapped_key_sha256: [0; 32], ..claims() }, Error::OtherWrappedKey),
        (Claims { user_id: "somebodX", ..claims() }, Error::OtherUser),
        (Claims { kms_key: &KMS_KEY.replace("key", "Key"), ..claims() }, Error::OtherKmsKey),
        (Claims { algorithm: "ML-DSA-87", ..claims() }, Error::OtherAlgorithm),
    ] {
        assert_eq!(verify(claims, &seconds, Layout::V0), Err(error), "{claims:?}");
    }
}
