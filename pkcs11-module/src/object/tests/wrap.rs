//! Wrapping and unwrapping: round trips, exact answers, and what an unwrapped key may not become.

use super::*;
use crate::output::{Output, Written};

const IV: [u8; 16] = [9; 16];

fn gcm(aad: &[u8]) -> MechanismCall {
    let parameters = Parameters::Gcm { iv: vec![5; 12], aad: aad.to_vec(), tag_bits: 128 };
    MechanismCall { row: row(ck::CKM_AES_GCM).unwrap(), parameters }
}

fn cbc_pad() -> MechanismCall {
    MechanismCall { row: row(ck::CKM_AES_CBC_PAD).unwrap(), parameters: Parameters::Iv16(IV) }
}

fn key_wrap() -> MechanismCall {
    call(ck::CKM_AES_KEY_WRAP)
}

fn kwp() -> MechanismCall {
    call(ck::CKM_AES_KEY_WRAP_KWP)
}

fn wrapping_key() -> Made {
    aes_key().bool(ck::CKA_WRAP, true).bool(ck::CKA_UNWRAP, true)
}

fn extractable() -> Made {
    Made::default().bool(ck::CKA_EXTRACTABLE, true)
}

impl Fixture {
    fn wrap(&self, call: MechanismCall, by: ObjectHandle, key: ObjectHandle) -> Result<Vec<u8>> {
        let Written::Needs(len) = self.module.wrap_key(self.rw, call.clone(), by, key, Output::length())?
        else {
            panic!("a length was asked for");
        };
        let mut out = vec![0; len];
        let written = self.module.wrap_key(self.rw, call, by, key, Output::buffer(&mut out))?;
        assert_eq!(written, Written::Bytes(len));
        Ok(out)
    }

    fn unwrap(
        &self,
        call: MechanismCall,
        by: ObjectHandle,
        wrapped: &[u8],
        template: &Made,
    ) -> Result<ObjectHandle> {
        self.module.unwrap_key(self.rw, call, by, wrapped, &template.raw())
    }
}

/// What C_UnwrapKey must be told.
fn aes() -> Made {
    key(ck::CKO_SECRET_KEY, ck::CKK_AES)
}

#[test]
fn every_key_under_every_mechanism() {
    let fixture = Fixture::user();
    let by = fixture.created(&wrapping_key());
    // A key to which unwrapped keys may be readable, so that this test can compare them.
    let grants =
        fixture.created(&aes_key().bool(ck::CKA_UNWRAP, true).template(ck::CKA_UNWRAP_TEMPLATE, readable()));
    let (_, rsa) = fixture
        .generate_pair(
            ck::CKM_RSA_PKCS_KEY_PAIR_GEN,
            &Made::default().ulong(ck::CKA_MODULUS_BITS, 2048),
            &readable(),
        )
        .expect("an RSA key");
    let p256 =
        key(ck::CKO_PRIVATE_KEY, ck::CKK_EC).bytes(ck::CKA_EC_PARAMS, P256).bytes(ck::CKA_VALUE, &[5; 32]);
    let keys = [
        (ck::CKO_SECRET_KEY, ck::CKK_AES, ck::CKA_VALUE, fixture.created(&aes_key().and(&readable()))),
        (
            ck::CKO_SECRET_KEY,
            ck::CKK_GENERIC_SECRET,
            ck::CKA_VALUE,
            fixture.created(&generic_key().and(&readable())),
        ),
        (
            ck::CKO_PRIVATE_KEY,
            ck::CKK_EC_EDWARDS,
            ck::CKA_VALUE,
            fixture.created(&ed25519_private().and(&readable())),
        ),
        (
            ck::CKO_PRIVATE_KEY,
            ck::CKK_ML_DSA,
            ck::CKA_SEED,
            fixture.created(&ml_dsa_private().and(&readable())),
        ),
        (ck::CKO_PRIVATE_KEY, ck::CKK_EC, ck::CKA_VALUE, fixture.created(&p256.and(&readable()))),
        (ck::CKO_PRIVATE_KEY, ck::CKK_RSA, ck::CKA_PRIVATE_EXPONENT, rsa),
    ];
    for (of, key_type, secret, original) in keys {
        let value = fixture.value(original, secret);
        for call in [key_wrap(), kwp(), cbc_pad(), gcm(b"aad")] {
            let wrapped = fixture.wrap(call.clone(), by, original).expect("a wrapped key");
            assert!(wrapped.len() >= 16 && !wrapped.windows(8).any(|window| value.starts_with(window)));
            let strict = fixture.unwrap(call.clone(), by, &wrapped, &key(of, key_type)).expect("unwraps");
            assert!(matches!(fixture.answer(strict, secret), Answer::Sensitive), "{of} {key_type}");
            for off in
                [ck::CKA_EXTRACTABLE, ck::CKA_LOCAL, ck::CKA_ALWAYS_SENSITIVE, ck::CKA_NEVER_EXTRACTABLE]
            {
                assert!(!fixture.flag(strict, off), "{off:#x}");
            }
            let token = fixture.unwrap(call, grants, &wrapped, &key(of, key_type).and(&on_token()));
            let token = token.expect("unwraps");
            assert_eq!(fixture.value(token, secret), value);
            if of == ck::CKO_PRIVATE_KEY {
                let info = ck::CKA_PUBLIC_KEY_INFO;
                assert_eq!(fixture.value(token, info), fixture.value(original, info));
            } else {
                assert_eq!(fixture.number(token, ck::CKA_VALUE_LEN), value.len() as u64);
            }
        }
    }
}

