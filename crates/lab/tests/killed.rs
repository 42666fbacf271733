//! Killed anywhere: `run`, `evaluate`, `import` and `convert` are killed at random moments and started again; what comes of it in the
//! end is what comes of a whole run, to the bit, and nothing else is left.
//!
//! Ten kills of each; `SIMSEG_KILLS=50 cargo test --release -p simseg-lab --test killed` is the long form.

use simseg_data::picture::{IGNORED, Labels};
use simseg_tensor::random;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simseg"));
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// All files below a folder, without what tells the time.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(folder: &Path, root: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
                continue;
            }
            let mut bytes = std::fs::read(&path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            if ["json", "jsonl"].iter().any(|end| name.ends_with(end)) {
                bytes = timeless(&String::from_utf8(bytes).unwrap()).into_bytes();
            }
            // What training goes on from also holds its seconds; the model that came of it is compared.
            if !["report.html", "report.md", "table.csv", "state.safetensors"].contains(&name) {
                found.insert(path.strip_prefix(root).unwrap().to_owned(), bytes);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

/// JSON, a value a line or one in all, without seconds and rates.
fn timeless(text: &str) -> String {
    fn strip(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(map) => {
                map.retain(|key, _| !key.contains("second") && !key.contains("per_second") && !key.contains("speed"));
                // When a run was finished, and by which of the calls.
                map.retain(|key, _| !["began", "ended", "command"].contains(&key.as_str()));
                map.values_mut().for_each(strip);
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let values: Vec<serde_json::Value> = match serde_json::from_str(text) {
        Ok(value) => vec![value],
        Err(_) => text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| line.into())).collect(),
    };
    let clean = |mut value: serde_json::Value| {
        strip(&mut value);
        value.to_string()
    };
    values.into_iter().map(clean).collect::<Vec<_>>().join("\n")
}

/// Kills a command at random moments and lets it end at last. Once it is done before it is killed, what it made in `fresh` is thrown
/// away, and it starts again.
fn killed(name: &str, first: &[&str], again: &[&str], whole: Duration, fresh: Option<&Path>) {
    let kills: usize = std::env::var("SIMSEG_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(10);
    let mut rng = random::stream(0, name, 0);
    let (mut count, mut started) = (0, false);
    for _ in 0..kills {
        let mut child = command(if started { again } else { first }).spawn().unwrap();
        started = true;
        std::thread::sleep(whole.mul_f64(0.5 * random::uniform(&mut rng)));
        let done = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        count += usize::from(!done);
        if let (true, Some(fresh)) = (done, fresh) {
            std::fs::remove_dir_all(fresh).unwrap();
            started = false;
        }
    }
    let last = if started { again } else { first };
    let ended = Command::new(env!("CARGO_BIN_EXE_simseg")).args(last).output().unwrap();
    assert!(ended.status.success(), "{name}: {}", String::from_utf8_lossy(&ended.stderr));
    println!("{name}: killed {count} of {kills} times before it was done");
    assert!(count > 0, "{name} was never killed: nothing is tested");
}

/// The same files with the same content, and no others.
fn same(one: &Path, other: &Path) {
    let (one, other) = (files(one), files(other));
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    for (path, bytes) in &one {
        assert!(other[path] == *bytes, "{} differs", path.display());
    }
}

/// How long a whole one takes.
fn whole(arguments: &[&str]) -> Duration {
    let began = Instant::now();
    let ended = Command::new(env!("CARGO_BIN_EXE_simseg")).args(arguments).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    began.elapsed()
}

#[test]
fn a_run() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let toml = include_str!("../../../experiments/quick.toml")
        .replace("expect = [\"loda.miou >= 2 * dense.miou\", \"loda.miou >= 2 * holistic.miou\"]", "")
        .replace("count = 2000", "count = 64")
        .replace("count = 200,", "count = 8,")
        .replace("batch = 64", "batch = 8\ncheckpoint_every = 3")
        .replace("steps = 170", "steps = 20");
    let toml = toml + "\n[probes]\nevery = 2\nimages = 4\n";
    std::fs::write(at("e.toml"), toml).unwrap();
    let (file, one, other) = (at("e.toml"), at("one"), at("other"));
    let time = whole(&["run", text(&file), "--out", text(&one)]);
    let first = ["run", text(&file), "--out", text(&other)];
    killed("run", &first, &[&first[..], &["--resume"]].concat(), time, Some(&other));
    same(&one, &other);
}

#[test]
fn an_evaluation() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let tiny = repository().join("fixtures/tiny");
    std::fs::create_dir_all(at("one")).unwrap();
    std::fs::create_dir_all(at("other")).unwrap();
    let (one, other) = (at("one/a.json"), at("other/a.json"));
    let arguments =
        ["evaluate", "--model", text(&tiny), "--dataset", "scenes", "--count", "150", "--no-cache", "--out"];
    let (first, second) = ([&arguments[..], &[text(&one)]].concat(), [&arguments[..], &[text(&other)]].concat());
    let time = whole(&first);
    killed("evaluate", &second, &[&second[..], &["--resume"]].concat(), time, None);
    same(&at("one"), &at("other"));
}

#[test]
fn an_import() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let fixtures = repository().join("fixtures/pytorch/import");
    let (checkpoint, vocab) = (fixtures.join("released.pth"), fixtures.join("vocab.txt"));
    std::fs::create_dir_all(at("one")).unwrap();
    std::fs::create_dir_all(at("other")).unwrap();
    let (one, other) = (at("one/model"), at("other/model"));
    let arguments = |out| ["import", text(&checkpoint), "--vocab", text(&vocab), "--out", out];
    let time = whole(&arguments(text(&one)));
    killed("import", &arguments(text(&other)), &arguments(text(&other)), time, None);
    same(&at("one"), &at("other"));
}

#[test]
fn a_conversion() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for root in ["one", "other"] {
        let maps = at(root).join("coco_stuff164k/annotations/val2017");
        std::fs::create_dir_all(&maps).unwrap();
        for number in 0..100 {
            let values = (0..64 * 48).map(|i| if (i / 7 + number) % 3 == 0 { 89 } else { IGNORED }).collect();
            Labels::new(64, 48, values).save(&maps.join(format!("{number:03}.png"))).unwrap();
        }
    }
    let (one, other) = (at("one"), at("other"));
    let time = whole(&["convert", "coco-object", "--root", text(&one)]);
    let arguments = ["convert", "coco-object", "--root", text(&other)];
    killed("convert", &arguments, &arguments, time, None);
    same(&one, &other);
}
