//! AES and digests: modes that Wycheproof lacks, input in parts, limits, and saved digest state.

mod support;

use algorithms::{
    Error, SecretBytes,
    aes::{self, Cipher, Direction, Mode},
    digest::{Digest, Hash},
    mac::{self, Hmac},
};
use support::hex;

/// SP 800-38A appendix F: the key of each size, and the four blocks.
const KEYS: [&str; 3] = [
    "2b7e151628aed2a6abf7158809cf4f3c",
    "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
    "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
];
const BLOCKS: &str = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";

fn run(
    mode: &Mode,
    direction: Direction,
    key: &SecretBytes,
    input: &[u8],
    part: usize,
) -> Result<Vec<u8>, Error> {
    let mut cipher = Cipher::new(mode.clone(), direction, key)?;
    let mut out = Vec::new();
    for part in input.chunks(part) {
        let expected = out.len() + cipher.update_len(part.len());
        cipher.update(part, &mut out)?;
        assert_eq!(out.len(), expected, "{mode:?} {direction:?}");
    }
    let (before, at_most) = (out.len(), cipher.finish_len());
    cipher.finish(&mut out)?;
    let exact = !(matches!(mode, Mode::CbcPad { .. }) && direction == Direction::Decrypt);
    assert!(if exact { out.len() == before + at_most } else { out.len() <= before + at_most });
    Ok(out)
}

#[test]
fn sp_800_38a() {
    let cbc = [
        "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b273bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
        "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd",
        "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b",
    ];
    let ctr = [
        "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee",
        "1abc932417521ca24f2b0459fe7e6e0b090339ec0aa6faefd5ccc2c6f4ce8e941e36b26bd1ebc670d1bd1d665620abf74f78a7f6d29809585a97daec58c6b050",
        "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c52b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6",
    ];
    let blocks = hex(BLOCKS);
    for index in 0..3 {
        let key = SecretBytes::new(&hex(KEYS[index]));
        let iv = std::array::from_fn(|at| at as u8);
        let block = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff").try_into().unwrap();
        for (mode, answer) in
            [(Mode::Cbc { iv }, cbc[index]), (Mode::Ctr { block, counter_bits: 128 }, ctr[index])]
        {
            for part in [1, 15, 16, 17, 64] {
                assert_eq!(run(&mode, Direction::Encrypt, &key, &blocks, part).unwrap(), hex(answer));
                assert_eq!(run(&mode, Direction::Decrypt, &key, &hex(answer), part).unwrap(), blocks);
            }
        }
    }
}

#[test]
fn every_mode_gives_back_what_it_took_in_parts_of_any_size() {
    let key = SecretBytes::new(&[7; 32]);
    let modes = [
        Mode::Cbc { iv: [1; 16] },
        Mode::CbcPad { iv: [1; 16] },
        Mode::Ctr { block: [1; 16], counter_bits: 32 },
        Mode::Gcm { iv: vec![1; 12], aad: b"aad".to_vec(), tag_len: 16 },
        Mode::Gcm { iv: vec![1], aad: vec![], tag_len: 4 },
        Mode::Gcm { iv: vec![1; 256], aad: vec![3; 1000], tag_len: 13 },
    ];
    for mode in modes {
        for len in [0, 1, 15, 16, 17, 31, 32, 33, 48, 255] {
            if matches!(mode, Mode::Cbc { .. }) && len % 16 != 0 {
                continue;
            }
            let message: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let whole = run(&mode, Direction::Encrypt, &key, &message, 1000).unwrap();
            for part in [1, 5, 16, 33] {
                assert_eq!(run(&mode, Direction::Encrypt, &key, &message, part).unwrap(), whole);
                assert_eq!(run(&mode, Direction::Decrypt, &key, &whole, part).unwrap(), message);
            }
        }
    }
}

