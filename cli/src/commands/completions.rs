//! `trellis completions`.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::error::Result;
use crate::files::print;
use crate::options::Outcome;

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell to write for.
    #[arg(value_enum)]
    shell: Shell,
}

impl CompletionsArgs {
    pub(crate) fn run(self, mut command: Command) -> Result<Outcome> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "trellis", &mut script);
        print(&script)?;
        Ok(Outcome::Done)
    }
}
