//! `fieldgate-cloud`: the cloud service and the operator's command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    fieldgate_cloud::cli::main()
}