#[test]
fn cbc_lengths_and_padding() {
    let key = SecretBytes::new(&[7; 16]);
    let (plain, padded) = (Mode::Cbc { iv: [0; 16] }, Mode::CbcPad { iv: [0; 16] });
    for direction in [Direction::Encrypt, Direction::Decrypt] {
        assert_eq!(run(&plain, direction, &key, &[0; 17], 20), Err(Error::InputLength));
    }
    for len in [0, 1, 17] {
        assert_eq!(run(&padded, Direction::Decrypt, &key, &vec![0; len], 20), Err(Error::InputLength));
    }
    let sealed = run(&plain, Direction::Encrypt, &key, &[0x11; 16], 16).unwrap();
    assert_eq!(run(&padded, Direction::Decrypt, &key, &sealed, 16), Err(Error::InputInvalid));
}

#[test]
fn a_counter_may_not_wrap() {
    let key = SecretBytes::new(&[7; 16]);
    let mut block = [0xff; 16];
    block[15] = 0xfe;
    for (counter_bits, blocks) in [(1, 2), (8, 2), (32, 2), (128, 2)] {
        let mode = Mode::Ctr { block, counter_bits };
        run(&mode, Direction::Encrypt, &key, &vec![0; 16 * blocks], 7).unwrap();
        assert_eq!(
            run(&mode, Direction::Encrypt, &key, &vec![0; 16 * blocks + 1], 7),
            Err(Error::InputLength)
        );
    }
    let mode = Mode::Ctr { block: [0; 16], counter_bits: 4 };
    run(&mode, Direction::Encrypt, &key, &[0; 256], 256).unwrap();
    assert_eq!(run(&mode, Direction::Encrypt, &key, &[0; 257], 257), Err(Error::InputLength));
    for counter_bits in [0, 129, u32::MAX] {
        let mode = Mode::Ctr { block, counter_bits };
        assert_eq!(Cipher::new(mode, Direction::Encrypt, &key).err(), Some(Error::ParameterInvalid));
    }
}

#[test]
fn gcm_releases_nothing_that_was_altered() {
    let key = SecretBytes::new(&[7; 24]);
    let mode = Mode::Gcm { iv: vec![5; 12], aad: b"aad".to_vec(), tag_len: 12 };
    let sealed = run(&mode, Direction::Encrypt, &key, b"a message", 4).unwrap();
    for at in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[at] ^= 1;
        let mut cipher = Cipher::new(mode.clone(), Direction::Decrypt, &key).unwrap();
        let mut out = Vec::new();
        cipher.update(&altered, &mut out).unwrap();
        assert_eq!(cipher.finish(&mut out), Err(Error::TagMismatch));
        assert!(out.is_empty());
    }
    assert_eq!(run(&mode, Direction::Decrypt, &key, &sealed[..11], 4), Err(Error::InputLength));
    for (iv_len, tag_len) in [(0, 16), (257, 16), (12, 0), (12, 3), (12, 5), (12, 11), (12, 17)] {
        let mode = Mode::Gcm { iv: vec![0; iv_len], aad: vec![], tag_len };
        assert_eq!(Cipher::new(mode, Direction::Encrypt, &key).err(), Some(Error::ParameterInvalid));
    }
    for len in [0, 15, 17, 31, 33, 64] {
        let key = SecretBytes::new(&vec![0; len]);
        assert_eq!(Cipher::new(mode.clone(), Direction::Encrypt, &key).err(), Some(Error::KeySizeRange));
    }
}

#[test]
fn sealing() {
    let key = SecretBytes::new(&[7; 32]);
    let sealed = aes::seal(&key, &[1; 12], b"aad", b"a secret").unwrap();
    assert_eq!(sealed.len(), 8 + 16);
    assert_eq!(aes::open(&key, &[1; 12], b"aad", &sealed).unwrap().expose(), b"a secret");
    let refused = [
        aes::open(&SecretBytes::new(&[8; 32]), &[1; 12], b"aad", &sealed),
        aes::open(&key, &[2; 12], b"aad", &sealed),
        aes::open(&key, &[1; 12], b"aae", &sealed),
        aes::open(&key, &[1; 12], b"aad", &sealed[1..]),
        aes::open(&key, &[1; 12], b"aad", &sealed[..15]),
    ];
    assert!(refused.iter().all(|outcome| *outcome == Err(Error::TagMismatch)));
    let empty = aes::seal(&key, &[1; 12], &[], &[]).unwrap();
    assert!(aes::open(&key, &[1; 12], &[], &empty).unwrap().is_empty());
}

