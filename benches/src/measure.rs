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

/// What one contender does in a row.
pub(crate) type Operation<'a> = Box<dyn FnMut() -> Result<Done, Box<dyn Error>> + 'a>;

/// What one call of an [`Operation`] did.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Done {
    /// So many operations, in the time the call took.
    Operations(u32),
    /// One operation, of which only this much counts.
    Took(Duration),
}

impl Done {
    /// One operation.
    pub(crate) const ONE: Self = Self::Operations(1);
}

/// Nanoseconds per operation: the median of the turns and half the distance between their quartiles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Median.
    pub(crate) median: f64,
    /// Half of the interquartile range.
    pub(crate) spread: f64,
    /// Lower quartile. On a busy machine something else slows most turns, so ratios are taken of these.
    pub(crate) quick: f64,
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
        let (mut done, mut counted) = (0u32, Duration::ZERO);
        loop {
            match operation()? {
                Done::Operations(count) => done += count,
                Done::Took(time) => {
                    done += 1;
                    counted += time;
                }
            }
            let passed = start.elapsed();
            if passed >= end {
                let time = if counted.is_zero() { passed } else { counted };
                return Ok(time.as_secs_f64() * 1e9 / f64::from(done));
            }
        }
    }
}

impl Timing {
    fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_unstable_by(f64::total_cmp);
        let at = |part: usize| samples[(samples.len() - 1) * part / 4];
        Self { median: at(2), spread: (at(3) - at(1)) / 2.0, quick: at(1) }
    }
}
