//! What a process does to the token until it is killed: steps of one call each, told of as lines.

use cryptoki_sys::*;
use trellis_tests::{
    backend,
    objects::{ED25519, P256, Template, plain},
    random::Random,
    raw::Raw,
};

/// How many objects a process has at a time.
const OBJECTS: usize = 6;

/// One change of a token; each is one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Create(String),
    Generate(String),
    Pair(String),
    /// C_SetAttributeValue of CKA_LABEL and CKA_ID at once.
    Rename(CK_OBJECT_CLASS, String, String),
    Copy(CK_OBJECT_CLASS, String, String),
    Destroy(CK_OBJECT_CLASS, String),
    /// C_Login of the SO with a wrong PIN.
    Guess,
}

impl Step {
    pub(crate) fn to_line(&self) -> String {
        match self {
            Self::Create(name) => format!("create {name}"),
            Self::Generate(name) => format!("generate {name}"),
            Self::Pair(name) => format!("pair {name}"),
            Self::Rename(class, from, to) => format!("rename {class} {from} {to}"),
            Self::Copy(class, from, to) => format!("copy {class} {from} {to}"),
            Self::Destroy(class, name) => format!("destroy {class} {name}"),
            Self::Guess => "guess".into(),
        }
    }

    pub(crate) fn from_line(line: &str) -> Self {
        let words: Vec<_> = line.split(' ').collect();
        let class = |word: &str| word.parse().unwrap();
        match words[..] {
            ["create", name] => Self::Create(name.into()),
            ["generate", name] => Self::Generate(name.into()),
            ["pair", name] => Self::Pair(name.into()),
            ["rename", of, from, to] => Self::Rename(class(of), from.into(), to.into()),
            ["copy", of, from, to] => Self::Copy(class(of), from.into(), to.into()),
            ["destroy", of, name] => Self::Destroy(class(of), name.into()),
            ["guess"] => Self::Guess,
            _ => panic!("no step: {line:?}"),
        }
    }

    /// The objects that this step makes (true) and takes away.
    pub(crate) fn changes(&self) -> Vec<(Object, bool)> {
        match self {
            Self::Create(name) => vec![((CKO_DATA, name.clone()), true)],
            Self::Generate(name) => vec![((CKO_SECRET_KEY, name.clone()), true)],
            Self::Pair(name) => {
                vec![((CKO_PUBLIC_KEY, name.clone()), true), ((CKO_PRIVATE_KEY, name.clone()), true)]
            }
            Self::Rename(class, from, to) => {
                vec![((*class, from.clone()), false), ((*class, to.clone()), true)]
            }
            Self::Copy(class, _, to) => vec![((*class, to.clone()), true)],
            Self::Destroy(class, name) => vec![((*class, name.clone()), false)],
            Self::Guess => vec![],
        }
    }
}

pub(crate) type Object = (CK_OBJECT_CLASS, String);

/// The part of a name that a renaming or a copy leaves, a number.
pub(crate) fn stem(name: &str) -> u64 {
    name.split('.').next().unwrap().parse().unwrap()
}

/// CKA_KEY_TYPE of a pair.
pub(crate) fn pair(name: &str) -> CK_KEY_TYPE {
    [CKK_EC_EDWARDS, CKK_EC, CKK_ML_DSA][(stem(name) % 3) as usize]
}

/// Whether a private key works in its device, where it has one object.
fn is_in_device((class, name): &Object) -> bool {
    let made_there =
        backend::is_softhsm() && pair(name) == CKK_EC || backend::is_nitro() && pair(name) != CKK_EC;
    *class == CKO_PRIVATE_KEY && made_there
}

/// The bytes of a data object: several pages of the database.
pub(crate) fn content(name: &str) -> Vec<u8> {
    Random::new(stem(name)).bytes(9000)
}

pub(crate) fn find_one(
    p11: &Raw,
    session: CK_SESSION_HANDLE,
    (class, name): &Object,
) -> Option<CK_OBJECT_HANDLE> {
    let found = p11.find(session, &Template::new().label(name).number(CKA_CLASS, *class)).unwrap();
    assert!(found.len() <= 1, "{name}");
    found.first().copied()
}

pub(crate) fn perform(p11: &Raw, session: CK_SESSION_HANDLE, step: &Step) {
    let named = |name: &str| Template::new().flag(CKA_TOKEN, true).label(name);
    match step {
        Step::Create(name) => {
            let private = stem(name).is_multiple_of(2);
            let template = named(name).number(CKA_CLASS, CKO_DATA).flag(CKA_PRIVATE, private);
            p11.create(session, &template.bytes(CKA_VALUE, &content(name))).unwrap();
        }
        Step::Generate(name) => {
            let template = named(name).bytes(CKA_ID, name.as_bytes()).number(CKA_VALUE_LEN, 32);
            p11.generate(session, plain(CKM_GENERIC_SECRET_KEY_GEN), &template).unwrap();
        }
        Step::Pair(name) => {
            let template = named(name).bytes(CKA_ID, name.as_bytes());
            let (mechanism, public) = match pair(name) {
                CKK_EC_EDWARDS => {
                    (CKM_EC_EDWARDS_KEY_PAIR_GEN, template.clone().bytes(CKA_EC_PARAMS, ED25519))
                }
                CKK_EC => (CKM_EC_KEY_PAIR_GEN, template.clone().bytes(CKA_EC_PARAMS, P256)),
                _ => (CKM_ML_DSA_KEY_PAIR_GEN, template.clone().number(CKA_PARAMETER_SET, CKP_ML_DSA_44)),
            };
            p11.generate_pair(session, plain(mechanism), &public, &template).unwrap();
        }
        Step::Rename(class, from, to) => {
            let object = find_one(p11, session, &(*class, from.clone())).unwrap();
            p11.set(session, object, &Template::new().label(to).bytes(CKA_ID, to.as_bytes())).unwrap();
        }
        Step::Copy(class, from, to) => {
            let object = find_one(p11, session, &(*class, from.clone())).unwrap();
            let template = Template::new().label(to);
            let template = if *class == CKO_DATA { template } else { template.bytes(CKA_ID, to.as_bytes()) };
            p11.copy(session, object, &template).unwrap();
        }
        Step::Destroy(class, name) => {
            let object = find_one(p11, session, &(*class, name.clone())).unwrap();
            p11.destroy(session, object).unwrap();
        }
        Step::Guess => assert_eq!(p11.login(session, CKU_SO, b"not the PIN"), CKR_PIN_INCORRECT),
    }
}

/// What a writer does next to one of its own objects or for a new one. `number` is that of the step.
pub(crate) fn next_step(random: &mut Random, mine: &[Object], life: usize, number: usize) -> Step {
    let some = (!mine.is_empty()).then(|| random.one_of(mine).clone());
    let new = || format!("{life}{number:04}.0");
    let renamed = |old: &str| format!("{}.{number}", stem(old));
    let choice = if mine.len() < OBJECTS { random.below(8) } else { 2 };
    match (choice, some) {
        (0, Some((class, old))) if class != CKO_DATA => {
            let new = renamed(&old);
            Step::Rename(class, old, new)
        }
        (1, Some(object)) if object.0 != CKO_PUBLIC_KEY && !is_in_device(&object) => {
            let (class, old) = object;
            let new = renamed(&old);
            Step::Copy(class, old, new)
        }
        (2..=4, Some((class, old))) => Step::Destroy(class, old),
        (5, _) => Step::Create(new()),
        (6, _) => Step::Generate(new()),
        _ => Step::Pair(new()),
    }
}
