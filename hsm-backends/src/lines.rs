//! What every call reads and few change, kept once for each of some groups of threads: even who only reads a lock or shares an
//! `Arc` writes to it, and processors pass on what was written in lines of 64 bytes, often two at a time.

use std::{
    cell::Cell,
    sync::{
        PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

/// How many groups.
const LINES: usize = 8;

#[derive(Debug, Default)]
#[repr(align(128))]
struct Line<T>(RwLock<T>);

/// A value for each group of threads.
#[derive(Debug, Default)]
pub struct Lines<T>([Line<T>; LINES]);

impl<T> Lines<T> {
    /// That of this thread's group.
    pub fn own(&self) -> RwLockReadGuard<'_, T> {
        self.0[line_of_thread()].0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes that of this thread's group.
    pub fn change_own<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut write(&self.0[line_of_thread()]))
    }

    /// Changes all of them at once: nobody sees one that is changed beside one that is not.
    pub fn change_all(&self, change: impl FnMut(&mut T)) {
        let mut lines = self.0.each_ref().map(write);
        lines.iter_mut().map(|line| &mut **line).for_each(change);
    }
}

fn write<T>(line: &Line<T>) -> RwLockWriteGuard<'_, T> {
    line.0.write().unwrap_or_else(PoisonError::into_inner)
}

fn line_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static LINE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    LINE.get().unwrap_or_else(|| {
        let line = NEXT.fetch_add(1, Ordering::Relaxed) % LINES;
        LINE.set(Some(line));
        line
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_changed_for_all_is_seen_by_all() {
        let lines = Lines::<u32>::default();
        lines.change_own(|own| *own = 1);
        assert_eq!(*lines.own(), 1);
        lines.change_all(|each| *each = 2);
        // More threads than lines, so that all of them are read.
        std::thread::scope(|scope| {
            for _ in 0..2 * LINES {
                scope.spawn(|| assert_eq!(*lines.own(), 2));
            }
        });
    }
}
