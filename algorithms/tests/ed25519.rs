//! RFC 8032's own vectors, and the encodings that strict verification refuses.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use algorithms::{
    Error, SecretBytes,
    ed25519::{Input, PrivateKey, PublicKey},
};
use support::hex;

fn private(seed: &str) -> PrivateKey {
    PrivateKey::from_seed(&SecretBytes::new(&hex(seed))).unwrap()
}

fn check(seed: &str, public: &str, input: Input<'_>, signature: &str) {
    let key = private(seed);
    let signature = hex(signature);
    assert_eq!(key.public_key().as_bytes(), hex(public));
    assert_eq!(key.sign(input).unwrap(), signature);
    PublicKey::from_bytes(&hex(public)).unwrap().verify(input, &signature).unwrap();
    for at in [0, 31, 32, 63] {
        let mut altered = signature.clone();
        altered[at] ^= 1;
        assert_eq!(key.public_key().verify(input, &altered), Err(Error::SignatureInvalid));
    }
}

#[test]
fn rfc_8032_section_7_1() {
    let tests = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ];
    for (seed, public, message, signature) in tests {
        check(seed, public, Input::Pure(&hex(message)), signature);
    }
}

#[test]
fn rfc_8032_section_7_2_with_context() {
    const SEED: &str = "0305334e381af78f141cb666f6199f57bc3495335a256a95bd2a55bf546663f6";
    const PUBLIC: &str = "dfc9425e4f968f7f0c29f0259cf5f9aed6851c2bb4ad8bfb860cfee0ab248292";
    const MESSAGE: &str = "f726936d19c800494e3fdaff20b276a8";
    let tests = [
        (
            SEED,
            PUBLIC,
            MESSAGE,
            "foo",
            "55a4cc2f70a54e04288c5f4cd1e45a7bb520b36292911876cada7323198dd87a8b36950b95130022907a7fb7c4e9b2d5f6cca685a587b4b21f4b888e4e7edb0d",
        ),
        (
            SEED,
            PUBLIC,
            MESSAGE,
            "bar",
            "fc60d5872fc46b3aa69f8b5b4351d5808f92bcc044606db097abab6dbcb1aee3216c48e8b3b66431b5b186d1d28f8ee15a5ca2df6668346291c2043d4eb3e90d",
        ),
        (
            SEED,
            PUBLIC,
            "508e9e6882b979fea900f62adceaca35",
            "foo",
            "8b70c1cc8310e1de20ac53ce28ae6e7207f33c3295e03bb5c0732a1d20dc64908922a8b052cf99b7c4fe107a5abb5b2c4085ae75890d02df26269d8945f84b0b",
        ),
        (
            "ab9c2853ce297ddab85c993b3ae14bcad39b2c682beabc27d6d4eb20711d6560",
            "0f1d1274943b91415889152e893d80e93275a1fc0b65fd71b4b0dda10ad7d772",
            MESSAGE,
            "foo",
            "21655b5f1aa965996b3f97b3c849eafba922a0a62992f73b3d1b73106a84ad85e9b86a7b6005ea868337ff2d20a7f5fbd4cd10b0be49a68da2b2e0dc0ad8960f",
        ),
    ];
    for (seed, public, message, context, signature) in tests {
        check(
            seed,
            public,
            Input::Context { context: context.as_bytes(), message: &hex(message) },
            signature,
        );
    }
}

#[test]
fn rfc_8032_section_7_3_prehashed() {
    let digest = algorithms::digest::Hash::Sha512.digest(b"abc").unwrap();
    check(
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        Input::Prehashed { context: &[], digest: digest.as_slice().try_into().unwrap() },
        "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae4131f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406",
    );
}

