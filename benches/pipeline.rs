//! Times what a pair's photograph goes through on its way into training: decoding, RandomResizedCrop 224, AutoAugment, normalising.
//!
//! `pipeline FOLDER EPOCHS` reads every JPEG of the folder so often, in parallel (`RAYON_NUM_THREADS`), and prints one line of JSON per epoch.
//! `peers/pipeline.py` calls it beside a `DataLoader` with torchvision.

use rayon::prelude::*;
use simseg_data::picture::Exif;
use simseg_data::transform::{Augmentations, Draw, normalise_into};
use simseg_data::{DataRegistry, Picture};
use simseg_tensor::Normalisation;
use std::path::PathBuf;
use std::time::Instant;

const SIDE: usize = 224;
const AUGMENT: &str = r#"[{"kind": "random-resized-crop", "scale": [0.6, 1.0]}, {"kind": "auto-augment"}]"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, epochs] = &arguments[..] else { return Err("usage: pipeline FOLDER EPOCHS".into()) };
    let entries =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<PathBuf>>>()?;
    let mut photographs: Vec<PathBuf> =
        entries.into_iter().filter(|path| path.extension().is_some_and(|end| end == "jpg")).collect();
    photographs.sort();
    let augmentations =
        Augmentations::build(&serde_json::from_str::<Vec<_>>(AUGMENT)?, &DataRegistry::built_in().augmentations)?;
    // Threads are started before the clock is.
    rayon::broadcast(|_| ());
    for epoch in 0..epochs.parse()? {
        let start = Instant::now();
        let draw = Draw { seed: 0, epoch };
        // A place of the batch, as training has it.
        let place = || vec![0.0f32; 3 * SIDE * SIDE];
        let one = |pixels: &mut Vec<f32>, (index, path): (usize, &PathBuf)| -> simseg_data::Result<f64> {
            let picture = Picture::load_with(path, Exif::Apply)?;
            normalise_into(&augmentations.apply(&picture, index, SIDE, draw).rgb, &Normalisation::IMAGENET, pixels);
            Ok(pixels.iter().map(|x| f64::from(*x)).sum())
        };
        let read = photographs.par_iter().enumerate().map_init(place, one);
        let sums: Vec<f64> = read.collect::<Result<_, _>>()?;
        let (seconds, sum) = (start.elapsed().as_secs_f64(), sums.iter().sum::<f64>());
        println!("{{\"images\": {}, \"seconds\": {seconds:.6}, \"sum\": {sum:.1}}}", photographs.len());
    }
    Ok(())
}
