//! A process that ends when whoever started it does, whichever way that ends.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use crate::program;

/// No program takes so long to start.
const PATIENCE: Duration = Duration::from_secs(60);
/// Runs the program in the background, says its process id, and kills it at the end of standard input. Where the
/// program reads standard input itself, it gets it.
const WATCHED: &str = "\"$@\" </dev/null & echo $!; cat >/dev/null; kill -9 $! 2>/dev/null; wait";

/// A program to be started, or started.
#[derive(Debug)]
pub(crate) struct Process {
    command: Command,
    child: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn new(name: &str) -> Self {
        let mut command = Command::new("sh");
        // What ends with its standard input needs no watcher.
        if name == "trellis-cosigner-host" {
            command.args(["-c", WATCHED, "sh"]).arg(program(name));
        } else {
            command = Command::new(program(name));
        }
        Self { command, child: None }
    }

    pub(crate) fn arguments<'a>(&mut self, arguments: impl IntoIterator<Item = &'a str>) -> &mut Self {
        self.command.args(arguments);
        self
    }

    /// Options whose values are files in a directory.
    pub(crate) fn paths<const N: usize>(&mut self, directory: &Path, paths: [(&str, &str); N]) -> &mut Self {
        for (option, file) in paths {
            self.command.arg(option).arg(directory.join(file));
        }
        self
    }

    /// These variables, and hardly any others.
    pub(crate) fn environment<const N: usize>(&mut self, variables: [(&str, &str); N], home: &Path) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        self.command.env_clear().envs(variables).env("HOME", home).env("PATH", path);
    }

    pub(crate) fn start(&mut self) -> io::Result<()> {
        let mut child = self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        self.child = Some(Running { child, input, output: BufReader::new(output) });
        Ok(())
    }

    /// Starts it with a log, waits until a new line has `ready` in it, and returns what is new.
    pub(crate) fn start_with_log(&mut self, log: &Path, ready: &str) -> io::Result<String> {
        let before = fs::metadata(log).map_or(0, |file| file.len());
        self.command.stderr(File::options().create(true).append(true).open(log)?);
        self.start()?;
        let began = Instant::now();
        loop {
            let text = fs::read(log)?;
            let new =
                String::from_utf8_lossy(text.get(usize::try_from(before).unwrap_or(0)..).unwrap_or_default());
            if new.contains(ready) && new.ends_with('\n') {
                return Ok(new.into_owned());
            }
            let ended = self
                .child
                .as_mut()
                .is_none_or(|running| running.child.try_wait().is_ok_and(|end| end.is_some()));
            if ended || began.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("a program did not start: {new}")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn say(&mut self, line: &str) -> io::Result<()> {
        let running = self.child.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        writeln!(running.input, "{line}")
    }

    /// One line of its standard output.
    pub(crate) fn answer(&mut self) -> io::Result<String> {
        let running = self.child.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let mut line = String::new();
        running.output.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

/// SIGKILL, for the program and not only for its watcher.
impl Drop for Process {
    fn drop(&mut self) {
        if let Some(Running { mut child, input, mut output }) = self.child.take() {
            if self.command.get_program() == "sh" {
                drop(input);
                let _ = io::copy(&mut output, &mut io::sink());
            } else {
                let _ = child.kill();
            }
            let _ = child.wait();
        }
    }
}
