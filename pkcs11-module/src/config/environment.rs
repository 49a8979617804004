//! By what the configuration is looked up, and how the paths in it are meant.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::ConfigError;

/// What the configuration is looked up by.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// TRELLIS_CONF.
    pub conf: Option<OsString>,
    /// TRELLIS_LOG.
    pub log: Option<String>,
    /// XDG_CONFIG_HOME.
    pub xdg_config_home: Option<PathBuf>,
    /// XDG_DATA_HOME.
    pub xdg_data_home: Option<PathBuf>,
    /// The user's home directory.
    pub home: Option<PathBuf>,
}

impl Environment {
    /// This process's; a variable that is empty is as if it were not set. A program that runs with more rights than its user (setuid, file capabilities) has none: who
    /// starts it must not choose its configuration, so there only /etc/trellis/trellis.toml counts.
    pub fn of_process() -> Self {
        if crate::ffi::process::runs_with_foreign_rights() {
            return Self::default();
        }
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let path = |name| set(name).map(PathBuf::from).filter(|path| path.is_absolute());
        Self {
            conf: set("TRELLIS_CONF"),
            log: set("TRELLIS_LOG").map(|value| value.to_string_lossy().into_owned()),
            xdg_config_home: path("XDG_CONFIG_HOME"),
            xdg_data_home: path("XDG_DATA_HOME"),
            home: std::env::home_dir().filter(|path| path.is_absolute()),
        }
    }

    pub(super) fn xdg_config(&self) -> Option<PathBuf> {
        let base = self.xdg_config_home.clone().or_else(|| Some(self.home.as_ref()?.join(".config")))?;
        Some(base.join("trellis/trellis.toml"))
    }

    pub(super) fn default_store(&self) -> Option<PathBuf> {
        let base = self.xdg_data_home.clone().or_else(|| Some(self.home.as_ref()?.join(".local/share")))?;
        Some(base.join("trellis/default"))
    }
}

/// Whether there is a file; one that is there but hidden from us is an error, not an absence.
pub(super) fn exists(path: &Path) -> Result<bool, ConfigError> {
    path.try_exists().map_err(|cause| ConfigError::unreadable(path, &cause))
}

/// A path of the file: `~/` is the user's home, any other relative path starts at the file's directory.
pub(super) fn absolute(path: &Path, file: &Path, home: Option<&Path>) -> Result<PathBuf, String> {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => Ok(home.join(rest)),
        (Ok(_), None) => Err("no home directory is known for ~".into()),
        (Err(_), _) => std::path::absolute(file.parent().unwrap_or(Path::new("")).join(path))
            .map_err(|cause| format!("path {}: {cause}", path.display())),
    }
}
