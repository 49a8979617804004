//! Mechanism parameters of every kind, right and wrong.

use std::ptr::null_mut;

use algorithms::ml_dsa::Hedging;
use cryptoki_sys as ck;
use hsm_backends::embedded::{EmbeddedStore, Options};

use super::super::{mechanism, wrapping::Wrapping};
use crate::{
    Module,
    config::Config,
    error::{Error, Result},
    handle::SlotId,
    mechanism::Parameters,
    operation::Family,
    output::{Output, Written},
    slot::Slot,
};

fn module() -> Module {
    Module::with_slots(Config::default(), None, Vec::new())
}

fn raw<T>(kind: u64, parameter: &T) -> ck::CK_MECHANISM {
    let len = size_of::<T>() as ck::CK_ULONG;
    ck::CK_MECHANISM {
        mechanism: kind,
        pParameter: std::ptr::from_ref(parameter).cast_mut().cast(),
        ulParameterLen: len,
    }
}

fn bare(kind: u64) -> ck::CK_MECHANISM {
    ck::CK_MECHANISM { mechanism: kind, pParameter: null_mut(), ulParameterLen: 0 }
}

fn read(mechanism: ck::CK_MECHANISM) -> Result<Parameters> {
    // SAFETY: the parameters of these tests are live structs, or such that they must be refused.
    unsafe { mechanism::call(&module(), &raw const mechanism) }.map(|call| call.parameters)
}

const INVALID: Result<Parameters> = Err(Error::MechanismParamInvalid);

#[test]
fn unknown_mechanisms_and_null() {
    assert_eq!(read(bare(ck::CKM_MD5)), Err(Error::MechanismInvalid));
    assert_eq!(read(bare(u64::MAX)), Err(Error::MechanismInvalid));
    // SAFETY: must be refused.
    assert_eq!(unsafe { mechanism::call(&module(), null_mut()) }.err(), Some(Error::ArgumentsBad));
}

#[test]
fn none() {
    let something = 0_u64;
    assert_eq!(read(bare(ck::CKM_SHA256)), Ok(Parameters::None));
    assert_eq!(read(raw(ck::CKM_SHA256, &something)), INVALID);
    assert_eq!(read(ck::CK_MECHANISM { ulParameterLen: 1, ..bare(ck::CKM_SHA256) }), INVALID);
    // A pointer to nothing is nothing.
    for kind in [ck::CKM_SHA256, ck::CKM_ML_DSA, ck::CKM_EDDSA, ck::CKM_AES_KEY_WRAP] {
        let nothing = ck::CK_MECHANISM { ulParameterLen: 0, ..raw(kind, &something) };
        assert_eq!(read(nothing), Ok(Parameters::None));
    }
    for kind in [ck::CKM_HASH_ML_DSA, ck::CKM_AES_CBC, ck::CKM_AES_GCM, ck::CKM_RSA_PKCS_PSS] {
        assert_eq!(read(ck::CK_MECHANISM { ulParameterLen: 0, ..raw(kind, &something) }), INVALID);
    }
}

