//! Threads at work, and what a fork asks of them.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};

use super::{Fixture, by_label, data, everything, key, put, user};
use crate::{Change, KeySpec, NewSecret, StoreError, Vault};

const THREADS: usize = 8;

/// One object's life: made, found, read, opened, changed, destroyed.
fn live(vault: &dyn Vault, label: &str) {
    let secret = vault.generate(&KeySpec::Secret { len: 32 }).unwrap();
    let NewSecret::Secret(made) = &secret else { panic!("a secret key is one") };
    let made = made.clone();
    let id = put(vault, key(label, &secret), Some(secret.clone()));
    assert_eq!(vault.find(&by_label(label)).unwrap(), [id]);
    assert!(vault.secret_key(id).unwrap().bytes().expose() == made.bytes().expose());
    let changed = format!("{label} changed");
    vault.commit(vec![Change::Update { id, version: 1, attributes: key(&changed, &secret) }]).unwrap();
    assert_eq!(vault.find(&by_label(label)).unwrap(), []);
    assert_eq!(vault.read(id).unwrap().version, 2);
    assert!(vault.secret_key(id).unwrap().bytes().expose() == made.bytes().expose());
    vault.commit(vec![Change::Destroy { id }]).unwrap();
    assert_eq!(vault.read(id), Err(StoreError::NotFound));
}

pub fn threads_do_not_disturb_each_other(token: &dyn Fixture) {
    let store = token.open();
    let vault = user(&*store, token);
    let vault: &dyn Vault = &*vault;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || (0..10).for_each(|turn| live(vault, &format!("{thread} {turn}"))));
        }
    });
    assert_eq!(everything(vault), []);
}

pub fn one_record_many_writers(token: &dyn Fixture) {
    let store = token.open();
    let vault = user(&*store, token);
    let id = put(&*vault, data("0", true), None);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let own = token.open();
                let vault = user(&*own, token);
                for _ in 0..10 {
                    // A counter in a label loses nothing if, and only if, every update is made from what it read.
                    loop {
                        let record = vault.read(id).unwrap();
                        let label = record.attributes.bytes(cryptoki_sys::CKA_LABEL).unwrap();
                        let count: u32 = std::str::from_utf8(label).unwrap().parse().unwrap();
                        let attributes = data(&(count + 1).to_string(), true);
                        match vault.commit(vec![Change::Update { id, version: record.version, attributes }]) {
                            Ok(()) => break,
                            Err(StoreError::Changed) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                }
            });
        }
    });
    let total = THREADS * 10;
    assert_eq!(vault.find(&by_label(&total.to_string())).unwrap(), [id]);
    assert_eq!(vault.read(id).unwrap().version, total as u64 + 1);
}

pub fn a_fork_holds_calls_back(token: &dyn Fixture) {
    let store = token.open();
    let vault = user(&*store, token);
    let id = put(&*vault, data("before", true), None);
    let (done, waiting) = mpsc::channel();
    // Two threads may fork at once; calls go on after the last.
    store.before_fork();
    store.before_fork();
    let find = || drop(vault.find(&by_label("before")).unwrap());
    let read = || drop(vault.read(id).unwrap());
    let commit = || {
        put(&*vault, data("during", true), None);
    };
    let describe = || drop(store.description().unwrap());
    let unlock = || drop(user(&*store, token));
    let calls: [&(dyn Fn() + Sync); 5] = [&find, &read, &commit, &describe, &unlock];
    std::thread::scope(|scope| {
        for (which, call) in calls.into_iter().enumerate() {
            let done = done.clone();
            scope.spawn(move || {
                call();
                done.send(which).unwrap();
            });
        }
        let nothing = Err(RecvTimeoutError::Timeout);
        assert_eq!(waiting.recv_timeout(Duration::from_millis(100)), nothing, "a call went on during a fork");
        store.after_fork();
        assert_eq!(waiting.recv_timeout(Duration::from_millis(100)), nothing, "a fork is still under way");
        store.after_fork();
        for _ in calls {
            waiting.recv().unwrap();
        }
    });
    assert_eq!(everything(&*vault).len(), 2);
    vault.verify_pin(&token.user_pin()).unwrap();
}

pub fn calls_go_on_around_forks(token: &dyn Fixture) {
    let store = token.open();
    let vault = user(&*store, token);
    let vault: &dyn Vault = &*vault;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|thread| {
                scope.spawn(move || (0..15).for_each(|turn| live(vault, &format!("{thread} {turn}"))))
            })
            .collect();
        while !workers.iter().all(|worker| worker.is_finished()) {
            store.before_fork();
            store.after_fork();
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    assert_eq!(everything(vault), []);
}
