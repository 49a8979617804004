//! What is in the HSM while another process is at work there, or was when it was killed: records and HSM are neither read nor
//! changed at one moment.

use std::{
    io::{PipeWriter, Read, Write, pipe},
    thread,
    time::Duration,
};

use cryptoki_sys::*;
use trellis_tests::{
    backend, isolated,
    objects::Template,
    process::{Child, in_child},
    raw::Raw,
    vendor::Vendor,
};

use crate::{limits::Valve, load::P256_KEY, stuck::logged_in};

/// What the valve holds back.
const GET_SESSION_INFO: u64 = 16;
const DESTROY_OBJECT: u64 = 32;
const CREATE_OBJECT: u64 = 64;

fn until_held(valve: &Valve) {
    while valve.ask("valve_holding") == 0 {
        thread::sleep(Duration::from_millis(1));
    }
}

/// A child that is logged in and `doing` something, which the valve holds back at `function` until the other end is
/// written to.
fn held(
    (valve, p11): (&Valve, &Raw),
    function: u64,
    doing: &(dyn Fn(CK_SESSION_HANDLE) + Sync),
) -> (Child, PipeWriter) {
    let ((mut told, mut tells), (mut waits, goes)) = (pipe().unwrap(), pipe().unwrap());
    let child = Child::spawn(|| {
        p11.initialize();
        let session = logged_in(p11, 0);
        valve.set("valve_hold", function);
        thread::scope(|scope| {
            let done = scope.spawn(|| doing(session));
            until_held(valve);
            tells.write_all(b"!").unwrap();
            waits.read_exact(&mut [0]).unwrap();
            valve.set("valve_hold", 0);
            done.join().unwrap();
        });
        0
    });
    told.read_exact(&mut [0]).unwrap();
    (child, goes)
}

fn let_go((child, mut goes): (Child, PipeWriter)) {
    goes.write_all(b"!").unwrap();
    assert_eq!(child.wait(), 0);
}

/// The labels of the data objects that SoftHSM has, by its own account.
fn data_in_hsm() -> Vec<String> {
    let softhsm = Vendor::load(&backend::softhsm());
    assert_eq!(softhsm.initialize(), CKR_OK);
    let session = softhsm.logged_in();
    softhsm.labels(session, CKO_DATA)
}

fn named(name: &str) -> Template {
    Template::new().number(CKA_CLASS, CKO_DATA).label(name)
}

/// DER of CKA_OBJECT_ID: none, so that the store marks the copy; one; and one of the arc that the store takes its own from,
/// 2.25 (ITU-T X.667).
const OBJECT_IDS: [&[u8]; 3] = [&[], &[0x06, 0x01, 0x2A], &[0x06, 0x03, 0x69, 0x81, 0x00]];

/// Makes a private data object.
fn create(p11: &Raw, session: CK_SESSION_HANDLE, name: &str, own: &[u8]) -> CK_OBJECT_HANDLE {
    let template =
        named(name).flag(CKA_TOKEN, true).flag(CKA_PRIVATE, true).bytes(CKA_VALUE, name.as_bytes());
    let template = if own.is_empty() { template } else { template.bytes(CKA_OBJECT_ID, own) };
    p11.create(session, &template).unwrap()
}

fn destroy(p11: &Raw, session: CK_SESSION_HANDLE, template: &Template) {
    let object = p11.find(session, template).unwrap()[0];
    p11.destroy(session, object).unwrap();
}

