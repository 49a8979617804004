//! Lines on standard error, for systemd's journal or a terminal. Users stand in it under a keyed hash: the same user is the
//! same in every line, and only who has the records' file can say which one.

use std::fmt;

use aws_lc_rs::hmac;
use cosigner_protocol::UserId;

/// Where lines go, and the key of the hash.
#[derive(Debug)]
pub struct Log {
    key: hmac::Key,
    /// systemd reads a line's urgency from its beginning (sd-daemon(3)).
    journal: bool,
}

/// A user as the log has it: 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pseudonym([u8; 8]);

impl Log {
    /// A log with the key of the records' file.
    pub fn new(key: &[u8; 32]) -> Self {
        let journal = std::env::var_os("JOURNAL_STREAM").is_some();
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), journal }
    }

    /// A user's name in the log.
    pub fn user(&self, user_id: &UserId) -> Pseudonym {
        let tag = hmac::sign(&self.key, user_id.as_str().as_bytes());
        let mut name = [0; 8];
        name.copy_from_slice(&tag.as_ref()[..8]);
        Pseudonym(name)
    }

    /// What happens in the normal course.
    pub fn info(&self, line: fmt::Arguments<'_>) {
        self.write("<6>", line);
    }

    /// What somebody should look at.
    pub fn warn(&self, line: fmt::Arguments<'_>) {
        self.write("<4>", line);
    }

    fn write(&self, urgency: &str, line: fmt::Arguments<'_>) {
        let urgency = if self.journal { urgency } else { "" };
        // What others have said is in some lines: it starts none of its own.
        eprintln!("{urgency}{}", line.to_string().replace(|letter: char| letter.is_control(), " "));
    }
}

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