/// CKM_AES_KEY_WRAP fills up with zeros, and the template says how long the key was (section 6.16).
#[test]
fn keys_of_any_length_under_aes_key_wrap() {
    let fixture = Fixture::user();
    let by = fixture.created(&wrapping_key());
    let generic = key(ck::CKO_SECRET_KEY, ck::CKK_GENERIC_SECRET);
    let of_len = |len: u64| generic.clone().ulong(ck::CKA_VALUE_LEN, len);
    for (value, rest) in [(&b"nine byte"[..], 7), (b"seventeen letters", 7), (b"exactly sixteen.", 0)] {
        let original = fixture.created(&generic.clone().and(&extractable()).bytes(ck::CKA_VALUE, value));
        let wrapped = fixture.wrap(key_wrap(), by, original).expect("a wrapped key");
        assert_eq!(wrapped.len(), 8 + value.len() + rest);
        let len = value.len() as u64;
        let unwrap = |template| fixture.unwrap(key_wrap(), by, &wrapped, &template);
        let key = unwrap(of_len(len)).expect("unwraps");
        assert_eq!(fixture.number(key, ck::CKA_VALUE_LEN), len);
        let mac = |key| {
            let mut out = [0; 32];
            fixture.module.sign_init(fixture.rw, call(ck::CKM_SHA256_HMAC), key).expect("a key that signs");
            fixture.module.sign(fixture.rw, b"m", Output::buffer(&mut out)).expect("a MAC");
            out
        };
        assert_eq!(mac(key), mac(original), "the same key");
        // Bytes of the key are no padding, nor are more zeros than fill a half block.
        for other in [len - 1, len + rest as u64 + 1, 1] {
            assert_eq!(unwrap(of_len(other)), Err(Error::WrappedKeyLenRange), "{other} for {len}");
        }
        let whole = unwrap(generic.clone()).expect("unwraps");
        assert_eq!(
            fixture.number(whole, ck::CKA_VALUE_LEN),
            len + rest as u64,
            "nobody said how long it was"
        );
    }
}

