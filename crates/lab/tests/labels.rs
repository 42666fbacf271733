//! Label maps of every kind: with and without a background, more classes than a byte can tell, 0 for "unlabelled", a value of
//! one's own that is not counted.

#[path = "common/program.rs"]
mod program;

use program::{ok, refused, simseg, text};
use serde_json::Value;
use simseg::{Choice, ClassList, LabelFormat, Labels, Model, Picture, Recipe};
use simseg_data::picture::IGNORED;
use std::path::{Path, PathBuf};

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny")
}

/// Three scenes with label maps, and their folder.
fn scenes() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("data");
    ok(&simseg(&["scenes", "--out", text(&root), "--count", "3", "--seed", "7"]));
    (folder, root)
}

/// Changes every value of every label map.
fn relabel(root: &Path, change: impl Fn(u16) -> u16) {
    for number in 0..3 {
        let path = root.join(format!("labels/00000{number}.png"));
        let mut labels = Labels::load(&path).unwrap();
        labels.values.iter_mut().for_each(|label| *label = change(*label));
        labels.save(&path).unwrap();
    }
}

/// The lines of the scenes' class file.
fn lines(root: &Path) -> Vec<String> {
    std::fs::read_to_string(root.join("classes.txt")).unwrap().lines().map(str::to_owned).collect()
}

fn evaluate(root: &Path, more: &[&str]) -> Value {
    let (model, out) = (tiny(), root.join("../report.json"));
    let command =
        ["evaluate", "--model", text(&model), "--dataset", "folder", "--root", text(root), "--out", text(&out)];
    ok(&simseg(&[&command[..], more].concat()));
    serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap()
}

fn segment(root: &Path, classes: &Path, more: &[&str]) -> Labels {
    let (model, out, image) = (tiny(), root.join("../out"), root.join("images/000000.png"));
    let command = ["segment", "--model", text(&model), "--classes", text(classes), "--out", text(&out), text(&image)];
    ok(&simseg(&[&command[..], more].concat()));
    Labels::load(&out.join("000000.png")).unwrap()
}

#[test]
fn a_pixel_that_no_class_claims_has_no_label_where_there_is_no_background() {
    let (_kept, root) = scenes();
    let classes = root.join("no-background.txt");
    std::fs::write(&classes, format!("background = false\n{}\n", lines(&root)[1..].join("\n"))).unwrap();
    let map = segment(&root, &classes, &[]);
    assert!(map.values.contains(&IGNORED) && map.values.iter().any(|&label| label < 10), "{:?}", map.classes());
    let best = segment(&root, &classes, &["--set", "unclaimed=best-class"]);
    assert!(!best.values.contains(&IGNORED));
    // What a class claims is the same whatever becomes of the rest.
    assert!(map.values.iter().zip(&best.values).all(|(a, b)| a == b || *a == IGNORED));
    // The switch says the same as the file's first line.
    std::fs::write(&classes, lines(&root)[1..].join("\n")).unwrap();
    assert_eq!(segment(&root, &classes, &["--no-background"]).values, map.values);
    // Every pixel by itself: none is left if the least probability is enough.
    let segmenter = Choice::new("per-pixel").with("probability", 0.0);
    let model = Model::open(tiny()).unwrap();
    let model = model.with_recipe(Recipe { segmenter, ..model.recipe().clone() }).unwrap();
    let list = ClassList::parse(&lines(&root)[1..].join("\n")).unwrap().with_background(false);
    let picture = Picture::load(&root.join("images/000000.png")).unwrap();
    let found = model.segment(&picture, &model.classes(list).unwrap()).unwrap();
    assert!(!found.labels.values.contains(&IGNORED) && found.labels.classes().contains(&found.found[0].class));
}

#[test]
fn unclaimed_pixels_are_misses_and_the_ignored_are_not_counted() {
    let (_kept, root) = scenes();
    let all = lines(&root);
    std::fs::write(root.join("classes.txt"), format!("background = false\n{}\n", all[1..].join("\n"))).unwrap();
    // 0 is "unlabelled", classes follow from 1 on.
    let reduced = evaluate(&root, &["--reduce-zero-label"]);
    // The same written the other way: classes from 0 on, 255 for what is not counted.
    relabel(&root, |label| label.checked_sub(1).unwrap_or(IGNORED));
    let plain = evaluate(&root, &[]);
    relabel(&root, |label| if label == IGNORED { 77 } else { label });
    let own = evaluate(&root, &["--ignore-index", "77"]);
    for other in [&plain, &own] {
        assert_eq!((&other["miou"], &other["per_class"]), (&reduced["miou"], &reduced["per_class"]));
    }
    assert!(reduced["per_class"].get("background").is_none());
    let misses = reduced["confusions"].as_array().unwrap().iter().any(|mistake| mistake["label"] == "no class");
    assert!(misses, "pixels that no class claims are taken for no class: {reduced}");
}