#[test]
fn contexts_of_ml_dsa() {
    let bytes = [7_u8; 256];
    let context = |hedge, pointer: *const u8, len| ck::CK_SIGN_ADDITIONAL_CONTEXT {
        hedgeVariant: hedge,
        pContext: pointer.cast_mut(),
        ulContextLen: len,
    };
    let sign = |hedging, len| Ok(Parameters::SignContext { hedging, context: vec![7; len] });
    assert_eq!(read(bare(ck::CKM_ML_DSA)), Ok(Parameters::None));
    for (parameter, expected) in [
        (context(ck::CKH_HEDGE_PREFERRED, null_mut(), 0), sign(Hedging::Hedged, 0)),
        (context(ck::CKH_HEDGE_REQUIRED, bytes.as_ptr(), 255), sign(Hedging::Hedged, 255)),
        (context(ck::CKH_DETERMINISTIC_REQUIRED, bytes.as_ptr(), 1), sign(Hedging::Deterministic, 1)),
        (context(3, bytes.as_ptr(), 1), INVALID),
        (context(ck::CKH_HEDGE_PREFERRED, bytes.as_ptr(), 256), INVALID),
        (context(ck::CKH_HEDGE_PREFERRED, bytes.as_ptr(), u64::MAX), INVALID),
        (context(ck::CKH_HEDGE_PREFERRED, null_mut(), 1), INVALID),
    ] {
        assert_eq!(read(raw(ck::CKM_ML_DSA, &parameter)), expected, "{parameter:?}");
        assert_eq!(read(raw(ck::CKM_HASH_ML_DSA_SHA512, &parameter)), expected, "{parameter:?}");
    }
    let right = context(ck::CKH_HEDGE_PREFERRED, bytes.as_ptr(), 1);
    for len in [1, 23, 25, 32, u64::MAX] {
        assert_eq!(read(ck::CK_MECHANISM { ulParameterLen: len, ..raw(ck::CKM_ML_DSA, &right) }), INVALID);
    }
    let nowhere = ck::CK_MECHANISM { pParameter: null_mut(), ..raw(ck::CKM_ML_DSA, &right) };
    assert_eq!(read(nowhere), INVALID);

    let hash = ck::CK_HASH_SIGN_ADDITIONAL_CONTEXT {
        hedgeVariant: ck::CKH_HEDGE_PREFERRED,
        pContext: bytes.as_ptr().cast_mut(),
        ulContextLen: 2,
        hash: ck::CKM_SHA384,
    };
    let expected =
        Parameters::HashSignContext { hedging: Hedging::Hedged, context: vec![7; 2], hash: ck::CKM_SHA384 };
    assert_eq!(read(raw(ck::CKM_HASH_ML_DSA, &hash)), Ok(expected));
    assert_eq!(read(raw(ck::CKM_HASH_ML_DSA, &right)), INVALID);
    assert_eq!(read(bare(ck::CKM_HASH_ML_DSA)), INVALID);
}

/// FIPS 204 verification knows no hedging, and PKCS#11 section 6.67 ignores the variant there.
#[test]
fn a_hedge_variant_is_nothing_to_a_verification() {
    let options = Options { directory: "/nonexistent".into(), pin_tries: 10 };
    let slot = Slot::new(SlotId(0), Box::new(EmbeddedStore::new(options)), String::new());
    let module = Module::with_slots(Config::default(), None, vec![slot]);
    let slot = module.slots[&SlotId(0)].clone();
    let session = module.sessions.open(slot, true, |_| Ok(())).unwrap();
    let context = ck::CK_SIGN_ADDITIONAL_CONTEXT { hedgeVariant: 77, pContext: null_mut(), ulContextLen: 0 };
    let hash = ck::CK_HASH_SIGN_ADDITIONAL_CONTEXT {
        hedgeVariant: 77,
        pContext: null_mut(),
        ulContextLen: 0,
        hash: ck::CKM_SHA256,
    };
    for mechanism in [raw(ck::CKM_ML_DSA, &context), raw(ck::CKM_HASH_ML_DSA, &hash)] {
        for (operation, answer) in [
            (Family::Sign, Err(Error::MechanismParamInvalid)),
            (Family::MessageSign, Err(Error::MechanismParamInvalid)),
            (Family::Verify, Ok(())),
            (Family::VerifySignature, Ok(())),
            (Family::MessageVerify, Ok(())),
        ] {
            // SAFETY: a live mechanism with a live parameter.
            let begun = unsafe {
                let mechanism = &raw const mechanism;
                mechanism::begin(&module, session.0, mechanism, Some(operation), |_, _| Ok(()))
            };
            assert_eq!(begun, answer, "{operation:?}");
        }
    }
}

#[test]
fn eddsa() {
    let bytes = [7_u8; 3];
    let params = |flag, pointer: *const u8, len| ck::CK_EDDSA_PARAMS {
        phFlag: flag,
        ulContextDataLen: len,
        pContextData: pointer.cast_mut(),
    };
    assert_eq!(read(bare(ck::CKM_EDDSA)), Ok(Parameters::None));
    for (parameter, expected) in [
        (params(0, null_mut(), 0), Ok(Parameters::Eddsa { prehash: false, context: None })),
        (params(1, bytes.as_ptr(), 3), Ok(Parameters::Eddsa { prehash: true, context: Some(vec![7; 3]) })),
        (params(0, bytes.as_ptr(), 0), Ok(Parameters::Eddsa { prehash: false, context: Some(Vec::new()) })),
        (params(2, null_mut(), 0), INVALID),
        (params(0, null_mut(), 3), INVALID),
        (params(0, bytes.as_ptr(), 256), INVALID),
    ] {
        assert_eq!(read(raw(ck::CKM_EDDSA, &parameter)), expected, "{parameter:?}");
    }
}

