//! Turns: each contender runs for a few milliseconds, then the next, round after round.

use std::{
    error::Error,
    time::{Duration, Instant},
};

/// How long and how often each contender runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turns {
    /// Rounds.
    pub(crate) count: usize,
    /// Milliseconds in one turn.
    pub(crate) millis: u64,
}

/// What one contender does in a row: one operation per call.
pub(crate) type Operation<'a> = Box<dyn FnMut() -> Result<(), Box<dyn Error>> + 'a>;

/// Nanoseconds per operation: the median of the turns and half the distance between their quartiles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Median.
    pub(crate) median: f64,
    /// Half of the interquartile range.
    pub(crate) spread: f64,
}

impl Turns {
    /// Lets all operations take turns. Each gets one turn to warm up that does not count.
    pub(crate) fn run(self, operations: &mut [Operation<'_>]) -> Result<Vec<Timing>, Box<dyn Error>> {
        let mut samples = vec![Vec::with_capacity(self.count); operations.len()];
        for round in 0..=self.count {
            for (operation, samples) in operations.iter_mut().zip(&mut samples) {
                let sample = self.turn(operation)?;
                if round > 0 {
                    samples.push(sample);
                }
            }
        }
        Ok(samples.into_iter().map(Timing::of).collect())
    }

    fn turn(self, operation: &mut Operation<'_>) -> Result<f64, Box<dyn Error>> {
        let end = Duration::from_millis(self.millis);
        let start = Instant::now();
        let mut done = 0u32;
        loop {
            operation()?;
            done += 1;
            let passed = start.elapsed();
            if passed >= end {
                return Ok(passed.as_secs_f64() * 1e9 / f64::from(done));
            }
        }
    }
}

impl Timing {
    fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_unstable_by(f64::total_cmp);
        let at = |part: usize| samples[(samples.len() - 1) * part / 4];
        Self { median: at(2), spread: (at(3) - at(1)) / 2.0 }
    }
}
