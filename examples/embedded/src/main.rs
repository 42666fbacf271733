//! `embedded WORD... < picture.png > labels`: a byte for each pixel, the number of its class, 0 the background.

use simseg_embedded::Device;
use std::io::{Read, Write};
use std::process::ExitCode;

/// Largest picture that is read.
const MOST: u64 = 16 << 20;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("embedded: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let device = Device::new(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut file = vec![];
    std::io::stdin().lock().take(MOST + 1).read_to_end(&mut file)?;
    if file.len() as u64 > MOST {
        return Err("more than 16 MiB".into());
    }
    let found = device.segment(&file)?;
    let bytes: Vec<u8> = found.labels.values.iter().map(|&label| u8::try_from(label).unwrap_or(u8::MAX)).collect();
    Ok(std::io::stdout().lock().write_all(&bytes)?)
}
