//! Prints how long the primitives take on this machine: `cargo run --release -p trellis-algorithms --example measure`.

use std::{hint::black_box, thread, time::Instant};

use algorithms::{
    Error, SecretBytes,
    digest::Hash,
    ed25519,
    ml_dsa::{self, Hedging, Input, ParameterSet},
    random, self_test,
};

const MESSAGE: &[u8] = &[0x5a; 64];

fn main() -> Result<(), Error> {
    let start = Instant::now();
    self_test::run()?;
    println!("self-test, first run    {:>8.1} µs", start.elapsed().as_secs_f64() * 1e6);
    report("self-test", 50, self_test::run)?;

    for set in ParameterSet::ALL {
        let seed = random::secret(ml_dsa::SEED_LEN)?;
        let key = ml_dsa::PrivateKey::from_seed(set, &seed)?;
        let input = Input::Message { context: &[], message: MESSAGE };
        let signature = key.sign(input, Hedging::Hedged)?;
        report(&format!("{set:?} keygen"), 500, || ml_dsa::PrivateKey::generate(set).map(drop))?;
        report(&format!("{set:?} sign"), 2000, || key.sign(input, Hedging::Hedged).map(drop))?;
        report(&format!("{set:?} sign, determ."), 300, || key.sign(input, Hedging::Deterministic).map(drop))?;
        report(&format!("{set:?} verify"), 2000, || key.public_key().verify(input, &signature))?;
        let expanded = key.expanded()?;
        report(&format!("{set:?} import"), 500, || {
            ml_dsa::PrivateKey::from_expanded(set, &expanded).map(drop)
        })?;
    }

    let key = ed25519::PrivateKey::generate()?;
    let input = ed25519::Input::Pure(MESSAGE);
    let signature = key.sign(input)?;
    let public = *key.public_key().as_bytes().first_chunk::<32>().ok_or(Error::KeyInvalid)?;
    report("Ed25519 keygen", 5000, || ed25519::PrivateKey::generate().map(drop))?;
    report("Ed25519 sign", 20_000, || key.sign(input).map(drop))?;
    report("Ed25519 verify", 5000, || key.public_key().verify(input, &signature))?;
    report("Ed25519 public key", 5000, || ed25519::PublicKey::from_bytes(&public).map(drop))?;
    report("32 secret bytes", 100_000, || {
        black_box(SecretBytes::new(&[1; 32]));
        Ok(())
    })?;

    let megabyte = vec![0x5a; 1_000_000];
    report("SHA-256 of 1 MB", 20, || Hash::Sha256.digest(&megabyte).map(drop))?;
    report("SHA3-256 of 1 MB", 20, || Hash::Sha3_256.digest(&megabyte).map(drop))?;

    for threads in [1, 2] {
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..20_000).for_each(|_| drop(black_box(key.sign(input)))));
            }
        });
        let rate = f64::from(threads) * 20_000.0 / start.elapsed().as_secs_f64();
        println!("Ed25519, {threads} thread(s)    {rate:>8.0} signatures per second");
    }
    let key = ml_dsa::PrivateKey::generate(ParameterSet::MlDsa65)?;
    let input = Input::Message { context: &[], message: MESSAGE };
    for threads in [1, 2] {
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..3000).for_each(|_| drop(black_box(key.sign(input, Hedging::Hedged)))));
            }
        });
        let rate = f64::from(threads) * 3000.0 / start.elapsed().as_secs_f64();
        println!("ML-DSA-65, {threads} thread(s)  {rate:>8.0} signatures per second");
    }
    Ok(())
}

fn report(name: &str, times: u32, mut run: impl FnMut() -> Result<(), Error>) -> Result<(), Error> {
    run()?;
    let start = Instant::now();
    for _ in 0..times {
        run()?;
    }
    println!("{name:<24}{:>8.2} µs", start.elapsed().as_secs_f64() * 1e6 / f64::from(times));
    Ok(())
}
