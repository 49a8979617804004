//! Objects on a real token: what the embedded store must hold up of the promises made here.

use super::*;
use hsm_backends::{
    KeyStore, Pin,
    embedded::{EmbeddedStore, Options},
};

use crate::output::{Output, Written};

const PIN: &[u8] = b"1234";

/// A module on the token in `directory`, its user logged in, and a session.
struct OnDisk {
    module: Module,
    session: SessionHandle,
}

impl OnDisk {
    fn open(directory: &std::path::Path) -> Self {
        let store = || EmbeddedStore::new(Options { directory: directory.join("token"), pin_tries: 10 });
        let pin = Pin::presented(PIN);
        if !store().description().expect("a directory of ours").initialized {
            let store = store();
            let admin = store.admin().expect("an embedded store can be managed");
            admin.init_token(&pin, "objects").expect("a new token");
            let officer = store.unlock(Role::SecurityOfficer, &pin).expect("the PIN just set");
            admin.init_pin(&*officer, &pin).expect("a first user PIN");
        }
        let slot = Slot::new(SlotId(0), Box::new(store()), String::new());
        let module = Module::with_slots(Config::default(), None, vec![slot]);
        let slot = module.slots[&SlotId(0)].clone();
        let vault = slot.store.unlock(Role::User, &pin).expect("the PIN just set");
        slot.login.replace(Some(Arc::from(vault)));
        let session = module.sessions.open(slot, true, |_| Ok(())).expect("a session");
        Self { module, session }
    }

    fn create(&self, template: &Made) -> Result<ObjectHandle> {
        self.module.create_object(self.session, &template.raw())
    }

    fn values(&self, object: ObjectHandle, kinds: &[u64]) -> Vec<Option<Vec<u8>>> {
        let answers = self.module.attribute_values(self.session, object, kinds).expect("there");
        answers
            .into_iter()
            .map(|answer| match answer {
                Answer::Value(bytes) => Some(bytes.to_vec()),
                _ => None,
            })
            .collect()
    }

    fn find(&self, template: &Made) -> Vec<ObjectHandle> {
        self.module.find_objects_init(self.session, &template.raw()).expect("a search");
        let found = self.module.find_objects(self.session, usize::MAX).expect("a search");
        self.module.find_objects_final(self.session).expect("a search");
        found
    }
}

#[test]
fn objects_survive_and_keep_their_names() {
    let directory = tempfile::tempdir().expect("a directory");
    let kinds = [
        ck::CKA_UNIQUE_ID,
        ck::CKA_LABEL,
        ck::CKA_VALUE,
        ck::CKA_SEED,
        ck::CKA_PUBLIC_KEY_INFO,
        ck::CKA_ALLOWED_MECHANISMS,
        ck::CKA_LOCAL,
    ];
    let token = OnDisk::open(directory.path());
    let label = |text: &[u8]| on_token().bytes(ck::CKA_LABEL, text);
    let mechanisms = ck::CKM_EDDSA;
    for template in [
        data().and(&label(b"data")).bytes(ck::CKA_VALUE, b"contents"),
        aes_key().and(&label(b"aes")).and(&readable()),
        ed25519_private().and(&label(b"hidden")).ulong(ck::CKA_ALLOWED_MECHANISMS, mechanisms),
        ml_dsa_private().and(&label(b"ml-dsa")).and(&readable()),
    ] {
        token.create(&template).expect("a token object");
    }
    let made = token.module.generate_key_pair(
        token.session,
        call(ck::CKM_ML_DSA_KEY_PAIR_GEN),
        &label(b"made").ulong(ck::CKA_PARAMETER_SET, ck::CKP_ML_DSA_65).raw(),
        &label(b"made").raw(),
    );
    made.expect("a key pair");
    token.create(&data()).expect("a session object");
    let seen = |token: &OnDisk| -> Vec<_> {
        token.find(&on_token()).into_iter().map(|object| token.values(object, &kinds)).collect()
    };
    let before = seen(&token);
    assert_eq!(before.len(), 6);
    drop(token);

    let token = OnDisk::open(directory.path());
    assert_eq!(seen(&token), before);
    assert_eq!(token.find(&Made::default()).len(), 6, "session objects are gone");
    for object in &before {
        let [found] = token.find(&Made::default().bytes(ck::CKA_UNIQUE_ID, object[0].as_ref().unwrap()))[..]
        else {
            panic!("a unique id is unique");
        };
        assert_eq!(token.values(found, &kinds), *object);
    }
}

