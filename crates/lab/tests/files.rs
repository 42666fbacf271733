//! Files as people have them: photographs with notes and videos, hidden files, one bad image in a batch, masks of 0 and 255; and
//! what the program never does: write over an input, panic when nobody listens.

#[path = "common/program.rs"]
mod program;

use program::{ok, refused, simseg, text};
use simseg::Picture;
use simseg_data::picture::{IGNORED, Labels};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn tiny() -> PathBuf {
    repository().join("fixtures/tiny")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

/// A folder with drawn scenes: `images`, `labels`, `classes.txt`.
fn scenes(folder: &Path, count: &str) -> PathBuf {
    let root = folder.join("data");
    ok(&simseg(&["scenes", "--out", text(&root), "--count", count]));
    root
}

fn segment(images: &[&Path], classes: &Path, out: &Path, more: &[&str]) -> Output {
    let tiny = tiny();
    let arguments = ["segment", "--model", text(&tiny), "--classes", text(classes), "--out", text(out)];
    simseg(&[&arguments[..], &images.iter().map(|image| text(image)).collect::<Vec<_>>(), more].concat())
}

fn evaluate(root: &Path, out: &Path, more: &[&str]) -> Output {
    let tiny = tiny();
    let arguments =
        ["evaluate", "--model", text(&tiny), "--dataset", "folder", "--root", text(root), "--out", text(out)];
    simseg(&[&arguments[..], more].concat())
}

/// A JPEG of the fixtures (of 37×29 pixels or so) with an Exif note how the camera was held, and what phones put behind it.
fn photograph(orientation: u8, behind: &[u8]) -> Vec<u8> {
    let plain = std::fs::read(repository().join("crates/data/tests/golden/jpeg/420.jpg")).unwrap();
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xe1];
    bytes.extend((exif.len() as u16 + 2).to_be_bytes());
    bytes.extend(exif);
    bytes.extend(&plain[2..]);
    bytes.extend(behind);
    bytes
}

#[test]
fn a_photograph_is_upright_and_ends_where_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("classes.txt"), "background\nsheep\nfish\n").unwrap();
    // The bytes of a scan's beginning occur in the video, too.
    std::fs::write(at("a.jpg"), photograph(6, b"\0\0\0\x18ftypmp42\xff\xda\xff\xd9\xff\xda....")).unwrap();
    std::fs::write(at("b.jpg"), photograph(1, b"")).unwrap();
    let size = |name: &str| {
        let labels = Labels::load(&at("out").join(name)).unwrap();
        (labels.width, labels.height)
    };
    assert!(segment(&[&at("a.jpg"), &at("b.jpg")], &at("classes.txt"), &at("out"), &[]).status.success());
    let (width, height) = size("b.png");
    assert!(width != height);
    assert_eq!(size("a.png"), (height, width), "turned by a quarter");
    assert!(segment(&[&at("a.jpg")], &at("classes.txt"), &at("out"), &["--exif", "ignore"]).status.success());
    assert_eq!(size("a.png"), (width, height));
    // All eight ways of holding a camera: twice mirrored or four times turned is the picture again.
    let upright = |orientation: u8| {
        std::fs::write(at("c.jpg"), photograph(orientation, b"")).unwrap();
        Picture::load_with(&at("c.jpg"), simseg_data::Exif::Apply).unwrap()
    };
    let seen: Vec<Vec<u8>> = (1..=8).map(|orientation| upright(orientation).rgb).collect();
    for (i, picture) in seen.iter().enumerate() {
        assert_eq!(seen.iter().filter(|other| *other == picture).count(), 1, "orientation {} is its own", i + 1);
    }
    let reversed: Vec<u8> = seen[0].chunks(3).rev().flatten().copied().collect();
    assert_eq!(seen[2], reversed, "3 is half a turn");
    for nonsense in [0, 9, 255] {
        assert_eq!(upright(nonsense).rgb, seen[0], "{nonsense} means nothing");
    }
}

