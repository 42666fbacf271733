//! Several ranks under `mpirun`: they train what one trains, end together, and say what is wrong in one line.
//!
//! Needs a build with the feature `mpi`, and `mpirun`: `cargo xtask mpi --test`.
#![cfg(feature = "mpi")]

use simseg_data::checkpoint::Weights;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const EXPERIMENT: &str = r#"
    name = "ranks"
    question = "Do several processes train what one trains?"
    baseline = "loda"
    [model]
    projection = 8
    temperature = 0.05
    image = { image_size = 32, patch = 8, width = 16, depth = 1, heads = 2 }
    text = { positions = 12, width = 16, depth = 1, heads = 2 }
    [training]
    data = { kind = "captions", file = "drawn/captions.csv", images = "drawn/images" }
    batch = 12
    steps = 16
    text_dropout = 0.1
    warmup_share = 0.1
    checkpoint_every = 4
    schedule = { rate = 1e-3, floor = 0.1 }
    [evaluation]
    data = { kind = "folder", root = "drawn" }
    pictures = 3
    [variants.loda]
    aligner = { kind = "loda", image_k = 3, text_k = 1 }
    [variants.siglip]
    aligner = { kind = "dense" }
    loss = { kind = "siglip" }
"#;

/// A folder with an experiment and the pairs that it trains on.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("ranks.toml"), EXPERIMENT).unwrap();
    let drawn = Command::new(env!("CARGO_BIN_EXE_simseg"))
        .args(["scenes", "--count", "48", "--size", "32", "--out", "drawn"])
        .current_dir(place.path())
        .output()
        .unwrap();
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    place
}

/// `mpirun` here, with room for more ranks than there are cores.
fn mpirun(place: &Path) -> Command {
    let mut command = Command::new("mpirun");
    command.arg("--oversubscribe").current_dir(place);
    for variable in ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] {
        command.env(variable, "1");
    }
    command
}

fn run(place: &Path, ranks: usize, out: &str, more: &[&str]) -> Output {
    let arguments = [&["run", "ranks.toml", "--threads", "1", "--fresh", "--out", out], more].concat();
    started(place, ranks, &arguments).wait_with_output().unwrap()
}

