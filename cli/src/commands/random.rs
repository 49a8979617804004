//! `trellis random`.

use std::path::PathBuf;

use clap::Args;
use zeroize::Zeroizing;

use crate::encoding::{Format, hex};
use crate::error::{Result, While};
use crate::files::write_result;
use crate::options::{Global, Outcome, TokenArgs};
use crate::output::show;
use crate::token::{OpenToken, Token};

/// What is asked of the token at a time in bytes; some refuse more.
const CHUNK: usize = 4096;

#[derive(Debug, Args)]
pub(crate) struct RandomArgs {
    /// Number of bytes, up to 16 MiB.
    #[arg(long, short = 'n', value_name = "N", default_value = "32", value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    bytes: u32,
    /// Form of the result.
    #[arg(long, value_enum, default_value = "hex")]
    format: Format,
    /// File to write [default: standard output].
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Token by label, serial number or PKCS#11 URI [default: the only initialised one].
    #[arg(long, short, value_name = "TOKEN")]
    token: Option<String>,
}

impl RandomArgs {
    pub(crate) fn run(self, global: &Global) -> Result<Outcome> {
        let args = TokenArgs { token: self.token, pin_source: None };
        let module = args.load(global, None)?;
        let token = Token::choose(&module, &args.choice(None))?;
        let open = OpenToken::open(&module, token, false)?;
        // It may become somebody's key.
        let mut bytes = Zeroizing::new(vec![0; self.bytes as usize]);
        for part in bytes.chunks_mut(CHUNK) {
            open.session().generate_random_slice(part).while_doing("drawing random bytes")?;
        }
        if global.json && self.out.is_none() {
            show(global, &serde_json::json!({ "bytes": self.bytes, "random": hex(&bytes) }), String::new)?;
            return Ok(Outcome::Done);
        }
        write_result(self.out.as_deref(), &Zeroizing::new(self.format.encode(&bytes)))?;
        if global.json {
            let out = self.out.map(|path| path.display().to_string());
            show(global, &serde_json::json!({ "bytes": self.bytes, "out": out }), String::new)?;
        }
        Ok(Outcome::Done)
    }
}
