//! A crate outside of the workspace adds an aligner with a parameter, a score rule, a threshold, a refiner, a metric, a data set and
//! an encoder, and is the program with them (`tests/outside`): built, and its TOML run on every backend.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Builds the crate; what the workspace has compiled serves it, too.
fn built() -> PathBuf {
    let folder = root().join("tests/outside");
    // The versions that the workspace is tested with.
    std::fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let target = PathBuf::from(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| root().join("target").into()));
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    cargo
        .args(["build", "--offline", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target);
    if cfg!(feature = "tch") {
        cargo.args(["--features", "tch"]);
    }
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("debug/outside")
}

/// The rows of the variants; those beside them (`nothing`, `ceiling`) have no model that a metric of one's own could look at.
fn results(out: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(out.join("results.json")).unwrap();
    let mut rows = serde_json::from_str::<Value>(&text).unwrap()["rows"].as_array().unwrap().clone();
    let beside = ["nothing", "ceiling", "true-classes", "best-subset"];
    rows.retain(|row| !beside.contains(&row["variant"].as_str().unwrap()));
    assert!(!rows.is_empty(), "{text}");
    rows
}

#[test]
fn a_crate_outside_trains_and_judges_with_algorithms_of_its_own() {
    let (program, file) = (built(), root().join("tests/outside/experiment.toml"));
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, first: &[&str], last: &[&str]| {
        let out = folder.path().join(name);
        let mut command = Command::new(&program);
        command.args(first).arg(&file);
        match first {
            ["naive"] => command.arg(&out),
            _ => command.arg("--out").arg(&out),
        };
        let output = command.args(last).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{name}: {said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("✓ gated.background_share <= 1") && said.contains("background  "), "{name}: {said}");
        results(&out)
    };
    let cpu = run("cpu", &["run"], &[]);
    let mut backends = vec![("naive", run("naive", &["naive"], &[]))];
    if cfg!(feature = "tch") {
        backends.push(("tch", run("tch", &["run"], &["--backend", "tch"])));
    }
    for row in &cpu {
        let share = row["metrics"]["background_share"].as_f64().unwrap();
        assert!((0.0..1.0).contains(&share), "{share}");
    }
    for (name, rows) in backends {
        for (a, b) in cpu.iter().zip(&rows) {
            let figure = |row: &Value| row["metrics"]["background_share"].as_f64().unwrap();
            assert!((figure(a) - figure(b)).abs() < 0.02, "{name}: {a} against {b}");
        }
    }

    // The learned gates are saved with the model, optimised, and needed by whoever opens it.
    let weights = std::fs::read(folder.path().join("cpu/gated-seed0/model/model.safetensors")).unwrap();
    let weights = safetensors::SafeTensors::deserialize(&weights).unwrap();
    let gates: Vec<f32> = weights
        .tensor("aligner.gates")
        .unwrap()
        .data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    assert!(gates.len() == 12 && gates.iter().any(|gate| *gate != 1.0), "{gates:?}");

    // The program without the extension says what it does not know.
    let help = Command::new(&program).args(["run", "--help"]).output().unwrap();
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for word in ["gated", "best-prompt", "median", "mean-cut", "background_share", "halves", "patches-only"] {
        assert!(help.contains(word), "{word}");
    }
    let registry = simseg::Registry::<simseg_cpu::CpuTensor<f32>>::built_in();
    let unknown = registry.model.aligners.build(&simseg::Choice::new("gated")).err().unwrap().to_string();
    assert!(unknown.contains("unknown `gated`"), "{unknown}");
}
