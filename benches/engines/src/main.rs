//! Prints how long each engine signs and verifies, as a table: `make bench-engines`. Times are the thread's own on the CPU,
//! each the shortest of some turns in which every engine signs the same messages, so that it rejects as often; what else
//! the machine does disturbs that least. Ratios are to AWS-LC's deterministic signing.

use std::{array, hint::black_box};

use algorithms::{
    SecretBytes,
    digest::Hash,
    ml_dsa::{ParameterSet, SEED_LEN},
};
use rustix::time::{ClockId, clock_gettime};
use trellis_engines::contender::{Contender, Pair, contenders};

/// Groups of messages. The shortest time is kept for each, and their mean is told.
const GROUPS: usize = 12;
/// Messages of a group.
const GROUP: usize = 10;

fn main() {
    let turns = std::env::args().nth(1).map_or(20, |turns| turns.parse().expect("a number of turns"));
    let groups: [Vec<_>; GROUPS] =
        array::from_fn(|group| (0..GROUP).map(|message| digest(group * GROUP + message)).collect());
    let seed = SecretBytes::new(&[7; SEED_LEN]);
    for set in ParameterSet::ALL {
        println!("\n{set:?}\n");
        println!("| engine | matrix kept | prepare µs | sign µs | × AWS-LC | verify µs | × AWS-LC |");
        println!("|---|---|---|---|---|---|---|");
        let pairs: Vec<_> = contenders().into_iter().map(|one| ((one.prepare)(set, &seed), one)).collect();
        let mut best = vec![[[f64::INFINITY; 3]; GROUPS]; pairs.len()];
        for _ in 0..turns {
            for (group, messages) in groups.iter().enumerate() {
                for ((pair, one), best) in pairs.iter().zip(&mut best) {
                    let times = measure(set, &seed, one, &**pair, messages);
                    best[group] = array::from_fn(|row| best[group][row].min(times[row]));
                }
            }
        }
        let mean = |best: &[[f64; 3]; GROUPS]| {
            array::from_fn(|row| best.iter().map(|times| times[row]).sum::<f64>() / GROUPS as f64)
        };
        let [_, base_sign, base_verify] = mean(&best[1]);
        for ((_, one), best) in pairs.iter().zip(&best) {
            let [prepare, sign, verify]: [f64; 3] = mean(best);
            let kept = if one.keeps_matrix { "yes" } else { "no" };
            println!(
                "| {} | {kept} | {prepare:.0} | {sign:.0} | {:.2} | {verify:.1} | {:.2} |",
                one.name,
                sign / base_sign,
                verify / base_verify
            );
        }
    }
}

fn digest(number: usize) -> Vec<u8> {
    Hash::Sha256.digest(&number.to_le_bytes()).expect("a digest")
}

/// Microseconds of this thread on the CPU.
fn cpu_time() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
}

/// Microseconds to prepare both keys, for a signature and for a verification.
fn measure(
    set: ParameterSet,
    seed: &SecretBytes,
    one: &Contender,
    pair: &dyn Pair,
    messages: &[Vec<u8>],
) -> [f64; 3] {
    let start = cpu_time();
    black_box((one.prepare)(set, seed));
    let prepared = cpu_time();
    let signatures: Vec<_> = messages.iter().map(|message| pair.sign(message)).collect();
    let signed = cpu_time();
    let good = messages.iter().zip(&signatures).all(|(message, signature)| pair.verify(message, signature));
    let verified = cpu_time();
    assert!(good, "{}", one.name);
    let each = messages.len() as f64;
    [prepared - start, (signed - prepared) / each, (verified - signed) / each]
}
