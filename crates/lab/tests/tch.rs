//! The program on libtorch: every command that computes gives what the CPU backend gives.
#![cfg(feature = "tch")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Seconds of work: one variant, 32-pixel scenes, twenty steps.
const TINY: &str = r#"
name = "tiny"
question = "Does libtorch learn what the CPU backend learns?"
[model]
projection = 8
temperature = 0.05
image = { image_size = 32, patch = 8, width = 12, depth = 1, heads = 2 }
text = { positions = 25, width = 12, depth = 1, heads = 2 }
[training]
data = { kind = "scenes", count = 64, image_size = 32 }
batch = 16
steps = 20
schedule = { rate = 1e-3, warmup = 3, floor = 0.1 }
[evaluation]
data = { kind = "scenes", count = 8, image_size = 32, bias = 0.0 }
[aligner]
kind = "loda"
image_k = 2
text_k = 1
"#;

fn simseg(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Command::new(env!("CARGO_BIN_EXE_simseg")).args(arguments).current_dir(root).output().unwrap()
}

fn done(arguments: &[&str]) -> Output {
    let output = simseg(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Ten drawn scenes.
fn world(folder: &Path) -> PathBuf {
    let world = folder.join("world");
    done(&["scenes", "--out", world.to_str().unwrap(), "--count", "10", "--seed", "3"]);
    world
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn label_maps_are_those_of_the_cpu_backend() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let images: Vec<PathBuf> = (0..10).map(|i| world.join(format!("images/{i:06}.png"))).collect();
    let classes = world.join("classes.txt");
    for (name, extra) in [("cpu", &[][..]), ("tch", &["--backend", "tch", "--device", "cpu", "--threads", "2"])] {
        let out = folder.path().join(name);
        let mut arguments = vec!["segment", "--model", "fixtures/tiny", "--classes", classes.to_str().unwrap()];
        arguments.extend(["--no-cache", "--out", out.to_str().unwrap()]);
        arguments.extend(images.iter().map(|image| image.to_str().unwrap()));
        done(&[&arguments[..], extra].concat());
    }
    let mut drawn = 0;
    for i in 0..10 {
        let [cpu, tch] =
            ["cpu", "tch"].map(|name| image::open(folder.path().join(format!("{name}/{i:06}.png"))).unwrap());
        assert!(cpu.as_bytes() == tch.as_bytes(), "image {i}");
        drawn += usize::from(cpu.as_bytes().iter().any(|&label| label != 0));
    }
    assert!(drawn >= 5, "only {drawn} of 10 scenes have an object: that shows nothing");
}

#[test]
fn evaluate_calibrate_explain_and_retrieve_agree_with_the_cpu_backend() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path());
    let (classes, captions, images) = (world.join("classes.txt"), world.join("captions.csv"), world.join("images"));
    let image = images.join("000000.png");
    let (classes, captions, images) = (classes.to_str().unwrap(), captions.to_str().unwrap(), images.to_str().unwrap());
    let results = ["cpu", "tch"].map(|backend| {
        let out = |name: &str| folder.path().join(format!("{backend}.{name}"));
        let (judged, recipe, page, ranks) = (out("json"), out("toml"), out("html"), out("ranks.json"));
        let common = ["--model", "fixtures/tiny", "--backend", backend, "--out"];
        let root = ["--dataset", "folder", "--root", world.to_str().unwrap(), "--no-cache"];
        done(&[&["evaluate"][..], &common, &[judged.to_str().unwrap()], &root].concat());
        done(&[&["calibrate"][..], &common, &[recipe.to_str().unwrap()], &root].concat());
        let explain = ["--classes", classes, "--no-cache", image.to_str().unwrap()];
        done(&[&["explain"][..], &common, &[page.to_str().unwrap()], &explain].concat());
        let retrieve = ["--captions", captions, "--images", images, "--resize", "64", "--crop", "64"];
        done(&[&["retrieve"][..], &common, &[ranks.to_str().unwrap()], &retrieve].concat());
        assert!(page.exists() && recipe.exists());
        (json(&judged)["miou"].as_f64().unwrap(), json(&ranks))
    });
    let [(cpu, cpu_ranks), (tch, tch_ranks)] = results;
    assert!((cpu - tch).abs() < 1e-6, "{cpu} against {tch}");
    for way in ["image_to_text", "text_to_image"] {
        assert!(cpu_ranks[way].is_object() && cpu_ranks[way] == tch_ranks[way], "{cpu_ranks} against {tch_ranks}");
    }
}

#[test]
fn training_follows_the_cpu_backend_and_bf16_follows_from_afar() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.toml");
    std::fs::write(&file, TINY).unwrap();
    let losses = |name: &str, extra: &[&str]| -> Vec<f64> {
        let out = folder.path().join(name);
        let arguments = ["run", file.to_str().unwrap(), "--out", out.to_str().unwrap()];
        done(&[&arguments[..], extra].concat());
        let lines = std::fs::read_to_string(out.join("tiny-seed0/metrics.jsonl")).unwrap();
        lines
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"].as_f64().unwrap())
            .collect()
    };
    let cpu = losses("cpu", &[]);
    let near = |other: &[f64], limit: f64| {
        assert_eq!(other.len(), 20);
        let worst = cpu.iter().zip(other).map(|(a, b)| ((a - b) / a).abs()).fold(0.0, f64::max);
        println!("off by {worst:.1e} of {limit:.0e}");
        assert!(worst <= limit, "{cpu:?} against {other:?}: off by {worst:.1e}");
    };
    near(&losses("f32", &["--backend", "tch"]), 1e-4);
    near(&losses("f64", &["--backend", "tch", "--precision", "f64"]), 1e-4);
    near(&losses("bf16", &["--backend", "tch", "--precision", "bf16"]), 5e-2);
}

#[test]
fn what_cannot_be_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tiny.toml");
    std::fs::write(&file, TINY).unwrap();
    let run = ["run", file.to_str().unwrap(), "--backend", "tch"];
    for (extra, needle) in [
        (&["--precision", "f16"][..], "would vanish"),
        (&["--device", "gpu"], "expected cpu, cuda or cuda:N"),
        // Nobody has this one; without CUDA packages the loader says what is missing.
        (&["--device", "cuda:4096"], "--device cuda:4096: "),
    ] {
        let output = simseg(&[&run[..], extra].concat());
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(needle) && errors.lines().count() == 1, "{errors}");
    }
}
