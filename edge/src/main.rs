//! `fieldgate`: the edge daemon and the technician's command line.

fn main() -> std::process::ExitCode {
    fieldgate_edge::cli::main()
}
