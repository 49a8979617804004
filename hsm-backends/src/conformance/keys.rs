//! Keys: made, kept, opened again and used, for everything that the store says it can do.

use std::sync::Arc;

use algorithms::{
    Algorithm, PublicKey, SecretBytes, Signing,
    digest::Hash,
    ecdsa::Curve,
    ed25519,
    ml_dsa::{self, Hedging, ParameterSet},
    rsa,
};
use cryptoki_sys as ck;

use super::{Fixture, by_label, data, everything, key, put, so, user};
use crate::{Change, KeySpec, NewSecret, PrivateKey, RecordId, SecretKey, SecretPart, StoreError, Vault};

/// Everything that this crate has names for; RSA at its smallest, because large keys take long to make.
pub fn every_key() -> Vec<KeySpec> {
    let pairs = ParameterSet::ALL
        .into_iter()
        .map(Algorithm::MlDsa)
        .chain([Algorithm::Ed25519])
        .chain(Curve::ALL.into_iter().map(Algorithm::Ecdsa))
        .map(KeySpec::Pair);
    let rsa = KeySpec::Rsa { modulus_bits: 2048, public_exponent: vec![1, 0, 1] };
    pairs.chain([rsa, KeySpec::Secret { len: 16 }, KeySpec::Secret { len: 32 }]).collect()
}

/// Signs in every way that the key has, and verifies.
fn signs(key: &dyn PrivateKey, public: &PublicKey) {
    let digest = Hash::Sha512.digest(b"message").unwrap();
    let digest: &[u8; 64] = digest.first_chunk().unwrap();
    let sha256 = Hash::Sha256.digest(b"message").unwrap();
    let mut ways: Vec<Signing<'_>> = Vec::new();
    match public.algorithm() {
        Algorithm::MlDsa(_) => {
            let message = ml_dsa::Input::Message { context: b"context", message: b"message" };
            ways.extend(
                [Hedging::Hedged, Hedging::Deterministic]
                    .map(|hedging| Signing::MlDsa { input: message, hedging }),
            );
            if key.ml_dsa_tr().is_some() {
                let input = ml_dsa::Input::Mu(digest);
                ways.push(Signing::MlDsa { input, hedging: Hedging::Hedged });
                if key.signs_mu_deterministically() {
                    ways.push(Signing::MlDsa { input, hedging: Hedging::Deterministic });
                }
            }
        }
        Algorithm::Ed25519 => ways.extend([
            Signing::Ed25519(ed25519::Input::Pure(b"message")),
            Signing::Ed25519(ed25519::Input::Context { context: b"context", message: b"message" }),
            Signing::Ed25519(ed25519::Input::Prehashed { context: b"", digest }),
        ]),
        Algorithm::Ecdsa(_) => ways.push(Signing::Ecdsa { digest: &sha256 }),
        Algorithm::Rsa => ways.extend([
            Signing::Rsa(rsa::Padding::Pkcs1Raw(b"message")),
            Signing::Rsa(rsa::Padding::Pkcs1 { hash: Hash::Sha256, digest: &sha256 }),
            Signing::Rsa(rsa::Padding::Pss {
                hash: Hash::Sha256,
                mgf: Hash::Sha256,
                salt_len: 32,
                digest: &sha256,
            }),
        ]),
    }
    for signing in ways {
        let mut signature = key.sign(signing).unwrap();
        public.verify(signing, &signature).unwrap();
        signature[20] ^= 1;
        public.verify(signing, &signature).unwrap_err();
    }
}

fn parts(key: &dyn PrivateKey) -> Vec<Option<Vec<u8>>> {
    [SecretPart::Value, SecretPart::Seed, SecretPart::PrivateExponent, SecretPart::Pkcs8]
        .into_iter()
        .chain((0..=5).map(SecretPart::Crt))
        .map(|part| key.secret_part(part).unwrap().map(|bytes| bytes.expose().to_vec()))
        .collect()
}

