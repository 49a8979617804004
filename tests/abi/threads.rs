//! Many threads in one module, and C_Finalize among them.

use std::{
    ptr::null_mut,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use cryptoki_sys::*;
use trellis_tests::{c, isolated};

isolated! {
    fn sessions_of_many_threads(place) {
        let p11 = place.load();
        p11.initialize();
        p11.make_token();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let session = p11.open(CKF_RW_SESSION);
                        let mut mechanism = CK_MECHANISM { mechanism: CKM_SHA256, ..CK_MECHANISM::default() };
                        assert_eq!(c!(p11.C_DigestInit(session, &raw mut mechanism)), CKR_OK);
                        let (mut digest, mut len) = ([0; 32], 32);
                        let (data, out) = (c"abc".as_ptr().cast_mut().cast(), digest.as_mut_ptr());
                        assert_eq!(c!(p11.C_Digest(session, data, 3, out, &raw mut len)), CKR_OK);
                        assert_eq!(digest[..2], [0xba, 0x78]);
                        assert_eq!(c!(p11.C_CloseSession(session)), CKR_OK);
                    }
                });
            }
        });
        assert_eq!(p11.token_info().ulSessionCount, 0);
    }

    /// Several threads call C_Initialize at once: one of them does it, and the others are told, once it is done.
    fn initialize_of_many_threads(place) {
        let p11 = place.load();
        for _ in 0..20 {
            let barrier = Barrier::new(4);
            let mut answers: Vec<_> = thread::scope(|scope| {
                let thread = || {
                    barrier.wait();
                    let answer = c!(p11.C_Initialize(null_mut()));
                    // Whatever the answer was, the module is now there for this thread too.
                    let mut count = 0;
                    assert_eq!(c!(p11.C_GetSlotList(CK_FALSE, null_mut(), &raw mut count)), CKR_OK);
                    answer
                };
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(thread)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            answers.sort_unstable();
            let already = CKR_CRYPTOKI_ALREADY_INITIALIZED;
            assert_eq!(answers, [CKR_OK, already, already, already]);
            p11.finalize();
        }
    }

    /// Calls in progress finish, later ones are told; nothing crashes.
    fn finalize_and_initialize_among_calls(place) {
        let p11 = place.load();
        p11.initialize();
        p11.make_token();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let (rv, session) = p11.try_open(0, CKF_SERIAL_SESSION);
                        assert!([CKR_OK, CKR_CRYPTOKI_NOT_INITIALIZED].contains(&rv), "{rv:#x}");
                        let rv = c!(p11.C_FindObjectsInit(session, null_mut(), 0));
                        let told = [CKR_OK, CKR_CRYPTOKI_NOT_INITIALIZED, CKR_SESSION_HANDLE_INVALID];
                        assert!(told.contains(&rv), "{rv:#x}");
                    }
                });
            }
            for _ in 0..50 {
                p11.finalize();
                p11.initialize();
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
