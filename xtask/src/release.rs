//! `cargo xtask release --dry-run`: everything that has to hold before a release, and what would be uploaded, in `target/release-files`. Apart
//! from `cargo xtask test`, as it compiles everything twice more. Nothing is published.

use crate::{cargo, root};
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The crates of a release, each after those that it needs.
const CRATES: [&str; 10] = [
    "simseg-registry",
    "simseg-tensor",
    "simseg-cpu",
    "simseg-model",
    "simseg-segment",
    "simseg-data",
    "simseg",
    "simseg-testkit",
    "simseg-tch",
    "simseg-lab",
];
/// What the archive of the program holds beside it.
const BESIDE: [&str; 5] = ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE", "fixtures/tiny"];

/// Says what it found, or why it did not pass.
type Check = fn() -> Result<String, String>;

/// Runs the checklist, all of it whatever fails.
pub fn release(options: &[&str]) -> ExitCode {
    if options != ["--dry-run"] {
        eprintln!("xtask: release: expected --dry-run: publishing is done by hand, after everything here passed");
        return ExitCode::from(2);
    }
    let checklist: [(&str, Check); 5] = [
        ("one version, and what changed", versions),
        ("packages, each built from its own archive", packages),
        ("documentation as docs.rs builds it", documentation),
        ("the oldest dependencies that the manifests allow", minimal_versions),
        ("the program for this platform", archive),
    ];
    let mut failed = 0;
    for (what, check) in checklist {
        println!("── {what}");
        match check() {
            Ok(said) => println!("✓ {what}: {said}"),
            Err(why) => {
                failed += 1;
                println!("✗ {what}: {why}");
            }
        }
    }
    println!("{} passed, {failed} failed", checklist.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read(name: &str) -> Result<String, String> {
    std::fs::read_to_string(root().join(name)).map_err(|error| format!("{name}: {error}"))
}

/// The value of the first line `key = "value"` or `key: value`.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let rest =
        text.lines().find_map(|line| line.trim_start().strip_prefix(key)?.trim_start().strip_prefix(['=', ':']))?;
    Some(rest.trim().trim_matches('"'))
}

fn versions() -> Result<String, String> {
    let manifest = read("Cargo.toml")?;
    let version = value(&manifest, "version").ok_or("Cargo.toml: no version")?.to_owned();
    let cited = read("CITATION.cff")?;
    if value(&cited, "version") != Some(version.as_str()) {
        return Err(format!("CITATION.cff: another version than {version}"));
    }
    let wheel = read("crates/python/Cargo.toml")?;
    if value(&wheel, "version") != Some(version.as_str()) {
        return Err(format!("crates/python/Cargo.toml: another version than {version}"));
    }
    for name in CRATES {
        let path = format!("crates/{}/Cargo.toml", name.strip_prefix("simseg-").unwrap_or(name));
        let own = read(&path)?;
        for needed in [
            "version.workspace",
            "license.workspace",
            "readme.workspace",
            "keywords.workspace",
            "documentation",
            "description",
        ] {
            if value(&own, needed).is_none() {
                return Err(format!("{path}: no `{needed}`"));
            }
        }
    }
    let changelog = read("CHANGELOG.md")?;
    let heading = format!("## {version}");
    let section =
        changelog.split("\n## ").find(|part| part.starts_with("Unreleased") || part.starts_with(&heading[3..]));
    let entries = section.map_or(0, |section| section.matches("\n- ").count());
    if entries == 0 {
        return Err(format!("CHANGELOG.md: nothing under Unreleased or {version}"));
    }
    Ok(format!("{version}, {entries} entries in CHANGELOG.md"))
}

fn succeeds(command: &mut Command, what: &str) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{what} ended with {status}")),
        Err(error) => Err(format!("{what}: {error}")),
    }
}

/// Options that name every crate of a release.
fn named() -> impl Iterator<Item = &'static str> {
    CRATES.into_iter().flat_map(|name| ["--package", name])
}

fn packages() -> Result<String, String> {
    let target = root().join("target/package-check");
    let mut command = cargo();
    command.args(["package", "--quiet", "--allow-dirty", "--target-dir"]).arg(&target).args(named());
    succeeds(&mut command, "cargo package")?;
    let mut sizes = vec![];
    for entry in std::fs::read_dir(target.join("package")).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|end| end == "crate") {
            let bytes = entry.metadata().map_or(0, |data| data.len());
            sizes.push(format!("{} {bytes}", entry.file_name().to_string_lossy()));
        }
    }
    sizes.sort();
    if sizes.len() < CRATES.len() {
        return Err(format!("{} archives of {}", sizes.len(), CRATES.len()));
    }
    Ok(format!("bytes: {}", sizes.join(", ")))
}

fn documentation() -> Result<String, String> {
    let mut command = cargo();
    // As there: no dependencies, default features, warnings are not errors there but would be seen.
    command.args(["doc", "--no-deps", "--quiet"]).args(named()).env("RUSTDOCFLAGS", "--cfg docsrs -D warnings");
    succeeds(&mut command, "cargo doc")?;
    Ok(format!("{} crates", CRATES.len()))
}

