//! `stream WIDTH HEIGHT WORD... < frames`: frames of RGB bytes, one after the other; prints the best class of each and its score. One buffer
//! serves all frames, so memory stays what it was after the first.

use simseg_embedded::Device;
use std::io::{BufRead, Read, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stream: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [width, height, words @ ..] = &arguments[..] else { return Err("usage: stream WIDTH HEIGHT WORD...".into()) };
    let (width, height): (usize, usize) = (width.parse()?, height.parse()?);
    simseg::Picture::check(width, height).map_err(simseg::Error::from)?;
    let device = Device::new(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
    let names: Vec<&str> = device.classes().collect();
    let (mut input, mut frame) = (std::io::stdin().lock(), vec![0; 3 * width * height]);
    let mut output = std::io::stdout().lock();
    while !input.fill_buf()?.is_empty() {
        input.read_exact(&mut frame).map_err(|error| format!("the last frame is not whole: {error}"))?;
        let scores = device.scores(width, height, &frame)?;
        // The background is no answer.
        let best = (1..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).ok_or("no class")?;
        writeln!(output, "{}\t{:.4}", names[best], scores[best])?;
    }
    Ok(())
}
