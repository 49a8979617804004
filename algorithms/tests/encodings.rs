//! PKCS#8 and SubjectPublicKeyInfo: published examples, round trips, and what must be refused.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use algorithms::{
    Algorithm, Error, PrivateKey, PublicKey, SecretBytes,
    ecdsa::{self, Curve},
    ed25519, ml_dsa,
    ml_dsa::ParameterSet,
    rsa,
};
use support::hex;

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let len = u16::try_from(contents.len()).unwrap().to_be_bytes();
    let head = match contents.len() {
        0..0x80 => vec![tag, len[1]],
        0x80..0x100 => vec![tag, 0x81, len[1]],
        _ => vec![tag, 0x82, len[0], len[1]],
    };
    [head, contents].concat()
}

/// PrivateKeyInfo around the contents of the OCTET STRING, with `after` following it.
fn pkcs8(version: u8, algorithm: &[u8], inner: &[u8], after: &[u8]) -> Vec<u8> {
    der(0x30, &[&[2, 1, version], algorithm, &der(4, &[inner]), after])
}

fn parse(encoded: &[u8]) -> Result<PrivateKey, Error> {
    PrivateKey::from_pkcs8(&SecretBytes::new(encoded))
}

fn keys() -> Vec<PrivateKey> {
    let mut keys = vec![
        PrivateKey::Ed25519(ed25519::PrivateKey::generate().unwrap()),
        PrivateKey::Rsa(rsa::PrivateKey::generate(2048, &[1, 0, 1]).unwrap()),
    ];
    for set in ParameterSet::ALL {
        let seeded = ml_dsa::PrivateKey::generate(set).unwrap();
        let expanded = ml_dsa::PrivateKey::from_expanded(set, &seeded.expanded().unwrap()).unwrap();
        keys.extend([seeded, expanded].map(PrivateKey::MlDsa));
    }
    for curve in Curve::ALL {
        keys.push(PrivateKey::Ecdsa(ecdsa::PrivateKey::generate(curve).unwrap()));
    }
    keys
}

#[test]
fn every_key_comes_back_from_both_encodings() {
    for key in keys() {
        key.pairwise_check().unwrap();
        let encoded = key.to_pkcs8().unwrap();
        let decoded = PrivateKey::from_pkcs8(&encoded).unwrap();
        assert_eq!(decoded.algorithm(), key.algorithm());
        assert_eq!(decoded.to_pkcs8().unwrap(), encoded);
        let spki = key.public_key().unwrap().to_spki().unwrap();
        assert_eq!(decoded.public_key().unwrap().to_spki().unwrap(), spki);
        let public = PublicKey::from_spki(&spki).unwrap();
        assert_eq!(public.algorithm(), key.algorithm());
        assert_eq!(public.to_spki().unwrap(), spki);
    }
}

#[test]
fn what_is_left_over_cut_off_or_altered_in_the_frame_is_refused() {
    for key in keys() {
        let encoded = key.to_pkcs8().unwrap();
        let spki = key.public_key().unwrap().to_spki().unwrap();
        let name = key.algorithm().name();
        assert!(parse(&[encoded.expose(), &[0]].concat()).is_err(), "{name}");
        assert!(PublicKey::from_spki(&[&spki[..], &[0]].concat()).is_err(), "{name}");
        for len in (0..encoded.len()).step_by(encoded.len().div_ceil(40)) {
            assert!(parse(&encoded.expose()[..len]).is_err(), "{name} {len}");
        }
        for len in (0..spki.len()).step_by(spki.len().div_ceil(40)) {
            assert!(PublicKey::from_spki(&spki[..len]).is_err(), "{name} {len}");
        }
        // Tags, lengths, version and identifier are in the first bytes.
        for at in 0..12 {
            let mut altered = encoded.expose().to_vec();
            altered[at] ^= 0x20;
            assert!(parse(&altered).is_err(), "{name} byte {at}");
            let mut altered = spki.clone();
            altered[at] ^= 0x20;
            assert!(PublicKey::from_spki(&altered).is_err(), "{name} byte {at}");
        }
    }
}