pub fn every_kind_generates_and_signs(token: &dyn Fixture) {
    let store = token.open();
    let vault = user(&*store, token);
    for spec in token.keys() {
        let secret = vault.generate(&spec).unwrap();
        assert_eq!(vault.find(&by_label(&format!("{spec:?}"))).unwrap(), [], "nothing is stored yet");
        let id = put(&*vault, key(&format!("{spec:?}"), &secret), Some(secret.clone()));
        assert!(vault.read(id).unwrap().has_secret);
        match secret {
            NewSecret::Private(new) => {
                let public = new.public_key().unwrap();
                signs(&*new, &public);
                // Through another door nothing is in memory.
                for vault in [&vault, &user(&*token.open(), token)] {
                    let kept = vault.private_key(id).unwrap();
                    assert_eq!(kept.public_key().unwrap().to_spki().unwrap(), public.to_spki().unwrap());
                    signs(&*kept, &public);
                    assert!(Arc::ptr_eq(&kept, &vault.private_key(id).unwrap()), "opened once");
                }
            }
            NewSecret::Secret(new) => {
                let KeySpec::Secret { len } = spec else { panic!("{spec:?} gave a secret key") };
                assert_eq!(new.bytes().len(), len);
                let kept = user(&*token.open(), token).secret_key(id).unwrap();
                assert_eq!(kept.bytes().expose(), new.bytes().expose());
            }
        }
    }
    assert_eq!(everything(&*vault).len(), token.keys().len());
}

pub fn imported_keys_stay_the_same(token: &dyn Fixture) {
    let store = token.open();
    let vault = user(&*store, token);
    for spec in token.keys() {
        let made = NewSecret::generate(&spec).unwrap();
        let NewSecret::Private(made) = made else { continue };
        let der = made.secret_part(SecretPart::Pkcs8).unwrap().unwrap();
        let mut imports = vec![algorithms::PrivateKey::from_pkcs8(&der).unwrap()];
        if let KeySpec::Pair(Algorithm::MlDsa(set)) = spec {
            // Without its seed a key has only the expanded form to be kept in.
            let expanded = made.secret_part(SecretPart::Value).unwrap().unwrap();
            imports.push(algorithms::PrivateKey::MlDsa(
                ml_dsa::PrivateKey::from_expanded(set, &expanded).unwrap(),
            ));
        }
        for import in imports {
            let secret = NewSecret::import(import);
            let NewSecret::Private(imported) = &secret else { panic!("an imported private key is one") };
            let (expected, public) = (parts(&**imported), imported.public_key().unwrap());
            let id = put(&*vault, key("imported", &secret), Some(secret));
            let kept = user(&*token.open(), token).private_key(id).unwrap();
            assert!(parts(&*kept) == expected, "{spec:?} came back another");
            signs(&*kept, &public);
        }
    }
}

pub fn secret_keys_come_back(token: &dyn Fixture) {
    let store = token.open();
    let vault = user(&*store, token);
    for len in [1, 16, 24, 32, 64, 4096] {
        let value: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let secret = NewSecret::Secret(Arc::new(SecretKey::new(SecretBytes::new(&value))));
        let id = put(&*vault, key("secret", &secret), Some(secret));
        for vault in [&vault, &user(&*token.open(), token)] {
            assert!(vault.secret_key(id).unwrap().bytes().expose() == value);
        }
    }
}

pub fn secrets_outlive_updates(token: &dyn Fixture) {
    let (first, second) = (token.open(), token.open());
    let (mine, theirs) = (user(&*first, token), user(&*second, token));
    for spec in token.keys() {
        let secret = mine.generate(&spec).unwrap();
        let id = put(&*mine, key("before", &secret), Some(secret.clone()));
        let open = |vault: &dyn Vault| match &secret {
            NewSecret::Private(made) => signs(&*vault.private_key(id).unwrap(), &made.public_key().unwrap()),
            NewSecret::Secret(made) => {
                assert!(vault.secret_key(id).unwrap().bytes().expose() == made.bytes().expose());
            }
        };
        open(&*theirs);
        for version in 1..4 {
            let attributes = key(&format!("after {version}"), &secret);
            mine.commit(vec![Change::Update { id, version, attributes }]).unwrap();
            assert!(theirs.read(id).unwrap().has_secret);
            open(&*theirs);
            open(&*mine);
        }
        theirs.commit(vec![Change::Destroy { id }]).unwrap();
        // A key that was open is not used after its object has gone.
        assert_eq!(mine.private_key(id).unwrap_err(), StoreError::NotFound);
        assert_eq!(mine.secret_key(id).unwrap_err(), StoreError::NotFound);
    }
}

