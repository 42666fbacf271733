//! Segments a picture by words: `cargo run --release --example segment_a_photo -- MODEL PICTURE WORD…`
//! Without arguments: the tiny model that travels with the code, and a scene that it draws.

fn main() -> simseg::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (model, picture, words) = match &arguments[..] {
        [model, picture, words @ ..] if !words.is_empty() => {
            (simseg::Model::open(model)?, simseg::Picture::load(picture.as_ref())?, words.to_vec())
        }
        _ => {
            let scene = simseg::data::World::new(Default::default(), 2_000_000)?.scene(0);
            println!("the picture: “{}”", scene.caption);
            let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny");
            let words = ["balloon", "cactus", "car", "cup", "fish", "flower", "mushroom", "sheep"].map(String::from);
            (simseg::Model::open(tiny)?, scene.picture(), words.to_vec())
        }
    };
    let found = model.segment(&picture, &model.words(words)?)?;
    for class in &found.found {
        println!("{}: score {:.3}, {:.0}% of the pixels", class.name, class.score, 100.0 * class.share);
    }
    picture.overlay(&found.labels).save("overlay.png".as_ref())?;
    println!("→ overlay.png");
    Ok(())
}
