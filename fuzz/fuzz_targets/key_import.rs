//! Keys from outside: PKCS#8, SubjectPublicKeyInfo, and the bare numbers of CKA_VALUE. What is taken makes the same key
//! again when it is written and read, and a private key that is taken agrees with its public half.
#![no_main]

use algorithms::{
    PrivateKey, PublicKey, SecretBytes, ecdsa, ed25519,
    ml_dsa::{self, ParameterSet},
    rsa,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else { return };
    let secret = SecretBytes::new(bytes);
    let private = match kind % 5 {
        0 => PrivateKey::from_pkcs8(&secret),
        1 => ed25519::PrivateKey::from_seed(&secret).map(PrivateKey::Ed25519),
        2 => {
            let curve = ecdsa::Curve::ALL[usize::from(kind / 5) % 3];
            ecdsa::PrivateKey::from_scalar(curve, &secret).map(PrivateKey::Ecdsa)
        }
        3 => {
            let set = ParameterSet::ALL[usize::from(kind / 5) % 3];
            let take = if bytes.len() == 32 {
                ml_dsa::PrivateKey::from_seed
            } else {
                ml_dsa::PrivateKey::from_expanded
            };
            take(set, &secret).map(PrivateKey::MlDsa)
        }
        _ => return public(kind / 5, bytes),
    };
    let Ok(private) = private else { return };
    private.pairwise_check().expect("a key that was taken signs for its public half");
    let encoded = private.to_pkcs8().expect("a key that was taken has an encoding");
    let again = PrivateKey::from_pkcs8(&encoded).expect("what was written is read");
    assert_eq!(
        spki(&again.public_key().expect("its public half")),
        spki(&private.public_key().expect("same"))
    );
});

fn public(kind: u8, bytes: &[u8]) {
    let public = match kind % 4 {
        0 => PublicKey::from_spki(bytes),
        1 => ed25519::PublicKey::from_bytes(bytes).map(PublicKey::Ed25519),
        2 => {
            let curve = ecdsa::Curve::ALL[usize::from(kind / 4) % 3];
            ecdsa::PublicKey::from_bytes(curve, bytes).map(PublicKey::Ecdsa)
        }
        _ => rsa::PublicKey::from_components(bytes, &[1, 0, 1]).map(PublicKey::Rsa),
    };
    let Ok(public) = public else { return };
    let again = PublicKey::from_spki(&spki(&public)).expect("what was written is read");
    assert_eq!(spki(&again), spki(&public));
}

fn spki(key: &PublicKey) -> Vec<u8> {
    key.to_spki().expect("a key that was taken has an encoding")
}
