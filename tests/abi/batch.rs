//! T_CreateObjects (docs/vendor-interface.md): many objects or none, whatever the arguments, and whenever the process dies.

#![expect(unsafe_code, reason = "this is the C side of the C ABI")]

use std::{
    io::{BufRead, BufReader, Write},
    ptr::null_mut,
    time::Duration,
};

use cryptoki_sys::*;
use trellis_tests::{
    backend, c, isolated,
    objects::{ED25519, Template, plain},
    process::Child,
    random::Random,
    raw::{Raw, USER_PIN},
};

use crate::vendor::vendor;

const KILLS: usize = 15;
/// Pairs in each of the calls that a kill may hit.
const PAIRS: usize = 40;

fn named(class: CK_OBJECT_CLASS, label: &str) -> Template {
    Template::new().number(CKA_CLASS, class).flag(CKA_TOKEN, true).label(label)
}

fn data(label: &str) -> Template {
    named(CKO_DATA, label).bytes(CKA_VALUE, b"content")
}

fn of_the_session(label: &str) -> Template {
    Template::new().number(CKA_CLASS, CKO_DATA).label(label).bytes(CKA_VALUE, b"content")
}

/// Both halves of an Ed25519 key, the public one without its point.
fn ed25519(label: &str, seed: [u8; 32]) -> [Template; 2] {
    let half =
        |class| named(class, label).number(CKA_KEY_TYPE, CKK_EC_EDWARDS).bytes(CKA_ID, label.as_bytes());
    let private = half(CKO_PRIVATE_KEY).flag(CKA_SIGN, true).bytes(CKA_EC_PARAMS, ED25519);
    [private.bytes(CKA_VALUE, &seed), half(CKO_PUBLIC_KEY).flag(CKA_VERIFY, true)]
}

/// The same of an ML-DSA key.
fn ml_dsa(label: &str, set: CK_ML_DSA_PARAMETER_SET_TYPE, seed: [u8; 32]) -> [Template; 2] {
    let half = |class| named(class, label).number(CKA_KEY_TYPE, CKK_ML_DSA).bytes(CKA_ID, label.as_bytes());
    let private = half(CKO_PRIVATE_KEY).flag(CKA_SIGN, true).number(CKA_PARAMETER_SET, set);
    [private.bytes(CKA_SEED, &seed), half(CKO_PUBLIC_KEY).flag(CKA_VERIFY, true)]
}

fn all(p11: &Raw, session: CK_SESSION_HANDLE, class: CK_OBJECT_CLASS) -> Vec<CK_OBJECT_HANDLE> {
    p11.find(session, &Template::new().number(CKA_CLASS, class)).unwrap()
}

fn assert_pair(
    p11: &Raw,
    session: CK_SESSION_HANDLE,
    mechanism: CK_MECHANISM_TYPE,
    halves: [CK_OBJECT_HANDLE; 2],
) {
    let signature = p11.sign(session, plain(mechanism), halves[0], b"message").unwrap();
    p11.verify(session, plain(mechanism), halves[1], b"message", &signature).unwrap();
    for kind in [CKA_PUBLIC_KEY_INFO, CKA_ID] {
        let [private, public] = halves.map(|half| p11.value(session, half, kind).unwrap());
        assert_eq!(private, public);
    }
}

/// The most bytes that this process has had in memory.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