fn started(place: &Path, ranks: usize, arguments: &[&str]) -> Child {
    let mut command = match ranks {
        1 => Command::new(env!("CARGO_BIN_EXE_simseg")),
        _ => {
            let mut command = mpirun(place);
            command.args(["-n", &ranks.to_string(), env!("CARGO_BIN_EXE_simseg")]);
            command
        }
    };
    command.args(arguments).current_dir(place).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn losses(place: &Path, run: &str) -> Vec<f64> {
    let log = std::fs::read_to_string(place.join(run).join("metrics.jsonl")).unwrap();
    let loss = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"].as_f64().unwrap();
    log.lines().map(loss).collect()
}

/// That two runs saw the same batches and came to the same weights but for rounding.
fn same(place: &Path, one: &str, other: &str) {
    let (a, b) = (losses(place, one), losses(place, other));
    assert_eq!((a.len(), b.len()), (16, 16));
    let apart = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(apart < 1e-5, "{other}: losses are {apart} apart");
    let weights = |run: &str| Weights::open(&place.join(run).join("model/model.safetensors")).unwrap();
    let (a, b) = (weights(one), weights(other));
    assert!(a.names().count() > 20);
    // All together: a bias of keys has no gradient but rounding, which AdamW makes as large as any other.
    let (mut norm, mut apart) = (0.0, 0.0);
    for name in a.names() {
        let shape = a.shape(name).unwrap();
        let (a, b) = (a.get(name, shape).unwrap(), b.get(name, shape).unwrap());
        let (a, b): (&[f32], &[f32]) = ((*a).as_ref(), (*b).as_ref());
        norm += a.iter().map(|value| value * value).sum::<f32>();
        apart += a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    }
    assert!(apart <= 1e-10 * norm, "{other}: {apart:e} of {norm} apart");
}

/// The lines of the program itself, without those of `mpirun`.
fn own(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().filter(|line| line.starts_with("simseg: ")).map(str::to_owned).collect()
}

/// The one line of a job that was refused.
fn refused(output: &Output) -> String {
    let own = own(output);
    assert!(output.status.code() == Some(2) && own.len() == 1, "{output:?}");
    own[0].clone()
}

#[test]
fn two_and_three_ranks_train_and_judge_as_one() {
    let place = place();
    let place = place.path();
    let one = run(place, 1, "one", &[]);
    assert!(one.status.success(), "{}", String::from_utf8_lossy(&one.stderr));
    for ranks in [2, 3] {
        let out = format!("ranks{ranks}");
        let several = run(place, ranks, &out, &[]);
        let said = String::from_utf8_lossy(&several.stderr);
        assert!(several.status.success(), "{said}");
        assert_eq!(said.matches("images/s, ").count(), 2, "rank 0 alone speaks: {said}");
        for variant in ["loda-seed0", "siglip-seed0"] {
            same(place, &format!("one/{variant}"), &format!("{out}/{variant}"));
            let stems = |out: &str| -> Vec<String> {
                let lines = std::fs::read_to_string(place.join(out).join(variant).join("images.jsonl")).unwrap();
                let stem = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["stem"].to_string();
                lines.lines().map(stem).collect()
            };
            assert_eq!(stems("one"), stems(&out), "images in their order");
        }
        let table =
            |output: &Output| String::from_utf8_lossy(&output.stdout).lines().take(3).map(figures).collect::<Vec<_>>();
        assert_eq!(table(&one), table(&several));
    }
}

/// A line of the table without the rate at its end.
fn figures(line: &str) -> String {
    line.split("  ").take(8).collect::<Vec<_>>().join("  ")
}

#[test]
fn a_killed_rank_ends_the_job_and_other_ranks_go_on_with_the_same_batches() {
    let place = place();
    let place = place.path();
    let whole = run(place, 1, "apart/whole", &["--only", "loda"]);
    assert!(whole.status.success());
    // A checkpoint a step: it is met in the middle.
    let slow = ["--only", "loda", "--set", "training.checkpoint_every=1"];
    let mut job = started(
        place,
        3,
        &[&["run", "ranks.toml", "--threads", "1", "--fresh", "--out", "killed"], &slow[..]].concat(),
    );
    let trainings = place.join("killed/trainings");
    let has_begun = || {
        let folders = std::fs::read_dir(&trainings).into_iter().flatten().flatten();
        folders.into_iter().any(|folder| folder.path().join("state.safetensors").exists())
    };
    let patience = Instant::now();
    while !has_begun() && job.try_wait().unwrap().is_none() {
        assert!(patience.elapsed() < Duration::from_secs(120), "no checkpoint");
        std::thread::sleep(Duration::from_millis(2));
    }
    // The youngest process is the last rank.
    let killed = Command::new("pkill").args(["-KILL", "--newest", "--parent", &job.id().to_string()]).status().unwrap();
    let killed_at = Instant::now();
    let ended = job.wait_with_output().unwrap();
    if killed.success() {
        assert!(!ended.status.success() && killed_at.elapsed() < Duration::from_secs(10), "{:?}", killed_at.elapsed());
    }
    let resumed = [&["run", "ranks.toml", "--threads", "1", "--resume", "--out", "killed"], &slow[..]].concat();
    let resumed = started(place, 2, &resumed).wait_with_output().unwrap();
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    same(place, "apart/whole/loda-seed0", "killed/loda-seed0");
}

#[test]
fn what_ranks_cannot_do_together_is_said_once() {
    let place = place();
    let place = place.path();
    let line = refused(&run(place, 2, "odd", &["--set", "training.batch=9"]));
    assert!(line.contains("training.batch: a multiple of 2"), "{line}");
    let line = refused(&run(place, 2, "jobs", &["--jobs", "2"]));
    assert!(line.contains("--jobs: 1 under mpirun"), "{line}");
    let line = refused(&run(place, 2, "filip", &["--set", "aligner.kind=filip"]));
    assert!(line.contains("`filip` compares more than pooled vectors"), "{line}");
    assert!(!place.join("odd").exists() && !place.join("filip").exists(), "nothing was begun");
}

#[test]
fn ranks_that_disagree_are_told_apart() {
    let place = place();
    let place = place.path();
    let two = |first: &[&str], second: &[&str]| {
        let mut command = mpirun(place);
        command.args(["-n", "1"]).args(first).args([":", "-n", "1"]).args(second);
        refused(&command.output().unwrap())
    };
    let simseg = env!("CARGO_BIN_EXE_simseg");
    let usual = [simseg, "run", "ranks.toml", "--threads", "1", "--fresh", "--out", "two", "--only", "loda"];
    let line = two(&usual, &[&usual[..], &["--set", "training.steps=17"]].concat());
    assert!(line.contains("rank 1: other settings than rank 0"), "{line}");
    let line = two(&usual, &[&usual[..], &["--seeds", "2"]].concat());
    assert!(line.contains("rank 1: other options than rank 0"), "{line}");
    // The same files by name, but on this node a caption is another.
    let elsewhere = place.join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let copied = Command::new("cp").arg("-r").args(["ranks.toml", "drawn"]).arg(&elsewhere).current_dir(place).status();
    assert!(copied.unwrap().success());
    let captions = elsewhere.join("drawn/captions.csv");
    let text = std::fs::read_to_string(&captions).unwrap();
    assert!(text.contains("photo"));
    std::fs::write(&captions, text.replacen("photo", "drawing", 1)).unwrap();
    let there = elsewhere.to_str().unwrap();
    let line = two(&usual, &[&["-wdir", there][..], &usual].concat());
    assert!(line.contains("rank 1: other captions than rank 0"), "{line}");
    // And there it is missing.
    std::fs::remove_file(&captions).unwrap();
    let line = two(&usual, &[&["-wdir", there][..], &usual].concat());
    assert!(line.contains("rank 1 of 2: ") && line.contains("captions.csv"), "{line}");
}

#[test]
fn the_template_for_slurm_starts_and_resumes_ranks() {
    let place = place();
    let place = place.path();
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments/cluster/slurm-mpi.sh");
    let job = || {
        let mut command = Command::new("bash");
        command.arg(&template).args(["ranks.toml", "--only", "loda"]).current_dir(place);
        command.env("SIMSEG", env!("CARGO_BIN_EXE_simseg")).env("SIMSEG_LAUNCH", "mpirun --oversubscribe -n 2");
        command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
        let ended = command.output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    };
    job();
    let provenance = std::fs::read_to_string(place.join("runs/ranks/loda-seed0/provenance.json")).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&provenance).unwrap()["ranks"], 2);
    let results = std::fs::read(place.join("runs/ranks/results.json")).unwrap();
    job();
    assert_eq!(results, std::fs::read(place.join("runs/ranks/results.json")).unwrap(), "there was nothing to do");
}
