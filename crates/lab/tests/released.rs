//! The recipe `official-code` against the released pipeline in timm, transformers, pydensecrf2, OpenCV and Pillow, stage by
//! stage, on photographs (`fixtures/pytorch/make.py` wrote what that stack gave).

use image::GenericImageView;
use safetensors::{Dtype, SafeTensors};
use std::path::{Path, PathBuf};
use std::process::Command;

const STEMS: [&str; 3] = ["astronaut", "chelsea", "coffee"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/pytorch")
}

fn f32s(file: &SafeTensors, name: &str) -> Vec<f32> {
    let view = file.tensor(name).unwrap_or_else(|_| panic!("no `{name}`"));
    assert_eq!(view.dtype(), Dtype::F32, "{name}");
    view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Largest difference, divided by the largest value if `relative`.
fn worst(a: &[f32], b: &[f32], relative: bool) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = if relative { b.iter().fold(0.0f32, |m, x| m.max(x.abs())) } else { 1.0 };
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

/// Share of equal values.
fn equal(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64
}

fn png(path: &Path) -> Vec<u8> {
    image::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).to_luma8().into_raw()
}

/// Runs the program on the three photographs; what it traced.
fn trace(out: &Path) -> Vec<u8> {
    let file = out.join("trace.safetensors");
    let images = STEMS.map(|stem| fixtures().join(format!("images/{stem}.png")));
    let output = Command::new(env!("CARGO_BIN_EXE_simseg"))
        .args(["segment", "--recipe", "official-code", "--model"])
        .arg(fixtures().join("model"))
        .arg("--classes")
        .arg(fixtures().join("classes.txt"))
        .arg("--out")
        .arg(out)
        .arg("--trace")
        .arg(&file)
        .args(images)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(file).unwrap()
}

#[test]
fn every_stage_is_that_of_the_released_code() {
    let out = tempfile::tempdir().unwrap();
    let bytes = trace(out.path());
    let ours = SafeTensors::deserialize(&bytes).unwrap();
    let bytes = std::fs::read(fixtures().join("expected.safetensors")).unwrap();
    let theirs = SafeTensors::deserialize(&bytes).unwrap();
    let within = |name: &str, relative: bool, limit: f32| {
        let worst = worst(&f32s(&ours, name), &f32s(&theirs, name), relative);
        println!("{name:<28} {worst:8.1e} of {limit:.0e}");
        assert!(worst <= limit, "{name}: {worst:e}, expected at most {limit:e}");
    };
    within("text/classes", true, 1e-4);
    let mut drawn = 0;
    for stem in STEMS {
        let expected = |what: &str| png(&fixtures().join(format!("expected/{stem}.{what}.png")));
        let resized = image::open(fixtures().join(format!("expected/{stem}.resized.png"))).unwrap().to_rgb8();
        let pixels = f32s(&ours, &format!("{stem}/image/pixels"));
        let (mean, std) = ([0.485f32, 0.456, 0.406], [0.229f32, 0.224, 0.225]);
        for (x, y, pixel) in resized.enumerate_pixels() {
            for c in 0..3 {
                let wanted = (f32::from(pixel[c]) / 255.0 - mean[c]) / std[c];
                let got = pixels[c * 288 * 288 + y as usize * 288 + x as usize];
                assert!((got - wanted).abs() <= 1e-6, "{stem}: pixel {x}, {y}");
            }
        }
        within(&format!("{stem}/image/patches"), true, 1e-4);
        within(&format!("{stem}/image/embedding"), true, 1e-4);
        within(&format!("{stem}/scores"), false, 1e-5);
        within(&format!("{stem}/threshold"), false, 1e-5);

        let maps = |file: &SafeTensors| -> Vec<String> {
            let prefix = format!("{stem}/map/");
            let mut names: Vec<String> =
                file.names().into_iter().filter_map(|name| name.strip_prefix(&prefix).map(str::to_owned)).collect();
            names.sort();
            names
        };
        assert_eq!(maps(&ours), maps(&theirs), "{stem}: other classes");
        for class in maps(&theirs) {
            drawn += 1;
            let name = format!("{stem}/map/{class}");
            let (ours_map, grid) = (f32s(&ours, &name), f32s(&theirs, &name));
            let spread: Vec<f32> = (0..288 * 288).map(|i| grid[i / 288 / 16 * 18 + i % 288 / 16]).collect();
            let off = worst(&ours_map, &spread, false);
            assert!(off <= 1e-4, "{name}: {off:e}");
            for (kind, limit) in [("crf", 0.999), ("mask", 0.999)] {
                let mask = ours.tensor(&format!("{stem}/{kind}/{class}")).unwrap().data();
                let wanted: Vec<u8> = expected(&format!("{kind}.{class}")).iter().map(|&v| u8::from(v > 0)).collect();
                let share = equal(mask, &wanted);
                println!("{stem}/{kind}/{class:<20} {:.4}% equal", 100.0 * share);
                assert!(share >= limit, "{stem}/{kind}/{class}: {share}");
            }
        }
        let labels = ours.tensor(&format!("{stem}/labels")).unwrap().data();
        let share = equal(labels, &expected("labels"));
        println!("{stem}/labels {:.4}% equal", 100.0 * share);
        assert!(share >= 0.998, "{stem}: {share}");
        let size = image::open(fixtures().join(format!("images/{stem}.png"))).unwrap().dimensions();
        assert_eq!(labels.len(), (size.0 * size.1) as usize);
    }
    assert!(drawn >= 4, "the fixture draws too few classes to show anything: {drawn}");
}
