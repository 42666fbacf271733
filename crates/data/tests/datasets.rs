//! Data sets in their published layouts, a few pixels large.

use simseg_data::datasets::{Dataset, IGNORED, Values, coco, context, drawn::Drawn, folder::folder, mask, voc};
use simseg_data::pairs::captions::{Columns, captions};
use simseg_data::picture::{Exif, Labels, Picture};
use simseg_data::scenes::export::export;
use simseg_data::{DataRegistry, SceneConfig, Source, World};
use std::path::Path;

/// A picture of one colour. Nothing asks what is in it, so a PNG may call itself `.jpg`.
fn picture(path: &Path, width: usize, height: usize, value: u8) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    Picture { width, height, rgb: vec![value; width * height * 3] }.save(path).unwrap();
}

fn labels(path: &Path, width: usize, values: &[u16]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    Labels::new(width, values.len() / width, values.to_vec()).save(path).unwrap();
}

fn text(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A published data set by its name.
fn open(name: &str, root: &Path) -> Result<Box<dyn Dataset>, simseg_registry::Error> {
    DataRegistry::built_in().open_dataset(&Source::new(name).with("root", root), 0)
}

fn message<T>(result: simseg_data::Result<T>) -> String {
    let message = result.err().expect("an error").to_string();
    assert!(!message.contains('\n'), "one line: {message}");
    message
}

#[test]
fn voc_reads_the_list_in_its_order_from_any_of_three_roots() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("VOCdevkit/VOC2012");
    text(&root.join("ImageSets/Segmentation/val.txt"), "2007_000002\n2007_000001\n");
    for (name, value) in [("2007_000001", 15), ("2007_000002", 20), ("2007_000003", 1)] {
        picture(&root.join(format!("JPEGImages/{name}.jpg")), 2, 1, value);
        labels(&root.join(format!("SegmentationClass/{name}.png")), 2, &[value.into(), IGNORED]);
    }
    for root in [dir.path().to_owned(), dir.path().join("VOCdevkit"), root.clone()] {
        let set = open("voc2012", &root).unwrap();
        assert_eq!((set.len(), set.classes().len()), (2, 21));
        let items: Vec<_> = set.items().collect::<Result<_, _>>().unwrap();
        assert_eq!((&items[0].stem[..], &items[1].stem[..]), ("2007_000002", "2007_000001"));
        assert_eq!((items[0].picture.rgb[0], &items[0].labels.values[..]), (20, &[20, IGNORED][..]));
    }
    assert_eq!((voc::CLASSES[11], voc::CLASSES[16], voc::CLASSES[20]), ("table", "plant", "monitor"));
    // A label beyond the classes, a map of another size, a missing map: each named.
    labels(&root.join("SegmentationClass/2007_000001.png"), 2, &[21, 0]);
    assert!(message(voc::voc2012(dir.path()).unwrap().item(1)).contains("label 21"));
    labels(&root.join("SegmentationClass/2007_000001.png"), 1, &[0, 0]);
    assert!(message(voc::voc2012(dir.path()).unwrap().item(1)).contains("1×2"));
    std::fs::remove_file(root.join("SegmentationClass/2007_000001.png")).unwrap();
    assert!(message(voc::voc2012(dir.path()).unwrap().item(1)).contains("2007_000001.png"));
    text(&root.join("ImageSets/Segmentation/val.txt"), "../2007_000001\n");
    assert!(message(voc::voc2012(dir.path())).contains("path"));
    assert!(message(voc::voc2012(&dir.path().join("none"))).contains("ImageSets/Segmentation/val.txt"));
}