isolated! {
    fn a_key_that_goes_during_a_search_is_not_taken_for_the_hsms_own(place) {
        let valve = Valve::new(place);
        let p11 = place.load();
        let session = p11.user_session();
        let keys = Template::new().number(CKA_CLASS, CKO_PRIVATE_KEY);
        // Its record goes in the midst of the search, or is gone already when that begins.
        for before in [false, true] {
            P256_KEY.make(&p11, session);
            let destroys = |session| destroy(&p11, session, &keys);
            let (child, mut goes) = if before {
                let begun = held((&valve, &p11), DESTROY_OBJECT, &destroys);
                assert_eq!(p11.find(session, &keys), Ok(vec![]), "it is pending");
                begun
            } else {
                let (mut waits, goes) = pipe().unwrap();
                let child = Child::spawn(|| {
                    p11.initialize();
                    let session = logged_in(&p11, 0);
                    waits.read_exact(&mut [0]).unwrap();
                    destroys(session);
                    0
                });
                (child, goes)
            };
            // A fork costs a login, for which the HSM is asked as well.
            assert_eq!(p11.find(session, &named("nothing")), Ok(vec![]));
            valve.set("valve_hold", GET_SESSION_INFO);
            let found = thread::scope(|scope| {
                let search = scope.spawn(|| p11.find(session, &keys));
                // With this call it makes sure that the HSM has shown it everything.
                until_held(&valve);
                goes.write_all(b"!").unwrap();
                assert_eq!(child.wait(), 0);
                valve.set("valve_hold", 0);
                search.join().unwrap()
            });
            let found = found.unwrap();
            let there: Vec<_> = found.iter().filter(|key| p11.value(session, **key, CKA_CLASS).is_ok()).collect();
            assert!(there.is_empty(), "the HSM had it when it was asked, and has it no more");
        }
    }

    fn a_copy_follows_its_record_although_its_process_is_killed(place) {
        let valve = Valve::new(place);
        let p11 = place.load();
        let session = p11.user_session();
        for own in OBJECT_IDS {
            for name in ["stays", "goes"] {
                create(&p11, session, name, own);
            }
            let both = (&valve, &p11);
            let destroying = held(both, DESTROY_OBJECT, &|session| destroy(&p11, session, &named("goes")));
            let creating = held(both, CREATE_OBJECT, &|session| {
                create(&p11, session, "comes", own);
            });
            let seen = |name| p11.find(session, &named(name)).unwrap().len();
            // The records count.
            assert_eq!(["stays", "goes", "comes"].map(seen), [1, 0, 1]);
            assert_eq!([destroying.0, creating.0].map(Child::kill), [-libc::SIGKILL; 2]);
            // It is renamed before it is there.
            let comes = p11.find(session, &named("comes")).unwrap()[0];
            p11.set(session, comes, &Template::new().label("came")).unwrap();
            assert_eq!(["stays", "goes", "came"].map(seen), [1, 0, 1]);
            let status = in_child(|| {
                assert_eq!(data_in_hsm(), ["goes", "stays"], "both were held back");
                0
            });
            assert_eq!(status, 0);
            // Whoever logs in next does what they could not, once.
            let status = in_child(|| {
                for _ in 0..2 {
                    p11.initialize();
                    logged_in(&p11, 0);
                    p11.finalize();
                    thread::sleep(Duration::from_millis(1500));
                }
                assert_eq!(data_in_hsm(), ["came", "stays"]);
                0
            });
            assert_eq!(status, 0);
            assert_eq!(["stays", "goes", "came"].map(seen), [1, 0, 1]);
            for name in ["stays", "came"] {
                destroy(&p11, session, &named(name));
            }
        }
    }

    fn a_copy_that_comes_after_the_end_of_its_record_goes_with_it(place) {
        let valve = Valve::new(place);
        let p11 = place.load();
        let session = p11.user_session();
        for own in OBJECT_IDS {
            let creating = held((&valve, &p11), CREATE_OBJECT, &|session| {
                create(&p11, session, "short-lived", own);
            });
            destroy(&p11, session, &named("short-lived"));
            let_go(creating);
            assert_eq!(p11.find(session, &named("short-lived")), Ok(vec![]));
            let status = in_child(|| {
                assert_eq!(data_in_hsm(), Vec::<String>::new());
                0
            });
            assert_eq!(status, 0);
        }
    }

    fn a_copy_follows_after_the_application_has_logged_out(place) {
        backend::prepare_softhsm(place.directory());
        let library = backend::softhsm();
        let text = format!(
            "[[slot]]\npath = 'token'\nbackend = 'pkcs11'\nmodule-path = '{}'\n",
            library.display()
        );
        std::fs::write(place.config(), text).unwrap();
        let p11 = place.load();
        let session = p11.user_session();
        create(&p11, session, "first", OBJECT_IDS[1]);
        let softhsm = Vendor::load(&library);
        let log_out = || assert_eq!(softhsm.logout(softhsm.open()), CKR_OK);
        log_out();
        let object = p11.find(session, &named("first")).unwrap()[0];
        log_out();
        p11.set(session, object, &Template::new().label("second")).unwrap();
        let theirs = softhsm.open();
        assert_eq!(softhsm.labels(theirs, CKO_DATA), ["second"]);
        assert_eq!(softhsm.logout(theirs), CKR_OK);
        p11.destroy(session, object).unwrap();
        assert_eq!(softhsm.labels(theirs, CKO_DATA), Vec::<String>::new());
    }
}