#[test]
fn a_map_that_starts_at_one_is_pointed_out() {
    let (_kept, root) = scenes();
    let all = lines(&root);
    std::fs::write(root.join("classes.txt"), format!("{}\n", all[1..].join("\n"))).unwrap();
    let past = all.len() as u16 - 1;
    relabel(&root, |label| if label == 0 { 0 } else { past });
    let (model, out) = (tiny(), root.join("../report.json"));
    let command =
        ["evaluate", "--model", text(&model), "--dataset", "folder", "--root", text(&root), "--out", text(&out)];
    let line = refused(&simseg(&command));
    assert!(line.contains(&format!("label {past}")) && line.contains("reduce_zero_label"), "{line}");
    let line = refused(&simseg(&[&command[..], &["--reduce-zero-label"]].concat()));
    assert!(line.contains("background = false"), "{line}");
}

#[test]
fn more_than_255_classes_are_maps_of_16_bits() {
    let (_kept, root) = scenes();
    let all = lines(&root);
    // 288 words that mean something else in front of the scenes' own.
    let colours = ["red", "green", "blue", "yellow", "white", "black", "brown", "orange"];
    let others: Vec<String> = (0..288).map(|i| format!("{} {}", colours[i % 8], i / 8)).collect();
    let list = [&all[..1], &others, &all[1..]].concat();
    std::fs::write(root.join("classes.txt"), list.join("\n")).unwrap();
    let map = segment(&root, &root.join("classes.txt"), &[]);
    assert_eq!(map.format.depth, simseg_data::picture::Depth::Sixteen);
    assert!(map.classes().iter().all(|&class| class < list.len()));
    relabel_to_sixteen(&root, 288);
    let report = evaluate(&root, &[]);
    assert_eq!(report["per_class"].as_object().unwrap().len(), list.len());
    let known = all[1..].iter().filter(|name| !report["per_class"][name.as_str()].is_null()).count();
    assert!(known > 0, "the true classes lie beyond 255 and are counted: {report}");
    // In memory and from bytes as well.
    let model = Model::open(tiny()).unwrap();
    let words = model.words(&list[1..]).unwrap();
    let picture = Picture::load(&root.join("images/000000.png")).unwrap();
    let found = model.segment(&picture, &words).unwrap().labels;
    assert_eq!(found.format, LabelFormat::of(list.len(), true));
    assert_eq!(Labels::from_bytes(&found.png()).unwrap().values, found.values);
}

#[test]
fn the_program_writes_the_labels_of_the_library_for_photographs_and_scenes() {
    let (_kept, root) = scenes();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let photographs = ["astronaut", "chelsea", "coffee"].map(|name| format!("pytorch/images/{name}.png"));
    let mut pictures: Vec<PathBuf> = photographs.iter().map(|name| fixtures.join(name)).collect();
    pictures.extend((0..3).map(|number| root.join(format!("images/00000{number}.png"))));
    let mut drawn = 0;
    for (folder, classes) in
        [("tiny", root.join("classes.txt")), ("pytorch/model", fixtures.join("pytorch/classes.txt"))]
    {
        let (folder, out) = (fixtures.join(folder), root.join("../all"));
        let command = ["segment", "--model", text(&folder), "--classes", text(&classes), "--out", text(&out)];
        let named: Vec<&str> = pictures.iter().map(|picture| text(picture)).collect();
        ok(&simseg(&[&command[..], &named[..]].concat()));
        let model = Model::open(&folder).unwrap();
        let words = model.classes(ClassList::parse(&std::fs::read_to_string(&classes).unwrap()).unwrap()).unwrap();
        for picture in &pictures {
            let found = model.segment(&Picture::load(picture).unwrap(), &words).unwrap();
            let written = Labels::load(&out.join(picture.file_name().unwrap())).unwrap();
            assert!(written.values == found.labels.values, "{}, {}", folder.display(), picture.display());
            drawn += usize::from(found.labels.values.iter().any(|&label| label > 0));
        }
    }
    assert!(drawn >= 10, "{drawn} of 12 pictures have more than the background");
}

/// Moves classes up by so many, in maps of 16 bits.
fn relabel_to_sixteen(root: &Path, by: u16) {
    for number in 0..3 {
        let path = root.join(format!("labels/00000{number}.png"));
        let mut labels = Labels::load(&path).unwrap();
        labels.values.iter_mut().filter(|label| **label > 0).for_each(|label| *label += by);
        labels.format = LabelFormat::of(300, true);
        labels.save(&path).unwrap();
    }
}