#[test]
fn a_folder_of_photographs_is_judged_upright_and_hidden_files_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    for below in ["images", "labels"] {
        std::fs::create_dir_all(root.join(below)).unwrap();
        std::fs::write(root.join(below).join("._a.png"), "AppleDouble").unwrap();
        std::fs::write(root.join(below).join(".DS_Store"), "Finder").unwrap();
    }
    std::fs::write(root.join("classes.txt"), "background\nsheep\n").unwrap();
    std::fs::write(root.join("images/a.jpg"), photograph(6, b"")).unwrap();
    let stored = Picture::load(&root.join("images/a.jpg")).unwrap();
    let label = |width: usize, height: usize| {
        let mut values = vec![0; width * height];
        values[0] = 1;
        Labels::new(width, height, values).save(&root.join("labels/a.png")).unwrap();
    };
    let out = folder.path().join("a.json");
    label(stored.height, stored.width);
    let fine = evaluate(&root, &out, &[]);
    assert!(fine.status.success(), "{}", said(&fine));
    label(stored.width, stored.height);
    let line = refused(&evaluate(&root, &out, &[]));
    assert!(line.contains("Exif") && line.contains("labels/a.png"), "{line}");
    assert!(evaluate(&root, &out, &["--exif", "ignore"]).status.success());
}

#[test]
fn one_bad_image_does_not_end_a_batch() {
    let folder = tempfile::tempdir().unwrap();
    let root = scenes(folder.path(), "3");
    let image = |number: usize| root.join(format!("images/00000{number}.png"));
    std::fs::write(image(1), "no picture").unwrap();
    let out = folder.path().join("out");
    let batch = segment(&[&image(0), &image(1), &image(2)], &root.join("classes.txt"), &out, &[]);
    let line = said(&batch);
    assert_eq!(batch.status.code(), Some(1), "{line}");
    assert!(line.contains("000001.png: not an image") && line.contains("1 of 3 images failed"), "{line}");
    assert!(out.join("000000.png").exists() && out.join("000002.png").exists() && !out.join("000001.png").exists());
    assert!(refused(&segment(&[&image(1)], &root.join("classes.txt"), &out, &[])).contains("000001.png"));
}

#[test]
fn a_strip_that_would_be_a_giant_is_refused_before_memory_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let root = scenes(folder.path(), "1");
    let (classes, out, strip) = (root.join("classes.txt"), folder.path().join("out"), folder.path().join("strip.png"));
    Picture { width: 20_000, height: 1, rgb: vec![99; 60_000] }.save(&strip).unwrap();
    // Squashed into a square it is nothing special.
    let fine = segment(&[&strip], &classes, &out, &[]);
    assert!(fine.status.success(), "{}", said(&fine));
    let keep = ["--set", "input.fit=keep-aspect"];
    let line = refused(&segment(&[&strip], &classes, &out, &keep));
    assert!(line.contains("strip.png") && line.contains("1280000 patches") && line.contains("squash"), "{line}");
    let batch = segment(&[&strip, &root.join("images/000000.png")], &classes, &out, &keep);
    assert_eq!(batch.status.code(), Some(1), "{}", said(&batch));
    assert!(out.join("000000.png").exists() && said(&batch).contains("1 of 2 images failed"));
    // Twice the limit in one direction alone.
    let line = refused(&segment(&[&strip], &classes, &out, &["--set", "input.size=1032"]));
    assert!(line.contains("expected at most 16384"), "{line}");
}

