//! Everything that can go wrong, as a sentence, a remedy and an exit code.

use std::fmt;
use std::path::Path;

use cryptoki::error::{Error as Cryptoki, RvError};

use crate::ckr;
use crate::exit::Exit;
use crate::module;

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Codes that many causes have.
const SAY_LITTLE: [&str; 8] = [
    "CKR_GENERAL_ERROR",
    "CKR_FUNCTION_FAILED",
    "CKR_DEVICE_ERROR",
    "CKR_DEVICE_MEMORY",
    "CKR_DEVICE_REMOVED",
    "CKR_TOKEN_NOT_PRESENT",
    "CKR_TOKEN_NOT_RECOGNIZED",
    "CKR_TOKEN_WRITE_PROTECTED",
];

/// A failure, ready to be shown.
#[derive(Debug)]
pub(crate) struct Error {
    pub(crate) exit: Exit,
    /// What was being done, and a colon; may be empty.
    doing: String,
    message: String,
    remedy: Option<String>,
    /// `CKR_...` and the C function, where PKCS#11 is the cause.
    pkcs11: Option<Box<(String, String)>>,
    explained: bool,
}

impl Error {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            doing: String::new(),
            message: message.into(),
            remedy: None,
            pkcs11: None,
            explained: false,
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub(crate) fn login(message: impl Into<String>) -> Self {
        Self::new(Exit::Login, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, message)
    }

    pub(crate) fn module(message: impl Into<String>) -> Self {
        Self::new(Exit::Module, message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(Exit::Conflict, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Exit::Unsupported, message)
    }

    pub(crate) fn format(message: impl Into<String>) -> Self {
        Self::new(Exit::Io, message)
    }

    /// A file operation that failed: `doing` completes "cannot ...".
    pub(crate) fn io(doing: &str, path: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let error = match error.kind() {
            ErrorKind::NotFound => "there is no such file or folder".to_owned(),
            ErrorKind::PermissionDenied => "permission denied".to_owned(),
            ErrorKind::StorageFull => "the disk is full".to_owned(),
            ErrorKind::IsADirectory => "it is a folder".to_owned(),
            _ => error.to_string(),
        };
        Self::new(Exit::Io, format!("cannot {doing} {}: {error}", path.display()))
    }

    /// A raw return value of the vendor interface.
    pub(crate) fn from_code(code: cryptoki_sys::CK_RV, function: &str) -> Self {
        match ckr::row_of_code(code) {
            Some(row) => Self::from_row(row, function),
            None => Self {
                pkcs11: Some(Box::new((format!("0x{code:08x}"), function.to_owned()))),
                ..Self::module("the module failed with a code of its own")
            },
        }
    }

    /// What to do about it; completes "try: ".
    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Puts what was being done before the cause: "making the key: the token has no room left".
    pub(crate) fn while_doing(mut self, doing: &str) -> Self {
        self.doing = format!("{doing}: {}", self.doing);
        self
    }

    /// Says of another thing what went wrong, with the same code.
    pub(crate) fn meaning(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// Whether PKCS#11 answered with this code.
    pub(crate) fn is(&self, return_value: &str) -> bool {
        self.pkcs11.as_deref().is_some_and(|(name, _)| name == return_value)
    }

    /// Whether a function of the module answered, though with an error.
    pub(crate) fn is_of_pkcs11(&self) -> bool {
        self.pkcs11.is_some()
    }

    /// Which of a call's templates was refused, if the module tells.
    pub(crate) fn template(&self) -> Option<usize> {
        let (code, function) = self.pkcs11.as_deref()?;
        module::last_failure(function, code)?.template
    }

    /// With the reason that the module knows, where the code alone says too little. To be called before another
    /// function of the module fails.
    pub(crate) fn explained(mut self) -> Self {
        let Some((code, function)) = self.pkcs11.as_deref().cloned() else { return self };
        if self.explained || !SAY_LITTLE.contains(&code.as_str()) {
            return self;
        }
        self.explained = true;
        if let Some(failure) = module::last_failure(&function, &code) {
            if failure.about == "backup" {
                self.exit = Exit::Io;
            }
            self.message = failure.message;
            self.remedy = Some(failure.remedy);
        }
        self
    }

    /// What went wrong, without the remedy.
    pub(crate) fn cause(&self) -> String {
        match self.pkcs11.as_deref() {
            None => format!("{}{}", self.doing, self.message),
            Some((name, function)) => format!("{}{} ({name} from {function})", self.doing, self.message),
        }
    }

    pub(crate) fn what_to_do(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// Cause and remedy on one line, for a program whose standard error is read line by line.
    pub(crate) fn one_line(&self) -> String {
        let remedy = self.remedy.iter().map(|remedy| format!("; {remedy}"));
        let line: String = std::iter::once(self.cause()).chain(remedy).collect();
        line.replace(|character: char| character.is_control(), " ")
    }

    fn from_row(row: &ckr::Row, function: &str) -> Self {
        Self {
            pkcs11: Some(Box::new((row.name.to_owned(), function.to_owned()))),
            ..Self::new(row.exit, row.cause).remedy(row.remedy)
        }
    }

    /// The form that `--json` writes to standard error.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "error": {
                "kind": self.exit,
                "exit_code": self.exit as u8,
                "message": format!("{}{}", self.doing, self.message),
                "remedy": self.remedy,
                "return_value": self.pkcs11.as_deref().map(|(name, _)| name),
                "function": self.pkcs11.as_deref().map(|(_, function)| function),
            }
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause())?;
        if let Some(remedy) = &self.remedy {
            write!(f, "\n  try: {remedy}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<Cryptoki> for Error {
    fn from(error: Cryptoki) -> Self {
        match error {
            Cryptoki::Pkcs11(rv, function) => {
                let function = format!("C_{function:?}");
                match (ckr::row(rv), rv) {
                    (Some(row), _) => Self::from_row(row, &function),
                    (None, RvError::VendorDefined(code) | RvError::UnknownErrorCode(code)) => {
                        Self::from_code(code, &function)
                    }
                    (None, _) => Self {
                        pkcs11: Some(Box::new((format!("{rv:?}"), function))),
                        ..Self::module("the module failed")
                    },
                }
            }
            Cryptoki::NullFunctionPointer => Self::unsupported("the module does not have that function")
                .remedy("use a module that has it (--module)"),
            other => Self::module(format!("the module gave an answer that makes no sense: {other}"))
                .remedy("run `trellis doctor`, and report it to the maker of the module"),
        }
    }
}

/// Adds what was being done to any error on its way up.
pub(crate) trait While<T> {
    fn while_doing(self, doing: &str) -> Result<T>;
}

impl<T, E: Into<Error>> While<T> for std::result::Result<T, E> {
    fn while_doing(self, doing: &str) -> Result<T> {
        self.map_err(|error| error.into().while_doing(doing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cryptoki::context::Function;

    #[test]
    fn a_pkcs11_error_names_cause_code_function_and_remedy() {
        let error = Error::from(Cryptoki::Pkcs11(RvError::PinLocked, Function::Login));
        let text = error.to_string();
        assert_eq!(error.exit, Exit::Login);
        assert!(text.contains("locked") && text.contains("(CKR_PIN_LOCKED from C_Login)"), "{text}");
        assert!(text.contains("\n  try: "), "{text}");
    }

    #[test]
    fn a_vendor_code_is_shown_in_hex() {
        let error = Error::from(Cryptoki::Pkcs11(RvError::VendorDefined(0x8000_0123), Function::Sign));
        assert!(error.to_string().contains("(0x80000123 from C_Sign)"), "{error}");
    }
}