#[test]
fn key_wrapping_limits() {
    let key = SecretBytes::new(&[7; 32]);
    let iv = Some(b"another!");
    let wrapped = aes::wrap(&key, iv, &[3; 24]).unwrap();
    assert_eq!(aes::unwrap(&key, iv, &wrapped).unwrap().expose(), [3; 24]);
    assert_eq!(aes::unwrap(&key, None, &wrapped).err(), Some(Error::InputInvalid));
    for len in [0, 8, 15, 17] {
        assert_eq!(aes::wrap(&key, None, &vec![0; len]), Err(Error::InputLength));
        assert_eq!(aes::unwrap(&key, None, &vec![0; len]).err(), Some(Error::InputLength));
    }
    assert_eq!(aes::wrap_padded(&key, &[]), Err(Error::InputLength));
    for len in [0, 8, 15, 17] {
        assert_eq!(aes::unwrap_padded(&key, &vec![0; len]).err(), Some(Error::InputLength));
    }
    for len in [1, 7, 8, 9, 4032] {
        let wrapped = aes::wrap_padded(&key, &vec![9; len]).unwrap();
        assert_eq!(wrapped.len(), len.div_ceil(8) * 8 + 8);
        assert_eq!(aes::unwrap_padded(&key, &wrapped).unwrap().expose(), vec![9; len]);
    }
    let short = SecretBytes::new(&[0; 8]);
    assert_eq!(aes::wrap(&short, None, &[0; 16]), Err(Error::KeySizeRange));
    assert_eq!(aes::unwrap_padded(&short, &[0; 16]).err(), Some(Error::KeySizeRange));
}

/// SHA-256 of the digests of 0, 1, ... 299 bytes (byte n is n mod 251) one after the other, by Python's hashlib.
const OF_MANY_LENGTHS: [(Hash, &str); 11] = [
    (Hash::Sha1, "9a97f087fd8f3c8df9964df945e908e64249801370479728dfd3059332fd638e"),
    (Hash::Sha224, "ab472b8623b3705e8b8861dfc8d423899ea3edeb8fbbb15591f795f77f1b3191"),
    (Hash::Sha256, "fa70b867db0a30acb7218d62945db0df52eb393808b30675ea9aac6b058a9a9d"),
    (Hash::Sha384, "c8159c301431e7f9670e6cf336925b4074733cebcad3d765c81b98d7432a1782"),
    (Hash::Sha512, "819b3b03d6b84cc7c6fc1358ca06685407a7b210ebba5b432a14e5315d412340"),
    (Hash::Sha3_224, "2c3a687e35a57fb881dc2cc4d9aecffb1c189e9404d1197fcddfa56e5b33d058"),
    (Hash::Sha3_256, "2b5c6bb5e399625247d8f63c6efa3109709d8b680d5640260b059de46c17c26b"),
    (Hash::Sha3_384, "87ee702981d574e98b3c3cbe308d7d648e55dc4ea178666d1995a4c5ecb59e79"),
    (Hash::Sha3_512, "9504450c20f32d0b0f1cdc84d78e3549a67e486d407e7e224c762f494c0e9be8"),
    (Hash::Shake128, "e1367d724777dc138f20e0fecb4b545eeb868b43aab48aa42101eb3d2e5147c3"),
    (Hash::Shake256, "ab5a9a9c2b65fcefd9f30f4aff89977e58fd4861fc9a6ac5a85a5666c242e05d"),
];

