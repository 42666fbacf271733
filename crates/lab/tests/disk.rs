//! A disk that is full, or that nobody may write to, at every write: one line, and what was there before is still there; with space
//! again, `--resume` leads to what a whole run leads to. And two processes that want one folder.
//!
//! Disks are file systems in memory of so many kilobytes, mounted where only the program under test sees them, which takes
//! `unshare` and the right to mount; where that is not to be had these tests say so and pass.

#[path = "common/program.rs"]
mod program;

use program::{ok, refused, simseg, text};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Whether disks can be mounted here.
fn can_mount() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let mounted =
        cfg!(target_os = "linux") && on_disk(folder.path(), "64k", "true").is_ok_and(|out| out.status.success());
    if !mounted {
        eprintln!("skipped: no file system can be mounted here");
    }
    mounted
}

/// Runs a shell line with a disk of its own mounted at a folder.
fn on_disk(folder: &Path, size: &str, line: &str) -> std::io::Result<Output> {
    let line = format!("mount -t tmpfs -o size={size} tmpfs '{}' && {line}", folder.display());
    Command::new("unshare").args(["-m", "sh", "-c", &line]).env("RAYON_NUM_THREADS", "1").output()
}

fn quoted(arguments: &[&str]) -> String {
    let all = std::iter::once(env!("CARGO_BIN_EXE_simseg")).chain(arguments.iter().copied());
    all.map(|argument| format!("'{argument}'")).collect::<Vec<_>>().join(" ")
}

/// A small experiment that trains and judges.
fn experiment(folder: &Path) -> PathBuf {
    let file = folder.join("small.toml");
    let text = include_str!("../../../experiments/quick.toml")
        .replace("expect = [\"loda.miou >= 2 * dense.miou\", \"loda.miou >= 2 * holistic.miou\"]", "")
        .replace("count = 2000", "count = 64")
        .replace("count = 200,", "count = 4,")
        .replace("batch = 64", "batch = 8\ncheckpoint_every = 2")
        .replace("steps = 170", "steps = 6");
    let (head, variants) = text.split_once("[variants.holistic.aligner]").unwrap();
    let loda = variants.find("[variants.loda.aligner]").unwrap();
    let text = format!("{head}{}", &variants[loda..]);
    std::fs::write(&file, text).unwrap();
    file
}

/// The same trained weights as a run that was never stopped.
const SAME: &str = "for run in \"$A\"/*-seed*; do cmp \"$run/model/model.safetensors\" \"$B/$(basename \"$run\")/model/model.safetensors\" || exit 97; done";

#[test]
fn a_run_on_a_full_disk_says_so_and_goes_on_when_there_is_space() {
    if !can_mount() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (file, disk, whole) = (experiment(folder.path()), folder.path().join("disk"), folder.path().join("whole"));
    std::fs::create_dir(&disk).unwrap();
    ok(&simseg(&["run", text(&file), "--out", text(&whole)]));
    let out = disk.join("out");
    let run = quoted(&["run", text(&file), "--out", text(&out), "--resume"]);
    let mut full = 0;
    // As large as nothing, and then a little more until it is enough.
    for size in [0, 8, 16, 40, 100, 200, 400, 600, 900, 1300, 2000, 8000] {
        let line = format!(
            "{run} >/dev/null 2>'{0}/said'; code=$?; cat '{0}/said' | grep -v '^\\(→\\|Does\\|note:\\)' >&2; \
             mount -o remount,size=64m '{1}' && {run} >/dev/null 2>&1 || exit 98; A='{2}'; B='{3}'; {SAME}; \
             find '{3}' -name '.simseg-*' | grep . && exit 99; exit $code",
            folder.path().display(),
            disk.display(),
            whole.display(),
            out.display(),
        );
        let output = on_disk(&disk, &format!("{}k", size.max(4)), &line).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        match output.status.code() {
            Some(3) => {
                full += 1;
                assert!(said.contains("No space left") && !said.contains("panicked"), "{size}k: {said}");
            }
            // 97: other weights; 98: it does not go on; 99: something is left behind.
            code => assert_eq!(code, Some(0), "{size}k: {said}"),
        }
    }
    assert!(full >= 6, "only {full} of the disks were too small");
}

