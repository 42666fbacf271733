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

#[path = "common/program.rs"]
#[allow(dead_code, reason = "nothing is refused here")]
mod program;
#[path = "common/world.rs"]
mod world;
use program::text;
use world::World;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
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
    killed_to(Some(0), name, first, again, whole, fresh);
}

/// The same for a command that ends with this status; returns what it says at last.
fn killed_to(
    status: Option<i32>,
    name: &str,
    first: &[&str],
    again: &[&str],
    whole: Duration,
    fresh: Option<&Path>,
) -> String {
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
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), status, "{name}: {said}");
    println!("{name}: killed {count} of {kills} times before it was done");
    assert!(count > 0, "{name} was never killed: nothing is tested");
    said
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
    whole_to(Some(0), arguments)
}

/// The same for one that ends with this status.
fn whole_to(status: Option<i32>, arguments: &[&str]) -> Duration {
    let began = Instant::now();
    let ended = Command::new(env!("CARGO_BIN_EXE_simseg")).args(arguments).output().unwrap();
    assert_eq!(ended.status.code(), status, "{}", String::from_utf8_lossy(&ended.stderr));
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
    // Apart from each other: a training that is finished beside a run would be taken.
    let (file, one, other) = (at("e.toml"), at("a/one"), at("b/other"));
    let time = whole(&["run", text(&file), "--out", text(&one)]);
    let first = ["run", text(&file), "--out", text(&other)];
    killed("run", &first, &[&first[..], &["--resume"]].concat(), time, Some(&other));
    same(&one, &other);
}

/// Two trainings at a time, one of them for three variants and one that fails: the others are done all the same, and the failing one is
/// tried again each time.
#[test]
fn a_sweep_with_a_failing_variant() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let quick = include_str!("../../../experiments/quick.toml");
    let head = quick.split("[variants.holistic.aligner]").next().unwrap();
    let head: String = head.lines().filter(|line| !line.starts_with("expect")).map(|l| format!("{l}\n")).collect();
    let head = head
        .replace("count = 2000", "count = 64")
        .replace("count = 200,", "count = 6,")
        .replace("batch = 64", "batch = 8\ncheckpoint_every = 3")
        .replace("steps = 170", "steps = 9");
    let variants = "[variants.dense.aligner]\nkind = \"dense\"\n\
        [variants.loda.aligner]\nkind = \"loda\"\nimage_k = 3\ntext_k = 1\n\
        [variants.low]\naligner = { kind = \"loda\", image_k = 3, text_k = 1 }\nsegmentation.threshold = { k = -1.0 }\n\
        [variants.broken]\naligner = { kind = \"dense\" }\ntraining.schedule = { rate = 1e38, warmup = 0 }\n\
        [variants.high]\naligner = { kind = \"loda\", image_k = 3, text_k = 1 }\nsegmentation.threshold = { k = 1.5 }\n";
    std::fs::write(at("e.toml"), head + variants).unwrap();
    let (file, one, other) = (at("e.toml"), at("a/one"), at("b/one"));
    let arguments = |out| ["run", text(&file), "--jobs", "2", "--out", out];
    let time = whole_to(Some(1), &arguments(text(&one)));
    let first = arguments(text(&other));
    let said = killed_to(Some(1), "sweep", &first, &[&first[..], &["--resume"]].concat(), time, Some(&other));
    assert!(said.contains("broken seed 0: ") && said.contains("1 of 9 rows failed"), "{said}");
    // The error of the failing variant names its folder.
    let here = |files: BTreeMap<PathBuf, Vec<u8>>, out: &Path| -> BTreeMap<PathBuf, Vec<u8>> {
        let of = |(path, bytes): (PathBuf, Vec<u8>)| match path.extension().is_some_and(|end| end == "json") {
            true => (path, String::from_utf8(bytes).unwrap().replace(text(out), "OUT").into_bytes()),
            false => (path, bytes),
        };
        files.into_iter().map(of).collect()
    };
    let (one, other) = (here(files(&one), &one), here(files(&other), &other));
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    for (path, bytes) in &one {
        assert!(other[path] == *bytes, "{} differs", path.display());
    }
    let rows: serde_json::Value = serde_json::from_slice(&one[Path::new("results.json")]).unwrap();
    let rows = rows["rows"].as_array().unwrap();
    let failed: Vec<&serde_json::Value> = rows.iter().filter(|row| row["status"] != "done").collect();
    assert_eq!((rows.len(), failed.len()), (9, 1));
    for row in failed {
        assert_eq!(row["variant"], "broken");
        assert!(row["status"]["failed"].as_str().unwrap().contains("the loss is"), "{row}");
    }
    assert!(!one.keys().any(|path| path.file_name().unwrap().to_str().unwrap().starts_with('.')));
}

/// In the middle of an epoch, of a shard, of a validation, between a model that is kept and the state that speaks of it.
#[test]
fn pretraining_from_a_caption_file_from_shards_and_from_parquet() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::draw(folder.path());
    let more = "epochs = 15\nema = 0.9\ncaption_noise = 0.2\nmixup = 0.2\ntext_dropout = 0.1\nkeep = 2\nbest = \"t2i_r5\"\nvalidation = { every = 2, pairs = 8, images = 3 }\n\
        augment = [{ kind = \"random-resized-crop\" }, { kind = \"auto-augment\" }]";
    let sources =
        [("csv", world.captions()), ("shards", world.shards("holes", &[5, 6, 39])), ("rows", world.parquet())];
    for (name, source) in sources {
        let file = world.experiment(name, &source.with("limit", 40), more);
        let toml =
            std::fs::read_to_string(&file).unwrap().replace("steps = 9\ncheckpoint_every = 1", "checkpoint_every = 3");
        std::fs::write(&file, toml).unwrap();
        let (one, other) = (folder.path().join(name).join("a/one"), folder.path().join(name).join("b/other"));
        let time = whole(&["run", text(&file), "--out", text(&one)]);
        let first = ["run", text(&file), "--out", text(&other)];
        killed(name, &first, &[&first[..], &["--resume"]].concat(), time, Some(&other));
        same(&one, &other);
    }
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