#[test]
fn digests_of_every_length_around_the_block() {
    let message: Vec<u8> = (0..300_u32).map(|at| (at % 251) as u8).collect();
    for (hash, answer) in OF_MANY_LENGTHS {
        let digests: Vec<u8> = (0..300).flat_map(|len| hash.digest(&message[..len]).unwrap()).collect();
        assert_eq!(Hash::Sha256.digest(&digests).unwrap(), hex(answer), "{hash:?}");
    }
}

#[test]
fn hash_facts() {
    for (index, hash) in Hash::ALL.into_iter().enumerate() {
        assert_eq!(hash as usize, index, "the table is in the order of the variants");
        assert_eq!(hash.digest(b"").unwrap().len(), hash.output_len());
        assert_eq!(usize::from(hash.oid_der()[1]), hash.oid_der().len() - 2);
        assert_eq!(Digest::new(hash).unwrap().hash(), hash);
    }
}

#[test]
fn a_saved_digest_goes_on() {
    let message: Vec<u8> = (0..1000_u32).map(|at| (at % 251) as u8).collect();
    for hash in Hash::ALL {
        let whole = hash.digest(&message).unwrap();
        for split in [0, 1, 63, 64, 65, 127, 128, 129, 136, 168, 500, 1000] {
            let mut state = Digest::new(hash).unwrap();
            state.update(&message[..split]);
            let saved = state.export_state().unwrap();
            for mut state in [Digest::import_state(&saved).unwrap(), state.clone(), state] {
                assert_eq!(state.export_state().unwrap(), saved);
                state.update(&message[split..]);
                assert_eq!(state.finish().unwrap(), whole, "{hash:?} at {split}");
            }
        }
    }
}

#[test]
fn malformed_saved_state_is_refused() {
    let refused = |state: &[u8]| {
        assert_eq!(Digest::import_state(state).err(), Some(Error::InputInvalid), "{state:02x?}");
    };
    refused(&[]);
    refused(&[1]);
    refused(&[1, 11]);
    refused(&[1, 0xff]);
    for hash in Hash::ALL {
        let mut state = Digest::new(hash).unwrap();
        state.update(&[7; 70]);
        let saved = state.export_state().unwrap();
        refused(&[&[0], &saved[1..]].concat());
        refused(&[&saved[..], &[0]].concat());
        for len in 0..saved.len() {
            refused(&saved[..len]);
        }
    }
    // The length in bits and the unfinished block must agree, and whole bytes count.
    let mut state = Digest::new(Hash::Sha256).unwrap();
    state.update(&[7; 70]);
    let saved = state.export_state().unwrap();
    for low in [0, 1, 0x28, 0x31, 0x38] {
        let mut altered = saved.clone();
        altered[2 + 32 + 7] = low;
        refused(&altered);
    }
    // The place in a sponge's block is inside the block.
    let mut saved = Digest::new(Hash::Sha3_512).unwrap().export_state().unwrap();
    *saved.last_mut().unwrap() = 72;
    refused(&saved);
}

#[test]
fn hmac_takes_any_key_and_any_parts() {
    for hash in Hash::ALL {
        for key_len in [0, 1, hash.block_len(), hash.block_len() + 1, 1000] {
            let key = SecretBytes::new(&vec![0xa5; key_len]);
            if matches!(hash, Hash::Shake128 | Hash::Shake256) {
                assert_eq!(Hmac::new(hash, &key).err(), Some(Error::ParameterInvalid));
                continue;
            }
            let mut whole = Hmac::new(hash, &key).unwrap();
            let mut parts = whole.clone();
            whole.update(&[9; 300]);
            (0..300).for_each(|_| parts.update(&[9]));
            assert_eq!(whole.finish().unwrap(), parts.finish().unwrap());
        }
    }
    assert!(mac::equal(b"same", b"same"));
    assert!(!mac::equal(b"same", b"some") && !mac::equal(b"same", b"sam") && mac::equal(b"", b""));
}
