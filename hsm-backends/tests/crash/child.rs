//! Starting this program again with a job, and killing it.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    time::Duration,
};

const JOB: &str = "TRELLIS_CRASH_JOB";
const DIRECTORY: &str = "TRELLIS_CRASH_DIRECTORY";

/// What a child was started for.
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) directory: String,
}

pub(crate) fn job() -> Option<Job> {
    Some(Job { name: std::env::var(JOB).ok()?, directory: std::env::var(DIRECTORY).ok()? })
}

/// Tells the parent. One write(2), which a signal cannot cut in two.
pub(crate) fn say(line: &str) {
    std::io::stderr().write_all(format!("@{line}\n").as_bytes()).unwrap();
}

/// A child at work; killed when dropped.
pub(crate) struct Running {
    child: Child,
    output: BufReader<ChildStderr>,
}

impl Running {
    /// Starts a job and waits until it says `ready`.
    pub(crate) fn start(name: &str, directory: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(JOB, name)
            .env(DIRECTORY, directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stderr.take().unwrap());
        let mut running = Self { child, output };
        let mut line = String::new();
        running.output.read_line(&mut line).unwrap();
        if line != "@ready\n" {
            panic!("{name} did not start: {line}{}", running.rest());
        }
        running
    }

    /// Kills it some time from now (SIGKILL), and returns what it has said since it was ready.
    pub(crate) fn kill_within(mut self, microseconds: u64) -> Vec<String> {
        std::thread::sleep(Duration::from_micros(crate::below(microseconds)));
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        let said = self.rest();
        assert_eq!(status.code(), None, "it ended before it was killed: {said}");
        let lines = said.lines().map(|line| match line.strip_prefix('@') {
            Some(line) => line.to_owned(),
            None => panic!("{said}"),
        });
        lines.collect()
    }

    fn rest(&mut self) -> String {
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.output, &mut said).unwrap();
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