#[test]
fn rsa_and_aes() {
    let pss = ck::CK_RSA_PKCS_PSS_PARAMS { hashAlg: ck::CKM_SHA256, mgf: ck::CKG_MGF1_SHA256, sLen: 32 };
    let expected = Parameters::Pss { hash: ck::CKM_SHA256, mgf: ck::CKG_MGF1_SHA256, salt_len: 32 };
    assert_eq!(read(raw(ck::CKM_RSA_PKCS_PSS, &pss)), Ok(expected));
    assert_eq!(read(bare(ck::CKM_RSA_PKCS_PSS)), INVALID);

    assert_eq!(read(raw(ck::CKM_AES_CBC, &[7_u8; 16])), Ok(Parameters::Iv16([7; 16])));
    assert_eq!(read(raw(ck::CKM_AES_CBC, &[7_u8; 15])), INVALID);
    assert_eq!(read(bare(ck::CKM_AES_CBC_PAD)), INVALID);

    let ctr = ck::CK_AES_CTR_PARAMS { ulCounterBits: 64, cb: [7; 16] };
    assert_eq!(read(raw(ck::CKM_AES_CTR, &ctr)), Ok(Parameters::Ctr { counter_bits: 64, block: [7; 16] }));

    assert_eq!(read(bare(ck::CKM_AES_KEY_WRAP)), Ok(Parameters::None));
    assert_eq!(read(raw(ck::CKM_AES_KEY_WRAP, &[7_u8; 8])), Ok(Parameters::KeyWrapIv([7; 8])));
    assert_eq!(read(raw(ck::CKM_AES_KEY_WRAP, &[7_u8; 4])), INVALID);
    assert_eq!(read(bare(ck::CKM_AES_KEY_WRAP_KWP)), Ok(Parameters::None));
    let initial = [0xa6_u8, 0x59, 0x59, 0xa6];
    assert_eq!(read(raw(ck::CKM_AES_KEY_WRAP_KWP, &initial)), Ok(Parameters::None));
    assert_eq!(read(raw(ck::CKM_AES_KEY_WRAP_KWP, &[7_u8; 4])), INVALID);
    assert_eq!(read(raw(ck::CKM_AES_KEY_WRAP_KWP, &[7_u8; 8])), INVALID);
}

fn gcm(iv: &[u8], aad_len: u64) -> ck::CK_GCM_PARAMS {
    ck::CK_GCM_PARAMS {
        pIv: iv.as_ptr().cast_mut(),
        ulIvLen: iv.len() as ck::CK_ULONG,
        ulIvBits: 0,
        pAAD: iv.as_ptr().cast_mut(),
        ulAADLen: aad_len,
        ulTagBits: 128,
    }
}

#[test]
fn gcm_of_encryption() {
    let iv = [7_u8; 12];
    let expected = Parameters::Gcm { iv: iv.to_vec(), aad: vec![7; 5], tag_bits: 128 };
    assert_eq!(read(raw(ck::CKM_AES_GCM, &gcm(&iv, 5))), Ok(expected));
    assert_eq!(read(raw(ck::CKM_AES_GCM, &gcm(&iv, 1 << 32))), INVALID);
    assert_eq!(read(bare(ck::CKM_AES_GCM)), INVALID);
}

fn wrap_params(iv: &mut [u8], fixed_bits: u64, generator: u64) -> ck::CK_GCM_WRAP_PARAMS {
    ck::CK_GCM_WRAP_PARAMS {
        pIv: iv.as_mut_ptr(),
        ulIvLen: iv.len() as ck::CK_ULONG,
        ulIvFixedBits: fixed_bits,
        ivGenerator: generator,
        pAAD: null_mut(),
        ulAADLen: 0,
        ulTagBits: 128,
    }
}

fn iv_of(wrapping: &Wrapping) -> &[u8] {
    match &wrapping.call.parameters {
        Parameters::Gcm { iv, .. } => iv,
        other => panic!("{other:?}"),
    }
}