#[test]
fn context_is_painted_in_the_order_of_the_file() {
    // 3 × 2 pixels. Sky (360 → 47) everywhere, then a bird (25 → 7) on the middle column; the second picture has nothing.
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("trainval_merged.json");
    let body = |category: u16, phase: &str| {
        format!(
            r#"{{"info": {{"x": [1]}}, "images": [
            {{"image_id": 2008000002, "file_name": "2008_000002.jpg", "phase": "val", "height": 2, "width": 3, "url": ""}},
            {{"image_id": 2008000001, "file_name": "2008_000001.jpg", "phase": "{phase}", "height": 1, "width": 1}}],
            "annos_segmentation": [
            {{"id": 1, "image_id": 2008000002, "category_id": 360, "segmentation": {{"size": [2, 3], "counts": "06"}}, "parts": []}},
            {{"id": 2, "image_id": 2008000002, "category_id": {category}, "segmentation": {{"size": [2, 3], "counts": "222"}}}}],
            "annos_boundary": []}}"#
        )
    };
    text(&json, &body(25, "train"));
    let root = dir.path().join("VOCdevkit/VOC2010");
    let told = std::sync::atomic::AtomicUsize::new(0);
    let converted = context::convert(&json, &root, |all| {
        assert_eq!(all, 2);
        told.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(converted.unwrap(), context::Converted { train: 1, val: 1 });
    assert_eq!(told.into_inner(), 2);
    picture(&root.join("JPEGImages/2008_000002.jpg"), 3, 2, 9);
    let set = open("context", dir.path()).unwrap();
    assert_eq!((set.len(), set.classes().len(), &set.classes()[47][..], &set.classes()[7][..]), (1, 60, "sky", "bird"));
    assert_eq!(set.item(0).unwrap().labels.values, [47, 7, 47, 47, 7, 47]);
    assert_eq!(Labels::load(&root.join("SegmentationClassContext/2008_000001.png")).unwrap().values, [0]);

    text(&json, &body(26, "train"));
    let error = message(context::convert(&json, &root, |_| {}));
    assert!(error.contains("category 26") && error.contains("2008_000002.jpg"), "{error}");
    text(&json, &body(25, "train").replace("222", "223"));
    assert!(message(context::convert(&json, &root, |_| {})).contains("cover 7 pixels"));
    text(&json, &body(25, "train").replace("2008_000001.jpg", "../../x.jpg"));
    assert!(message(context::convert(&json, &root, |_| {})).contains("without folders"));
    text(&json, "{");
    assert!(message(context::convert(&json, &root, |_| {})).contains("trainval_merged.json"));
}

#[test]
fn class_words_of_context_belong_to_sorted_category_numbers() {
    assert!(context::CATEGORIES.is_sorted() && context::CLASSES[1..].is_sorted());
}

#[test]
fn coco_reads_published_and_converted_maps_alike() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("coco_stuff164k");
    let maps = root.join("annotations/val2017");
    for name in ["000000000139", "000000000285"] {
        picture(&root.join(format!("images/val2017/{name}.jpg")), 5, 1, 0);
        labels(&maps.join(format!("{name}.png")), 5, &[0, 12, 89, 91, IGNORED]);
    }
    let expected = [1, 12, 80, 0, 0];
    let read = || open("coco-object", dir.path()).unwrap().item(1).unwrap().labels.values;
    assert_eq!(read(), expected, "from the published map");
    assert_eq!(coco::convert(dir.path(), |_| {}).unwrap(), 2);
    assert_eq!(Labels::load(&maps.join("000000000285_labelTrainIds.png")).unwrap().values, expected);
    assert_eq!(read(), expected, "from the converted map");
    assert_eq!(coco::convert(dir.path(), |_| {}).unwrap(), 2, "converted maps are not converted again");
    labels(&maps.join("000000000139.png"), 5, &[11, 0, 0, 0, 0]);
    assert!(message(coco::convert(dir.path(), |_| {})).contains("value 11"));
    std::fs::remove_file(maps.join("000000000285.png")).unwrap();
    std::fs::remove_file(maps.join("000000000285_labelTrainIds.png")).unwrap();
    assert!(message(coco::coco_object(dir.path())).contains("000000000285"));
}

#[test]
fn exported_scenes_come_back_as_they_were_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(SceneConfig { image_size: 24, ..SceneConfig::default() }, 5).unwrap();
    export(&world, dir.path(), 4, || {}).unwrap();
    let read = folder(dir.path(), None, Exif::Apply, Values::default()).unwrap();
    let drawn = Drawn::new(world.clone(), 4);
    assert_eq!((read.len(), read.classes()), (drawn.len(), drawn.classes()));
    for (a, b) in read.items().zip(drawn.items()) {
        assert_eq!(a.unwrap(), b.unwrap());
    }
    let captions = captions(&dir.path().join("captions.csv"), &Columns::default()).unwrap();
    assert_eq!(captions.len(), 4);
    for (i, caption) in captions.into_iter().enumerate() {
        assert_eq!((caption.image, caption.caption), (format!("{i:06}.png"), world.scene(i as u64).caption));
    }
    // The same bytes again, with another number of threads.
    let again = tempfile::tempdir().unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    pool.install(|| export(&world, again.path(), 4, || {})).unwrap();
    for file in ["images/000003.png", "labels/000000.png", "captions.csv", "classes.txt"] {
        assert_eq!(std::fs::read(dir.path().join(file)).unwrap(), std::fs::read(again.path().join(file)).unwrap());
    }
}

