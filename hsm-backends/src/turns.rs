//! Work that one thread at a time does, and that may take for ever: a device is asked in it. Whoever waits for his turn
//! gives up when the one who has it has had it for too long.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Who has the turn: since when.
#[derive(Debug, Default)]
pub struct Turns {
    since: Mutex<Option<Instant>>,
    ended: Condvar,
}

/// The turn, until it is dropped.
#[derive(Debug)]
pub struct Turn<'a>(&'a Turns);

impl Turns {
    /// Waits for the turn; `None` where somebody has had it for longer than `patience` without coming to an end.
    pub fn take(&self, patience: Duration) -> Option<Turn<'_>> {
        let mut since = self.since();
        while let Some(begun) = *since {
            let left = patience.checked_sub(begun.elapsed())?;
            since = self.ended.wait_timeout(since, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *since = Some(Instant::now());
        Some(Turn(self))
    }

    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        // Whole between any two statements, so a panic elsewhere has not harmed it.
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.since() = None;
        self.0.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_does_not_end_is_not_waited_for() {
        let turns = Turns::default();
        let turn = turns.take(Duration::ZERO).unwrap();
        assert!(turns.take(Duration::from_millis(20)).is_none());
        drop(turn);
        assert!(turns.take(Duration::ZERO).is_some());
    }

    #[test]
    fn turns_come_one_after_the_other() {
        let (turns, inside) = (Turns::default(), Mutex::new(()));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let _turn = turns.take(Duration::from_secs(60)).unwrap();
                    let _alone = inside.try_lock().unwrap();
                    std::thread::sleep(Duration::from_millis(2));
                });
            }
        });
    }
}
