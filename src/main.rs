//! The `discordd` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    discordd::cli::run()
}