#[test]
fn a_folder_that_does_not_pair_up_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let own = root.join("own.txt");
    text(&own, "background\ncat\n");
    let classes = || Some(own.as_path());
    assert!(message(folder(root, classes(), Exif::Apply, Values::default())).contains("labels"));
    picture(&root.join("images/a.jpg"), 1, 1, 0);
    std::fs::create_dir(root.join("labels")).unwrap();
    assert!(message(folder(root, classes(), Exif::Apply, Values::default())).contains("labels/a.png"));
    labels(&root.join("labels/a.png"), 1, &[1]);
    assert_eq!(folder(root, classes(), Exif::Apply, Values::default()).unwrap().item(0).unwrap().labels.values, [1]);
    assert!(message(folder(root, None, Exif::Apply, Values::default())).contains("classes.txt"));
    text(&root.join("classes.txt"), "background\ncat | kitten\n");
    let read = folder(root, None, Exif::Apply, Values::default()).unwrap();
    assert_eq!(
        (read.classes(), &read.class_lines()[1][..]),
        (&["background".into(), "cat".into()][..], "cat | kitten")
    );
    labels(&root.join("labels/b.png"), 1, &[1]);
    assert!(message(folder(root, classes(), Exif::Apply, Values::default())).contains("images/b.png"));
    picture(&root.join("images/b.png"), 1, 1, 0);
    picture(&root.join("images/a.bmp"), 1, 1, 0);
    assert!(message(folder(root, classes(), Exif::Apply, Values::default())).contains("same name"));
    let unknown = open("voc", root).err().unwrap().to_string();
    assert!(unknown.contains("voc2012") && unknown.contains("data.kind"), "{unknown}");
}

#[test]
fn run_lengths_are_those_of_pycocotools() {
    // `pycocotools.mask.encode` of a disc and a pattern, 37 rows × 53 columns, made as below.
    let text = "]?7l04L4M2N2N2N2O0O2O0O2O000000000001N101N101N2N2N2N3L4LR1J\\N000N0200000N02000N0200000N0200090G000N0200090\
                G000N0200000N02000N0200000N02000M";
    let (width, height) = (53, 37);
    let mut map = vec![0; width * height];
    mask::paint(&mask::runs(text).unwrap(), &mut map, width, height, 1).unwrap();
    let expected = (0..height as i32).flat_map(|y| {
        (0..width as i32).map(move |x| {
            let disc = (x - 26) * (x - 26) + (y - 15) * (y - 15) < 180;
            u16::from(disc || ((x * 7 + y * 3) % 11 == 0 && x > 40))
        })
    });
    assert_eq!(map, expected.collect::<Vec<u16>>());
}

#[test]
fn published_data_sets_can_leave_their_background_out() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("VOCdevkit/VOC2012");
    text(&root.join("ImageSets/Segmentation/val.txt"), "a\n");
    picture(&root.join("JPEGImages/a.jpg"), 4, 1, 0);
    labels(&root.join("SegmentationClass/a.png"), 4, &[0, 1, 20, IGNORED]);
    let registry = DataRegistry::built_in();
    let source = Source::new("voc2012").with("root", dir.path()).with("background", false);
    let set = registry.open_dataset(&source, 0).unwrap();
    assert_eq!(
        (set.classes().len(), &set.classes()[0][..], &set.class_lines()[0][..]),
        (20, "aeroplane", "background = false")
    );
    let item = set.item(0).unwrap();
    assert_eq!(item.labels.values, [IGNORED, 0, 19, IGNORED]);
    assert_eq!(set.objects(0, &item), [0, 19]);
}
