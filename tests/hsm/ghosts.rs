//! What is in the HSM while another process is at work there, or was when it was killed: records and HSM are neither read nor
//! changed at one moment.

use std::{
    io::{Read, Write, pipe},
    thread,
    time::Duration,
};

use cryptoki_sys::*;
use trellis_tests::{
    backend, isolated,
    objects::Template,
    process::{Child, in_child},
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

isolated! {
    fn a_key_that_goes_during_a_search_is_not_taken_for_the_hsms_own(place) {
        let valve = Valve::new(place);
        let p11 = place.load();
        let session = p11.user_session();
        P256_KEY.make(&p11, session);
        let keys = Template::new().number(CKA_CLASS, CKO_PRIVATE_KEY);
        let ((mut told, mut tells), (mut waits, mut goes)) = (pipe().unwrap(), pipe().unwrap());
        let child = Child::spawn(|| {
            p11.initialize();
            let session = logged_in(&p11, 0);
            let key = p11.find(session, &keys).unwrap()[0];
            valve.set("valve_hold", DESTROY_OBJECT);
            thread::scope(|scope| {
                let destroyed = scope.spawn(|| p11.destroy(session, key));
                until_held(&valve);
                // The record is gone, and the HSM has the key still.
                tells.write_all(b"!").unwrap();
                waits.read_exact(&mut [0]).unwrap();
                valve.set("valve_hold", 0);
                destroyed.join().unwrap().unwrap();
            });
            0
        });
        told.read_exact(&mut [0]).unwrap();
        assert_eq!(p11.find(session, &keys), Ok(vec![]), "it is pending");
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
        assert_eq!(found, Ok(vec![]), "the HSM had it when it was asked, and has it no more");
    }

    fn a_copy_follows_its_record_although_its_process_is_killed(place) {
        let valve = Valve::new(place);
        let p11 = place.load();
        let session = p11.user_session();
        let named = |name: &str| Template::new().number(CKA_CLASS, CKO_DATA).label(name);
        let create = |session, name: &str| {
            let template = named(name).flag(CKA_TOKEN, true).flag(CKA_PRIVATE, true).bytes(CKA_VALUE, b"value");
            p11.create(session, &template).unwrap()
        };
        for name in ["stays", "goes"] {
            create(session, name);
        }
        let held = |function: u64, doing: &(dyn Fn(CK_SESSION_HANDLE) + Sync)| {
            let (mut told, mut tells) = pipe().unwrap();
            let child = Child::spawn(|| {
                p11.initialize();
                let session = logged_in(&p11, 0);
                valve.set("valve_hold", function);
                thread::scope(|scope| {
                    scope.spawn(|| doing(session));
                    until_held(&valve);
                    tells.write_all(b"!").unwrap();
                });
                1
            });
            told.read_exact(&mut [0]).unwrap();
            child
        };
        let destroying = held(DESTROY_OBJECT, &|session| {
            let object = p11.find(session, &named("goes")).unwrap()[0];
            p11.destroy(session, object).unwrap();
        });
        let creating = held(CREATE_OBJECT, &|session| {
            create(session, "comes");
        });
        let seen = |name| p11.find(session, &named(name)).unwrap().len();
        // The records count.
        assert_eq!(["stays", "goes", "comes"].map(seen), [1, 0, 1]);
        assert_eq!([destroying, creating].map(Child::kill), [-libc::SIGKILL; 2]);
        assert_eq!(["stays", "goes", "comes"].map(seen), [1, 0, 1]);
        let in_hsm = || {
            let softhsm = Vendor::load(&backend::softhsm());
            assert_eq!(softhsm.initialize(), CKR_OK);
            let session = softhsm.logged_in();
            softhsm.labels(session, CKO_DATA)
        };
        let status = in_child(|| {
            assert_eq!(in_hsm(), ["goes", "stays"], "both were held back");
            0
        });
        assert_eq!(status, 0);
        // Whoever logs in next does what they could not.
        let status = in_child(|| {
            p11.initialize();
            logged_in(&p11, 0);
            p11.finalize();
            assert_eq!(in_hsm(), ["comes", "stays"]);
            0
        });
        assert_eq!(status, 0);
        assert_eq!(["stays", "goes", "comes"].map(seen), [1, 0, 1]);
    }
}