isolated! {
    fn pairs_certificates_and_data_in_one_call(place) {
        let p11 = place.load();
        let session = p11.user_session();
        let mut templates = Vec::new();
        templates.extend(ed25519("one", [1; 32]));
        templates.push(data("two"));
        templates.extend(ml_dsa("three", CKP_ML_DSA_44, [3; 32]));
        templates.extend(ml_dsa("four", CKP_ML_DSA_87, [4; 32]));
        templates.push(of_the_session("of the session"));
        let made = vendor(&p11).create_objects(session, &templates).unwrap();
        assert_eq!(made.len(), templates.len());
        for (handle, label) in made.iter().zip(["one", "one", "two", "three", "three", "four", "four", "of the session"]) {
            assert_eq!(p11.value(session, *handle, CKA_LABEL).unwrap(), label.as_bytes());
        }
        assert_pair(&p11, session, CKM_EDDSA, [made[0], made[1]]);
        assert_pair(&p11, session, CKM_ML_DSA, [made[3], made[4]]);
        assert_pair(&p11, session, CKM_ML_DSA, [made[5], made[6]]);
        // The same as two calls of C_CreateObject make.
        let seed = p11.value(session, made[3], CKA_PARAMETER_SET).unwrap();
        assert_eq!(seed, CKP_ML_DSA_44.to_ne_bytes());
        let public = p11.value(session, made[4], CKA_VALUE).unwrap();
        let [_, half] = ml_dsa("three", CKP_ML_DSA_44, [3; 32]);
        let whole = half.number(CKA_PARAMETER_SET, CKP_ML_DSA_44).bytes(CKA_VALUE, &public);
        let alone = p11.create(session, &whole).unwrap();
        for kind in [CKA_PUBLIC_KEY_INFO, CKA_VERIFY, CKA_LOCAL, CKA_PRIVATE, CKA_MODIFIABLE, CKA_ID] {
            let value = |object| p11.value(session, object, kind).unwrap();
            assert_eq!(value(alone), value(made[4]), "{kind:#x}");
        }
        // Another login finds all but the session's.
        p11.finalize();
        p11.initialize();
        let session = p11.open(CKF_RW_SESSION);
        assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
        assert_eq!(all(&p11, session, CKO_DATA).len(), 1);
        assert_eq!(all(&p11, session, CKO_PRIVATE_KEY).len(), 3);
        assert_eq!(all(&p11, session, CKO_PUBLIC_KEY).len(), 4);
    }

    fn one_bad_template_and_nothing_is_made(place) {
        let p11 = place.load();
        let vendor = vendor(&p11);
        let session = p11.user_session();
        let [private, public] = ed25519("key", [1; 32]);
        let another = |kind| public.clone().bytes(kind, &[2; 32]);
        let bad: [(Vec<Template>, usize, CK_RV); 7] = [
            (vec![data("a"), data("b"), Template::new()], 2, CKR_TEMPLATE_INCOMPLETE),
            (vec![data("a"), data("b").flag(CKA_SIGN, true)], 1, CKR_TEMPLATE_INCONSISTENT),
            // A half without a private key directly before it has no value.
            (vec![public.clone(), private.clone()], 0, CKR_TEMPLATE_INCOMPLETE),
            (vec![private.clone(), data("between"), public.clone()], 2, CKR_TEMPLATE_INCOMPLETE),
            (vec![private.clone(), public.clone(), public.clone()], 2, CKR_TEMPLATE_INCOMPLETE),
            // Nor does one of another type, or one whose parameters or key are others.
            (vec![private.clone(), ml_dsa("x", CKP_ML_DSA_44, [1; 32])[1].clone()], 1, CKR_TEMPLATE_INCOMPLETE),
            (vec![private.clone(), another(CKA_PUBLIC_KEY_INFO)], 1, CKR_ATTRIBUTE_VALUE_INVALID),
        ];
        for (templates, number, expected) in bad {
            assert_eq!(vendor.create_objects(session, &templates), Err(expected), "{templates:?}");
            let status = vendor.status(CK_UNAVAILABLE_INFORMATION).unwrap();
            for part in ["\"T_CreateObjects\"", &format!("\"template\":{number}"), "\"about\":\"template\""] {
                assert!(status.contains(part), "{status} lacks {part}");
            }
        }
        for class in [CKO_DATA, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY] {
            assert!(all(&p11, session, class).is_empty());
        }
        // Nor of the session's objects, where those of the token cannot be made.
        let here = of_the_session("here");
        let read_only = p11.open(0);
        assert_eq!(vendor.create_objects(read_only, &[here.clone(), data("a")]), Err(CKR_SESSION_READ_ONLY));
        assert!(all(&p11, session, CKO_DATA).is_empty());
        assert_eq!(vendor.create_objects(read_only, &[here]).map(|made| made.len()), Ok(1));
        assert_eq!(c!(p11.C_Logout(session)), CKR_OK);
        assert_eq!(vendor.create_objects(session, &ed25519("key", [1; 32])), Err(CKR_USER_NOT_LOGGED_IN));
    }

    fn hostile_arguments(place) {
        let p11 = place.load();
        let vendor = vendor(&p11);
        let call = |session, templates, counts, number, handles| {
            // SAFETY: what is not NULL is valid for `number` elements; the rest the module must notice.
            unsafe { (vendor.create_objects)(session, templates, counts, number, handles) }
        };
        assert_eq!(call(1, null_mut(), null_mut(), 0, null_mut()), CKR_CRYPTOKI_NOT_INITIALIZED);
        let session = p11.user_session();
        let template = data("label");
        let mut attributes = template.attributes();
        let mut templates = [attributes.as_mut_ptr(); 3];
        let mut counts = [attributes.len() as CK_ULONG; 3];
        let mut handles: [CK_OBJECT_HANDLE; 3] = [0; 3];
        let [all_templates, all_counts, places] =
            [templates.as_mut_ptr().cast::<CK_ULONG>(), counts.as_mut_ptr(), handles.as_mut_ptr()];
        let all_templates = all_templates.cast();
        for (templates, counts, number, handles) in [
            (null_mut(), all_counts, 3, places),
            (all_templates, null_mut(), 3, places),
            (all_templates, all_counts, 3, null_mut()),
            (all_templates, all_counts, CK_ULONG::MAX, places),
            (all_templates, all_counts, CK_ULONG::MAX / 8, places),
            (all_templates, all_counts, (1 << 16) + 1, places),
        ] {
            assert_eq!(call(session, templates, counts, number, handles), CKR_ARGUMENTS_BAD);
            // An unknown session comes first.
            assert_eq!(call(0, templates, counts, number, handles), CKR_SESSION_HANDLE_INVALID);
        }
        assert_eq!(call(session, null_mut(), null_mut(), 0, null_mut()), CKR_OK);
        assert_eq!(call(0, null_mut(), null_mut(), 0, null_mut()), CKR_SESSION_HANDLE_INVALID);
        // Counts that lie, and a template that is NULL.
        for count in [4097, CK_ULONG::MAX] {
            let mut counts = [counts[0], count, counts[0]];
            assert_eq!(call(session, all_templates, counts.as_mut_ptr(), 3, places), CKR_ARGUMENTS_BAD);
        }
        let mut with_null = [templates[0], null_mut(), templates[0]];
        assert_eq!(call(session, with_null.as_mut_ptr(), all_counts, 3, places), CKR_ARGUMENTS_BAD);
        // A value whose length no memory has, as in C_CreateObject.
        let mut huge = attributes.clone();
        huge.last_mut().unwrap().ulValueLen = CK_ULONG::MAX;
        let mut one_huge = [templates[0], huge.as_mut_ptr(), templates[0]];
        assert_eq!(call(session, one_huge.as_mut_ptr(), all_counts, 3, places), CKR_ATTRIBUTE_VALUE_INVALID);
        // One value in many places: together it is more than the call takes.
        let value = vec![0_u8; 1 << 20];
        let large = named(CKO_DATA, "large");
        let mut large = large.attributes();
        large.push(CK_ATTRIBUTE {
            type_: CKA_VALUE,
            pValue: value.as_ptr().cast_mut().cast(),
            ulValueLen: value.len() as CK_ULONG,
        });
        let (mut many, mut their_counts) = ([large.as_mut_ptr(); 300], [large.len() as CK_ULONG; 300]);
        let mut room: [CK_OBJECT_HANDLE; 300] = [0; 300];
        let rv = call(session, many.as_mut_ptr(), their_counts.as_mut_ptr(), 300, room.as_mut_ptr());
        assert_eq!(rv, CKR_ARGUMENTS_BAD);
        assert!(all(&p11, session, CKO_DATA).is_empty());
        // So may be one array in many attributes, which is noticed before all of them are in memory.
        let list = |kind, inner: &mut [CK_ATTRIBUTE]| CK_ATTRIBUTE {
            type_: kind,
            pValue: inner.as_mut_ptr().cast(),
            ulValueLen: size_of_val(inner) as CK_ULONG,
        };
        let mut inner = vec![list(CKA_LABEL, &mut []); 4096];
        let mut outer = vec![list(CKA_WRAP_TEMPLATE, &mut inner); 4096];
        let before = most_memory();
        let rv = call(session, [outer.as_mut_ptr()].as_mut_ptr(), [4096].as_mut_ptr(), 1, places);
        assert_eq!(rv, CKR_ARGUMENTS_BAD);
        assert_eq!(c!(p11.C_CreateObject(session, outer.as_mut_ptr(), 4096, places)), CKR_ARGUMENTS_BAD);
        assert!(most_memory() - before < 300 << 20, "{before}, now {}", most_memory());
        // The handles may go where the counts, or the pointers to the templates, are.
        assert_eq!(call(session, all_templates, all_counts, 3, all_counts), CKR_OK);
        let made = counts;
        counts = [attributes.len() as CK_ULONG; 3];
        assert_eq!(call(session, all_templates, counts.as_mut_ptr(), 3, templates.as_mut_ptr().cast()), CKR_OK);
        let mut found = all(&p11, session, CKO_DATA);
        let mut told: Vec<_> = made.into_iter().chain(templates.map(|handle| handle as CK_ULONG)).collect();
        found.sort_unstable();
        told.sort_unstable();
        assert_eq!(found, told);
        assert_eq!(call(session, null_mut(), null_mut(), 0, places), CKR_OK);
        assert_eq!(handles, [0; 3]);
    }

    /// A process that makes pairs, many in each call, is killed again and again: each call has made all of its objects
    /// or none, and what was answered is there.
    fn killed_in_the_middle(place) {
        place.configure("log = 'error'\n[[slot]]\npath = 'token'\n");
        let p11 = place.load();
        let session = p11.user_session();
        let marker = p11.create(session, &data("marker")).unwrap();
        let mut random = Random::new(u64::from(std::process::id()));
        let (mut answered, mut at_most) = (0, 0);
        for life in 0..KILLS {
            let (reader, mut pipe) = std::io::pipe().unwrap();
            let child = Child::spawn(|| {
                p11.initialize();
                let session = p11.open(CKF_RW_SESSION);
                assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
                writeln!(pipe, "ready").unwrap();
                for call in 0..1000_usize {
                    let one = |pair: usize| {
                        let mut seed = [life as u8; 32];
                        seed[..2].copy_from_slice(&[pair as u8, call as u8]);
                        ed25519(&format!("{life}.{call}.{pair}"), seed)
                    };
                    let templates: Vec<_> = (0..PAIRS).flat_map(one).collect();
                    writeln!(pipe, "begun").unwrap();
                    assert!(vendor(&p11).create_objects(session, &templates).is_ok());
                    writeln!(pipe, "done").unwrap();
                }
                0
            });
            drop(pipe);
            let mut told = BufReader::new(reader);
            let mut line = String::new();
            told.read_line(&mut line).unwrap();
            assert_eq!(line, "ready\n");
            std::thread::sleep(Duration::from_micros(random.number() % 60_000));
            assert_eq!(child.kill(), -9);
            let lines: Vec<_> = told.lines().map_while(Result::ok).collect();
            answered += lines.iter().filter(|line| *line == "done").count();
            at_most += lines.iter().filter(|line| *line == "begun").count();
            // The next writer settles what is in doubt.
            p11.set(session, marker, &Template::new().label("marker")).unwrap();
        }
        let privates = all(&p11, session, CKO_PRIVATE_KEY);
        let publics = all(&p11, session, CKO_PUBLIC_KEY);
        assert_eq!((privates.len() % PAIRS, publics.len()), (0, privates.len()));
        let calls = privates.len() / PAIRS;
        assert!((answered..=at_most).contains(&calls), "{calls} calls, not {answered}..={at_most}");
        assert!(answered > 0 && at_most > answered, "{answered} answered, {at_most} begun");
        // An enclave asks KMS for each.
        let some = if backend::is_nitro() { 5 } else { privates.len() };
        for private in privates.into_iter().rev().take(some) {
            let id = p11.value(session, private, CKA_ID).unwrap();
            let half = Template::new().number(CKA_CLASS, CKO_PUBLIC_KEY).bytes(CKA_ID, &id);
            let [public] = p11.find(session, &half).unwrap()[..] else { panic!("one half of {id:?}") };
            assert_pair(&p11, session, CKM_EDDSA, [private, public]);
        }
    }
}
