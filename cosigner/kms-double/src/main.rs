//! [`kms_double::process`] as a program.

use std::process::ExitCode;

fn main() -> ExitCode {
    kms_double::process::main(std::env::args_os())
}