#[test]
fn folders_are_inputs_too() {
    let folder = tempfile::tempdir().unwrap();
    let root = scenes(folder.path(), "3");
    let (images, classes, out) = (root.join("images"), root.join("classes.txt"), folder.path().join("out"));
    std::fs::write(images.join("._000000.png"), "AppleDouble").unwrap();
    std::fs::write(images.join("notes.txt"), "no picture").unwrap();
    std::fs::create_dir_all(images.join("deep/er")).unwrap();
    std::fs::rename(images.join("000002.png"), images.join("deep/er/000002.png")).unwrap();
    let maps = || std::fs::read_dir(&out).unwrap().count();
    assert!(segment(&[&images], &classes, &out, &[]).status.success());
    assert_eq!(maps(), 4, "two label maps and two overlays");
    assert!(segment(&[&images], &classes, &out, &["--recursive"]).status.success());
    assert_eq!(maps(), 6);
    let line = refused(&segment(&[&images.join("deep")], &classes, &out, &[]));
    assert!(line.contains("no images") && line.contains("--recursive"), "{line}");
}

#[test]
fn an_output_never_lands_on_an_input_or_on_another_output() {
    let folder = tempfile::tempdir().unwrap();
    let root = scenes(folder.path(), "2");
    let at = |name: &str| root.join(name);
    let photo = at("images/000000.png");
    let before = std::fs::read(&photo).unwrap();
    let classes = at("classes.txt");
    let (images, labels) = (at("images"), at("labels"));
    assert!(refused(&segment(&[&photo], &classes, &images, &[])).contains("input"));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&images, at("link")).unwrap();
        assert!(refused(&segment(&[&photo], &classes, &at("link"), &[])).contains("input"));
    }
    let out = at("out");
    let timings = |path: &Path| segment(&[&photo], &classes, &out, &["--timings", text(path)]);
    assert!(refused(&timings(&classes)).contains("input"));
    assert!(refused(&timings(&out.join("000000.overlay.png"))).contains("overwrite each other"));
    // `x.png` and `x.overlay.png`: the overlay of one is the label map of the other.
    let second = at("images/000000.overlay.png");
    std::fs::copy(&photo, &second).unwrap();
    assert!(refused(&segment(&[&photo, &second], &classes, &out, &[])).contains("overwrite each other"));
    std::fs::remove_file(&second).unwrap();
    assert!(!out.exists(), "refused before anything is written");

    let label = at("labels/000000.png");
    for input in [&classes, &label, &photo] {
        let bytes = std::fs::read(input).unwrap();
        assert!(refused(&evaluate(&root, input, &[])).contains("input"), "{}", input.display());
        assert_eq!(std::fs::read(input).unwrap(), bytes);
    }
    assert!(labels.join("000000.png").exists() && std::fs::read(&photo).unwrap() == before);
    let report = at("report.json");
    assert!(evaluate(&root, &report, &[]).status.success());
    assert!(evaluate(&root, &report, &[]).status.success(), "an earlier report may be replaced");
}

