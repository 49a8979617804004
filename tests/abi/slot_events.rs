//! C_WaitForSlotEvent: there are no events, so a wait ends with C_Finalize.

use std::{ptr::null_mut, sync::mpsc, thread, time::Duration};

use cryptoki_sys::*;
use trellis_tests::{c, isolated};

isolated! {
    fn not_blocking(place) {
        let p11 = place.load();
        let mut slot = 0;
        let wait = |flags, slot, reserved| c!(p11.C_WaitForSlotEvent(flags, slot, reserved));
        assert_eq!(wait(CKF_DONT_BLOCK, &raw mut slot, null_mut()), CKR_CRYPTOKI_NOT_INITIALIZED);
        p11.initialize();
        assert_eq!(wait(CKF_DONT_BLOCK, &raw mut slot, null_mut()), CKR_NO_EVENT);
        assert_eq!(wait(CKF_DONT_BLOCK, null_mut(), null_mut()), CKR_ARGUMENTS_BAD);
        assert_eq!(wait(0, &raw mut slot, std::ptr::dangling_mut::<u8>().cast()), CKR_ARGUMENTS_BAD);
    }

    /// Whether the wait begins before or after C_Finalize, the answer is the same; other threads work meanwhile.
    fn blocking_until_finalize(place) {
        let p11 = place.load();
        p11.initialize();
        let (entered, about_to_wait) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..3 {
                let (entered, p11) = (entered.clone(), &p11);
                scope.spawn(move || {
                    entered.send(()).unwrap();
                    let mut slot = 0;
                    let rv = c!(p11.C_WaitForSlotEvent(0, &raw mut slot, null_mut()));
                    assert_eq!(rv, CKR_CRYPTOKI_NOT_INITIALIZED);
                });
            }
            (0..3).for_each(|_| about_to_wait.recv().unwrap());
            // Long enough for the threads to sleep in the module, most of the time; the test holds either way.
            thread::sleep(Duration::from_millis(50));
            let mut count = 0;
            assert_eq!(c!(p11.C_GetSlotList(CK_FALSE, null_mut(), &raw mut count)), CKR_OK);
            p11.finalize();
        });
        p11.initialize();
        p11.finalize();
    }
}
