//! `cargo xtask small`: the builds for devices and browsers, their sizes, and whether they compute the same.
//!
//! | build | features of `simseg` | what is left out |
//! |---|---|---|
//! | host | all | nothing |
//! | no default features | none | threads, files, tokenizers but WordPiece |
//! | minimal | none | the same, in a program that reads frames in place of image files |
//! | wasm32 | none | the same, for a browser (`cargo xtask web` builds it) |
//!
//! `simseg-tensor` needs `core` and `alloc` alone: `examples/bare` compiles only if nothing brings `std`.

use crate::{cargo, root};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Largest program for a device, its model included.
const DEVICE: u64 = 8_000_000;

/// Builds `examples/embedded` with and without default features, compares their label maps, and prints the table of sizes.
pub fn small() -> ExitCode {
    match compared() {
        Ok(pictures) => {
            println!(
                "label maps with threads and without are equal: {pictures} pictures; simseg-tensor compiles without std"
            );
            println!("test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("xtask: small: {why}");
            println!("test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out");
            ExitCode::FAILURE
        }
    }
}

/// How many pictures have the same label map from both builds.
fn compared() -> Result<usize, String> {
    without_std()?;
    // Each feature set in a folder of its own: what one built is not built anew for the other.
    let all = built("small-all", &["--features", "simseg/fs,simseg/tokenizers,simseg/threads"])?;
    let none = built("small-none", &[])?;
    let name = |program: &str| format!("{program}{}", std::env::consts::EXE_SUFFIX);
    let size = |path: &Path| {
        std::fs::metadata(path).map(|data| data.len()).map_err(|error| format!("{}: {error}", path.display()))
    };
    let mut rows = vec![
        ("host, all features", "embedded", size(&all.join(name("embedded")))?),
        ("host, no default features", "embedded", size(&none.join(name("embedded")))?),
        ("host, minimal", "stream", size(&none.join(name("stream")))?),
    ];
    let largest = rows.iter().map(|(.., bytes)| *bytes).max().unwrap_or(0);
    // The browser's module is built by a step of its own, and may be missing here.
    if let Ok(bytes) = size(&root().join("target/web/simseg.wasm")) {
        rows.push(("wasm32, no default features", "simseg.wasm", bytes));
    }
    println!("| build | program | bytes |\n|---|---|---|");
    rows.iter().for_each(|(build, program, bytes)| println!("| {build} | {program} | {bytes} |"));
    if largest > DEVICE {
        return Err(format!("{largest} bytes, expected at most {DEVICE} with the model"));
    }
    let images = root().join("fixtures/pytorch/images");
    let pictures = crate::pngs(&images);
    for picture in &pictures {
        let [with, without] = [&all, &none].map(|folder| labels(&folder.join(name("embedded")), picture));
        if with? != without? {
            return Err(format!("{}: other labels without threads than with them", picture.display()));
        }
    }
    if pictures.is_empty() { Err(format!("{}: no pictures", images.display())) } else { Ok(pictures.len()) }
}

/// Compiles what has a panic handler of its own, and so allows no `std` below.
fn without_std() -> Result<(), String> {
    let place = root().join("examples/bare");
    crate::same_versions(&place)?;
    let mut command = cargo();
    command.args(["check", "--quiet", "--manifest-path"]).arg(place.join("Cargo.toml"));
    let status = command.arg("--target-dir").arg(root().join("target/bare")).status();
    match status.map_err(|error| format!("cargo: {error}"))?.success() {
        true => Ok(()),
        false => Err("examples/bare: simseg-tensor needs more than core and alloc".into()),
    }
}

/// The folder with the programs of `examples/embedded`, in the profile for devices.
fn built(name: &str, features: &[&str]) -> Result<PathBuf, String> {
    let target = root().join("target").join(name);
    let mut command = cargo();
    command.args(["build", "--quiet", "--package", "simseg-embedded", "--profile", "embedded", "--target-dir"]);
    let status = command.arg(&target).args(features).status().map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(target.join("embedded")) } else { Err(format!("{name}: cargo build ended with {status}")) }
}

/// What the program writes for a picture: its label map.
fn labels(program: &Path, picture: &Path) -> Result<Vec<u8>, String> {
    let file = std::fs::File::open(picture).map_err(|error| format!("{}: {error}", picture.display()))?;
    let words = ["balloon", "fish", "car", "cup", "cherry"];
    let run = Command::new(program).args(words).stdin(file).stderr(Stdio::inherit()).output();
    let output = run.map_err(|error| format!("{}: {error}", program.display()))?;
    match output.status.success() && !output.stdout.is_empty() {
        true => Ok(output.stdout),
        false => Err(format!("{}: {} on {}", program.display(), output.status, picture.display())),
    }
}
