//! The lines of a slot over a TPM.

use std::path::{Path, PathBuf};

use super::slot::Lines;
use hsm_backends::tpm::PcrSelection;

/// `backend = "tpm"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tpm {
    /// The way to the TPM.
    pub tcti: String,
    /// The PCRs at which the user's PIN opens the token; `None`, whatever has started.
    pub pcrs: Option<PcrSelection>,
    /// The plug-in with libtss2; the one beside the module when `None`.
    pub plug_in: Option<PathBuf>,
}

/// The resource manager of the kernel.
const TCTI: &str = "device:/dev/tpmrm0";

impl Tpm {
    /// Takes its lines out of a slot's.
    pub(super) fn take(
        lines: &mut Lines,
        absolute: impl Fn(&Path) -> Result<PathBuf, String>,
    ) -> Result<Self, String> {
        let tcti = lines.tcti.take().unwrap_or_else(|| TCTI.into());
        let known = ["device:/", "swtpm:", "tabrmd:"].iter().any(|kind| tcti.starts_with(kind));
        if !known && !["swtpm", "tabrmd"].contains(&tcti.as_str()) {
            return Err(format!("tcti {tcti:?} is none of device:/PATH, swtpm:host=HOST,port=PORT, tabrmd"));
        }
        let pcrs = lines.pcrs.take().map(|text| text.parse().map_err(|why| format!("pcrs {text:?}: {why}")));
        let plug_in = lines.plug_in.take().map(|path| absolute(&path));
        Ok(Self { tcti, pcrs: pcrs.transpose()?, plug_in: plug_in.transpose()? })
    }
}