#[test]
fn who_may_be_wrapped() {
    use Error::{
        KeyFunctionNotPermitted, KeyHandleInvalid, KeyNotWrappable, KeySizeRange, KeyUnextractable,
        MechanismInvalid, MechanismParamInvalid, WrappingKeyHandleInvalid, WrappingKeyTypeInconsistent,
    };
    let fixture = Fixture::user();
    let by = fixture.created(&wrapping_key());
    let labelled = Made::default().bytes(ck::CKA_LABEL, b"may leave");
    let picky = fixture.created(&wrapping_key().template(ck::CKA_WRAP_TEMPLATE, labelled.clone()));
    let limited =
        fixture.created(&wrapping_key().ulong(ck::CKA_ALLOWED_MECHANISMS, ck::CKM_AES_KEY_WRAP_KWP));
    let no_wrap = fixture.created(&aes_key());
    let generic = fixture.created(&generic_key().bool(ck::CKA_WRAP, true));
    let key = fixture.created(&aes_key().and(&extractable()));
    let stays = fixture.created(&aes_key());
    let only_trusted = fixture.created(&aes_key().and(&extractable()).bool(ck::CKA_WRAP_WITH_TRUSTED, true));
    let only_kwp = aes_key().and(&extractable()).ulong(ck::CKA_ALLOWED_MECHANISMS, ck::CKM_AES_KEY_WRAP_KWP);
    let only_kwp = fixture.created(&only_kwp);
    let (_, asks_for_the_pin) = fixture
        .generate_pair(
            ck::CKM_EC_EDWARDS_KEY_PAIR_GEN,
            &Made::default().bytes(ck::CKA_EC_PARAMS, ED25519),
            &extractable().bool(ck::CKA_ALWAYS_AUTHENTICATE, true),
        )
        .expect("a key pair");
    let short = fixture.created(
        &super::key(ck::CKO_SECRET_KEY, ck::CKK_GENERIC_SECRET)
            .bytes(ck::CKA_VALUE, b"abc")
            .and(&extractable()),
    );
    let (public, _) = fixture
        .generate_pair(
            ck::CKM_EC_EDWARDS_KEY_PAIR_GEN,
            &Made::default().bytes(ck::CKA_EC_PARAMS, ED25519),
            &Made::default(),
        )
        .expect("a key pair");
    let data = fixture.created(&data());
    let nothing = ObjectHandle(0);
    let bits = MechanismCall {
        row: row(ck::CKM_AES_GCM).unwrap(),
        parameters: Parameters::Gcm { iv: vec![5; 12], aad: vec![], tag_bits: 127 },
    };
    let cases = [
        ("unextractable", key_wrap(), by, stays, KeyUnextractable),
        ("with trusted only", key_wrap(), by, only_trusted, KeyNotWrappable),
        ("would lose CKA_ALLOWED_MECHANISMS", key_wrap(), by, only_kwp, KeyNotWrappable),
        ("would lose CKA_ALWAYS_AUTHENTICATE", key_wrap(), by, asks_for_the_pin, KeyNotWrappable),
        ("outside the template", key_wrap(), picky, key, KeyHandleInvalid),
        ("public key", key_wrap(), by, public, KeyNotWrappable),
        ("no key", key_wrap(), by, data, KeyHandleInvalid),
        ("nothing", key_wrap(), by, nothing, KeyHandleInvalid),
        ("by nothing", key_wrap(), nothing, key, WrappingKeyHandleInvalid),
        ("by data", key_wrap(), data, key, WrappingKeyHandleInvalid),
        ("by another type", key_wrap(), generic, key, WrappingKeyTypeInconsistent),
        ("not for wrapping", key_wrap(), no_wrap, key, KeyFunctionNotPermitted),
        ("not allowed", key_wrap(), limited, key, MechanismInvalid),
        ("does not wrap", call(ck::CKM_SHA256), by, key, MechanismInvalid),
        ("short", key_wrap(), by, short, KeySizeRange),
        ("no IV", call(ck::CKM_AES_CBC_PAD), by, key, MechanismParamInvalid),
        ("odd tag", bits, by, key, MechanismParamInvalid),
    ];
    for (case, call, by, key, error) in cases {
        assert_eq!(fixture.wrap(call, by, key), Err(error), "{case}");
    }
    assert!(fixture.wrap(kwp(), limited, short).is_ok());
    let may_leave = fixture.created(&aes_key().and(&extractable()).and(&labelled));
    assert!(fixture.wrap(key_wrap(), picky, may_leave).is_ok());

    fixture.log_in(Some(Role::SecurityOfficer));
    let trusted = fixture.created(&wrapping_key().bool(ck::CKA_TRUSTED, true).bool(ck::CKA_PRIVATE, false));
    fixture.log_in(Some(Role::User));
    let wrapped = fixture.wrap(key_wrap(), trusted, only_trusted).expect("under a trusted key");
    assert!(fixture.wrap(kwp(), trusted, only_trusted).is_ok());
    assert!(fixture.wrap(kwp(), trusted, only_kwp).is_ok());
    assert!(fixture.wrap(kwp(), trusted, asks_for_the_pin).is_ok());
    assert!(fixture.unwrap(key_wrap(), trusted, &wrapped, &aes()).is_ok());
    // Mechanisms that a hostile user could make show what a trusted key wrapped: by an IV used twice, by cut ciphertexts.
    for call in [gcm(b""), cbc_pad()] {
        for key in [only_trusted, key] {
            assert_eq!(fixture.wrap(call.clone(), trusted, key), Err(KeyFunctionNotPermitted));
        }
        let unwrapped = fixture.unwrap(call, trusted, &wrapped, &aes());
        assert_eq!(unwrapped, Err(KeyFunctionNotPermitted));
    }
}

