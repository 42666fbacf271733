//! `cargo run --release -p simseg-fuzz -- [--minutes N] [--executions N] [TARGET …]`: the targets under mutated seeds, in turn.
//!
//! A finding is written to `target/fuzz/TARGET.bin` before it is read, so that what ends the program is known.

use simseg_fuzz::{TARGETS, Target, mutate};
use simseg_tensor::random;
use std::io::Write;
use std::time::{Duration, Instant};

/// An input that takes longer is a hang.
const SLOW: Duration = Duration::from_secs(5);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |flag: &str| -> Option<f64> {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1)?.parse().ok()
    };
    let named = |target: &&Target| arguments.iter().any(|argument| argument == target.name);
    let mut targets: Vec<&Target> = TARGETS.iter().filter(named).collect();
    if targets.is_empty() {
        targets = TARGETS.iter().collect();
    }
    let executions = number("--executions").map_or(u64::MAX, |count| count as u64);
    let minutes = number("--minutes").unwrap_or(if executions == u64::MAX { 1.0 } else { 600.0 });
    let each = Duration::from_secs_f64(60.0 * minutes / targets.len() as f64);
    let seed = number("--seed").unwrap_or(0.0) as u64;
    let mut all = 0;
    for target in targets {
        let count = hammer(target, each, executions, seed);
        println!("{:<12} {count:>9} executions", target.name);
        all += count;
    }
    println!("{:<12} {all:>9} executions, nothing found", "all");
}

fn hammer(target: &Target, time: Duration, executions: u64, seed: u64) -> u64 {
    let seeds = (target.seeds)();
    let (began, mut count) = (Instant::now(), 0);
    let mut rng = random::stream(seed, target.name, 0);
    while count < executions && began.elapsed() < time {
        let bytes = mutate(&seeds, &mut rng);
        let start = Instant::now();
        let outcome = std::panic::catch_unwind(|| (target.read)(&bytes));
        if outcome.is_err() || start.elapsed() > SLOW {
            let path = format!("target/fuzz/{}.bin", target.name);
            let kept =
                std::fs::create_dir_all("target/fuzz").and_then(|()| std::fs::File::create(&path)?.write_all(&bytes));
            let what = if outcome.is_err() { "a panic" } else { "a hang" };
            println!("{}: {what} after {count} executions; input in {path} ({kept:?})", target.name);
            std::process::exit(1);
        }
        count += 1;
    }
    count
}
