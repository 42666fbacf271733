//! The C interface from C: a program built with `cc -Wall -Werror`, with the address sanitizer and under valgrind where they are there;
//! and the header is the one that the source makes.

use simseg::data::scenes::{SceneConfig, World};
use std::path::{Path, PathBuf};
use std::process::Command;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The header as cbindgen makes it.
fn header() -> String {
    let config = cbindgen::Config {
        language: cbindgen::Language::C,
        include_guard: Some("SIMSEG_H".to_owned()),
        header: Some("/* simseg from C. Made from crates/capi/src/lib.rs; do not edit. */".to_owned()),
        cpp_compat: true,
        documentation_style: cbindgen::DocumentationStyle::C,
        line_length: 140,
        enumeration: cbindgen::EnumConfig {
            rename_variants: cbindgen::RenameRule::QualifiedScreamingSnakeCase,
            ..Default::default()
        },
        ..Default::default()
    };
    let mut text = vec![];
    cbindgen::Builder::new()
        .with_src(here().join("src/lib.rs"))
        .with_config(config)
        .generate()
        .expect("the source is valid")
        .write(&mut text);
    String::from_utf8(text).expect("the source is UTF-8")
}

#[test]
fn the_header_is_what_the_source_says() {
    let (file, made) = (here().join("include/simseg.h"), header());
    if std::env::var_os("SIMSEG_BLESS").is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == made, "include/simseg.h is out of date: SIMSEG_BLESS=1 cargo test -p simseg-capi");
    for function in ["simseg_abi", "simseg_last_error", "simseg_model_open", "simseg_words_new", "simseg_segment"] {
        assert!(kept.contains(&format!("{function}(")), "no {function}");
    }
}

/// Where cargo leaves the static library.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).expect("target/PROFILE/deps");
    let name = if cfg!(windows) { "simseg_c.lib" } else { "libsimseg_c.a" };
    [folder.join(name), folder.join("deps").join(name)].into_iter().find(|file| file.exists()).expect("cargo builds it")
}

/// Builds a program, with more flags; nothing where there is no C compiler, or it does not know them.
fn compiled(folder: &Path, source: &str, name: &str, flags: &[&str]) -> Option<PathBuf> {
    let program = folder.join(name);
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-g", "-I"]).arg(here().join("include")).args(flags);
    cc.arg(here().join("tests").join(source)).arg(library()).args(["-lpthread", "-ldl", "-lm"]).arg("-o").arg(&program);
    match cc.output() {
        Ok(done) if done.status.success() => Some(program),
        Ok(done) if flags.is_empty() => panic!("{}", String::from_utf8_lossy(&done.stderr)),
        Ok(_) | Err(_) => None,
    }
}

const SANITIZERS: [&str; 2] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

fn fixture() -> PathBuf {
    here().join("../../fixtures/tiny")
}

/// A scene of the small world, cut so that rows and columns can't be mixed up unseen.
fn scene() -> simseg::Picture {
    let world = World::new(SceneConfig::default(), 5).unwrap();
    let scene =
        world.scenes(0..50).into_iter().find(|scene| scene.objects.len() == 2).expect("every other scene has two");
    let (width, height) = (scene.size - 3, scene.size);
    let rgb = scene.rgb.chunks(3 * scene.size).flat_map(|row| &row[..3 * width]).copied().collect();
    simseg::Picture { width, height, rgb }
}

/// The photographs among the fixtures.
fn photographs() -> Vec<simseg::Picture> {
    let images = here().join("../../fixtures/pytorch/images");
    ["astronaut.png", "chelsea.png", "coffee.png"]
        .iter()
        .map(|name| simseg::Picture::load(&images.join(name)).unwrap())
        .collect()
}

/// A model directory with its words, and what the Rust library makes of pictures.
struct Expected {
    folder: PathBuf,
    words: Vec<String>,
    model: simseg::Model,
    embedded: simseg::Words<simseg::Cpu>,
    place: tempfile::TempDir,
}

impl Expected {
    fn of(folder: PathBuf, words: Vec<String>) -> Self {
        let model = simseg::Model::open(&folder).unwrap();
        let embedded = model.words(words.iter().map(String::as_str)).unwrap();
        Self { folder, words, model, embedded, place: tempfile::tempdir().unwrap() }
    }