#[test]
fn what_cannot_be_unwrapped() {
    use Error::{
        AttributeReadOnly, AttributeValueInvalid, KeyFunctionNotPermitted, MechanismInvalid,
        TemplateIncomplete, TemplateInconsistent, UnwrappingKeyHandleInvalid, UnwrappingKeyTypeInconsistent,
        WrappedKeyInvalid, WrappedKeyLenRange,
    };
    let fixture = Fixture::user();
    let by = fixture.created(&wrapping_key());
    let no_unwrap = fixture.created(&aes_key());
    let generic = fixture.created(&generic_key().bool(ck::CKA_UNWRAP, true));
    let key = fixture.created(&aes_key().and(&extractable()));
    let whole = fixture.wrap(key_wrap(), by, key).expect("a wrapped key");
    let private = fixture.created(&ed25519_private().and(&extractable()));
    let private = fixture.wrap(kwp(), by, private).expect("a wrapped key");
    let generic_secret = fixture.created(
        &generic_key().and(&extractable()).without(ck::CKA_VALUE).bytes(ck::CKA_VALUE, b"17 bytes in total"),
    );
    let padded = fixture.wrap(cbc_pad(), by, generic_secret).expect("a wrapped key");
    let mut altered = whole.clone();
    altered[0] ^= 1;
    let ed25519 = super::key(ck::CKO_PRIVATE_KEY, ck::CKK_EC_EDWARDS);
    let cases = [
        ("altered", key_wrap(), by, &altered[..], aes(), WrappedKeyInvalid),
        ("cut", key_wrap(), by, &whole[..23], aes(), WrappedKeyLenRange),
        ("empty", key_wrap(), by, &[], aes(), WrappedKeyLenRange),
        ("empty CBC", cbc_pad(), by, &[], aes(), WrappedKeyLenRange),
        ("noise CBC", cbc_pad(), by, &[1; 32], aes(), WrappedKeyInvalid),
        ("noise GCM", gcm(b""), by, &[1; 32], aes(), WrappedKeyInvalid),
        ("not PKCS #8", key_wrap(), by, &whole, ed25519, WrappedKeyInvalid),
        ("no AES key", kwp(), by, &private, aes(), WrappedKeyLenRange),
        ("no AES key, padded", cbc_pad(), by, &padded, aes(), WrappedKeyInvalid),
        (
            "another algorithm",
            kwp(),
            by,
            &private,
            super::key(ck::CKO_PRIVATE_KEY, ck::CKK_EC),
            WrappedKeyInvalid,
        ),
        ("no class", key_wrap(), by, &whole, Made::default(), TemplateIncomplete),
        ("no type", key_wrap(), by, &whole, class(ck::CKO_SECRET_KEY), TemplateIncomplete),
        (
            "public key",
            key_wrap(),
            by,
            &whole,
            super::key(ck::CKO_PUBLIC_KEY, ck::CKK_RSA),
            TemplateInconsistent,
        ),
        ("data", key_wrap(), by, &whole, data(), TemplateInconsistent),
        ("value given", key_wrap(), by, &whole, aes().bytes(ck::CKA_VALUE, &[7; 16]), AttributeReadOnly),
        ("another length", key_wrap(), by, &whole, aes().ulong(ck::CKA_VALUE_LEN, 32), WrappedKeyLenRange),
        ("no boolean", key_wrap(), by, &whole, aes().bytes(ck::CKA_SIGN, b""), AttributeValueInvalid),
        ("by nothing", key_wrap(), ObjectHandle(0), &whole, aes(), UnwrappingKeyHandleInvalid),
        ("by another type", key_wrap(), generic, &whole, aes(), UnwrappingKeyTypeInconsistent),
        ("not for unwrapping", key_wrap(), no_unwrap, &whole, aes(), KeyFunctionNotPermitted),
        ("does not unwrap", call(ck::CKM_AES_KEY_GEN), by, &whole, aes(), MechanismInvalid),
    ];
    let before = fixture.find(&Made::default());
    for (case, call, by, wrapped, template, error) in cases {
        assert_eq!(fixture.unwrap(call, by, wrapped, &template), Err(error), "{case}");
    }
    let read_only =
        fixture.module.unwrap_key(fixture.ro, key_wrap(), by, &whole, &aes().and(&on_token()).raw());
    assert_eq!(read_only, Err(Error::SessionReadOnly));
    let same_length = aes().ulong(ck::CKA_VALUE_LEN, 16);
    assert_eq!(fixture.find(&Made::default()), before, "nothing was made");
    assert!(fixture.unwrap(key_wrap(), by, &whole, &same_length).is_ok());
}