/// A copy of the sources, as what is tried there changes `Cargo.lock`.
fn minimal_versions() -> Result<String, String> {
    let copy = root().join("target/minimal");
    let _ = std::fs::remove_dir_all(&copy);
    std::fs::create_dir_all(&copy).map_err(|error| format!("{}: {error}", copy.display()))?;
    let list = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output();
    let list = list.map_err(|error| format!("git: {error}"))?.stdout;
    for name in String::from_utf8_lossy(&list).split_terminator('\0') {
        let (from, to) = (root().join(name), copy.join(name));
        let made = to.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.and_then(|()| std::fs::copy(&from, &to)).map_err(|error| format!("{name}: {error}"))?;
    }
    let in_copy = |arguments: &[&str]| {
        let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
        // `-Z` belongs to nightly; what it asks of a stable cargo here changes nothing but which versions are chosen.
        command.current_dir(&copy).args(arguments).env("RUSTC_BOOTSTRAP", "1");
        command.env("CARGO_TARGET_DIR", root().join("target/minimal-target"));
        succeeds(&mut command, &format!("cargo {}", arguments[0]))
    };
    in_copy(&["update", "--quiet", "-Z", "direct-minimal-versions"])?;
    in_copy(&[&["check", "--quiet"][..], &named().collect::<Vec<_>>()].concat())?;
    Ok("`cargo update -Z direct-minimal-versions` compiles".into())
}

fn archive() -> Result<String, String> {
    succeeds(
        cargo().args(["build", "--release", "--quiet", "--package", "simseg-lab", "--package", "simseg-capi"]),
        "cargo build",
    )?;
    let platform = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    let (out, name) = (root().join("target/release-files"), format!("simseg-{platform}"));
    let place = out.join(&name);
    let _ = std::fs::remove_dir_all(&out);
    std::fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    let program = format!("simseg{}", std::env::consts::EXE_SUFFIX);
    copied(&root().join("target/release").join(&program), &place.join(&program))?;
    for name in BESIDE {
        copied(&root().join(name), &place.join(name))?;
    }
    // For C: the header, and the library in both forms.
    copied(&root().join("crates/capi/include/simseg.h"), &place.join("c/simseg.h"))?;
    for name in [format!("{DLL_PREFIX}simseg_c{DLL_SUFFIX}"), format!("{DLL_PREFIX}simseg_c.a")] {
        copied(&root().join("target/release").join(&name), &place.join("c").join(&name))?;
    }
    // Debug lines are for those who build it. Libraries keep their symbols, by which others link them.
    let _ = Command::new("strip").arg(place.join(&program)).status();
    let libraries = std::fs::read_dir(place.join("c")).into_iter().flatten().flatten().map(|entry| entry.path());
    for library in libraries.filter(|path| path.extension().is_none_or(|end| end != "h")) {
        let _ = Command::new("strip").arg("--strip-debug").arg(library).status();
    }
    runs(&place, &program)?;
    let file = format!("{name}.tar.gz");
    succeeds(Command::new("tar").args(["czf", &file, &name]).current_dir(&out), "tar")?;
    let sum = Command::new("sha256sum")
        .arg(&file)
        .current_dir(&out)
        .output()
        .map_err(|error| format!("sha256sum: {error}"))?;
    std::fs::write(out.join("SHA256SUMS"), &sum.stdout).map_err(|error| format!("SHA256SUMS: {error}"))?;
    let bytes = std::fs::metadata(out.join(&file)).map_or(0, |data| data.len());
    Ok(format!("{} ({bytes} bytes), {}", out.join(&file).display(), String::from_utf8_lossy(&sum.stdout).trim()))
}

/// Whether the program in the archive does its work with what lies beside it, as whoever unpacks it will try.
fn runs(place: &Path, program: &str) -> Result<(), String> {
    let tried = root().join("target/release-try");
    let _ = std::fs::remove_dir_all(&tried);
    let simseg = || {
        let mut command = Command::new(place.join(program));
        command.current_dir(place).stdout(std::process::Stdio::null());
        command
    };
    succeeds(simseg().args(["scenes", "--count", "1", "--out"]).arg(&tried), "simseg scenes")?;
    let mut segment = simseg();
    segment.args(["segment", "--model", "fixtures/tiny", "--classes"]).arg(tried.join("classes.txt"));
    segment.arg(tried.join("images/000000.png")).arg("--out").arg(tried.join("masks"));
    succeeds(&mut segment, "simseg segment")?;
    match tried.join("masks/000000.png").is_file() {
        true => Ok(()),
        false => Err("simseg segment: no label map".into()),
    }
}

/// A file or a folder at another place.
fn copied(from: &Path, to: &PathBuf) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", from.display());
    if from.is_dir() {
        std::fs::create_dir_all(to).map_err(failed)?;
        for entry in std::fs::read_dir(from).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            copied(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    to.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::copy(from, to)).map(drop).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn a_value_is_the_first_of_its_key_in_toml_and_yaml() {
        let text = "[package]\nname = \"a\"\nversion.workspace = true\nversion = \"1.2\"\nversion: 3\n";
        assert_eq!(
            (value(text, "version"), value(text, "name"), value(text, "license")),
            (Some("1.2"), Some("a"), None)
        );
        assert_eq!(value(text, "version.workspace"), Some("true"));
        assert_eq!(value("version: 0.1.0", "version"), Some("0.1.0"));
    }
}