#[test]
fn an_evaluation_goes_on_only_with_the_same_images_weights_and_words() {
    let folder = tempfile::tempdir().unwrap();
    let root = scenes(folder.path(), "4");
    let image = |number: usize| root.join(format!("images/00000{number}.png"));
    let (out, hidden) = (folder.path().join("a.json"), folder.path().join("hidden.png"));
    let whole = std::fs::read(image(2)).unwrap();
    let stop = || {
        std::fs::write(image(2), "no picture").unwrap();
        assert_eq!(evaluate(&root, &out, &[]).status.code(), Some(2));
        std::fs::write(image(2), &whole).unwrap();
    };
    let model = folder.path().join("model");
    std::fs::create_dir(&model).unwrap();
    for name in ["config.json", "model.safetensors", "vocab.txt"] {
        std::fs::copy(tiny().join(name), model.join(name)).unwrap();
    }
    stop();
    // An image more, before those that were counted.
    std::fs::copy(image(3), root.join("images/000.png")).unwrap();
    std::fs::copy(root.join("labels/000003.png"), root.join("labels/000.png")).unwrap();
    assert!(refused(&evaluate(&root, &out, &["--resume"])).contains("image 1 (`000000`)"));
    std::fs::remove_file(root.join("images/000.png")).unwrap();
    std::fs::remove_file(root.join("labels/000.png")).unwrap();
    // Another picture under the same name.
    std::fs::rename(image(1), &hidden).unwrap();
    std::fs::copy(image(3), image(1)).unwrap();
    assert!(refused(&evaluate(&root, &out, &["--resume"])).contains("image 2 (`000001`)"));
    std::fs::rename(&hidden, image(1)).unwrap();
    // Other words for the same class.
    let classes = std::fs::read_to_string(root.join("classes.txt")).unwrap();
    let other = folder.path().join("other.txt");
    std::fs::write(&other, classes.trim_end().to_owned() + " | something\n").unwrap();
    let line = refused(&evaluate(&root, &out, &["--resume", "--classes", text(&other)]));
    assert!(line.contains("another classes"), "{line}");
    // The same folder with other weights: one bit of one value.
    let header = std::fs::read_to_string(out.with_extension("json.partial")).unwrap();
    let mut weights = std::fs::read(model.join("model.safetensors")).unwrap();
    let last = weights.len() - 3;
    weights[last] ^= 1;
    std::fs::write(model.join("model.safetensors"), weights).unwrap();
    let moved = header.replace(text(&tiny()), text(&model));
    std::fs::write(out.with_extension("json.partial"), &moved).unwrap();
    let arguments =
        ["evaluate", "--model", text(&model), "--dataset", "folder", "--root", text(&root), "--out", text(&out)];
    let line = refused(&simseg(&[&arguments[..], &["--resume"]].concat()));
    assert!(line.contains("another weights"), "{line}");
    std::fs::write(out.with_extension("json.partial"), &header).unwrap();
    assert!(evaluate(&root, &out, &["--resume"]).status.success());
}

#[test]
fn a_mask_of_0_and_255_is_pointed_out() {
    let folder = tempfile::tempdir().unwrap();
    let root = scenes(folder.path(), "2");
    std::fs::write(root.join("classes.txt"), "background\nmushroom\n").unwrap();
    for number in 0..2 {
        let path = root.join(format!("labels/00000{number}.png"));
        let mut labels = Labels::load(&path).unwrap();
        labels.values.iter_mut().for_each(|label| *label = if *label > 0 { IGNORED } else { 0 });
        labels.save(&path).unwrap();
    }
    let out = folder.path().join("a.json");
    let line = said(&evaluate(&root, &out, &[]));
    assert!(
        line.contains("0 and 255 alone") && line.contains("never in the label maps") && line.contains("mushroom"),
        "{line}"
    );
}

#[test]
fn words_that_look_the_same_are_named_and_strictly_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let root = scenes(folder.path(), "1");
    let (image, classes) = (root.join("images/000000.png"), folder.path().join("classes.txt"));
    let out = folder.path().join("out");
    std::fs::write(&classes, "background\nsheep\n猫\n犬\n").unwrap();
    let loose = segment(&[&image], &classes, &out, &[]);
    assert!(loose.status.success());
    let line = said(&loose);
    assert!(
        line.contains("no tokens for 猫, 犬") && line.contains("same embedding") && line.contains("猫 and 犬"),
        "{line}"
    );
    let line = refused(&segment(&[&image], &classes, &out, &["--strict"]));
    assert!(line.contains("--strict") && line.contains("猫"), "{line}");
    let long = vec!["sheep"; 40].join(" ");
    std::fs::write(&classes, format!("background\nfish\n{long}\n")).unwrap();
    assert!(said(&segment(&[&image], &classes, &out, &[])).contains("and cut: sheep sheep"));
    std::fs::write(&classes, "background\nsheep\nfish\n").unwrap();
    let fine = segment(&[&image], &classes, &out, &["--strict"]);
    assert!(fine.status.success() && !said(&fine).contains("note"), "{}", said(&fine));
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_gone_ends_the_program_quietly_and_a_full_disk_with_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let root = scenes(folder.path(), "3");
    let tiny = tiny();
    let images: Vec<PathBuf> = (0..3).map(|number| root.join(format!("images/00000{number}.png"))).collect();
    let (classes, out) = (root.join("classes.txt"), folder.path().join("out"));
    let mut program = Command::new(env!("CARGO_BIN_EXE_simseg"));
    program.args(["segment", "--model", text(&tiny), "--classes", text(&classes), "--out", text(&out)]).args(&images);
    let mut child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""), "{first}");
    for arguments in [
        &["recipe"][..],
        &["segment", "--model", text(&tiny), "--classes", text(&classes), "--out", text(&out), text(&images[0])],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ended = Command::new(env!("CARGO_BIN_EXE_simseg")).args(arguments).stdout(full).output().unwrap();
        let line = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!((ended.status.code(), line.lines().count()), (Some(3), 1), "{line}");
        assert!(line.contains("stdout"), "{line}");
    }
}