#[test]
fn rfc_9881_examples() {
    let seed: Vec<u8> = (0..32).collect();
    for (set, pem) in ParameterSet::ALL.into_iter().zip([
        include_str!("vectors/rfc9881/ML-DSA-44.pub"),
        include_str!("vectors/rfc9881/ML-DSA-65.pub"),
        include_str!("vectors/rfc9881/ML-DSA-87.pub"),
    ]) {
        let key = ml_dsa::PrivateKey::from_seed(set, &SecretBytes::new(&seed)).unwrap();
        let spki = PrivateKey::MlDsa(key).public_key().unwrap().to_spki().unwrap();
        assert_eq!(spki, base64(pem));
    }
}

fn base64(pem: &str) -> Vec<u8> {
    let digit = |byte| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => panic!("not base64"),
    };
    let text = pem.lines().filter(|line| !line.starts_with('-')).collect::<String>();
    let digits: Vec<u8> = text.bytes().filter(|&byte| byte != b'=').map(digit).collect();
    let group = |group: &[u8]| {
        let bits =
            group.iter().fold(0_u32, |bits, &digit| bits << 6 | u32::from(digit)) << (6 * (4 - group.len()));
        bits.to_be_bytes()[1..group.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}

const ML_DSA_65: &str = "300b0609608648016503040312";
const ED25519: &str = "300506032b6570";
const P256: &str = "301306072a8648ce3d020106082a8648ce3d030107";
const RSA: &str = "300d06092a864886f70d0101010500";

#[test]
fn the_three_forms_of_an_ml_dsa_key() {
    let set = ParameterSet::MlDsa65;
    let [key, other] = [(); 2].map(|()| ml_dsa::PrivateKey::generate(set).unwrap());
    let (seed, expanded) = (key.seed().unwrap().expose(), key.expanded().unwrap());
    let algorithm = hex(ML_DSA_65);
    let both = |seed: &[u8], expanded: &[u8], rest: &[u8]| {
        let fields = [&der(4, &[seed])[..], &der(4, &[expanded]), rest];
        pkcs8(0, &algorithm, &der(0x30, &fields), &[])
    };
    let forms = [
        pkcs8(0, &algorithm, &der(0x80, &[seed]), &[]),
        both(seed, expanded.expose(), &[]),
        pkcs8(0, &algorithm, &der(4, &[expanded.expose()]), &[]),
    ];
    for (index, form) in forms.iter().enumerate() {
        let PrivateKey::MlDsa(decoded) = parse(form).unwrap() else { panic!("an ML-DSA key") };
        assert_eq!(decoded.public_key().as_bytes(), key.public_key().as_bytes());
        assert_eq!(decoded.seed().is_some(), index < 2);
        assert_eq!(decoded.expanded().unwrap(), expanded);
        // Written again: the seed where it is known, else the expanded key.
        let written = PrivateKey::MlDsa(decoded).to_pkcs8().unwrap();
        assert_eq!(written.expose(), if index < 2 { &forms[0] } else { &forms[2] });
    }

    let mut other_k = expanded.expose().to_vec();
    other_k[40] ^= 1;
    let refused = [
        ("both: another seed", both(other.seed().unwrap().expose(), expanded.expose(), &[])),
        ("both: another K", both(seed, &other_k, &[])),
        ("both: something after", both(seed, expanded.expose(), &[5, 0])),
        ("both: seed alone", pkcs8(0, &algorithm, &der(0x30, &[&der(4, &[seed])]), &[])),
        ("seed of 31 bytes", pkcs8(0, &algorithm, &der(0x80, &[&seed[1..]]), &[])),
        ("seed as OCTET STRING", pkcs8(0, &algorithm, &der(4, &[seed]), &[])),
        ("seed with explicit tag", pkcs8(0, &algorithm, &der(0xa0, &[&der(4, &[seed])]), &[])),
        ("bare seed", pkcs8(0, &algorithm, seed, &[])),
        ("something after the seed", pkcs8(0, &algorithm, &[der(0x80, &[seed]), vec![5, 0]].concat(), &[])),
        ("NULL parameters", pkcs8(0, &hex("300d06096086480165030403120500"), &der(0x80, &[seed]), &[])),
        (
            "expanded for another set",
            pkcs8(0, &hex("300b0609608648016503040311"), &der(4, &[expanded.expose()]), &[]),
        ),
    ];
    for (what, encoded) in refused {
        assert_eq!(parse(&encoded).err(), Some(Error::KeyInvalid), "{what}");
    }
}

#[test]
fn an_enclosed_public_key_must_be_the_private_key_s_own() {
    let [key, other] = [(); 2].map(|()| ed25519::PrivateKey::generate().unwrap());
    let inner = der(4, &[key.seed().expose()]);
    let with = |version, public: &ed25519::PublicKey, attributes: &[u8]| {
        let public = der(0x81, &[&[0], public.as_bytes()]);
        pkcs8(version, &hex(ED25519), &inner, &[attributes, &public].concat())
    };
    parse(&with(1, key.public_key(), &[])).unwrap();
    parse(&with(1, key.public_key(), &[0xa0, 0])).unwrap();
    parse(&pkcs8(1, &hex(ED25519), &inner, &[])).unwrap();
    assert_eq!(parse(&with(1, other.public_key(), &[])).err(), Some(Error::KeyInvalid));
    assert_eq!(parse(&with(0, key.public_key(), &[])).err(), Some(Error::KeyInvalid));
    assert_eq!(parse(&with(2, key.public_key(), &[])).err(), Some(Error::KeyInvalid));
    assert_eq!(parse(&pkcs8(0, &hex(ED25519), key.seed().expose(), &[])).err(), Some(Error::KeyInvalid));
}

#[test]
fn the_forms_of_an_ec_key() {
    let [key, other] = [(); 2].map(|()| ecdsa::PrivateKey::generate(Curve::P256).unwrap());
    let scalar = der(4, &[key.scalar().unwrap().expose()]);
    let public = |key: &ecdsa::PrivateKey| der(0xa1, &[&der(3, &[&[0], key.public_key().as_bytes()])]);
    let form = |version: u8, parts: &[&[u8]]| {
        let head: [&[u8]; 2] = [&[2, 1, version], &scalar];
        pkcs8(0, &hex(P256), &der(0x30, &[&head[..], parts].concat()), &[])
    };
    let parameters = der(0xa0, &[Curve::P256.oid_der()]);
    let sets: [&[&[u8]]; 4] = [&[], &[&parameters], &[&public(&key)], &[&parameters, &public(&key)]];
    for parts in sets {
        let PrivateKey::Ecdsa(decoded) = parse(&form(1, parts)).unwrap() else { panic!("an EC key") };
        assert_eq!(decoded.public_key().as_bytes(), key.public_key().as_bytes());
    }
    let wrong_parameters = der(0xa0, &[Curve::P384.oid_der()]);
    let refused: [&[&[u8]]; 4] =
        [&[&wrong_parameters], &[&public(&other)], &[&public(&key), &parameters], &[&[5, 0]]];
    for parts in refused {
        assert_eq!(parse(&form(1, parts)).err(), Some(Error::KeyInvalid));
    }
    assert_eq!(parse(&form(0, &[])).err(), Some(Error::KeyInvalid));
}

#[test]
fn unknown_algorithms_and_curves_are_told_from_malformed_keys() {
    let secp256k1 = hex("301006072a8648ce3d020106052b8104000a");
    let x25519 = hex("300506032b656e");
    let ed448 = hex("300506032b6571");
    for algorithm in [&secp256k1, &x25519, &ed448] {
        assert_eq!(parse(&pkcs8(0, algorithm, &der(4, &[&[1; 32]]), &[])).err(), Some(Error::KeySizeRange));
        let spki = der(0x30, &[algorithm, &der(3, &[&[0; 33]])]);
        assert_eq!(PublicKey::from_spki(&spki).err(), Some(Error::KeySizeRange));
    }
    // RSA without its NULL, and a BIT STRING with bits to spare.
    let numbers = der(0x30, &[&der(2, &[&[0], &[0xff; 256]]), &[2, 3, 1, 0, 1]]);
    let spki = |algorithm: &str, spare: u8| der(0x30, &[&hex(algorithm), &der(3, &[&[spare], &numbers])]);
    assert_eq!(PublicKey::from_spki(&spki(RSA, 0)).unwrap().algorithm(), Algorithm::Rsa);
    for encoded in [spki("300b06092a864886f70d010101", 0), spki(RSA, 1)] {
        assert_eq!(PublicKey::from_spki(&encoded).err(), Some(Error::KeyInvalid));
    }
}
