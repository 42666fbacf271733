//! The templates in `experiments/cluster` as a job would start them: each seed in a folder of its own, then one folder with its report.

#[path = "common/program.rs"]
mod program;

use program::{ok, refused, simseg, text};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A template on a miniature of two variants.
fn template(name: &str, folder: &Path, of_job: &[(&str, &str)], more: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Command::new("bash")
        .arg(root.join("experiments/cluster").join(name))
        .arg(experiment(folder))
        .args(more)
        .current_dir(folder)
        .env("SIMSEG", env!("CARGO_BIN_EXE_simseg"))
        .envs(of_job.iter().copied())
        .output()
        .unwrap()
}

fn experiment(folder: &Path) -> PathBuf {
    let path = folder.join("mini.toml");
    let toml = r#"
        name = "mini"
        question = "which?"
        baseline = "dense"
        expect = ["loda.miou >= 0"]
        [model]
        projection = 8
        image = { image_size = 32, patch = 8, width = 8, depth = 1, heads = 1 }
        text = { positions = 25, width = 8, depth = 1, heads = 1 }
        [training]
        data = { kind = "scenes", count = 32, image_size = 32, bias = 0.8 }
        batch = 8
        steps = 4
        schedule = { rate = 1e-3, warmup = 1, floor = 0.1 }
        [evaluation]
        data = { kind = "scenes", count = 6, image_size = 32, bias = 0.0 }
        [variants.dense.aligner]
        kind = "dense"
        [variants.loda.aligner]
        kind = "loda"
        image_k = 2
        text_k = 1
    "#;
    std::fs::write(&path, toml).unwrap();
    path
}

/// Seeds and variants in the results of a folder.
fn rows(folder: &Path) -> Vec<(u64, String)> {
    let file = std::fs::read(folder.join("results.json")).unwrap();
    let results: serde_json::Value = serde_json::from_slice(&file).unwrap();
    let row = |row: &serde_json::Value| (row["seed"].as_u64().unwrap(), row["variant"].as_str().unwrap().to_owned());
    let mut rows: Vec<_> = results["rows"].as_array().unwrap().iter().map(row).collect();
    rows.retain(|(_, variant)| ["dense", "loda"].contains(&variant.as_str()));
    rows.sort();
    rows
}

fn of_seeds(seeds: &[u64]) -> Vec<(u64, String)> {
    seeds.iter().flat_map(|&seed| ["dense", "loda"].map(|variant| (seed, variant.to_owned()))).collect()
}

#[test]
fn an_array_of_slurm_is_one_folder_a_seed_and_they_become_one() {
    let folder = tempfile::tempdir().unwrap();
    let array = |task: &str| {
        let of_job = [("SLURM_ARRAY_TASK_ID", task), ("SLURM_CPUS_PER_TASK", "1")];
        ok(&template("slurm.sh", folder.path(), &of_job, &["--set", "training.steps=3"]))
    };
    array("0");
    array("2");
    array("2"); // started again: nothing is done twice, nothing is refused
    let parts = folder.path().join("runs/mini.parts");
    assert_eq!(rows(&parts.join("seed2")), of_seeds(&[2]));
    let settings = std::fs::read_to_string(parts.join("seed2/loda-seed2/config.toml")).unwrap();
    assert!(settings.contains("steps = 3"), "{settings}");
    let out = folder.path().join("runs/mini");
    let [a, b] = ["seed0", "seed2"].map(|part| parts.join(part));
    let merge = || simseg(&["merge", text(&a), text(&b), "--out", text(&out)]);
    ok(&merge());
    assert!(refused(&merge()).contains("is not empty"), "what is there is not overwritten");
    let file = experiment(folder.path());
    let set = ["--set", "training.steps=3"];
    let said =
        ok(&simseg(&[&["run", text(&file), "--seeds", "0,2", "--out", text(&out), "--resume"], &set[..]].concat()));
    assert!(said.contains("Mean of 2 seeds") && said.contains("✓ loda.miou >= 0"), "{said}");
    assert!(out.join("report.html").is_file());
    assert_eq!(rows(&out), of_seeds(&[0, 2]));
    let without = template("slurm.sh", folder.path(), &[], &[]);
    assert!(
        String::from_utf8_lossy(&without.stderr).contains("sbatch --array="),
        "outside of an array it says how to start"
    );
}

#[test]
fn gnu_parallel_trains_seeds_side_by_side_and_joins_them() {
    if Command::new("parallel").arg("--version").output().is_err() {
        println!("skipped: GNU parallel is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    ok(&template("parallel.sh", folder.path(), &[("HOME", text(folder.path()))], &["1", "3"]));
    assert_eq!(rows(&folder.path().join("runs/mini")), of_seeds(&[1, 3]));
}

#[cfg(not(feature = "mpi"))]
#[test]
fn a_build_without_mpi_does_not_train_the_same_model_twice_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let file = experiment(folder.path());
    for variable in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_simseg"));
        let line = refused(&command.args(["run", text(&file)]).env(variable, "2").output().unwrap());
        assert!(line.contains("cargo xtask mpi"), "{line}");
        let mut alone = Command::new(env!("CARGO_BIN_EXE_simseg"));
        ok(&alone.args(["run", text(&file), "--plan"]).env(variable, "1").output().unwrap());
    }
}