#[test]
fn copies_changes_and_destruction_of_token_objects() {
    let directory = tempfile::tempdir().expect("a directory");
    let (token, other) = (OnDisk::open(directory.path()), OnDisk::open(directory.path()));
    let original = token.create(&ed25519_private().and(&on_token()).and(&readable())).expect("a key");
    let copy = |template: Made| token.module.copy_object(token.session, original, &template.raw());
    let session_copy = copy(Made::default().bool(ck::CKA_TOKEN, false)).expect("a session copy");
    let token_copy = copy(Made::default().bool(ck::CKA_SENSITIVE, true)).expect("a stricter token copy");
    let value = |object| token.values(object, &[ck::CKA_VALUE]).remove(0);
    assert_eq!(value(session_copy), value(original));
    assert_eq!(value(token_copy), None);
    let back = token.module.copy_object(token.session, session_copy, &on_token().raw()).expect("back");
    assert_eq!(value(back), value(original));

    // Another process is a second module here: it sees changes at once, and its own are not lost.
    let [theirs, ..] = other.find(&class(ck::CKO_PRIVATE_KEY))[..] else { panic!("three keys") };
    let set = |on: &OnDisk, object, template: Made| {
        on.module.set_attribute_values(on.session, object, &template.raw())
    };
    assert_eq!(set(&token, original, Made::default().bytes(ck::CKA_LABEL, b"ours")), Ok(()));
    assert_eq!(set(&other, theirs, Made::default().bytes(ck::CKA_ID, b"theirs")), Ok(()));
    let names = [ck::CKA_LABEL, ck::CKA_ID];
    assert_eq!(token.values(original, &names), [Some(b"ours".to_vec()), Some(b"theirs".to_vec())]);
    assert_eq!(set(&other, theirs, Made::default().bool(ck::CKA_SENSITIVE, true)), Ok(()));
    assert_eq!(value(original), None, "protected from now on, here too");

    assert_eq!(other.module.destroy_object(other.session, theirs), Ok(()));
    let gone = token.module.attribute_values(token.session, original, &[ck::CKA_CLASS]);
    assert_eq!(gone.err(), Some(Error::ObjectHandleInvalid));
    assert_eq!(token.module.destroy_object(token.session, original), Err(Error::ObjectHandleInvalid));
    assert_eq!(token.find(&class(ck::CKO_PRIVATE_KEY)).len(), 3, "the copies stay");
}

/// The key stays open from one signature to the next, and what another process does to it counts all the same.
#[test]
fn a_key_that_is_open_is_used_as_it_is_now() {
    let directory = tempfile::tempdir().expect("a directory");
    let (token, other) = (OnDisk::open(directory.path()), OnDisk::open(directory.path()));
    let key = token.create(&ed25519_private().and(&on_token())).expect("a key");
    let sign = || {
        token.module.sign_init(token.session, call(ck::CKM_EDDSA), key)?;
        token.module.sign(token.session, b"message", Output::buffer(&mut [0; 64]))
    };
    assert_eq!(sign(), Ok(Written::Bytes(64)));
    let [theirs] = other.find(&class(ck::CKO_PRIVATE_KEY))[..] else { panic!("one key") };
    let may_sign = |may| {
        let template = Made::default().bool(ck::CKA_SIGN, may);
        other.module.set_attribute_values(other.session, theirs, &template.raw())
    };
    assert_eq!(may_sign(false), Ok(()));
    assert_eq!(sign(), Err(Error::KeyFunctionNotPermitted));
    assert_eq!(may_sign(true), Ok(()));
    assert_eq!(sign(), Ok(Written::Bytes(64)));
    assert_eq!(other.module.destroy_object(other.session, theirs), Ok(()));
    assert_eq!(sign(), Err(Error::KeyHandleInvalid));
}