#[test]
fn every_command_says_in_one_line_that_nothing_can_be_written() {
    if !can_mount() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let disk = at("disk");
    std::fs::create_dir(&disk).unwrap();
    ok(&simseg(&["scenes", "--out", text(&at("data")), "--count", "2"]));
    let tiny = repository().join("fixtures/tiny");
    let (model, classes, image) = (text(&tiny), at("data/classes.txt"), at("data/images/000000.png"));
    let (file, out) = (experiment(folder.path()), |name: &str| disk.join(name));
    let commands: [Vec<&str>; 6] = [
        vec!["scenes", "--count", "2", "--out", text(&out("new")).to_owned().leak()],
        vec!["run", text(&file), "--out", text(&out("run")).to_owned().leak()],
        vec![
            "evaluate",
            "--model",
            model,
            "--dataset",
            "folder",
            "--root",
            text(&at("data")).to_owned().leak(),
            "--out",
            text(&out("a.json")).to_owned().leak(),
        ],
        vec![
            "segment",
            "--model",
            model,
            "--classes",
            text(&classes),
            "--out",
            text(&out("maps")).to_owned().leak(),
            text(&image),
        ],
        vec![
            "explain",
            "--model",
            model,
            "--classes",
            text(&classes),
            "--out",
            text(&out("a.html")).to_owned().leak(),
            text(&image),
        ],
        vec![
            "calibrate",
            "--model",
            model,
            "--dataset",
            "folder",
            "--root",
            text(&at("data")).to_owned().leak(),
            "--out",
            text(&out("a.toml")).to_owned().leak(),
        ],
    ];
    for command in &commands {
        for (how, remount, reason, code) in
            [("read-only", "ro", "Read-only", 2), ("full", "size=64k", "No space left", 3)]
        {
            let line = format!(
                "head -c 1000000 /dev/zero >'{0}/filler' 2>/dev/null; mount -o remount,{remount} '{0}' && {1}",
                disk.display(),
                quoted(command),
            );
            let output = on_disk(&disk, "64k", &line).unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("simseg: ")).collect();
            assert_eq!((output.status.code(), lines.len()), (Some(code), 1), "{} on a {how} disk: {said}", command[0]);
            assert!(lines[0].contains(reason), "{} on a {how} disk: {said}", command[0]);
        }
    }
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = experiment(folder.path());
    let out = folder.path().join("out");
    let long = ["run", text(&file), "--out", text(&out), "--set", "training.steps=100000"];
    let mut first = Command::new(env!("CARGO_BIN_EXE_simseg"))
        .args(long)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while !out.join("experiment.txt").exists() {
        assert!(first.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(60), "it never began");
        std::thread::sleep(Duration::from_millis(5));
    }
    for how in ["--resume", "--fresh"] {
        let line = refused(&simseg(&[&long[..], &[how]].concat()));
        assert!(line.contains("another process works in it"), "{line}");
    }
    first.kill().unwrap();
    first.wait().unwrap();
    // A killed process holds nothing.
    ok(&simseg(&["run", text(&file), "--out", text(&out), "--fresh"]));
}

#[test]
fn two_evaluations_do_not_share_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let (tiny, out) = (repository().join("fixtures/tiny"), folder.path().join("a.json"));
    let command = ["evaluate", "--model", text(&tiny), "--dataset", "scenes", "--count", "20000", "--out", text(&out)];
    let mut first = Command::new(env!("CARGO_BIN_EXE_simseg"))
        .args(command)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let partial = folder.path().join("a.json.partial");
    let began = Instant::now();
    while std::fs::metadata(&partial).map_or(0, |about| about.len()) == 0 {
        assert!(first.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(60), "it never began");
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = simseg(&[&command[..], &["--resume"]].concat());
    assert!(refused(&output).contains("another process is writing it"));
    first.kill().unwrap();
    first.wait().unwrap();
}
