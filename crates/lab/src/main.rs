//! The program `simseg` without extensions: see [`simseg_lab::main`].

fn main() -> std::process::ExitCode {
    simseg_lab::main(())
}
