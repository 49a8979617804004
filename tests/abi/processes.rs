//! Eight processes with one token: each creates, finds, signs, changes and destroys, and no call of any of them
//! answers anything but CKR_OK.

use cryptoki_sys::*;
use trellis_tests::{
    isolated,
    objects::{ED25519, Template, plain},
    process::Child,
    raw::{Raw, USER_PIN},
};

const PROCESSES: usize = 8;
const ROUNDS: usize = 25;

fn key_pair(p11: &Raw, session: CK_SESSION_HANDLE, label: &str) -> (CK_OBJECT_HANDLE, CK_OBJECT_HANDLE) {
    let named = Template::new().label(label).flag(CKA_TOKEN, true);
    let public = named.clone().bytes(CKA_EC_PARAMS, ED25519);
    p11.generate_pair(session, plain(CKM_EC_EDWARDS_KEY_PAIR_GEN), &public, &named).unwrap()
}

/// Finds a pair by its label, signs with one half and verifies with the other.
fn use_pair(p11: &Raw, session: CK_SESSION_HANDLE, label: &str) {
    let find = |class| {
        let found = p11.find(session, &Template::new().label(label).number(CKA_CLASS, class)).unwrap();
        assert_eq!(found.len(), 1, "{label}");
        found[0]
    };
    let (public, private) = (find(CKO_PUBLIC_KEY), find(CKO_PRIVATE_KEY));
    let signature = p11.sign(session, plain(CKM_EDDSA), private, label.as_bytes()).unwrap();
    p11.verify(session, plain(CKM_EDDSA), public, label.as_bytes(), &signature).unwrap();
}

fn work(p11: &Raw, process: usize) -> i32 {
    p11.initialize();
    let session = p11.open(CKF_RW_SESSION);
    assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
    for round in 0..ROUNDS {
        let label = format!("process {process} round {round}");
        let (public, private) = key_pair(p11, session, &label);
        use_pair(p11, session, &label);
        use_pair(p11, session, "everybody's");
        let data = Template::new().number(CKA_CLASS, CKO_DATA).flag(CKA_TOKEN, true).label(&label);
        let data = p11.create(session, &data.bytes(CKA_VALUE, label.as_bytes())).unwrap();
        let renamed = format!("{label}, renamed");
        p11.set(session, data, &Template::new().label(&renamed)).unwrap();
        assert_eq!(p11.find(session, &Template::new().label(&renamed)).unwrap(), [data]);
        assert_eq!(p11.value(session, data, CKA_VALUE).unwrap(), label.as_bytes());
        for object in [data, public, private] {
            p11.destroy(session, object).unwrap();
        }
        assert!(p11.find(session, &Template::new().label(&label)).unwrap().is_empty());
    }
    p11.finalize();
    0
}

isolated! {
    fn eight_at_once(place) {
        let p11 = place.load();
        let session = p11.user_session();
        key_pair(&p11, session, "everybody's");
        let children: Vec<_> = (0..PROCESSES).map(|process| Child::spawn(|| work(&p11, process))).collect();
        let statuses: Vec<_> = children.into_iter().map(Child::wait).collect();
        assert_eq!(statuses, [0; PROCESSES]);
        assert_eq!(p11.find(session, &Template::new()).unwrap().len(), 2);
    }
}
