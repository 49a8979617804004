//! The stand for scripts: prints where the host listens and the hash of the emulated root, takes a command on each line
//! of standard input, answers each with a line, and ends when standard input does.
//!
//! `kill enclave`, `start enclave`, `kill host`, `start host`; anything else is for the KMS double.

use std::{
    io::{self, BufRead},
    process::ExitCode,
};

use test_stand::Stand;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trellis-test-stand: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let options: Vec<String> = std::env::args().skip(1).collect();
    let mut stand = Stand::start(&options.iter().map(String::as_str).collect::<Vec<_>>())?;
    println!("{} {}", stand.host(), stand.root());
    for line in io::stdin().lock().lines() {
        match line?.as_str() {
            "kill enclave" => stand.kill_enclave(),
            "start enclave" => stand.start_enclave()?,
            "kill host" => stand.kill_host(),
            "start host" => stand.start_host()?,
            other => {
                println!("{}", stand.kms(other)?);
                continue;
            }
        }
        println!("ok");
    }
    Ok(())
}
