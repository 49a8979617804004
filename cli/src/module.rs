//! The PKCS#11 module: where it is, and one run of it from C_Initialize to C_Finalize.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Info, Pkcs11};
use cryptoki::error::Error as Cryptoki;

use crate::error::{Error, Result};
use crate::raw::Raw;
use crate::report::{Failure, Report};

/// File name of Trellis's own module.
pub(crate) const LIBRARY: &str = "libtrellis_pkcs11.so";

/// The environment variable that names a module.
pub(crate) const VARIABLE: &str = "TRELLIS_MODULE";

/// The module of this run of the command: an error may outlive the [`Module`] that it came from, and be explained then.
static LOADED: OnceLock<PathBuf> = OnceLock::new();

/// How the module was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Option,
    Uri,
    Environment,
    Default,
}

impl Source {
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Option => "from --module",
            Self::Uri => "from module-path in the URI",
            Self::Environment => "from TRELLIS_MODULE",
            Self::Default => "found beside the command",
        }
    }
}

/// Finds the module: `--module`, the URI's module-path, TRELLIS_MODULE, then beside the executable and below its prefix.
pub(crate) fn locate(option: Option<&Path>, uri: Option<&str>) -> Result<(PathBuf, Source)> {
    let variable = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    let named = [
        (option.map(Path::to_owned), Source::Option),
        (uri.map(PathBuf::from), Source::Uri),
        (variable, Source::Environment),
    ];
    if let Some((path, source)) = named.into_iter().find_map(|(path, source)| Some((path?, source))) {
        return named_module(&path, source).map(|path| (path, source));
    }
    let tried = candidates(std::env::current_exe().ok().as_deref());
    match tried.iter().find(|path| path.is_file()) {
        Some(path) => Ok((path.clone(), Source::Default)),
        None => {
            let list: Vec<_> = tried.iter().map(|path| path.display().to_string()).collect();
            Err(Error::module(format!("no PKCS#11 module found; looked for {}", list.join(", ")))
                .remedy(format!("name it with --module PATH or {VARIABLE}=PATH")))
        }
    }
}

/// Where Trellis's module lies in relation to the command, best first.
fn candidates(executable: Option<&Path>) -> Vec<PathBuf> {
    let executable = executable.map(|path| path.canonicalize().unwrap_or_else(|_| path.to_owned()));
    let Some(folder) = executable.as_deref().and_then(Path::parent) else { return Vec::new() };
    let mut found = vec![folder.join(LIBRARY)];
    if let Some(prefix) = folder.parent() {
        let multiarch = format!("lib/{}-linux-gnu/pkcs11", std::env::consts::ARCH);
        let below = ["lib/trellis", "lib/pkcs11", &multiarch];
        found.extend(below.iter().map(|lib| prefix.join(lib).join(LIBRARY)));
    }
    found
}

/// A path is used as it is; a bare name that is no file here is left to the system's library search.
fn named_module(path: &Path, source: Source) -> Result<PathBuf> {
    if path.is_file() {
        return std::path::absolute(path).map_err(|error| Error::io("find the module", path, &error));
    }
    let bare = path.components().count() == 1 && !path.exists();
    if bare {
        return Ok(path.to_owned());
    }
    Err(Error::module(format!("there is no module at {} ({})", path.display(), source.describe()))
        .remedy("check the path"))
}

/// A loaded and initialised module; dropping it finalises the module.
#[derive(Debug)]
pub(crate) struct Module {
    pkcs11: Pkcs11,
    path: PathBuf,
}

impl Module {
    /// The module of this run of the command.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let _ = LOADED.set(path.to_owned());
        Self::open(path)
    }

    /// A module besides.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let pkcs11 = Pkcs11::new(path).map_err(|error| match error {
            Cryptoki::LibraryLoading(error) => Error::module(format!(
                "the module does not load: {}",
                reason(&error)
            ))
            .remedy(format!("check that it is a PKCS#11 module for this machine: `file {}`", path.display())),
            Cryptoki::MissingSymbol(name) => {
                Error::module(format!("{} is no PKCS#11 module: it has no {name}", path.display()))
                    .remedy("name another file with --module")
            }
            other => other.into(),
        })?;
        let arguments = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        pkcs11.initialize(arguments).map_err(|error| {
            Error::from(error)
                .while_doing("the module does not start")
                .remedy("run `trellis doctor`")
                .explained()
        })?;
        Ok(Self { pkcs11, path: path.to_owned() })
    }

    /// Whether the library is this file.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        real(&self.path) == real(path)
    }

    pub(crate) fn pkcs11(&self) -> &Pkcs11 {
        &self.pkcs11
    }

    pub(crate) fn info(&self) -> Result<Info> {
        Ok(self.pkcs11.get_library_info()?)
    }

    /// Whether it is Trellis's own.
    pub(crate) fn is_trellis(&self) -> Result<bool> {
        Ok(self.raw()?.vendor().is_some())
    }

    /// The same library for the calls that `cryptoki` does not make.
    pub(crate) fn raw(&self) -> Result<Raw> {
        Raw::new(&self.path)
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // The process is about to end; a module that fails here can do no more harm.
        let _ = self.pkcs11.clone().finalize();
    }
}

/// What Trellis's module says of itself, initialised or not; `None` when the module is not Trellis's.
pub(crate) fn report(path: &Path) -> Result<Option<Report>> {
    let raw = Raw::new(path)?;
    let Some(vendor) = raw.vendor() else { return Ok(None) };
    Report::parse(&vendor.status(None)?).map(Some)
}

/// Why this function of the loaded module answered with this code, if the module tells.
pub(crate) fn last_failure(function: &str, return_value: &str) -> Option<Failure> {
    let failure = report(LOADED.get()?).ok()??.last_failure?;
    (failure.function == function && failure.return_value == return_value).then_some(failure)
}

/// The loader's own sentence, which names the file and the missing library.
fn reason(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_looked_for_beside_the_command_and_below_its_prefix() {
        let found = candidates(Some(Path::new("/nowhere/usr/bin/trellis")));
        let expected = [
            "/nowhere/usr/bin/libtrellis_pkcs11.so".to_owned(),
            "/nowhere/usr/lib/trellis/libtrellis_pkcs11.so".to_owned(),
            "/nowhere/usr/lib/pkcs11/libtrellis_pkcs11.so".to_owned(),
            format!("/nowhere/usr/lib/{}-linux-gnu/pkcs11/libtrellis_pkcs11.so", std::env::consts::ARCH),
        ];
        assert_eq!(found, expected.map(PathBuf::from));
    }

    #[test]
    fn a_path_that_is_not_there_is_refused_with_where_it_came_from() {
        let error = named_module(Path::new("/nowhere/x.so"), Source::Environment).unwrap_err();
        assert!(error.to_string().contains("/nowhere/x.so (from TRELLIS_MODULE)"), "{error}");
    }
}
