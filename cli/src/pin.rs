//! Where PINs and passphrases come from: a prompt, a file, the environment, or systemd's credentials. Never the
//! command line, which every user of the machine can read.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::secret::Secret;
use crate::terminal;

/// Files longer than this hold no PIN.
const LONGEST: usize = 4096;

/// What the options `--pin-source` and its sisters accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PinSource {
    Prompt,
    File(PathBuf),
    Env(String),
    Systemd(String),
}

/// The help text shared by all PIN options.
pub(crate) const FORMS: &str = "prompt, file:PATH, env:NAME or systemd:NAME";

impl FromStr for PinSource {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        match (kind, rest) {
            ("prompt", "") => Ok(Self::Prompt),
            ("file", path) if !path.is_empty() => {
                Ok(Self::File(path.strip_prefix("//").unwrap_or(path).into()))
            }
            ("env", name) if !name.is_empty() => Ok(Self::Env(name.into())),
            ("systemd", name) if !name.is_empty() && !name.contains('/') => Ok(Self::Systemd(name.into())),
            // The text is not repeated: it may be a PIN that somebody put there.
            _ => Err(format!("a source is one of {FORMS}; the PIN itself may not stand on the command line")),
        }
    }
}

/// What is being asked for: the words of the prompt and of the errors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// "user PIN", "SO PIN", "passphrase".
    pub(crate) name: &'a str,
    /// "of token `x`", "for token `x`"; may be empty.
    pub(crate) whose: &'a str,
    /// The option that names a source for it.
    pub(crate) option: &'a str,
    /// Asked twice, because a slip of the finger would lock its owner out.
    pub(crate) new: bool,
}

/// Reads the secret from its source; without a source, from the terminal.
pub(crate) fn obtain(source: Option<&PinSource>, wanted: Wanted) -> Result<Secret> {
    let secret = match source {
        None | Some(PinSource::Prompt) => prompt(wanted)?,
        Some(PinSource::File(path)) => from_file(path)?,
        Some(PinSource::Env(name)) => from_env(name)?,
        Some(PinSource::Systemd(name)) => from_systemd(name)?,
    };
    // Of a new one the caller knows the shortest length.
    if secret.len() == 0 && !wanted.new {
        return Err(Error::login(format!("the {} is empty", wanted.name))
            .remedy("check its source; no token has an empty one"));
    }
    Ok(secret)
}

fn prompt(wanted: Wanted) -> Result<Secret> {
    let Wanted { name, whose, option, new } = wanted;
    let Some(mut tty) = terminal::open() else {
        return Err(Error::login(format!("the {name} is needed, and there is no terminal to ask at"))
            .remedy(format!("{option} file:PATH, env:NAME or systemd:NAME")));
    };
    let space = if whose.is_empty() { "" } else { " " };
    let first = terminal::ask_secret(&mut tty, &format!("{name}{space}{whose}: "))?;
    if new {
        let second = terminal::ask_secret(&mut tty, &format!("{name} again: "))?;
        if first.bytes() != second.bytes() {
            return Err(
                Error::login(format!("the two entries of the {name} differ")).remedy("run the command again")
            );
        }
    }
    Ok(first)
}

fn from_file(path: &Path) -> Result<Secret> {
    let failed = |error: std::io::Error| Error::io("read the PIN from", path, &error);
    let file = File::open(path).map_err(failed)?;
    // Asked of the open file, so that nobody can exchange it between the question and the reading.
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(Error::format(format!("{} is a folder, not a file with a PIN", path.display()))
            .remedy("name the file in it"));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(Error::login(format!("others may read the PIN in {}", path.display()))
            .remedy(format!("chmod 600 {}", path.display())));
    }
    read(file, path)
}

fn from_env(name: &str) -> Result<Secret> {
    let value = std::env::var_os(name).ok_or_else(|| {
        Error::login(format!("the environment has no variable {name}"))
            .remedy(format!("set and export {name}"))
    })?;
    Ok(Secret::new(std::os::unix::ffi::OsStringExt::into_vec(value)))
}

/// systemd makes the folder readable to the service alone (LoadCredential=, SetCredentialEncrypted=).
fn from_systemd(name: &str) -> Result<Secret> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
        Error::login("systemd passed no credentials (CREDENTIALS_DIRECTORY is not set)")
            .remedy(format!("add `LoadCredential={name}:PATH` to the service"))
    })?;
    let path = Path::new(&folder).join(name);
    let file = File::open(&path).map_err(|error| {
        Error::io("read the credential", &path, &error).remedy(format!("add `LoadCredential={name}:PATH`"))
    })?;
    read(file, &path)
}

fn read(file: File, path: &Path) -> Result<Secret> {
    match Secret::read(file, LONGEST) {
        Ok(Some(secret)) => Ok(secret.without_newline()),
        Ok(None) => Err(Error::login(format!("{} is too long to be a PIN", path.display()))
            .remedy("a file with the PIN and nothing else")),
        Err(error) => Err(Error::io("read the PIN from", path, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn sources_parse() {
        let cases = [
            ("prompt", PinSource::Prompt),
            ("file:/run/pin", PinSource::File("/run/pin".into())),
            ("file:///run/pin", PinSource::File("/run/pin".into())),
            ("file:a:b", PinSource::File("a:b".into())),
            ("env:PIN", PinSource::Env("PIN".into())),
            ("systemd:pin", PinSource::Systemd("pin".into())),
        ];
        for (text, source) in cases {
            assert_eq!(text.parse(), Ok(source), "{text}");
        }
    }

    #[test]
    fn a_pin_given_as_source_is_refused_and_not_repeated() {
        for text in
            ["48151623", "pass:48151623", "systemd:../48151623", "prompt:48151623", "file:", "env:", ""]
        {
            let error = text.parse::<PinSource>().unwrap_err();
            assert!(!error.contains("48151623") && error.contains("file:PATH"), "{error}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pin");
        fs::write(&path, "1234\n").unwrap();
        for mode in [0o644, 0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(from_file(&path).unwrap_err().to_string().contains("chmod 600"), "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(from_file(&path).unwrap().bytes(), b"1234");
    }
}
