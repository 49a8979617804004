//! Known answers through the module, and the two ML-DSA engines held to each other.

use algorithms::{
    Algorithm,
    digest::Hash,
    ecdsa::Curve,
    ml_dsa::{Hedging, ParameterSet},
};
use cryptoki_sys as ck;

use super::*;
use crate::{
    error::Error,
    mechanism::{MECHANISMS, Scheme},
};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).map(hex_digit).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn hex_digit(digit: u8) -> u8 {
    char::from(digit).to_digit(16).unwrap() as u8
}

/// RFC 4231, test cases 2 and 5 (a MAC cut to 16 bytes).
#[test]
fn hmac() {
    let bench = Bench::new();
    let jefe = bench.secret(ck::CKK_GENERIC_SECRET, b"Jefe");
    let message = b"what do ya want for nothing?";
    for (mechanism, mac) in [
        (ck::CKM_SHA224_HMAC, "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44"),
        (ck::CKM_SHA256_HMAC, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            ck::CKM_SHA384_HMAC,
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        ),
        (
            ck::CKM_SHA512_HMAC,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554
             9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ] {
        assert_eq!(bench.sign(&plain(mechanism), jefe, message).unwrap(), hex(mac), "{mechanism:#x}");
        assert_eq!(bench.verify(&plain(mechanism), jefe, message, &hex(mac)), Ok(()), "{mechanism:#x}");
    }
    let key = bench.secret(ck::CKK_SHA256_HMAC, &[0x0c; 20]);
    let truncated = call(ck::CKM_SHA256_HMAC_GENERAL, Parameters::MacLength(16));
    let mac = hex("a3b6167473100ee06e0c796c2955552b");
    let message = b"Test With Truncation";
    assert_eq!(bench.sign(&truncated, key, message).unwrap(), mac);
    assert_eq!(bench.verify(&truncated, key, message, &mac), Ok(()));
    assert_eq!(
        bench.verify(&truncated, key, message, &[&mac[..], b"x"].concat()),
        Err(Error::SignatureLenRange)
    );
}

/// SP 800-38A sections F.2.1, F.2.5 and F.5.1; the GCM specification's test cases 4 and 16.
#[test]
fn aes() {
    let bench = Bench::new();
    let (module, session) = (&bench.module, bench.session);
    let message = hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51
         30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710");
    let iv: [u8; 16] = std::array::from_fn(|at| at as u8);
    let counter: [u8; 16] = std::array::from_fn(|at| 0xf0 + at as u8);
    let gcm_message = hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
         1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
    let gcm = Parameters::Gcm {
        iv: hex("cafebabefacedbaddecaf888"),
        aad: hex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
        tag_bits: 128,
    };
    let key128 = "2b7e151628aed2a6abf7158809cf4f3c";
    let key256 = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";
    for (key, mechanism, parameters, message, encrypted) in [
        (
            key128,
            ck::CKM_AES_CBC,
            Parameters::Iv16(iv),
            &message,
            "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2
             73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
        ),
        (
            key256,
            ck::CKM_AES_CBC,
            Parameters::Iv16(iv),
            &message,
            "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d
             39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b",
        ),
        (
            key128,
            ck::CKM_AES_CTR,
            Parameters::Ctr { counter_bits: 128, block: counter },
            &message,
            "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff
             5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee",
        ),
        (
            "feffe9928665731c6d6a8f9467308308",
            ck::CKM_AES_GCM,
            gcm.clone(),
            &gcm_message,
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e
             21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091
             5bc94fbc3221a5db94fae95ae7121a47",
        ),
        (
            "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
            ck::CKM_AES_GCM,
            gcm,
            &gcm_message,
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa
             8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662
             76fc6ece0f4e1768cddf8853bb2d551b",
        ),
    ] {
        let key = bench.secret(ck::CKK_AES, &hex(key));
        module.encrypt_init(session, call(mechanism, parameters.clone()), key).unwrap();
        let made = filled(|out| module.encrypt(session, message, out)).unwrap();
        assert_eq!(made, hex(encrypted), "{mechanism:#x}");
        module.decrypt_init(session, call(mechanism, parameters), key).unwrap();
        assert_eq!(filled(|out| module.decrypt(session, &made, out)).unwrap(), *message, "{mechanism:#x}");
    }
}

/// A deterministic signature of a whole message is one engine's work and that of a streamed message another's.
#[test]
fn engines_agree_on_deterministic_ml_dsa() {
    let bench = Bench::new();
    let message = [0x5a; 1000];
    for set in ParameterSet::ALL {
        let (private, public) = bench.pair(Algorithm::MlDsa(set), &[]);
        let seedless = TestKey { mu_deterministic: false, ..TestKey::new(Algorithm::MlDsa(set)) };
        let (seedless, _) = bench.pair_of(Arc::new(seedless), &[]);
        for context in [vec![], b"context".to_vec()] {
            let deterministic = call(
                ck::CKM_ML_DSA,
                Parameters::SignContext { hedging: Hedging::Deterministic, context: context.clone() },
            );
            let whole = bench.sign(&deterministic, private, &message).unwrap();
            let parts: [&[u8]; 2] = [&message[..100], &message[100..]];
            assert_eq!(bench.sign_parts(&deterministic, private, &parts).unwrap(), whole, "{set:?}");
            assert_eq!(bench.sign_parts(&deterministic, seedless, &parts).unwrap(), whole, "{set:?}");

            // Judged by AWS-LC, under hedged parameters too: hedging is nothing to a verifier.
            let hedged = call(ck::CKM_ML_DSA, Parameters::SignContext { hedging: Hedging::Hedged, context });
            assert_eq!(bench.verify(&hedged, public, &message, &whole), Ok(()), "{set:?}");
            let one = bench.sign(&hedged, private, &message).unwrap();
            assert_ne!(one, bench.sign(&hedged, private, &message).unwrap(), "{set:?}");
            let other_context = bench.verify(&plain(ck::CKM_ML_DSA), public, &message, &one);
            let same = hedged.parameters
                == Parameters::SignContext { hedging: Hedging::Hedged, context: Vec::new() };
            assert_eq!(other_context.is_ok(), same, "{set:?}");
        }
    }
}

/// A digest given to CKM_HASH_ML_DSA is the digest that CKM_HASH_ML_DSA_* computes; likewise for ECDSA and RSA.
#[test]
fn mechanisms_that_hash_agree_with_those_that_are_given_the_hash() {
    let bench = Bench::new();
    let message = b"a message";
    let digest = algorithms::digest::Hash::Sha512.digest(message).unwrap();
    let ml_dsa = bench.pair(Algorithm::MlDsa(ParameterSet::MlDsa65), &[]);
    let context = b"ctx".to_vec();
    let hedging = Hedging::Deterministic;
    let pss = Parameters::Pss { hash: ck::CKM_SHA512, mgf: ck::CKG_MGF1_SHA512, salt_len: 64 };
    let ecdsa = bench.pair(Algorithm::Ecdsa(Curve::P521), &[]);
    let rsa = bench.pair(Algorithm::Rsa, &[]);
    // RFC 8017 section 9.2, note 1.
    let digest_info = [&hex("3051300d060960864801650304020305000440")[..], &digest].concat();
    for (keys, hashing, given, input) in [
        (
            ml_dsa,
            call(ck::CKM_HASH_ML_DSA_SHA512, Parameters::SignContext { hedging, context: context.clone() }),
            call(ck::CKM_HASH_ML_DSA, Parameters::HashSignContext { hedging, context, hash: ck::CKM_SHA512 }),
            &digest,
        ),
        (ecdsa, plain(ck::CKM_ECDSA_SHA512), plain(ck::CKM_ECDSA), &digest),
        (rsa, call(ck::CKM_SHA512_RSA_PKCS_PSS, pss.clone()), call(ck::CKM_RSA_PKCS_PSS, pss), &digest),
        (rsa, plain(ck::CKM_SHA512_RSA_PKCS), plain(ck::CKM_RSA_PKCS), &digest_info),
    ] {
        let signature = bench.sign(&hashing, keys.0, message).unwrap();
        assert_eq!(bench.verify(&given, keys.1, input, &signature), Ok(()), "{hashing:?}");
        let signature = bench.sign(&given, keys.0, input).unwrap();
        assert_eq!(bench.verify(&hashing, keys.1, message, &signature), Ok(()), "{hashing:?}");
    }
}

/// HashML-DSA with each of its hashes: hedged or not, in one part or several, and from the digest where the hash has a
/// digest mechanism. The context is part of it.
#[test]
fn every_hash_of_hash_ml_dsa() {
    let bench = Bench::new();
    let (private, public) = bench.pair(Algorithm::MlDsa(ParameterSet::MlDsa44), &[]);
    let message = [0xa5; 300];
    let parts: [&[u8]; 3] = [&message[..7], &[], &message[7..]];
    let hashing = MECHANISMS.iter().filter_map(|row| match row.scheme {
        Scheme::HashMlDsa(Some(hash)) => Some((row.kind, hash)),
        _ => None,
    });
    let mut seen = Vec::new();
    for (kind, hash) in hashing {
        let context = b"ctx".to_vec();
        let form = |hedging| call(kind, Parameters::SignContext { hedging, context: context.clone() });
        let (hedged, deterministic) = (form(Hedging::Hedged), form(Hedging::Deterministic));
        let fixed = bench.sign(&deterministic, private, &message).unwrap();
        assert_eq!(bench.sign_parts(&deterministic, private, &parts).unwrap(), fixed, "{hash:?}");
        let fresh = [
            bench.sign(&hedged, private, &message).unwrap(),
            bench.sign_parts(&hedged, private, &parts).unwrap(),
        ];
        assert!(fresh[0] != fresh[1] && fresh[0] != fixed, "{hash:?}");
        for signature in [&fixed, &fresh[0], &fresh[1]] {
            assert_eq!(bench.verify(&hedged, public, &message, signature), Ok(()), "{hash:?}");
            assert_eq!(bench.verify_parts(&deterministic, public, &parts, signature), Ok(()), "{hash:?}");
            let no_context = bench.verify(&plain(kind), public, &message, signature);
            assert_eq!(no_context, Err(Error::SignatureInvalid), "{hash:?}");
            let unhashed = call(ck::CKM_ML_DSA, hedged.parameters.clone());
            let pure = bench.verify(&unhashed, public, &message, signature);
            assert_eq!(pure, Err(Error::SignatureInvalid), "{hash:?}");
        }
        if let Some(digesting) = MECHANISMS.iter().find(|row| row.scheme == Scheme::Digest(hash)) {
            let digest = hash.digest(&message).unwrap();
            let of_digest = |hedging| {
                let context = context.clone();
                call(
                    ck::CKM_HASH_ML_DSA,
                    Parameters::HashSignContext { hedging, context, hash: digesting.kind },
                )
            };
            let given = bench.sign(&of_digest(Hedging::Deterministic), private, &digest).unwrap();
            assert_eq!(given, fixed, "{hash:?}");
            let given = bench.sign(&of_digest(Hedging::Hedged), private, &digest).unwrap();
            assert_eq!(bench.verify(&hedged, public, &message, &given), Ok(()), "{hash:?}");
        }
        seen.push(hash);
    }
    use Hash::*;
    let all = [Sha224, Sha256, Sha384, Sha512, Sha3_224, Sha3_256, Sha3_384, Sha3_512, Shake128, Shake256];
    assert_eq!(seen, all);
}

/// PKCS#11 v3.2 section 6.3.1: r and s may come without their leading zeros, as long as both have the same length.
#[test]
fn ecdsa_signatures_may_be_short() {
    let bench = Bench::new();
    let (private, public) = bench.pair(Algorithm::Ecdsa(Curve::P521), &[]);
    let ecdsa = plain(ck::CKM_ECDSA_SHA256);
    // The top byte of a P-521 scalar is 0 or 1, so half of all values have a zero there.
    let (signature, r, s) = (0..1000)
        .map(|_| bench.sign(&ecdsa, private, b"m").unwrap())
        .find(|signature| signature[0] == 0 && signature[66] == 0)
        .map(|signature| (signature.clone(), signature[1..66].to_vec(), signature[67..].to_vec()))
        .expect("one signature in four is such a one");
    assert_eq!(bench.verify(&ecdsa, public, b"m", &signature), Ok(()));
    assert_eq!(bench.verify(&ecdsa, public, b"m", &[r.clone(), s.clone()].concat()), Ok(()));
    assert_eq!(bench.verify(&ecdsa, public, b"m", &[s, r].concat()), Err(Error::SignatureInvalid));
    assert_eq!(bench.verify(&ecdsa, public, b"m", &signature[1..]), Err(Error::SignatureLenRange));
}

/// RFC 8032 sections 7.1 (test 3), 7.2 and 7.3.
#[test]
fn eddsa() {
    let bench = Bench::new();
    let seeded = |seed: &str| {
        let key = ed25519::PrivateKey::from_seed(&SecretBytes::new(&hex(seed))).unwrap();
        let key = Arc::new(algorithms::PrivateKey::Ed25519(key));
        bench.pair_of(Arc::new(TestKey { key, tr: None, mu_deterministic: false }), &[])
    };
    let eddsa = |prehash, context: &[u8]| {
        call(ck::CKM_EDDSA, Parameters::Eddsa { prehash, context: Some(context.to_vec()) })
    };
    for (seed, call, message, signature) in [
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            plain(ck::CKM_EDDSA),
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac
             18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
        (
            "0305334e381af78f141cb666f6199f57bc3495335a256a95bd2a55bf546663f6",
            eddsa(false, b"foo"),
            "f726936d19c800494e3fdaff20b276a8",
            "55a4cc2f70a54e04288c5f4cd1e45a7bb520b36292911876cada7323198dd87a
             8b36950b95130022907a7fb7c4e9b2d5f6cca685a587b4b21f4b888e4e7edb0d",
        ),
        (
            "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
            eddsa(true, b""),
            "616263",
            "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41
             31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406",
        ),
    ] {
        let (private, public) = seeded(seed);
        let (message, signature) = (hex(message), hex(signature));
        assert_eq!(bench.sign(&call, private, &message).unwrap(), signature, "{call:?}");
        assert_eq!(bench.sign_parts(&call, private, &[&message[..1], &message[1..]]).unwrap(), signature);
        assert_eq!(bench.verify(&call, public, &message, &signature), Ok(()), "{call:?}");
    }
}
