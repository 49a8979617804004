//! Turns: each contender runs for a few milliseconds, then the next, round after round.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Of everything here.
pub(crate) type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// How long and how often each contender runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turns {
    /// Rounds.
    pub(crate) count: usize,
    /// Milliseconds in one turn.
    pub(crate) millis: u64,
    /// No more rounds once they have taken so long together, if there have been [`FEWEST`].
    pub(crate) longest: Duration,
}

/// Rounds that every row has.
const FEWEST: usize = 5;
/// What one contender does in a row.
pub(crate) type Operation<'a> = Box<dyn FnMut() -> Result<Done> + 'a>;

/// What one call of an [`Operation`] did.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Done {
    /// So many operations, in the time the call took.
    Operations(u32),
    /// So many operations, for which only this much time counts.
    Took(u32, Span),
}

impl Done {
    /// One operation.
    pub(crate) const ONE: Self = Self::Operations(1);

    /// One operation: `work`, whatever else its caller does around it.
    pub(crate) fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(Self, T)> {
        let start = Span::start();
        let result = work()?;
        Ok((Self::Took(1, Span::since(start)), result))
    }
}

/// Time on the wall, and what this process used of its processors meanwhile.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Span {
    /// By the clock on the wall.
    pub(crate) wall: Duration,
    /// Of all threads together.
    pub(crate) cpu: Duration,
}

impl Span {
    /// For [`Span::since`].
    pub(crate) fn start() -> (Instant, Duration) {
        (Instant::now(), processor_time())
    }

    /// What has passed.
    pub(crate) fn since((start, cpu): (Instant, Duration)) -> Self {
        Self { wall: start.elapsed(), cpu: processor_time().saturating_sub(cpu) }
    }

    fn add(&mut self, other: Self) {
        self.wall += other.wall;
        self.cpu += other.cpu;
    }
}

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Nanoseconds per operation, or bytes: the median of the turns and half the distance between their quartiles.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Timing {
    /// Median.
    pub(crate) median: f64,
    /// Half of the interquartile range.
    pub(crate) spread: f64,
    /// Lower quartile. On a busy machine something else slows most turns, so ratios are taken of these.
    pub(crate) quick: f64,
    /// Nanoseconds of processor time per operation, the median; bytes have none.
    pub(crate) cpu: Option<f64>,
    /// In how many turns.
    pub(crate) turns: usize,
}

impl Turns {
    /// So many, of so many milliseconds.
    pub(crate) fn new(count: usize, millis: u64) -> Self {
        let turns = Duration::from_millis(millis).saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        // Enough for ten contenders whose operations are short.
        Self { count, millis, longest: turns.saturating_mul(10).max(Duration::from_secs(1)) }
    }

    /// So many times as many.
    pub(crate) fn longer(self, times: usize) -> Self {
        let longest = self.longest.saturating_mul(u32::try_from(times).unwrap_or(1));
        Self { count: self.count * times, longest, ..self }
    }

    /// Lets all operations take turns. Each gets one turn to warm up that does not count.
    pub(crate) fn run(self, operations: &mut [Operation<'_>]) -> Result<Vec<Timing>> {
        let mut samples = vec![Vec::with_capacity(self.count); operations.len()];
        let start = Instant::now();
        for round in 0..=self.count {
            if round > FEWEST && start.elapsed() > self.longest {
                break;
            }
            for (operation, samples) in operations.iter_mut().zip(&mut samples) {
                let sample = self.turn(operation)?;
                if round > 0 {
                    samples.push(sample);
                }
            }
        }
        Ok(samples.iter().map(|samples| Timing::of(samples)).collect())
    }

    /// Nanoseconds per operation: on the wall, of the processors.
    fn turn(self, operation: &mut Operation<'_>) -> Result<(f64, f64)> {
        let end = Duration::from_millis(self.millis);
        let start = Span::start();
        let (mut done, mut counted) = (0u32, None);
        loop {
            match operation()? {
                Done::Operations(count) => done += count,
                Done::Took(count, span) => {
                    done += count;
                    counted.get_or_insert_with(Span::default).add(span);
                }
            }
            if start.0.elapsed() >= end {
                let span = counted.unwrap_or_else(|| Span::since(start));
                let each = |time: Duration| time.as_secs_f64() * 1e9 / f64::from(done);
                return Ok((each(span.wall), each(span.cpu)));
            }
        }
    }
}

impl Timing {
    fn of(samples: &[(f64, f64)]) -> Self {
        let (wall, cpu): (Vec<f64>, Vec<f64>) = samples.iter().copied().unzip();
        Self { cpu: Some(quartile(cpu, 2)), ..Self::of_values(wall) }
    }

    /// Of what was done once.
    pub(crate) fn of_one(span: Span) -> Self {
        let nanos = |time: Duration| time.as_secs_f64() * 1e9;
        Self { cpu: Some(nanos(span.cpu)), ..Self::of_values(vec![nanos(span.wall)]) }
    }

    /// Of values that are no times.
    pub(crate) fn of_values(values: Vec<f64>) -> Self {
        let turns = values.len();
        let at = |part| quartile(values.clone(), part);
        Self { median: at(2), spread: (at(3) - at(1)) / 2.0, quick: at(1), cpu: None, turns }
    }
}

fn quartile(mut values: Vec<f64>, part: usize) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[(values.len() - 1) * part / 4]
}
