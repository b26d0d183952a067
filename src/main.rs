//! The `clustergate` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    clustergate::cli::main()
}
