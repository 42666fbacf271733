//! How a command ends: 0 done, 1 a check failed, 2 bad input or usage, 3 the machine failed.

use std::path::Path;
use std::process::Command;

fn status(arguments: &[&str]) -> Option<i32> {
    Command::new(env!("CARGO_BIN_EXE_simseg")).args(arguments).output().unwrap().status.code()
}

#[test]
fn a_backend_that_fails_is_not_the_users_fault() {
    let failure = |error: simseg_tensor::Error| simseg_lab::Failure::from(error).code();
    let backend = simseg_tensor::Error::Backend { backend: "tch", message: "out of memory".into() };
    assert_eq!(failure(backend), 3);
    let shape = simseg_tensor::Error::Shape { op: "matmul", lhs: vec![2], rhs: vec![3], rule: "equal" };
    assert_eq!(failure(shape), 3);
    assert_eq!(failure(simseg_tensor::Error::setting("aligner.image_k", "at least 1")), 2);
}

#[test]
fn checks_and_usage_have_statuses_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("e.toml");
    let toml = include_str!("../../../experiments/quick.toml")
        .replace("loda.miou >= 2 * dense.miou", "loda.miou >= 2")
        .replace("count = 2000", "count = 64")
        .replace("count = 200,", "count = 4,")
        .replace("steps = 170", "steps = 2");
    std::fs::write(&file, toml).unwrap();
    let (file, out) = (file.to_str().unwrap(), folder.path().join("out"));
    assert_eq!(status(&["run", file, "--out", out.to_str().unwrap(), "--set", "training.batch=8"]), Some(1));
    assert_eq!(status(&["run", file, "--nonsense"]), Some(2));
    assert_eq!(status(&["run", file, "--threads", "100000"]), Some(2));
    assert_eq!(status(&["run", Path::new("nowhere.toml").to_str().unwrap()]), Some(2));
    assert_eq!(status(&["recipe", "plain"]), Some(0));
}

#[test]
fn instructions_that_are_not_there_are_one_line_that_names_the_variable() {
    let with = |value| {
        Command::new(env!("CARGO_BIN_EXE_simseg")).args(["recipe", "plain"]).env("SIMSEG_CPU", value).output().unwrap()
    };
    let refused = with("sse9");
    let line = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        line.contains("SIMSEG_CPU") && line.contains("avx512, avx2 or plain") && line.lines().count() == 1,
        "{line}"
    );
    assert_eq!(with("plain").status.code(), Some(0));
}
