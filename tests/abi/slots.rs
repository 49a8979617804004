//! Slots, tokens and mechanisms as they describe themselves.

use std::ptr::null_mut;

use cryptoki_sys::*;
use trellis_tests::{c, isolated, raw::Raw};

fn slots(p11: &Raw, token_present: CK_BBOOL) -> Vec<CK_SLOT_ID> {
    let mut count = 0;
    assert_eq!(c!(p11.C_GetSlotList(token_present, null_mut(), &raw mut count)), CKR_OK);
    let mut slots = vec![0; count as usize];
    assert_eq!(c!(p11.C_GetSlotList(token_present, slots.as_mut_ptr(), &raw mut count)), CKR_OK);
    assert_eq!(count as usize, slots.len());
    slots
}

isolated! {
    fn ids_are_those_of_the_configuration(place) {
        place.configure("[[slot]]\nid = 9\npath = 'a'\n[[slot]]\npath = 'b'\n[[slot]]\nid = 4\npath = 'c'\n");
        let p11 = place.load();
        p11.initialize();
        assert_eq!(slots(&p11, CK_FALSE), [1, 4, 9]);
        assert_eq!(slots(&p11, CK_TRUE), [1, 4, 9]);
        let (mut two, mut count) = ([0; 2], 2);
        assert_eq!(c!(p11.C_GetSlotList(CK_FALSE, two.as_mut_ptr(), &raw mut count)), CKR_BUFFER_TOO_SMALL);
        assert_eq!((count, two), (3, [0; 2]));
        let mut info = CK_SLOT_INFO::default();
        assert_eq!(c!(p11.C_GetSlotInfo(0, &raw mut info)), CKR_SLOT_ID_INVALID);
        assert_eq!(c!(p11.C_GetSlotInfo(4, &raw mut info)), CKR_OK);
        assert_eq!(info.flags, CKF_TOKEN_PRESENT);
        assert!(info.slotDescription.starts_with(b"Trellis ") && info.slotDescription.ends_with(b" "));
    }

    fn a_slot_is_described_as_configured(place) {
        place.configure("[[slot]]\npath = 'token'\ndescription = 'Schlüssel'\n");
        let p11 = place.load();
        p11.initialize();
        let mut info = CK_SLOT_INFO::default();
        assert_eq!(c!(p11.C_GetSlotInfo(0, &raw mut info)), CKR_OK);
        assert_eq!(info.slotDescription, *format!("{:63}", "Schlüssel").as_bytes().first_chunk().unwrap());
    }

    fn a_token_before_and_after_initialisation(place) {
        let p11 = place.load();
        p11.initialize();
        let info = p11.token_info();
        assert_eq!(info.flags & (CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED), 0);
        assert_eq!(p11.try_open(0, CKF_SERIAL_SESSION).0, CKR_TOKEN_NOT_RECOGNIZED);
        assert!(!place.token().exists(), "nothing is made before C_InitToken");

        p11.make_token();
        let (first, second) = (p11.open(0), p11.open(CKF_RW_SESSION));
        let info = p11.token_info();
        assert_eq!(&info.label, b"test token                      ");
        assert!(info.serialNumber.iter().all(u8::is_ascii_graphic));
        let expected =
            CKF_RNG | CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED | CKF_TOKEN_INITIALIZED | CKF_RESTORE_KEY_NOT_NEEDED;
        assert_eq!(info.flags, expected);
        assert_eq!((info.ulSessionCount, info.ulRwSessionCount), (2, 1));
        assert_eq!((info.ulMinPinLen, info.ulMaxPinLen), (4, 255));
        assert_eq!((info.ulMaxSessionCount, info.ulMaxRwSessionCount), (0, 0));
        assert_eq!(info.utcTime, [b' '; 16]);
        for session in [first, second] {
            assert_eq!(c!(p11.C_CloseSession(session)), CKR_OK);
        }
        let serial = info.serialNumber;
        p11.finalize();
        p11.initialize();
        assert_eq!(p11.token_info().serialNumber, serial);
    }

    fn mechanisms_are_listed_and_described(place) {
        let p11 = place.load();
        p11.initialize();
        let mut count = 0;
        assert_eq!(c!(p11.C_GetMechanismList(0, null_mut(), &raw mut count)), CKR_OK);
        let mut list = vec![0; count as usize];
        assert_eq!(c!(p11.C_GetMechanismList(0, list.as_mut_ptr(), &raw mut count)), CKR_OK);
        assert!(list.contains(&CKM_ML_DSA) && list.contains(&CKM_EDDSA) && list.contains(&CKM_RSA_PKCS));
        for mechanism in list {
            let mut info = CK_MECHANISM_INFO::default();
            assert_eq!(c!(p11.C_GetMechanismInfo(0, mechanism, &raw mut info)), CKR_OK, "{mechanism:#x}");
            assert_ne!(info.flags, 0, "{mechanism:#x}");
        }
        let mut info = CK_MECHANISM_INFO::default();
        assert_eq!(c!(p11.C_GetMechanismInfo(0, CKM_MD5, &raw mut info)), CKR_MECHANISM_INVALID);
        assert_eq!(c!(p11.C_GetMechanismInfo(7, CKM_ML_DSA, &raw mut info)), CKR_SLOT_ID_INVALID);
    }

    fn an_allow_list_removes_mechanisms(place) {
        place.configure("mechanisms = ['CKM_SHA256', 'CKM_EDDSA']\n[[slot]]\npath = 'token'\n");
        let p11 = place.load();
        p11.initialize();
        p11.make_token();
        let (mut list, mut count) = ([0; 2], 2);
        assert_eq!(c!(p11.C_GetMechanismList(0, list.as_mut_ptr(), &raw mut count)), CKR_OK);
        assert_eq!((list, count), ([CKM_SHA256, CKM_EDDSA], 2));
        let mut info = CK_MECHANISM_INFO::default();
        assert_eq!(c!(p11.C_GetMechanismInfo(0, CKM_SHA512, &raw mut info)), CKR_MECHANISM_INVALID);
        let session = p11.open(0);
        let mut mechanism = CK_MECHANISM { mechanism: CKM_SHA512, ..CK_MECHANISM::default() };
        assert_eq!(c!(p11.C_DigestInit(session, &raw mut mechanism)), CKR_MECHANISM_INVALID);
        mechanism.mechanism = CKM_SHA256;
        assert_eq!(c!(p11.C_DigestInit(session, &raw mut mechanism)), CKR_OK);
    }
}
