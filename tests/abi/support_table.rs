//! docs/pkcs11-support.md, its part about functions, is what the functions do.

#![expect(unsafe_code, reason = "this is the C side of the C ABI")]

use std::collections::BTreeMap;

use cryptoki_sys::*;
use trellis_tests::isolated;

use crate::abuse::{Arguments, NAMES, call_one};

const DOCUMENT: &str = include_str!("../../docs/pkcs11-support.md");

isolated! {
    fn every_function_has_its_row(place) {
        let documented: BTreeMap<&str, &str> = DOCUMENT
            .lines()
            .skip_while(|line| *line != "## Functions")
            .skip(1)
            .take_while(|line| !line.starts_with("## "))
            .filter_map(|line| {
                let mut cells = line.split('|').map(str::trim).skip(1);
                let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
                Some((name, cells.next()?))
            })
            .collect();
        let p11 = place.load();
        p11.initialize();
        p11.make_token();
        for name in NAMES {
            let session = p11.open(CKF_RW_SESSION);
            let nothing = Arguments { first: session, number: 0, pointer: std::ptr::null_mut() };
            // SAFETY: NULL is something that the module must notice.
            let answer = match unsafe { call_one(p11.list, name, &nothing) } {
                CKR_FUNCTION_NOT_SUPPORTED => "CKR_FUNCTION_NOT_SUPPORTED",
                CKR_FUNCTION_NOT_PARALLEL => "CKR_FUNCTION_NOT_PARALLEL",
                _ => "yes",
            };
            assert_eq!(documented.get(name), Some(&answer), "{name}");
        }
        let others = ["C_Initialize", "C_Finalize", "C_WaitForSlotEvent"];
        for name in others {
            assert_eq!(documented.get(name), Some(&"yes"), "{name}");
        }
        assert_eq!(documented.len(), NAMES.len() + others.len());
    }
}
