//! `docs/extend.md` cannot rot: its additions are applied to a copy of the repository, counted, compiled, and run by name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// One change of the page: a file that is new, or lines in one that is there.
enum Change {
    New { file: String, text: String },
    Lines { file: String, old: String, new: String },
}

/// A section of the page.
struct Addition {
    title: String,
    changes: Vec<Change>,
}

impl Addition {
    /// What it touches: new files, changed files, changed lines.
    fn counts(&self) -> [usize; 3] {
        let (mut new, mut changed, mut lines) = (0, BTreeSet::new(), 0);
        for change in &self.changes {
            match change {
                Change::New { .. } => new += 1,
                Change::Lines { file, old, new } => {
                    changed.insert(file);
                    let old: Vec<&str> = old.lines().collect();
                    lines += new.lines().filter(|line| !old.contains(line)).count();
                }
            }
        }
        [new, changed.len(), lines]
    }

    fn apply(&self, folder: &Path) {
        for change in &self.changes {
            match change {
                Change::New { file, text } => {
                    let path = folder.join(file);
                    assert!(!path.exists(), "{file} is there already");
                    std::fs::write(path, text).unwrap();
                }
                Change::Lines { file, old, new } => {
                    let path = folder.join(file);
                    let text = std::fs::read_to_string(&path).unwrap();
                    assert_eq!(text.matches(old.as_str()).count(), 1, "{}: {file} holds once:\n{old}", self.title);
                    std::fs::write(path, text.replace(old.as_str(), new)).unwrap();
                }
            }
        }
    }
}

/// The sections of the page with their changes.
fn additions() -> Vec<Addition> {
    let page = std::fs::read_to_string(root().join("docs/extend.md")).unwrap();
    let section = |text: &str| {
        let title = text.lines().next().unwrap().trim().to_lowercase();
        let mut changes = vec![];
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("\n```") {
            let (kind, after) = after.split_once('\n').unwrap();
            let (block, after) = after.split_once("\n```").unwrap();
            let file = before.rsplit('`').nth(1).unwrap().to_owned();
            let side = |sign: char| {
                let lines = block.lines().filter_map(|line| line.strip_prefix(sign));
                lines.map(|line| format!("{line}\n")).collect::<String>()
            };
            match kind {
                "rust" => changes.push(Change::New { file, text: format!("{block}\n") }),
                "diff" => changes.push(Change::Lines { file, old: side('-'), new: side('+') }),
                other => panic!("a block of {other}"),
            }
            rest = after;
        }
        Addition { title, changes }
    };
    page.split("\n## ").skip(1).map(section).filter(|addition| !addition.changes.is_empty()).collect()
}

/// A copy of the repository as git knows it.
fn copy(to: &Path) {
    let list =
        Command::new("git").args(["ls-files", "-co", "--exclude-standard"]).current_dir(root()).output().unwrap();
    assert!(list.status.success(), "git lists the files of the repository");
    for name in String::from_utf8(list.stdout).unwrap().lines() {
        let (from, to) = (root().join(name), to.join(name));
        if from.is_file() && !name.starts_with("fixtures/pytorch") {
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(from, to).unwrap();
        }
    }
}

fn cargo(folder: &Path, arguments: &[&str]) -> Output {
    // A folder of its own: cargo would take the copy's crates for the workspace's, whose documentation tests then find other ones.
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from).join("extend");
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    command.args(arguments).current_dir(folder).env("CARGO_TARGET_DIR", target).output().unwrap()
}

const EXPERIMENT: &str = r#"
name = "added"
question = "Do the additions of docs/extend.md work together?"
expect = ["added.background_share <= 1", "added.miou >= 0"]
[model]
projection = 12
temperature = 0.1
image = { kind = "patches-only", image_size = 16, patch = 4, width = 12 }
text = { positions = 12, width = 12, depth = 1, heads = 2 }
[aligner]
kind = "weighted"
[training]
data = { kind = "halves", count = 24, size = 16 }
batch = 6
steps = 3
schedule = { rate = 2e-3, warmup = 1, floor = 0.1 }
[evaluation]
data = { kind = "halves", count = 3, size = 16 }
metrics = ["iou", "background"]
pictures = 1
[segmentation]
threshold = { kind = "gap" }
refine = { kind = "quantile", below = 0.5 }
"#;

#[test]
fn every_addition_is_as_small_as_the_table_says() {
    let page = std::fs::read_to_string(root().join("docs/extend.md")).unwrap();
    let additions = additions();
    assert_eq!(additions.len(), 7);
    for addition in &additions {
        let [new, changed, lines] = addition.counts();
        let row = page
            .lines()
            .find(|line| line.starts_with('|') && line.to_lowercase().starts_with(&format!("| {}", addition.title)));
        let row = row.unwrap_or_else(|| panic!("no row for {}", addition.title));
        println!("{}: {new} new files, {changed} files changed, {lines} lines changed", addition.title);
        assert!(
            row.ends_with(&format!("| {new} | {changed} | {lines} |")),
            "{}: {row}, counted {new}, {changed}, {lines}",
            addition.title
        );
        for change in &addition.changes {
            if let Change::New { file, text } = change {
                let code = text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//"));
                assert!(code.count() <= 45, "{file} is a small file");
            }
        }
    }
}

#[test]
fn the_additions_compile_and_an_experiment_runs_with_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    copy(folder.path());
    let additions = additions();
    let primitive = additions.iter().find(|addition| addition.title == "a primitive").unwrap();

    // With the variant alone the compiler names the places that must learn it.
    let Change::Lines { file, old, new } = &primitive.changes[0] else { panic!("the variant comes first") };
    Addition {
        title: "the variant".into(),
        changes: vec![Change::Lines { file: file.clone(), old: old.clone(), new: new.clone() }],
    }
    .apply(folder.path());
    let output = cargo(folder.path(), &["check", "--offline", "-p", "simseg-tensor"]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && errors.contains("Square") && errors.contains("adjoint.rs"), "{errors}");
    let table = Addition { title: "the table".into(), changes: vec![clone(&primitive.changes[1])] };
    table.apply(folder.path());
    let output =
        cargo(folder.path(), &["check", "--offline", "--keep-going", "-p", "simseg-cpu", "-p", "simseg-testkit"]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    for place in ["cpu/src/tensor.rs", "testkit/src/naive.rs", "testkit/src/fault.rs"] {
        assert!(!output.status.success() && errors.contains(place), "{place}: {errors}");
    }
    let rest = Addition { title: "the rest".into(), changes: primitive.changes[2..].iter().map(clone).collect() };
    rest.apply(folder.path());

    additions
        .iter()
        .filter(|addition| addition.title != "a primitive")
        .for_each(|addition| addition.apply(folder.path()));
    let file = folder.path().join("added.toml");
    std::fs::write(&file, EXPERIMENT).unwrap();
    let out = folder.path().join("out");
    let run =
        ["run", "--offline", "-p", "simseg-lab", "--", "run", file.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let output = cargo(folder.path(), &run);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("✓ added.background_share <= 1"), "{said}");
}

fn clone(change: &Change) -> Change {
    match change {
        Change::New { file, text } => Change::New { file: file.clone(), text: text.clone() },
        Change::Lines { file, old, new } => Change::Lines { file: file.clone(), old: old.clone(), new: new.clone() },
    }
}
