//! Times DenseCRF on the image and maps of a safetensors file; `peers/crf.py` writes it and reads the answer.
//!
//! `crf FILE REPEATS` prints one line of JSON per repetition: seconds for the lattices and all maps together; then writes the
//! marginals `[c, h, w]` as raw f32 beside the file.

use safetensors::SafeTensors;
use simseg_segment::refine::{CrfParameters, Lattices};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, repeats] = &arguments[..] else { return Err("usage: crf FILE REPEATS".into()) };
    let bytes = std::fs::read(path)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let (rgb, maps) = (file.tensor("rgb")?, file.tensor("maps")?);
    let &[height, width, 3] = rgb.shape() else { return Err("rgb: expected [h, w, 3]".into()) };
    let values: Vec<f32> = maps.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let maps: Vec<&[f32]> = values.chunks(height * width).collect();
    // Threads are started before the clock is.
    rayon::broadcast(|_| ());
    let mut last = Vec::new();
    for _ in 0..repeats.parse::<usize>()? {
        let start = Instant::now();
        let lattices = Lattices::new(rgb.data(), height, width, &CrfParameters::default())?;
        let built = start.elapsed().as_secs_f64();
        last = lattices.infer(&maps)?;
        println!("{{\"lattice\": {built:.6}, \"total\": {:.6}}}", start.elapsed().as_secs_f64());
    }
    let raw: Vec<u8> = last.concat().iter().flat_map(|q| q.to_le_bytes()).collect();
    std::fs::write(format!("{path}.marginals"), raw)?;
    Ok(())
}