#[test]
fn the_three_schemes_and_their_contexts_are_distinct() {
    let key = private("0305334e381af78f141cb666f6199f57bc3495335a256a95bd2a55bf546663f6");
    let message = [7; 64];
    let inputs = [
        Input::Pure(&message),
        Input::Context { context: b"a", message: &message },
        Input::Context { context: &[b'a'; 255], message: &message },
        Input::Prehashed { context: &[], digest: &message },
        Input::Prehashed { context: b"a", digest: &message },
        Input::Prehashed { context: &[b'a'; 255], digest: &message },
    ];
    for (made, input) in inputs.iter().enumerate() {
        let signature = key.sign(*input).unwrap();
        for (read, input) in inputs.iter().enumerate() {
            assert_eq!(key.public_key().verify(*input, &signature).is_ok(), made == read, "{made} {read}");
        }
    }
}

#[test]
fn lengths() {
    let key = private("0305334e381af78f141cb666f6199f57bc3495335a256a95bd2a55bf546663f6");
    let long = [0; 256];
    for input in [
        Input::Context { context: &[], message: b"m" },
        Input::Context { context: &long, message: b"m" },
        Input::Prehashed { context: &long, digest: &[0; 64] },
    ] {
        assert_eq!(key.sign(input), Err(Error::ParameterInvalid));
        assert_eq!(key.public_key().verify(input, &[0; 64]), Err(Error::ParameterInvalid));
    }
    for len in [0, 63, 65] {
        assert_eq!(key.public_key().verify(Input::Pure(b"m"), &vec![0; len]), Err(Error::SignatureLength));
    }
    for len in [0, 31, 33, 64] {
        assert_eq!(PrivateKey::from_seed(&SecretBytes::new(&vec![1; len])).err(), Some(Error::KeyInvalid));
        assert_eq!(PublicKey::from_bytes(&vec![1; len]).err(), Some(Error::KeyInvalid));
    }
}

/// The eight points of small order, each with every encoding that some library decodes.
const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
];

#[test]
fn keys_and_signatures_with_points_of_small_order_are_refused() {
    let key = private("0305334e381af78f141cb666f6199f57bc3495335a256a95bd2a55bf546663f6");
    for point in SMALL_ORDER {
        assert_eq!(PublicKey::from_bytes(&hex(point)).err(), Some(Error::KeyInvalid), "{point}");
        let mut signature = hex(point);
        signature.extend([0; 32]);
        let verified = key.public_key().verify(Input::Pure(b"m"), &signature);
        assert_eq!(verified, Err(Error::SignatureInvalid), "{point}");
    }
}

#[test]
fn keys_that_are_no_canonical_point_are_refused() {
    // Every y from p to 2^255 - 1, with either sign.
    for low in 0xed..=0xff {
        for high in [0x7f, 0xff] {
            let mut encoded = [0xff; 32];
            (encoded[0], encoded[31]) = (low, high);
            assert_eq!(PublicKey::from_bytes(&encoded).err(), Some(Error::KeyInvalid));
        }
    }
    // Half of all y belong to no point. 2 and 7 do not; 3 and 4 do (found with RFC 8032's Python code).
    for (y, on_curve) in [(2, false), (3, true), (4, true), (5, true), (6, true), (7, false), (8, false)] {
        let mut encoded = [0; 32];
        encoded[0] = y;
        assert_eq!(PublicKey::from_bytes(&encoded).is_ok(), on_curve, "y = {y}");
    }
}

/// Only case 3 satisfies what the module promises; the others differ from it in one respect each.
#[test]
fn speccheck() {
    let verified = include_str!("vectors/speccheck.csv").lines().skip(1).filter(|line| {
        let fields: Vec<Vec<u8>> = line.split(',').skip(1).map(hex).collect();
        PublicKey::from_bytes(&fields[1])
            .is_ok_and(|key| key.verify(Input::Pure(&fields[0]), &fields[2]).is_ok())
    });
    let verified: Vec<&str> = verified.map(|line| &line[..1]).collect();
    assert_eq!(verified, ["3"]);
}