#[test]
fn unwrapping_does_not_weaken() {
    let fixture = Fixture::user();
    let by = fixture.created(&wrapping_key());
    let key = fixture.created(&aes_key().and(&extractable()));
    let wrapped = fixture.wrap(key_wrap(), by, key).expect("a wrapped key");
    let weaker = [
        Made::default().bool(ck::CKA_SENSITIVE, false),
        Made::default().bool(ck::CKA_EXTRACTABLE, true),
        Made::default().bool(ck::CKA_PRIVATE, false),
        readable(),
    ];
    let demands = fixture.created(&aes_key().bool(ck::CKA_UNWRAP, true).template(
        ck::CKA_UNWRAP_TEMPLATE,
        Made::default().bool(ck::CKA_SIGN, true).bytes(ck::CKA_LABEL, b"guest"),
    ));
    for weaker in &weaker {
        for by in [by, demands] {
            let template = aes().and(weaker);
            assert_eq!(fixture.unwrap(key_wrap(), by, &wrapped, &template), Err(Error::TemplateInconsistent));
        }
    }
    let guest = fixture.unwrap(key_wrap(), demands, &wrapped, &aes()).expect("unwraps");
    assert_eq!(fixture.value(guest, ck::CKA_LABEL), b"guest");
    assert!(fixture.flag(guest, ck::CKA_SIGN) && fixture.flag(guest, ck::CKA_SENSITIVE));
    let agreeing = aes().bytes(ck::CKA_LABEL, b"guest");
    assert!(fixture.unwrap(key_wrap(), demands, &wrapped, &agreeing).is_ok());
    let contrary = aes().bytes(ck::CKA_LABEL, b"host");
    assert_eq!(fixture.unwrap(key_wrap(), demands, &wrapped, &contrary), Err(Error::TemplateInconsistent));

    // A key that grants weaker keys cannot be made to wrap, by any way.
    let grants =
        fixture.created(&aes_key().bool(ck::CKA_UNWRAP, true).template(ck::CKA_UNWRAP_TEMPLATE, readable()));
    let wrap = Made::default().bool(ck::CKA_WRAP, true);
    assert_eq!(fixture.set(grants, &wrap), Err(Error::TemplateInconsistent));
    assert_eq!(fixture.copy(grants, &wrap), Err(Error::TemplateInconsistent));
}

#[test]
fn authenticated() {
    let fixture = Fixture::user();
    let (module, rw) = (&fixture.module, fixture.rw);
    let by = fixture.created(&wrapping_key());
    let key = fixture.created(&aes_key().and(&extractable()));
    let mut out = [0; 64];
    let written = module.wrap_key_authenticated(rw, gcm(b""), by, key, b"bound", Output::buffer(&mut out));
    let Ok(Written::Bytes(len)) = written else { panic!("{written:?}") };
    assert_eq!(len, 16 + 16);
    let unwrap =
        |call, data: &[u8]| module.unwrap_key_authenticated(rw, call, by, &out[..len], data, &aes().raw());
    assert!(unwrap(gcm(b""), b"bound").is_ok());
    assert!(unwrap(gcm(b"bound"), b"").is_ok(), "in the mechanism's parameter");
    assert_eq!(unwrap(gcm(b""), b"other"), Err(Error::AeadDecryptFailed));
    assert_eq!(unwrap(gcm(b""), b""), Err(Error::AeadDecryptFailed));
    assert_eq!(unwrap(gcm(b"bound"), b"bound"), Err(Error::MechanismParamInvalid), "in both places");
    assert_eq!(unwrap(key_wrap(), b"bound"), Err(Error::MechanismInvalid));
    let asked = module.wrap_key_authenticated(rw, gcm(b""), by, key, b"bound", Output::length());
    assert_eq!(asked, Ok(Written::Needs(len)));
}