#[test]
fn wrapping_generates_ivs_and_gives_them_back() {
    let mut iv = [0xff_u8; 12];
    for (fixed_bits, generator, expected) in [
        (0, ck::CKG_NO_GENERATE, Some(12 * 8)),
        (0, ck::CKG_GENERATE, Some(0)),
        (12, ck::CKG_GENERATE_RANDOM, Some(12)),
        (32, ck::CKG_GENERATE, Some(32)),
        (40, ck::CKG_GENERATE, None),
        (97, ck::CKG_GENERATE, None),
        (u64::MAX, ck::CKG_GENERATE, None),
        (0, ck::CKG_GENERATE_COUNTER, None),
        (0, ck::CKG_GENERATE_COUNTER_XOR, None),
    ] {
        iv.fill(0xff);
        let parameter = wrap_params(&mut iv, fixed_bits, generator);
        let mechanism = raw(ck::CKM_AES_GCM, &parameter);
        // SAFETY: the parameter is live.
        let wrapping = unsafe { Wrapping::of_wrap(&module(), &raw const mechanism) };
        let Some(kept) = expected else {
            assert_eq!(wrapping.err(), Some(Error::MechanismParamInvalid), "{fixed_bits} {generator}");
            continue;
        };
        let wrapping = wrapping.unwrap();
        let used = iv_of(&wrapping).to_vec();
        let ones = used.iter().map(|byte| byte.leading_ones()).collect::<Vec<_>>();
        let leading: u64 = ones.iter().take_while(|ones| **ones == 8).count() as u64 * 8;
        assert!(leading + 8 > kept && (kept == 96) == (used == [0xff; 12]), "{fixed_bits}: {used:02x?}");
        assert_eq!(iv, [0xff; 12], "not before the key is wrapped");
        wrapping.give_back(&[]);
        assert_eq!(iv, *used);
        // Unwrapping takes the IV as it is, whatever the generator says.
        // SAFETY: the parameter is live.
        let unwrapping = unsafe { Wrapping::of_unwrap(&module(), &raw const mechanism) }.unwrap();
        assert_eq!(iv_of(&unwrapping), used);
    }
    let parameter = wrap_params(&mut [], 0, ck::CKG_NO_GENERATE);
    let mechanism = raw(ck::CKM_AES_GCM, &parameter);
    // SAFETY: must be refused.
    let refused = unsafe { Wrapping::of_wrap(&module(), &raw const mechanism) };
    assert_eq!(refused.err(), Some(Error::MechanismParamInvalid));
}

#[test]
fn the_tag_goes_into_the_parameter_and_comes_from_it() {
    let (mut iv, mut tag, mut out) = ([1_u8; 12], [0_u8; 16], [0_u8; 8]);
    let parameter = ck::CK_GCM_MESSAGE_PARAMS {
        pIv: iv.as_mut_ptr(),
        ulIvLen: 12,
        ulIvFixedBits: 0,
        ivGenerator: ck::CKG_NO_GENERATE,
        pTag: tag.as_mut_ptr(),
        ulTagBits: 128,
    };
    let authenticated = |parameter: &ck::CK_GCM_MESSAGE_PARAMS| {
        let mechanism = raw(ck::CKM_AES_GCM, parameter);
        // SAFETY: the parameter is live.
        unsafe { Wrapping::of_authenticated_wrap(&module(), &raw const mechanism) }
    };
    let wrap = |out: Output<'_>| Ok(out.write(b"12345678tagtagtagtagtag!"));
    let wrapping = authenticated(&parameter).unwrap();
    assert_eq!(wrapping.split(wrap, Output::length()), Ok(Written::Needs(8)));
    assert_eq!(wrapping.split(wrap, Output::buffer(&mut out[..7])), Ok(Written::Needs(8)));
    assert_eq!((out, tag), ([0; 8], [0; 16]));
    assert_eq!(wrapping.split(wrap, Output::buffer(&mut out)), Ok(Written::Bytes(8)));
    assert_eq!((&out, &tag), (b"12345678", b"tagtagtagtagtag!"));
    assert_eq!(wrapping.joined(&out), b"12345678tagtagtagtagtag!");
    for wrong in [
        ck::CK_GCM_MESSAGE_PARAMS { pTag: null_mut(), ..parameter },
        ck::CK_GCM_MESSAGE_PARAMS { ulTagBits: 127, ..parameter },
        ck::CK_GCM_MESSAGE_PARAMS { ulTagBits: 136, ..parameter },
        ck::CK_GCM_MESSAGE_PARAMS { pIv: null_mut(), ..parameter },
        ck::CK_GCM_MESSAGE_PARAMS { ulIvLen: 257, ..parameter },
    ] {
        assert_eq!(authenticated(&wrong).err(), Some(Error::MechanismParamInvalid), "{wrong:?}");
    }
    let mechanism = bare(ck::CKM_SHA256);
    // SAFETY: must be refused.
    let refused = unsafe { Wrapping::of_authenticated_wrap(&module(), &raw const mechanism) };
    assert_eq!(refused.err(), Some(Error::MechanismInvalid));
}
