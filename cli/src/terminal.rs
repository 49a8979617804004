//! The controlling terminal: hidden input and yes-or-no questions, also while standard input is a file.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::secret::Secret;

/// Longer input is refused; no token takes as much.
const LONGEST: usize = 1024;

const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const CTRL_U: u8 = 0x15;
const BACKSPACE: [u8; 2] = [0x08, 0x7f];

/// The terminal, or `None` where there is none (a service, a build, a cron job).
pub(crate) fn open() -> Option<File> {
    OpenOptions::new().read(true).write(true).open("/dev/tty").ok()
}

/// Asks for a secret without showing it.
pub(crate) fn ask_secret(terminal: &mut File, question: &str) -> Result<Secret> {
    let secret = hidden(terminal, question);
    // The line ending that was typed was not shown either.
    let _ = terminal.write_all(b"\n");
    secret
}

/// Goes on only when the user has agreed: by `--yes`, or by typing "y" or "yes" to the question. `doing` completes
/// "... wants a confirmation".
pub(crate) fn insist(yes: bool, doing: &str, question: &str) -> Result<()> {
    if yes {
        return Ok(());
    }
    let Some(mut terminal) = open() else {
        return Err(Error::conflict(format!("{doing} wants a confirmation")).remedy("add --yes"));
    };
    terminal.write_all(format!("{question} [y/N] ").as_bytes()).map_err(|error| failed(&error))?;
    let mut answer = Vec::new();
    let mut byte = [0];
    while answer.len() < LONGEST && terminal.read(&mut byte).map_err(|error| failed(&error))? == 1 {
        if byte == *b"\n" {
            break;
        }
        answer.push(byte[0]);
    }
    match String::from_utf8_lossy(&answer).trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::conflict("nothing was changed")),
    }
}

fn hidden(terminal: &mut File, question: &str) -> Result<Secret> {
    let quiet = Quiet::new(terminal)?;
    (&mut &*quiet.terminal).write_all(question.as_bytes()).map_err(|error| failed(&error))?;
    let mut typed = Zeroizing::new(Vec::with_capacity(LONGEST));
    loop {
        let mut byte = Zeroizing::new([0]);
        if (&mut &*quiet.terminal).read(byte.as_mut_slice()).map_err(|error| failed(&error))? == 0 {
            return Err(given_up());
        }
        match byte[0] {
            b'\n' | b'\r' => return Ok(Secret::new(std::mem::take(&mut *typed))),
            CTRL_C => return Err(given_up()),
            CTRL_D if typed.is_empty() => return Err(given_up()),
            CTRL_U => typed.clear(),
            erase if BACKSPACE.contains(&erase) => erase_character(&mut typed),
            _ if typed.len() == LONGEST => {
                return Err(Error::login(format!("more than {LONGEST} bytes were typed")));
            }
            other => typed.push(other),
        }
    }
}

/// Takes back one character of UTF-8, not one byte.
fn erase_character(typed: &mut Vec<u8>) {
    while let Some(byte) = typed.pop() {
        if byte & 0xc0 != 0x80 {
            break;
        }
    }
}

/// The terminal with echo, line editing and signals off, until dropped: with signals on, Ctrl-C at the question
/// would leave the user with a shell that shows nothing.
struct Quiet<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn new(terminal: &'a File) -> Result<Self> {
        let before = tcgetattr(terminal).map_err(|error| failed(&error.into()))?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal, OptionalActions::Flush, &quiet).map_err(|error| failed(&error.into()))?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // Nothing better can be done on the way out than to try.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

fn given_up() -> Error {
    Error::login("nothing was entered")
        .remedy("run the command again and enter it; `--help` lists the options that name another source")
}

fn failed(error: &std::io::Error) -> Error {
    Error::new(Exit::Io, format!("cannot use the terminal: {error}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn erasing_takes_a_whole_character() {
        let mut typed = "aé€".as_bytes().to_vec();
        super::erase_character(&mut typed);
        assert_eq!(typed, "aé".as_bytes());
        super::erase_character(&mut typed);
        assert_eq!(typed, b"a");
    }
}
