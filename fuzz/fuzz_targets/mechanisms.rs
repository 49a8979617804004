//! Mechanism parameters: every operation is begun with a mechanism of choices, goes on if it could begin, and is
//! cancelled.
#![no_main]

use std::sync::OnceLock;

use cryptoki_sys as ck;
use libfuzzer_sys::fuzz_target;
use trellis_fuzz::{Choices, For, Keys, Module, Parameter, Template, call};

fuzz_target!(|input: &[u8]| {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    let module = Module::started();
    let session = module.session;
    let keys = &KEYS.get_or_init(|| module.keys()).0;
    let mut choices = Choices::new(input);
    let what = choices.byte() % 12;
    let (key, other) = (choices.one_of(keys), choices.one_of(keys));
    let in_parts = choices.byte() % 2 == 1;
    let purpose = match what {
        8 | 10 => For::Wrapping,
        9 | 11 => For::AuthenticatedWrapping,
        _ => For::Others,
    };
    let mut mechanism = Parameter::new(&mut choices, purpose);
    let mechanism = mechanism.as_mut_ptr();
    let (mut data, mut signature) = (choices.block(), choices.block());
    let (data, len) = (data.as_mut_ptr(), data.len() as ck::CK_ULONG);
    let (signature, signature_len) = (signature.as_mut_ptr(), signature.len() as ck::CK_ULONG);
    let mut out = vec![0; usize::from(choices.byte()) * 20].into_boxed_slice();
    let mut out_len = out.len() as ck::CK_ULONG;
    let (null, out) = (std::ptr::null_mut(), out.as_mut_ptr());
    let ok = |answer| answer == ck::CKR_OK;
    match what {
        0 if ok(call!(module, C_SignInit(session, mechanism, key))) => {
            if in_parts {
                call!(module, C_SignUpdate(session, data, len));
                call!(module, C_SignFinal(session, null, &mut out_len));
                out_len = out_len.min(5100);
                call!(module, C_SignFinal(session, vec![0; out_len as usize].as_mut_ptr(), &mut out_len));
            } else {
                call!(module, C_Sign(session, data, len, out, &mut out_len));
            }
        }
        1 if ok(call!(module, C_VerifyInit(session, mechanism, key))) => {
            if in_parts {
                call!(module, C_VerifyUpdate(session, data, len));
                call!(module, C_VerifyFinal(session, signature, signature_len));
            } else {
                call!(module, C_Verify(session, data, len, signature, signature_len));
            }
        }
        2 if ok(call!(module, C_VerifySignatureInit(session, mechanism, key, signature, signature_len))) => {
            if in_parts {
                call!(module, C_VerifySignatureUpdate(session, data, len));
                call!(module, C_VerifySignatureFinal(session));
            } else {
                call!(module, C_VerifySignature(session, data, len));
            }
        }
        3 if ok(call!(module, C_DigestInit(session, mechanism))) => {
            if in_parts {
                call!(module, C_DigestUpdate(session, data, len));
                call!(module, C_DigestKey(session, key));
                call!(module, C_DigestFinal(session, out, &mut out_len));
            } else {
                call!(module, C_Digest(session, data, len, out, &mut out_len));
            }
        }
        4 if ok(call!(module, C_EncryptInit(session, mechanism, key))) => {
            if in_parts {
                call!(module, C_EncryptUpdate(session, data, len, out, &mut out_len));
                call!(module, C_EncryptFinal(session, null, &mut out_len));
            } else {
                call!(module, C_Encrypt(session, data, len, out, &mut out_len));
            }
        }
        5 if ok(call!(module, C_DecryptInit(session, mechanism, key))) => {
            if in_parts {
                call!(module, C_DecryptUpdate(session, data, len, out, &mut out_len));
                let mut last = [0; 7];
                call!(module, C_DecryptFinal(session, last.as_mut_ptr(), &mut 7));
            } else {
                call!(module, C_Decrypt(session, data, len, out, &mut out_len));
            }
        }
        6 if ok(call!(module, C_MessageSignInit(session, mechanism, key))) => {
            call!(module, C_SignMessageBegin(session, null.cast(), 0));
            call!(module, C_SignMessageNext(session, null.cast(), 0, data, len, null, std::ptr::null_mut()));
            call!(module, C_SignMessageNext(session, null.cast(), 0, data, len, out, &mut out_len));
            call!(module, C_MessageSignFinal(session));
        }
        7 if ok(call!(module, C_MessageVerifyInit(session, mechanism, key))) => {
            call!(module, C_VerifyMessage(session, null.cast(), 0, data, len, signature, signature_len));
            call!(module, C_MessageVerifyFinal(session));
        }
        8 => {
            call!(module, C_WrapKey(session, mechanism, key, other, out, &mut out_len));
        }
        9 => {
            call!(
                module,
                C_WrapKeyAuthenticated(session, mechanism, key, other, data, len, out, &mut out_len)
            );
        }
        10 | 11 => {
            let mut template = Template::new(&mut choices);
            let (attributes, count) = (template.as_mut_ptr(), template.len());
            let mut unwrapped = 0;
            let answer = if what == 10 {
                call!(
                    module,
                    C_UnwrapKey(session, mechanism, key, data, len, attributes, count, &mut unwrapped)
                )
            } else {
                call!(
                    module,
                    C_UnwrapKeyAuthenticated(
                        session,
                        mechanism,
                        key,
                        data,
                        len,
                        attributes,
                        count,
                        signature,
                        signature_len,
                        &mut unwrapped,
                    )
                )
            };
            if ok(answer) {
                call!(module, C_DestroyObject(session, unwrapped));
            }
        }
        _ => {}
    }
    assert_eq!(call!(module, C_SessionCancel(session, ck::CK_FLAGS::MAX)), ck::CKR_OK);
});
