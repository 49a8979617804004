//! fork(2) as servers use it: workers of a master that is logged in, their children, forks among busy threads, and
//! processes that leave without a word.

use std::{
    process::exit,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use cryptoki_sys::*;
use trellis_tests::{
    c, isolated,
    objects::{Answer, ED25519, Template, plain},
    process::{Child, in_child},
    raw::{Raw, USER_PIN},
};

/// The master: a session of the user, with an Ed25519 pair on the token.
fn master(p11: &Raw) -> (CK_SESSION_HANDLE, CK_OBJECT_HANDLE) {
    let session = p11.user_session();
    let named = Template::new().flag(CKA_TOKEN, true).label("server");
    let public = named.clone().bytes(CKA_EC_PARAMS, ED25519);
    let (_, private) =
        p11.generate_pair(session, plain(CKM_EC_EDWARDS_KEY_PAIR_GEN), &public, &named).unwrap();
    (session, private)
}

/// What a process does that has just begun: initialise, log in, find the key.
fn start(p11: &Raw) -> (CK_SESSION_HANDLE, CK_OBJECT_HANDLE) {
    p11.initialize();
    let session = p11.open(CKF_RW_SESSION);
    assert_eq!(p11.state(session), CKS_RW_PUBLIC_SESSION);
    assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
    (session, find_key(p11, session, CKO_PRIVATE_KEY))
}

fn find_key(p11: &Raw, session: CK_SESSION_HANDLE, class: CK_OBJECT_CLASS) -> CK_OBJECT_HANDLE {
    let found = p11.find(session, &Template::new().label("server").number(CKA_CLASS, class)).unwrap();
    assert_eq!(found.len(), 1);
    found[0]
}

fn try_sign(p11: &Raw, (session, key): (CK_SESSION_HANDLE, CK_OBJECT_HANDLE)) -> Answer<Vec<u8>> {
    p11.sign(session, plain(CKM_EDDSA), key, b"a handshake")
}

/// Signs, and verifies with the public half.
fn sign(p11: &Raw, (session, key): (CK_SESSION_HANDLE, CK_OBJECT_HANDLE)) {
    let signature = try_sign(p11, (session, key)).unwrap();
    let public = find_key(p11, session, CKO_PUBLIC_KEY);
    p11.verify(session, plain(CKM_EDDSA), public, b"a handshake", &signature).unwrap();
}

isolated! {
    /// Two workers, and two more at each reload while the old ones finish their work. Half of the workers call
    /// C_Finalize first, as their library may.
    fn workers_through_reloads(place) {
        let p11 = place.load();
        let own = master(&p11);
        let mut workers = Vec::new();
        for number in 0..6 {
            workers.push(Child::spawn(|| {
                assert_eq!(try_sign(&p11, own), Err(CKR_CRYPTOKI_NOT_INITIALIZED));
                if number % 2 == 0 {
                    p11.finalize();
                }
                let mine = start(&p11);
                // The master's handles name nothing here.
                assert_eq!(try_sign(&p11, own), Err(CKR_SESSION_HANDLE_INVALID));
                assert_eq!(try_sign(&p11, (mine.0, own.1)), Err(CKR_KEY_HANDLE_INVALID));
                (0..50).for_each(|_| sign(&p11, mine));
                // Half of them say goodbye.
                if number < 3 {
                    p11.finalize();
                }
                0
            }));
            sign(&p11, own);
        }
        let statuses: Vec<_> = workers.into_iter().map(Child::wait).collect();
        assert_eq!(statuses, [0; 6]);
        sign(&p11, own);
    }

    /// Each of five generations logs in, signs, has a child, and signs again; none works on another's login.
    fn generations(place) {
        fn generation(p11: &Raw, depth: usize) -> i32 {
            let mine = start(p11);
            sign(p11, mine);
            if depth > 0 {
                let status = in_child(|| {
                    assert_eq!(try_sign(p11, mine), Err(CKR_CRYPTOKI_NOT_INITIALIZED));
                    if depth.is_multiple_of(2) {
                        p11.finalize();
                    }
                    generation(p11, depth - 1)
                });
                assert_eq!(status, 0, "at depth {depth}");
            }
            sign(p11, mine);
            0
        }
        let p11 = place.load();
        let own = master(&p11);
        assert_eq!(in_child(|| generation(&p11, 4)), 0);
        sign(&p11, own);
    }

    /// A child that never speaks to the module has children that do: what was inherited is not theirs either.
    fn a_generation_in_silence(place) {
        let p11 = place.load();
        let own = master(&p11);
        let status = in_child(|| {
            in_child(|| {
                assert_eq!(try_sign(&p11, own), Err(CKR_CRYPTOKI_NOT_INITIALIZED));
                // One C_Finalize, for the sake of the ancestor that was initialised.
                p11.finalize();
                assert_eq!(c!(p11.C_Finalize(std::ptr::null_mut())), CKR_CRYPTOKI_NOT_INITIALIZED);
                sign(&p11, start(&p11));
                0
            })
        });
        assert_eq!(status, 0);
        sign(&p11, own);
    }

    /// Forks while threads sign, write and search; the children log in, sign, write, and fork in their turn.
    fn among_busy_threads(place) {
        let p11 = place.load();
        let own = master(&p11);
        let done = AtomicBool::new(false);
        let data = Template::new().number(CKA_CLASS, CKO_DATA).flag(CKA_TOKEN, true).flag(CKA_PRIVATE, true);
        let write = |session| {
            let object = p11.create(session, &data).unwrap();
            p11.destroy(session, object).unwrap();
        };
        thread::scope(|scope| {
            for work in 0..3 {
                let (done, p11) = (&done, &p11);
                scope.spawn(move || {
                    let session = p11.open(CKF_RW_SESSION);
                    while !done.load(Ordering::Relaxed) {
                        match work {
                            0 => sign(p11, (session, own.1)),
                            1 => write(session),
                            _ => assert_eq!(find_key(p11, session, CKO_PRIVATE_KEY), own.1),
                        }
                    }
                });
            }
            for _ in 0..15 {
                let status = in_child(|| {
                    let mine = start(&p11);
                    sign(&p11, mine);
                    write(mine.0);
                    in_child(|| {
                        p11.finalize();
                        sign(&p11, start(&p11));
                        0
                    })
                });
                assert_eq!(status, 0);
            }
            done.store(true, Ordering::Relaxed);
        });
        sign(&p11, own);
    }

    /// exit(3) in a child, with all exit handlers: of one that did nothing, and of one whose threads are in calls.
    fn children_that_only_exit(place) {
        let p11 = place.load();
        let own = master(&p11);
        assert_eq!(in_child(|| exit(9)), 9);
        sign(&p11, own);
        for _ in 0..5 {
            let status = in_child(|| {
                let mine = start(&p11);
                thread::scope(|scope| {
                    for _ in 0..2 {
                        scope.spawn(|| {
                            let session = p11.open(0);
                            loop {
                                sign(&p11, (session, mine.1));
                            }
                        });
                    }
                    sign(&p11, mine);
                    exit(10)
                })
            });
            assert_eq!(status, 10);
        }
        sign(&p11, own);
    }

    /// dlclose in a child without C_Finalize, whether it had initialised or not, and a new dlopen after it.
    fn children_that_unload(place) {
        let p11 = place.load();
        let own = master(&p11);
        for initialise in [false, true] {
            let status = in_child(|| {
                let again = place.load();
                if initialise {
                    sign(&again, start(&again));
                }
                again.unload();
                let again = place.load();
                if initialise {
                    assert_eq!(c!(again.C_Initialize(std::ptr::null_mut())), CKR_CRYPTOKI_ALREADY_INITIALIZED);
                } else {
                    sign(&again, start(&again));
                }
                11
            });
            assert_eq!(status, 11);
            sign(&p11, own);
        }
    }
}
