//! Prints how long each engine signs and verifies, as a table: `make bench-engines`. The engines take turns, so that
//! what else the machine does disturbs all of them alike; ratios are to AWS-LC's deterministic signing, which tries as
//! often as the others do.

use std::{hint::black_box, time::Instant};

use algorithms::{
    SecretBytes,
    digest::Hash,
    ml_dsa::{ParameterSet, SEED_LEN},
};
use trellis_engines::contender::{Contender, Pair, contenders};

/// Messages of a turn: each engine signs the same ones, so that it rejects as often.
const MESSAGES: usize = 40;

fn main() {
    let turns = std::env::args().nth(1).map_or(25, |turns| turns.parse().expect("a number of turns"));
    for set in ParameterSet::ALL {
        println!("\n{set:?}\n");
        println!("| engine | matrix kept | prepare µs | sign µs | × AWS-LC | verify µs | × AWS-LC |");
        println!("|---|---|---|---|---|---|---|");
        let seed = SecretBytes::new(&[7; SEED_LEN]);
        let pairs: Vec<_> = contenders().into_iter().map(|one| ((one.prepare)(set, &seed), one)).collect();
        let mut times: Vec<[Vec<f64>; 3]> = pairs.iter().map(|_| Default::default()).collect();
        for turn in 0..turns {
            let messages: Vec<Vec<u8>> =
                (0..MESSAGES).map(|message| digest(turn * MESSAGES + message)).collect();
            for ((pair, one), times) in pairs.iter().zip(&mut times) {
                let measured = measure(set, &seed, one, &**pair, &messages);
                times.iter_mut().zip(measured).for_each(|(times, time)| times.push(time));
            }
        }
        let medians: Vec<[f64; 3]> = times.into_iter().map(|times| times.map(median)).collect();
        let base = medians[1];
        for ((_, one), [prepare, sign, verify]) in pairs.iter().zip(medians) {
            let kept = if one.keeps_matrix { "yes" } else { "no" };
            println!(
                "| {} | {kept} | {prepare:.0} | {sign:.0} | {:.2} | {verify:.1} | {:.2} |",
                one.name,
                sign / base[1],
                verify / base[2]
            );
        }
    }
}

fn digest(number: usize) -> Vec<u8> {
    Hash::Sha256.digest(&number.to_le_bytes()).expect("a digest")
}

/// Microseconds to prepare both keys, for a signature and for a verification.
fn measure(
    set: ParameterSet,
    seed: &SecretBytes,
    one: &Contender,
    pair: &dyn Pair,
    messages: &[Vec<u8>],
) -> [f64; 3] {
    let start = Instant::now();
    for _ in 0..4 {
        black_box((one.prepare)(set, seed));
    }
    let prepare = start.elapsed().as_secs_f64() / 4.0;
    let start = Instant::now();
    let signatures: Vec<_> = messages.iter().map(|message| pair.sign(message)).collect();
    let sign = start.elapsed().as_secs_f64() / messages.len() as f64;
    let start = Instant::now();
    let good = messages.iter().zip(&signatures).all(|(message, signature)| pair.verify(message, signature));
    let verify = start.elapsed().as_secs_f64() / messages.len() as f64;
    assert!(good, "{}", one.name);
    [prepare, sign, verify].map(|seconds| seconds * 1e6)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
