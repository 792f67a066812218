//! The facade and an adapter stand in Cargo.toml, and no line here mentions a provider.

fn main() -> std::process::ExitCode {
    linkage::open()
}