    /// Runs a program, which has to say the same; whether there is more than the background.
    fn check(&self, what: &str, program: &mut Command, picture: &simseg::Picture) -> bool {
        let file = self.place.path().join("picture.rgb");
        std::fs::write(&file, &picture.rgb).unwrap();
        let sizes = [picture.width.to_string(), picture.height.to_string()];
        let output = program.arg(&self.folder).arg(file).args(sizes).args(&self.words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{what}: {said}");
        let found = self.model.segment(picture, &self.embedded).unwrap();
        let labels = String::from_utf8(output.stdout).unwrap();
        let labels = labels.lines().map(|line| line.parse::<u16>().unwrap());
        assert!(labels.eq(found.labels.values.iter().copied()), "{what}: other labels");
        let scores = said.lines().filter_map(|line| line.rsplit(' ').next()?.parse::<f32>().ok());
        // valgrind's CPU makes the C library choose other functions, whose last bits differ.
        let most = if what == "valgrind" { 1e-5 } else { 0.0 };
        let pairs: Vec<(f32, f32)> = scores.zip(found.details.scores.iter().copied()).collect();
        assert!(
            pairs.len() == found.details.scores.len() && pairs.iter().all(|(a, b)| (a - b).abs() <= most),
            "{what}: {pairs:?}"
        );
        found.labels.values.iter().any(|&label| label > 0)
    }
}

#[test]
fn a_c_program_gets_the_labels_of_the_rust_library() {
    let folder = tempfile::tempdir().unwrap();
    if Command::new("cc").arg("--version").output().is_err() {
        return eprintln!("skipped: no C compiler `cc`");
    }
    let plain = compiled(folder.path(), "segment.c", "plain", &[]).expect("there is a compiler");
    let tiny = Expected::of(fixture(), World::classes()[1..].iter().map(ToString::to_string).collect());
    let scene = scene();
    assert!(tiny.check("plain", &mut Command::new(&plain), &scene), "more than the background");
    let pytorch = here().join("../../fixtures/pytorch");
    let lines = std::fs::read_to_string(pytorch.join("classes.txt")).unwrap();
    let drawn = Expected::of(pytorch.join("model"), lines.lines().map(str::to_owned).collect());
    for picture in &photographs() {
        tiny.check("plain", &mut Command::new(&plain), picture);
        assert!(drawn.check("plain", &mut Command::new(&plain), picture), "more than the background");
    }
    match compiled(folder.path(), "segment.c", "sanitized", &SANITIZERS) {
        Some(program) => {
            tiny.check("address sanitizer", &mut Command::new(program), &scene);
        }
        None => eprintln!("skipped: no address sanitizer"),
    }
    if Command::new("valgrind").arg("--version").output().is_ok() {
        // Threads of rayon live as long as the process, and valgrind knows no AVX-512.
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["-q", "--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite"]);
        valgrind.env("SIMSEG_CPU", "avx2").env("RAYON_NUM_THREADS", "2");
        tiny.check("valgrind", valgrind.arg(&plain), &scene);
    } else {
        eprintln!("skipped: no valgrind");
    }
}

#[test]
fn ten_thousand_mutated_models_open_or_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sanitized = compiled(folder.path(), "mutated.c", "sanitized", &SANITIZERS);
    let Some(program) = sanitized.or_else(|| {
        Command::new("cc").arg("--version").output().ok()?;
        compiled(folder.path(), "mutated.c", "plain", &[])
    }) else {
        return eprintln!("skipped: no C compiler `cc`");
    };
    let output = Command::new(program).arg(fixture()).arg("10000").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let counts = String::from_utf8(output.stdout).unwrap();
    let counts: Vec<usize> = counts.split_whitespace().map(|count| count.parse().unwrap()).collect();
    assert!(counts.iter().sum::<usize>() == 10_000 && counts.iter().all(|&count| count > 500), "{counts:?}");
}

/// The README's lines within a function, of a program that reads a picture and prints its labels.
#[test]
fn the_readmes_door_leads_to_the_labels_of_the_rust_library() {
    let readme = std::fs::read_to_string(here().join("../../README.md")).unwrap();
    let code = readme.split("```c\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of C");
    // Words that the tiny model has learnt.
    let known = code.replace("\"cat\", \"dog\"", "\"fish\", \"cherry\"");
    assert!(known != code);
    let folder = tempfile::tempdir().unwrap();
    let program = format!(
        r#"#include <stdio.h>
#include <stdlib.h>
#include "simseg.h"
static int door(const uint8_t *rgb, size_t width, size_t height, uint16_t *labels)
{{
{known}    simseg_words_free(words);
    simseg_model_free(model);
    return 0;
}}
int main(int argc, char **argv)
{{
    size_t width = argc > 2 ? strtoul(argv[1], NULL, 10) : 0, height = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    uint8_t *rgb = malloc(3 * width * height);
    uint16_t *labels = malloc(width * height * sizeof *labels);
    if (fread(rgb, 1, 3 * width * height, stdin) != 3 * width * height || door(rgb, width, height, labels) != 0)
        return 1;
    for (size_t i = 0; i < width * height; i++)
        printf("%u\n", (unsigned)labels[i]);
    free(rgb);
    free(labels);
    return 0;
}}
"#
    );
    std::fs::write(folder.path().join("door.c"), program).unwrap();
    if Command::new("cc").arg("--version").output().is_err() {
        return eprintln!("skipped: no C compiler `cc`");
    }
    let source = folder.path().join("door.c");
    let door = compiled(folder.path(), &source.to_string_lossy(), "door", &[]).expect("there is a compiler");
    let model = folder.path().join("model");
    std::fs::create_dir(&model).unwrap();
    for file in ["config.json", "model.safetensors", "vocab.txt"] {
        std::fs::copy(fixture().join(file), model.join(file)).unwrap();
    }
    let scene = scene();
    std::fs::write(folder.path().join("picture.rgb"), &scene.rgb).unwrap();
    let pixels = std::fs::File::open(folder.path().join("picture.rgb")).unwrap();
    let sizes = [scene.width.to_string(), scene.height.to_string()];
    let output = Command::new(door).args(sizes).stdin(pixels).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let labels = String::from_utf8(output.stdout).unwrap();
    let labels: Vec<u16> = labels.lines().map(|line| line.parse().unwrap()).collect();
    let model = simseg::Model::open(fixture()).unwrap();
    let found = model.segment(&scene, &model.words(["fish", "cherry"]).unwrap()).unwrap();
    assert!(labels == found.labels.values && labels.iter().any(|&label| label > 0));
}
