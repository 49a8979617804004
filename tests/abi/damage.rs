//! Stores that cannot be used as they are: each gets its exact code, a line in the log that names the cause, and
//! changes nothing on the disk.

#![expect(unsafe_code, reason = "rlimits and user ids")]

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use cryptoki_sys::*;
use trellis_tests::{
    c, isolated,
    isolated::Place,
    process,
    raw::{Raw, USER_PIN},
};

/// Every file of a directory with its mode, owner and content, but for the index of SQLite's log: that is shared memory,
/// which whoever opens the database writes.
fn everything(directory: &Path) -> Vec<(PathBuf, u32, u32, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.ends_with("token.db-shm"))
        .map(|path| {
            let about = fs::metadata(&path).unwrap();
            let content = if about.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            (path, about.mode(), about.uid(), content)
        })
        .collect();
    all.sort();
    all
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A directory and all that is in it.
fn tree(path: &Path) -> Vec<PathBuf> {
    let inside = fs::read_dir(path).into_iter().flatten().flat_map(|entry| tree(&entry.unwrap().path()));
    inside.chain([path.to_owned()]).collect()
}

/// A token with a user, and the module finalised again.
fn made(place: &Place) -> Raw {
    let p11 = place.load();
    p11.initialize();
    p11.make_token();
    p11.finalize();
    p11
}

/// What C_GetTokenInfo and C_Login answer on the store as it now is, and what the log says meanwhile. The store stays
/// as it was.
fn answers(place: &Place, p11: &Raw) -> (CK_RV, CK_RV, String) {
    let (before, logged) = (everything(&place.token()), place.log().len());
    p11.initialize();
    let (mut info, mut session) = (CK_TOKEN_INFO::default(), 0);
    let told = c!(p11.C_GetTokenInfo(0, &raw mut info));
    let opened = c!(p11.C_OpenSession(0, CKF_SERIAL_SESSION, std::ptr::null_mut(), None, &raw mut session));
    let login = if opened == CKR_OK { p11.login(session, CKU_USER, USER_PIN) } else { opened };
    p11.finalize();
    assert!(everything(&place.token()) == before, "the store was changed");
    (told, login, place.log()[logged..].to_owned())
}

/// Both functions answer `rv`, and a line of the log says `why`.
fn refuses(place: &Place, p11: &Raw, rv: CK_RV, why: &str) {
    let (told, login, log) = answers(place, p11);
    assert_eq!((told, login), (rv, rv), "{log}");
    let line = log.lines().find(|line| line.contains(" error: ") && line.contains(why));
    assert!(line.is_some(), "no line of the log says {why:?}:\n{log}");
}

isolated! {
    fn a_newer_format(place) {
        let p11 = made(place);
        let path = place.token().join("token.db");
        let mut bytes = fs::read(&path).unwrap();
        // SQLite's user_version.
        bytes[60..64].copy_from_slice(&3_u32.to_be_bytes());
        fs::write(&path, bytes).unwrap();
        refuses(place, &p11, CKR_TOKEN_NOT_RECOGNIZED, "newer version");
    }

    fn a_damaged_database(place) {
        let p11 = made(place);
        let path = place.token().join("token.db");
        let good = fs::read(&path).unwrap();
        for bytes in [b"no database, but text".to_vec(), vec![0xa5; 40960], good[..good.len() / 2].to_vec()] {
            fs::write(&path, bytes).unwrap();
            // What is in the log is not lost with the file.
            let log = place.token().join("token.db-wal");
            if log.exists() {
                fs::write(log, b"").unwrap();
            }
            refuses(place, &p11, CKR_DEVICE_ERROR, "token.db");
        }
    }

    fn wrong_permissions(place) {
        let p11 = made(place);
        let token = place.token();
        mode(&token, 0o755);
        refuses(place, &p11, CKR_DEVICE_ERROR, "chmod 700");
        mode(&token, 0o700);
        mode(&token.join("token.db"), 0o644);
        refuses(place, &p11, CKR_DEVICE_ERROR, "chmod 600");
    }

    /// Who may only read sees the public objects. A login would have to count its try first.
    fn a_store_that_cannot_be_written(place) {
        let p11 = made(place);
        let token = place.token();
        let nobody = 65534;
        // SAFETY: asks for a number.
        let is_root = unsafe { libc::geteuid() } == 0;
        for entry in fs::read_dir(&token).unwrap() {
            mode(&entry.unwrap().path(), 0o400);
        }
        mode(&token, 0o500);
        if is_root {
            // Root may write whatever the mode, so somebody else tries.
            let hsm = place.directory().join("softhsm");
            for path in [&token, &hsm].into_iter().filter(|path| path.exists()).flat_map(|path| tree(path)) {
                chown(path, Some(nobody), Some(nobody)).unwrap();
            }
            mode(place.directory(), 0o755);
            let log = place.directory().join("log");
            mode(&log, 0o666);
        }
        let status = process::in_child(|| {
            if is_root {
                // SAFETY: gives up rights, in a process that does nothing else.
                assert_eq!(unsafe { libc::setuid(nobody) }, 0);
            }
            let (told, login, log) = answers(place, &p11);
            assert_eq!((told, login), (CKR_OK, CKR_TOKEN_WRITE_PROTECTED), "{log}");
            assert!(log.lines().any(|line| line.contains(" error: ") && line.contains("cannot be written")), "{log}");
            0
        });
        assert_eq!(status, 0);
    }

    /// A file that may not grow is a disk that is full. What does not fit is not made, and what was there stays.
    fn a_full_disk(place) {
        let p11 = place.load();
        let session = p11.user_session();
        let make = |label: &str, len: usize| {
            let template = trellis_tests::objects::Template::new()
                .number(CKA_CLASS, CKO_DATA)
                .flag(CKA_TOKEN, true)
                .label(label)
                .bytes(CKA_VALUE, &vec![7; len]);
            p11.create(session, &template)
        };
        let small = make("small", 10).unwrap();
        let limit = |bytes| {
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
            // SAFETY: both take values.
            unsafe {
                libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
                assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
            }
        };
        let log = place.log().len();
        limit(256 << 10);
        let answers: Vec<_> = (0..40).map(|number| make(&format!("large {number}"), 60_000)).collect();
        limit(libc::RLIM_INFINITY);
        let kept = answers.iter().filter(|answer| answer.is_ok()).count();
        assert!(kept < 40, "nothing was too large");
        for answer in answers {
            assert!(matches!(answer, Ok(_) | Err(CKR_DEVICE_MEMORY)), "{answer:?}");
        }
        assert!(place.log()[log..].contains("error: "), "{}", &place.log()[log..]);
        assert_eq!(p11.find(session, &trellis_tests::objects::Template::new()).unwrap().len(), kept + 1);
        assert_eq!(p11.value(session, small, CKA_VALUE), Ok(vec![7; 10]));
        make("afterwards", 60_000).unwrap();
    }
}