#[test]
fn models_of_any_patch_run_with_defaults() {
    use simseg::{Choice, Loaded, ModelDescription, Registry};
    use simseg_cpu::{CpuDevice, CpuTensor};
    let folder = tempfile::tempdir().unwrap();
    let root = scenes(folder.path(), "1");
    let image = root.join("images/000000.png");
    let registry = Registry::<CpuTensor<f32>>::built_in();
    let clip = repository().join("fixtures/pytorch/import/clip");
    let tokenizer = simseg_data::Tokenizer::load(&clip).unwrap();
    // CLIP ViT-L/14 at 224 and 336, B/32, and a patch of 8, all narrow.
    for (patch, size) in [(14, 224), (14, 336), (32, 224), (8, 224)] {
        let tower = serde_json::json!({"image_size": size, "patch": patch, "width": 16, "depth": 1, "heads": 1});
        let text_tower = serde_json::json!({"vocabulary": tokenizer.vocabulary(), "positions": 77, "width": 16, "depth": 1, "heads": 1});
        let model = Choice::new("clip")
            .with("image", tower)
            .with("text", text_tower)
            .with("projection", 8)
            .with("gelu", "quick");
        let description = ModelDescription { model, aligner: Choice::new("holistic") };
        let parameters = description.layout(&registry).unwrap().draw::<CpuTensor<f32>>(0, &CpuDevice).unwrap();
        let directory = folder.path().join(format!("clip-{patch}-{size}"));
        Loaded { description, parameters, tokenizer: tokenizer.clone(), rounded: None }.write(&directory).unwrap();
        let classes = folder.path().join("classes.txt");
        std::fs::write(&classes, "background\ncat\n").unwrap();
        let run = |arguments: &[&str]| {
            let done = simseg(&[arguments, &["--model", text(&directory)]].concat());
            assert!(done.status.success(), "{patch} {size} {arguments:?}: {}", said(&done));
        };
        let at = |name: &str| folder.path().join(name);
        run(&["segment", text(&image), "--classes", text(&classes), "--out", text(&at("out"))]);
        run(&["explain", text(&image), "--classes", text(&classes), "--out", text(&at("page.html"))]);
        let captions = root.join("captions.csv");
        run(&[
            "retrieve",
            "--captions",
            text(&captions),
            "--images",
            text(&root.join("images")),
            "--out",
            text(&at("r.json")),
        ]);
        let report = at("report.json");
        run(&[
            "evaluate",
            "--dataset",
            "folder",
            "--root",
            text(&root),
            "--out",
            text(&report),
            "--recipe",
            "official-code",
        ]);
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
        let side = report["recipe"]["input"]["size"].as_u64().unwrap();
        assert_eq!(
            (side % patch, report["recipe"]["prompts"]["max_tokens"].as_u64()),
            (0, Some(77)),
            "{patch}: {side}"
        );
        assert!(side.abs_diff(288) <= patch / 2, "{patch}: {side} is nearest to 288");
    }
}
