//! All objects and contexts of the small world on one sheet: `cargo run -p simseg-data --example contact_sheet -- FILE.png`

use simseg_data::{Picture, SceneConfig, World};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: contact_sheet FILE.png [SIDE]")?;
    let side: usize = std::env::args().nth(2).map_or(Ok(64), |side| side.parse())?;
    let (columns, rows) = (10, 6);
    let world = World::new(SceneConfig { image_size: side, ..SceneConfig::default() }, 0)?;
    let mut sheet =
        Picture { width: columns * side, height: rows * side, rgb: vec![0; columns * rows * side * side * 3] };
    for (i, scene) in world.scenes(0..(columns * rows) as u64).iter().enumerate() {
        println!("{i}: {}", scene.caption);
        for y in 0..side {
            let start = ((i / columns * side + y) * sheet.width + i % columns * side) * 3;
            sheet.rgb[start..start + side * 3].copy_from_slice(&scene.rgb[y * side * 3..(y + 1) * side * 3]);
        }
    }
    sheet.save(path.as_ref())?;
    Ok(())
}
