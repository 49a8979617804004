//! Templates: objects are created, generated, copied, changed, read and searched for by templates of choices.
#![no_main]

use cryptoki_sys as ck;
use libfuzzer_sys::fuzz_target;
use trellis_fuzz::{Choices, Module, Parameter, Template, call};

/// Generating an RSA key takes too long for a fuzzer.
const PAIRS: [u64; 3] =
    [ck::CKM_ML_DSA_KEY_PAIR_GEN, ck::CKM_EC_EDWARDS_KEY_PAIR_GEN, ck::CKM_EC_KEY_PAIR_GEN];
const SECRETS: [u64; 2] = [ck::CKM_AES_KEY_GEN, ck::CKM_GENERIC_SECRET_KEY_GEN];

fuzz_target!(|input: &[u8]| {
    let module = Module::started();
    let session = module.session;
    let mut choices = Choices::new(input);
    let mut objects = Vec::new();
    for _ in 0..6 {
        if choices.is_empty() {
            break;
        }
        let what = choices.byte() % 8;
        let object = objects.get(usize::from(choices.byte())).or(objects.last()).copied().unwrap_or(0);
        let mut template = Template::new(&mut choices);
        let mut made = [0; 2];
        let [first, second] = &mut made;
        let answer = match what {
            0 | 1 => call!(module, C_CreateObject(session, template.as_mut_ptr(), template.len(), first)),
            2 => {
                let mut mechanism = Parameter::plain(choices.one_of(&SECRETS));
                call!(
                    module,
                    C_GenerateKey(
                        session,
                        mechanism.as_mut_ptr(),
                        template.as_mut_ptr(),
                        template.len(),
                        first,
                    )
                )
            }
            3 => {
                let mut mechanism = Parameter::plain(choices.one_of(&PAIRS));
                let mut private = Template::new(&mut choices);
                call!(
                    module,
                    C_GenerateKeyPair(
                        session,
                        mechanism.as_mut_ptr(),
                        template.as_mut_ptr(),
                        template.len(),
                        private.as_mut_ptr(),
                        private.len(),
                        first,
                        second,
                    )
                )
            }
            4 => call!(module, C_CopyObject(session, object, template.as_mut_ptr(), template.len(), first)),
            5 => call!(module, C_SetAttributeValue(session, object, template.as_mut_ptr(), template.len())),
            6 => call!(module, C_GetAttributeValue(session, object, template.as_mut_ptr(), template.len())),
            _ => {
                let answer = call!(module, C_FindObjectsInit(session, template.as_mut_ptr(), template.len()));
                if answer == ck::CKR_OK {
                    let (mut found, mut count) = ([0; 4], 0);
                    call!(module, C_FindObjects(session, found.as_mut_ptr(), 4, &mut count));
                    call!(module, C_FindObjectsFinal(session));
                }
                answer
            }
        };
        assert!(answer == ck::CKR_OK || made == [0; 2] || what > 4, "a handle came with {answer:#x}");
        objects.extend(made.into_iter().filter(|handle| *handle != 0));
    }
    for object in objects {
        let answer = call!(module, C_DestroyObject(session, object));
        // An object may forbid it (CKA_DESTROYABLE).
        assert!(matches!(answer, ck::CKR_OK | ck::CKR_ACTION_PROHIBITED), "{answer:#x}");
    }
});
