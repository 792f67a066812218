//! The `broker` program.

fn main() -> std::process::ExitCode {
    broker_cli::main()
}
