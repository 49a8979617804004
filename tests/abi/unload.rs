//! dlclose, and exit without C_Finalize.

use std::{
    sync::{Arc, Barrier},
    thread,
};

use cryptoki_sys::*;
use trellis_tests::{c, isolated, process::in_child, raw::USER_PIN};

/// The list alone, which outlives the handle of the library.
struct Functions {
    list: &'static CK_FUNCTION_LIST_3_2,
}

isolated! {
    /// Threads that used the module end after it was closed: their destructors must still be there.
    fn threads_outlive_dlclose(place) {
        let p11 = place.load();
        p11.initialize();
        p11.make_token();
        let session = p11.open(0);
        let barrier = Arc::new(Barrier::new(2));
        let thread = thread::spawn({
            let (functions, barrier) = (Functions { list: p11.list }, barrier.clone());
            move || {
                let mut random = [0; 32];
                assert_eq!(c!(functions.C_GenerateRandom(session, random.as_mut_ptr(), 32)), CKR_OK);
                barrier.wait();
                barrier.wait();
            }
        });
        barrier.wait();
        p11.finalize();
        p11.unload();
        barrier.wait();
        thread.join().unwrap();
    }

    fn loaded_again(place) {
        for _ in 0..3 {
            let p11 = place.load();
            p11.initialize();
            p11.finalize();
            p11.unload();
        }
        // Even without C_Finalize.
        let p11 = place.load();
        p11.initialize();
        p11.unload();
        let p11 = place.load();
        assert_eq!(c!(p11.C_Initialize(std::ptr::null_mut())), CKR_CRYPTOKI_ALREADY_INITIALIZED);
    }

    fn exit_without_finalize(place) {
        let p11 = place.load();
        p11.initialize();
        p11.make_token();
        let status = in_child(|| {
            p11.initialize();
            let session = p11.open(CKF_RW_SESSION);
            assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
            // With exit handlers and static destructors.
            std::process::exit(8)
        });
        assert_eq!(status, 8);
    }
}
