//! Published inputs and answers of the self-test.

use crate::{digest::Hash, ml_dsa::ParameterSet};

/// FIPS 180-4 and FIPS 202 example: the digests of "abc".
pub(super) const ABC: [(Hash, &[u8]); 5] = [
    (Hash::Sha1, &hex::<20>("a9993e364706816aba3e25717850c26c9cd0d89d")),
    (Hash::Sha256, &hex::<32>("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")),
    (
        Hash::Sha512,
        &hex::<64>(
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
    ),
    (Hash::Sha3_256, &hex::<32>("3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532")),
    (
        Hash::Shake256,
        &hex::<64>(
            "483366601360a8771c6863080cc4114d8db44530f8f1e1ee4f94ea37e78b5739d5a15bef186a5386c75744c0527e1faa9f8726e462a12a4feb06bd8801e751e4",
        ),
    ),
];

/// RFC 4231 test case 2.
pub(super) const HMAC_SHA256: [u8; 32] =
    hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");

pub(super) struct Gcm {
    pub(super) key: [u8; 32],
    pub(super) nonce: [u8; 12],
    pub(super) aad: [u8; 1],
    pub(super) plaintext: [u8; 20],
    pub(super) sealed: [u8; 36],
}

/// Wycheproof aes_gcm, test 100.
pub(super) const GCM: Gcm = Gcm {
    key: hex("b279f57e19c8f53f2f963f5f2519fdb7c1779be2ca2b3ae8e1128b7d6c627fc4"),
    nonce: hex("98bc2c7438d5cd7665d76f6e"),
    aad: hex("c0"),
    plaintext: hex("fcc515b294408c8645c9183e3f4ecee5127846d1"),
    sealed: hex("eb5500e3825952866d911253f8de860c00831c81ecb660e1fb0541ec41e8d68a64141b3a"),
};

pub(super) struct Wrap {
    pub(super) key: [u8; 32],
    pub(super) secret: [u8; 32],
    pub(super) wrapped: [u8; 40],
}

/// RFC 3394 section 4.6.
pub(super) const WRAP: Wrap = Wrap {
    key: hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
    secret: hex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f"),
    wrapped: hex("28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"),
};

pub(super) struct Ed25519 {
    pub(super) seed: [u8; 32],
    pub(super) public: [u8; 32],
    pub(super) message: [u8; 2],
    pub(super) signature: [u8; 64],
}

/// RFC 8032 section 7.1, test 3.
pub(super) const ED25519: Ed25519 = Ed25519 {
    seed: hex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"),
    public: hex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"),
    message: hex("af82"),
    signature: hex("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
         18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
};

pub(super) struct EcdsaP256 {
    pub(super) public: [u8; 65],
    pub(super) signature: [u8; 64],
}

/// RFC 6979 appendix A.2.5, SHA-256 of "sample".
pub(super) const ECDSA_P256: EcdsaP256 = EcdsaP256 {
    public: hex("0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
         7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"),
    signature: hex("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
         f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"),
};

pub(super) struct Rsa2048 {
    pub(super) modulus: [u8; 256],
    pub(super) signature: [u8; 256],
}

/// Wycheproof rsa_signature_2048_sha256, test 1: the empty message.
pub(super) const RSA_2048: Rsa2048 = Rsa2048 {
    modulus: hex(
        "a2b451a07d0aa5f96e455671513550514a8a5b462ebef717094fa1fee82224e637f9746d3f7cafd31878d80325b6ef5a\
         1700f65903b469429e89d6eac8845097b5ab393189db92512ed8a7711a1253facd20f79c15e8247f3d3e42e46e48c98e\
         254a2fe9765313a03eff8f17e1a029397a1fa26a8dce26f490ed81299615d9814c22da610428e09c7d9658594266f5c0\
         21d0fceca08d945a12be82de4d1ece6b4c03145b5d3495d4ed5411eb878daf05fd7afc3e09ada0f1126422f590975a19\
         69816f48698bcbba1b4d9cae79d460d8f9f85e7975005d9bc22c4e5ac0f7c1a45d12569a62807d3b9a02e5a530e77306\
         6f453d1f5b4c2e9cf7820283f742b9d5",
    ),
    signature: hex(
        "840f5dac53106dd1f9c57219224cf51289290c42f20466875ba8e830ac5690e541536fcc8ab03b731f82bf66d83f194e\
         7e180b3963ec7a2f3f7904a7ce49aed47da4d4b79421eaf937d301b3e696169297b797c32c076a12be4de0b58e003c51\
         23051a84a10c62f8dac2f42a8640008eb3c7cccd6760ff5b51b689763922582845f048fb8150e5a7a6ca2eccc7bdc853\
         49ad5b26c52137a79fa3fe5c29ab5cd7615013219c1941b6708e9c3c23feff5febaf0c8ebca5750b54e3e6e99a3e876b\
         396f27860b7f3ec4e9191703c6332d944f6f69751167680c79c4f6b57f1cc8755d24b6ec158ccdbacdb23107a33cb6b3\
         32516c13274d1f9dccc21dced869e486",
    ),
};

pub(super) struct MlDsaAnswer {
    pub(super) set: ParameterSet,
    pub(super) seed: [u8; 32],
    pub(super) message: [u8; 32],
    /// SHA-256 of the public key.
    pub(super) public: [u8; 32],
    /// SHA-256 of the deterministic signature without a context.
    pub(super) signature: [u8; 32],
}

/// Wycheproof mldsa_44_sign_seed, mldsa_65_sign_seed and mldsa_87_sign_seed, test 6 of each: signatures that succeed
/// at the first attempt, which makes them quick to check.
pub(super) const ML_DSA: [MlDsaAnswer; 3] = [
    MlDsaAnswer {
        set: ParameterSet::MlDsa44,
        seed: hex("2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a"),
        message: hex("0500000000000000000000000000000000000000000000000000000000000000"),
        public: hex("d87f8ca136ac1aa55e2d6c4521680efb3a378cbb9bc0bfb446e9c60893931ea3"),
        signature: hex("abbc313b9c81e6a372a5a3502fc329ef278a2b34df1308194e005048581957d7"),
    },
    MlDsaAnswer {
        set: ParameterSet::MlDsa65,
        seed: hex("2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a"),
        message: hex("0700000000000000000000000000000000000000000000000000000000000000"),
        public: hex("b7acce2ddb11f8cc1aa46e2bafac6eacfa2b732ef192bd636ad8d3a56d649c66"),
        signature: hex("54dffec43b1410c8f11bd3f9534830dd2cb98fcd3809a2af3634a89d936954d9"),
    },
    MlDsaAnswer {
        set: ParameterSet::MlDsa87,
        seed: hex("2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a"),
        message: hex("0500000000000000000000000000000000000000000000000000000000000000"),
        public: hex("d43128fa8a8c785c1d44c9e7db538dbf9dd88fe6c8ad911a344bcec1017c6d54"),
        signature: hex("d4cb01b163e5b9aae5ecf04b292e1724326a100d2c68fd74f5d88f91cbdf3be9"),
    },
];

/// Bytes of lower-case hexadecimal digits; anything else fails the build.
const fn hex<const N: usize>(digits: &str) -> [u8; N] {
    const fn value(digit: u8) -> u8 {
        match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => panic!("not a hexadecimal digit"),
        }
    }
    let digits = digits.as_bytes();
    assert!(digits.len() == 2 * N, "two digits make a byte");
    let mut bytes = [0; N];
    let mut index = 0;
    while index < N {
        bytes[index] = value(digits[2 * index]) << 4 | value(digits[2 * index + 1]);
        index += 1;
    }
    bytes
}