pub fn what_is_no_key(token: &dyn Fixture) {
    let store = token.open();
    let vault = user(&*store, token);
    let secret = vault.generate(&KeySpec::Secret { len: 32 }).unwrap();
    let secret = put(&*vault, key("secret", &secret), Some(secret));
    let pair = token.keys().into_iter().find(|spec| !matches!(spec, KeySpec::Secret { .. })).unwrap();
    let pair = vault.generate(&pair).unwrap();
    let pair = put(&*vault, key("pair", &pair), Some(pair));
    let plain = put(&*vault, data("plain", true), None);
    let public = put(&*vault, data("public", false), None);
    for id in [secret, plain, public] {
        assert_eq!(vault.private_key(id).unwrap_err(), StoreError::Unsupported);
    }
    for id in [pair, plain, public] {
        assert_eq!(vault.secret_key(id).unwrap_err(), StoreError::Unsupported);
    }
    let missing = RecordId::random().unwrap();
    assert_eq!(vault.private_key(missing).unwrap_err(), StoreError::NotFound);
    assert_eq!(vault.secret_key(missing).unwrap_err(), StoreError::NotFound);
}

pub fn the_secret_of_a_public_object_is_the_users(token: &dyn Fixture) {
    let store = token.open();
    let (user, so) = (user(&*store, token), so(&*store, token));
    for spec in token.keys() {
        let secret = user.generate(&spec).unwrap();
        let attributes = |label| {
            let mut attributes = key(label, &secret);
            attributes.set(ck::CKA_PRIVATE, false);
            attributes
        };
        let id = RecordId::random().unwrap();
        let create = || Change::Create { id, attributes: attributes("made"), secret: Some(secret.clone()) };
        let update = |version| Change::Update { id, version, attributes: attributes("changed") };
        for others in [store.public(), &*so] {
            assert_eq!(others.commit(vec![create()]), Err(StoreError::Unsupported));
        }
        user.commit(vec![create()]).unwrap();
        for others in [store.public(), &*so] {
            let seen = others.read(id).unwrap();
            assert!(seen.has_secret && seen.attributes == attributes("made"));
            assert_eq!(others.commit(vec![update(1)]), Err(StoreError::Unsupported));
        }
        assert_eq!(so.private_key(id).unwrap_err(), StoreError::NotFound);
        assert_eq!(so.secret_key(id).unwrap_err(), StoreError::NotFound);
        user.commit(vec![update(1)]).unwrap();
        assert_eq!(store.public().find(&by_label("changed")).unwrap(), [id]);
        match &secret {
            NewSecret::Private(made) => signs(&*user.private_key(id).unwrap(), &made.public_key().unwrap()),
            NewSecret::Secret(made) => {
                assert!(user.secret_key(id).unwrap().bytes().expose() == made.bytes().expose());
            }
        }
        store.public().commit(vec![Change::Destroy { id }]).unwrap();
    }
}

pub fn absurd_keys_are_refused(token: &dyn Fixture) {
    let store = token.open();
    let vault = user(&*store, token);
    let rsa = |modulus_bits, public_exponent: &[u8]| KeySpec::Rsa {
        modulus_bits,
        public_exponent: public_exponent.to_vec(),
    };
    for spec in [
        KeySpec::Secret { len: 0 },
        KeySpec::Secret { len: usize::MAX },
        KeySpec::Pair(Algorithm::Rsa),
        rsa(0, &[1, 0, 1]),
        rsa(u32::MAX, &[1, 0, 1]),
        rsa(2048, &[]),
        rsa(2048, &[2]),
        rsa(2048, &[0xFF; 300]),
    ] {
        vault.generate(&spec).expect_err(&format!("{spec:?}"));
    }
    assert_eq!(everything(&*vault), []);
}

pub fn logging_out_lets_go_of_keys(token: &dyn Fixture) {
    let store = token.open();
    let vault = user(&*store, token);
    let spec = token.keys().swap_remove(0);
    let secret = vault.generate(&spec).unwrap();
    let id = put(&*vault, key("key", &secret), Some(secret));
    let public = put(&*vault, data("public", false), None);
    let held = vault.private_key(id).unwrap();
    let watch = Arc::downgrade(&held);
    drop(held);
    assert!(watch.upgrade().is_some(), "the vault keeps it open");
    drop(vault);
    assert!(watch.upgrade().is_none(), "the vault has gone and the key with it");
    assert_eq!(everything(store.public()), [public]);
}
