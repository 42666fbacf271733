//! The README's door for Rust, run as it stands.

use simseg::data::scenes::{SceneConfig, World};

fn door() -> simseg::Result<()> {
    let model = simseg::Model::open("fixtures/tiny")?; // a model directory: your own, or of `simseg import`
    let words = model.words(["balloon", "fish", "car"])?; // class 0, the background, is put in front
    let picture = simseg::Picture::load("photo.jpg".as_ref())?;
    let found = model.segment(&picture, &words)?; // found.labels: one class per pixel
    for class in &found.found {
        println!("{}: score {:.3}, {:.0}% of the pixels", class.name, class.score, 100.0 * class.share);
    }
    picture.overlay(&found.labels).save("overlay.png".as_ref())?;
    Ok(())
}

#[test]
fn the_readmes_door_runs_and_draws_the_classes_of_a_scene() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let readme = std::fs::read_to_string(format!("{root}/README.md")).unwrap();
    let shown =
        readme.split("```rust,no_run\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of Rust");
    let here = include_str!("door.rs");
    assert!(
        here.contains(&shown.replace("fn main()", "fn door()")),
        "README.md shows other lines than this file:\n{shown}"
    );

    let place = tempfile::tempdir().unwrap();
    let model = place.path().join("fixtures/tiny");
    std::fs::create_dir_all(&model).unwrap();
    for file in ["config.json", "model.safetensors", "vocab.txt"] {
        std::fs::copy(format!("{root}/fixtures/tiny/{file}"), model.join(file)).unwrap();
    }
    let world = World::new(SceneConfig::default(), 5).unwrap();
    let balloon = |scene: &simseg::data::scenes::Scene| scene.caption.contains("balloon");
    let scene = world.scenes(0..100).into_iter().find(balloon).expect("every tenth scene has one");
    scene.picture().save(&place.path().join("photo.jpg")).unwrap();
    std::env::set_current_dir(place.path()).unwrap(); // the only test of this program
    door().unwrap();
    let drawn = simseg::Picture::load("overlay.png".as_ref()).unwrap();
    assert!((drawn.width, drawn.height) == (scene.size, scene.size) && drawn.rgb != scene.rgb);
}
