//! How time and peak memory of the cpu backend grow with the image's side, the number of words, the batch, the pictures of a folder and
//! the threads: `cargo xtask growth`.
//!
//! Every measurement is a process of its own, so that its peak memory is its own. A ViT-S/16 with a text tower of the same size, random
//! weights. Time is the least of all turns, since what else runs can only add to it; memory is the most. Leaves `OUT.csv`, with the fits,
//! and `OUT.svg`. Reading order: [`axes`] (what grows, how, and why), [`point`] (one measurement), [`fit`], [`chart`].

mod axes;
mod point;
mod fit;
mod chart;

use axes::{Axis, Grown, Quantity};
use point::{Measured, Place, Point};
use simseg_benches::Failure;
use simseg_lab::results::provenance::Provenance;
use std::fmt::Write;
use std::path::{Path, PathBuf};

const USAGE: &str = "usage: growth --out STEM [--quick] [--turns N] [--only AXIS] [--cpu NAME] [--program SIMSEG]";

/// The command line.
struct Options {
    out: PathBuf,
    quick: bool,
    turns: usize,
    only: Option<Axis>,
    cpu: Option<String>,
    program: PathBuf,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let beside = std::env::current_exe()?.with_file_name(format!("simseg{}", std::env::consts::EXE_SUFFIX));
        let (mut quick, mut turns, mut only, mut cpu, mut out, mut program) = (false, None, None, None, None, beside);
        while let Some(word) = words.next() {
            if word == "--quick" {
                quick = true;
                continue;
            }
            let value = words.next().ok_or(USAGE)?;
            match word.as_str() {
                "--out" => out = Some(PathBuf::from(value)),
                "--turns" => turns = Some(value.parse().map_err(|error| format!("--turns {value}: {error}"))?),
                "--only" => only = Some(serde_json::from_value(value.into())?),
                "--cpu" => cpu = Some(value),
                "--program" => program = value.into(),
                _ => return Err(USAGE.into()),
            }
        }
        let turns = turns.unwrap_or(if quick { 1 } else { 3 });
        Ok(Self { out: out.ok_or(USAGE)?, quick, turns, only, cpu, program })
    }
}

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [first, json] = &words[..]
        && first == "--point"
    {
        println!("{}", serde_json::to_string(&point::measure(&serde_json::from_str(json)?)?)?);
        return Ok(());
    }
    let options = Options::parse(words.into_iter())?;
    let folder = tempfile::tempdir()?;
    let place = Place { folder: folder.path().to_owned(), program: options.program.clone(), small: options.quick };
    let axes: Vec<Axis> = Axis::ALL.into_iter().filter(|axis| options.only.is_none_or(|only| only == *axis)).collect();
    // Its memory would be part of what this process hands on to its children.
    ask(&Point { place: place.clone(), axis: None, x: 0 })?;
    let mut grown: Vec<Grown> = axes.iter().map(|&axis| Grown { axis, fixed: None, points: vec![] }).collect();
    for turn in 0..options.turns {
        for grown in &mut grown {
            let at = |x: usize| ask(&Point { place: place.clone(), axis: Some(grown.axis), x });
            if let Some(x) = grown.axis.fixed() {
                grown.fixed = Some(Measured::best(grown.fixed, at(x)?));
            }
            for (i, x) in grown.axis.values(options.quick).into_iter().enumerate() {
                let measured = at(x)?;
                eprintln!("turn {}: {} {x}: {measured}", turn + 1, grown.axis.name());
                match grown.points.get_mut(i) {
                    Some((_, best)) => *best = Measured::best(Some(*best), measured),
                    None => grown.points.push((x, measured)),
                }
            }
        }
    }
    let about = about(&options);
    write(&options.out, "csv", &table(&about, &grown)?)?;
    write(&options.out, "svg", &chart::draw(&about, &grown))?;
    println!("→ {0}.csv, {0}.svg", options.out.display());
    Ok(())
}

/// One measurement, by another process.
fn ask(point: &Point) -> Result<Measured, Failure> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    let output = command.args(["--point", &serde_json::to_string(point)?]).output()?;
    if !output.status.success() {
        return Err(format!("{point:?}: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Where the numbers come from, a line each.
fn about(options: &Options) -> Vec<String> {
    let here = Provenance::here("cpu", "cpu");
    let changed = if here.dirty == Some(true) { ", with changes" } else { "" };
    let kernels = std::env::var("SIMSEG_CPU").map_or_else(|_| String::new(), |path| format!(", SIMSEG_CPU={path}"));
    let cpu = options.cpu.clone().unwrap_or(here.cpu);
    vec![
        format!("{}, {}", if options.quick { "Trial with a small model" } else { "ViT-S/16, f32" }, axes::ABOUT),
        format!(
            "cargo xtask growth{}, revision {:.7}{changed}",
            if options.quick { " --quick" } else { "" },
            here.revision
        ),
        format!("{cpu}, {} threads ({}){kernels}, {}", here.threads, here.cpu_features.join(" "), &here.began[..10]),
    ]
}

/// The numbers and their fits.
fn table(about: &[String], grown: &[Grown]) -> Result<String, Failure> {
    let mut text: String = about.iter().map(|line| format!("# {line}\n")).collect();
    for grown in grown {
        for quantity in Quantity::BOTH {
            let said = grown.said(quantity);
            let what = format!("{}, {}", grown.axis.name(), quantity.name());
            writeln!(text, "# {what}: {}; {}: {}", said.measured, said.expected, said.why)?;
        }
    }
    text.push_str("axis,x,seconds,cpu_seconds,peak_bytes\n");
    for Grown { axis, fixed, points } in grown {
        let fixed = fixed.map(|fixed| (axis.fixed().unwrap_or(0), fixed));
        for (x, Measured { seconds, cpu_seconds, peak_bytes }) in fixed.iter().chain(points) {
            writeln!(text, "{},{x},{seconds:.6},{cpu_seconds:.6},{peak_bytes}", axis.name())?;
        }
    }
    Ok(text)
}

/// Writes a file of this stem, whole or not at all.
fn write(stem: &Path, ending: &str, text: &str) -> Result<(), Failure> {
    if let Some(folder) = stem.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut name = stem.as_os_str().to_owned();
    name.push(format!(".{ending}"));
    Ok(simseg_data::atomic::write(Path::new(&name), text.as_bytes())?)
}
