//! A search in the HSM while another process destroys a key there: records and HSM are not read at one moment.

use std::{
    io::{Read, Write, pipe},
    thread,
    time::Duration,
};

use cryptoki_sys::*;
use trellis_tests::{isolated, objects::Template, process::Child};

use crate::{limits::Valve, load::P256_KEY, stuck::logged_in};

/// What the valve holds back.
const GET_SESSION_INFO: u64 = 16;
const DESTROY_OBJECT: u64 = 32;

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
}
