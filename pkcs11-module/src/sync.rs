//! Locks for a library that lives in processes that fork: the standard library's, which have no state outside
//! themselves. (`parking_lot` keeps its waiting threads in one table of the process; a fork while another thread holds
//! a bucket of it would leave that bucket locked in the child for ever.) A panic does not poison them: the guard at
//! the C boundary has answered it.

use std::{
    ops::Deref,
    sync::{Arc, MutexGuard, PoisonError, RwLockReadGuard, RwLockWriteGuard},
};

use hsm_backends::Lines;

/// A mutex.
#[derive(Debug, Default)]
pub struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// An unlocked mutex.
    pub const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lock for many readers or one writer.
#[derive(Debug, Default)]
pub struct RwLock<T>(std::sync::RwLock<T>);

impl<T> RwLock<T> {
    /// An unlocked lock.
    pub const fn new(value: T) -> Self {
        Self(std::sync::RwLock::new(value))
    }

    /// Waits for the writer.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for everybody.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads unless there is a writer.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        match self.0.try_read() {
            Ok(guard) => Some(guard),
            Err(std::sync::TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }

    /// Writes unless there is anybody else.
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        match self.0.try_write() {
            Ok(guard) => Some(guard),
            Err(std::sync::TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }
}

/// What is written in one of these is in nobody else's way: processors pass memory on in lines of 64 bytes, often two
/// at a time.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Line<T>(pub T);

/// Something that every call reads and few change, as a cheap handle.
#[derive(Debug)]
pub struct ReadMostly<T>(Lines<Option<Arc<T>>>);

impl<T> Default for ReadMostly<T> {
    fn default() -> Self {
        Self(Lines::default())
    }
}

/// A value that was there when it was asked for, and lives as long as this.
#[derive(Debug)]
pub struct Held<T>(Arc<T>);

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> ReadMostly<T> {
    /// The value, if there is one.
    pub fn get(&self) -> Option<Held<T>> {
        self.0.own().clone().map(Held)
    }

    /// Puts in another value, or none; the old one is returned. All see the new one from now on.
    pub fn replace(&self, new: Option<T>) -> Option<Held<T>> {
        let mut old = None;
        self.0.change_all(|line| old = std::mem::replace(line, new.clone().map(Arc::new)));
        old.map(Held)
    }
}

/// Something that happens once and that threads wait for.
#[derive(Debug, Default)]
pub struct Event {
    happened: Mutex<bool>,
    changed: std::sync::Condvar,
}

impl Event {
    /// It happens.
    pub fn happen(&self) {
        *self.happened.lock() = true;
        self.changed.notify_all();
    }

    /// Waits until it has happened.
    pub fn wait(&self) {
        let happened = self.happened.lock();
        drop(
            self.changed.wait_while(happened, |happened| !*happened).unwrap_or_else(PoisonError::into_inner),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_sees_the_value_and_it_goes_with_its_last_user() {
        const MANY: usize = 20;
        let cell = ReadMostly::default();
        assert!(cell.get().is_none());
        let (first, second) = (Arc::new(1), Arc::new(2));
        assert!(cell.replace(Some(first.clone())).is_none());
        // More threads than groups, so that all of these are read.
        let seen: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..MANY).map(|_| scope.spawn(|| **cell.get().unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(seen, vec![1; MANY]);
        let held = cell.get().unwrap();
        assert_eq!(**cell.replace(Some(second.clone())).unwrap(), 1);
        assert_eq!((**held, **cell.get().unwrap()), (1, 2));
        assert!(Arc::strong_count(&first) > 1, "a call still works with it");
        drop(held);
        assert_eq!(Arc::strong_count(&first), 1);
        drop(cell.replace(None));
        assert_eq!(Arc::strong_count(&second), 1);
    }
}
