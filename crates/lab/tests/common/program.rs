//! The program, run to its end.

use std::path::Path;
use std::process::{Command, Output};

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs the program.
pub fn simseg(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simseg")).args(arguments).output().unwrap()
}

/// What a run that went well said.
pub fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The one line of a run that was refused.
pub fn refused(output: &Output) -> String {
    let line = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!((output.status.code(), line.lines().count()), (Some(2), 1), "{line}");
    line
}
