//! What programs print, as the book shows it: the tour, the help of every command, the recipes.
//!
//! Numbers count as equal within one unit of their last digit, so that a CPU that adds up in another order agrees. What is trained is
//! compared only where the CPU has AVX2: elsewhere products are rounded otherwise, and it is another training.

use crate::{cargo, root};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program whose output the book shows.
struct Shown {
    /// `docs/book/src/output/<name>.txt`
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    /// Whether it trains from random weights.
    trains: bool,
}

/// Runs all of them; returns how many there are, or what differs.
pub fn compared(update: bool) -> Result<usize, Vec<String>> {
    // Of the whole workspace, so that features, and with them what is compiled, are those of `cargo test --workspace`.
    let programs = ["--example", "[01]*_*", "--example", "taps", "--example", "figures", "--bin", "simseg"];
    let build = [&["build", "--quiet", "--workspace"][..], &programs].concat();
    if !cargo().args(build).status().is_ok_and(|status| status.success()) {
        return Err(vec!["the tour does not build".into()]);
    }
    let all = shown()?;
    let folder = root().join("docs/book/src/output");
    let mut problems = vec![];
    for Shown { name, program, arguments, trains } in &all {
        let file = folder.join(format!("{name}.txt"));
        let now = match printed(program, arguments) {
            Ok(now) => now,
            Err(why) => {
                problems.push(format!("{name}: {why}"));
                continue;
            }
        };
        if update {
            std::fs::write(&file, now).map_err(|error| vec![format!("{}: {error}", file.display())])?;
            continue;
        }
        let recorded = std::fs::read_to_string(&file).unwrap_or_default();
        if *trains && !same_bits_as_recorded() {
            println!("{name}: not compared on this CPU, which has no AVX2");
        } else if let Some(what) = difference(&recorded, &now) {
            problems.push(format!("output/{name}.txt: {what}; `cargo xtask book --update` if the new one is right"));
        }
    }
    let known = |file: &Path| all.iter().any(|one| file.file_stem().is_some_and(|stem| stem == one.name.as_str()));
    let files = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    problems.extend(files.filter(|file| !known(file)).map(|file| format!("{}: nothing prints this", file.display())));
    if problems.is_empty() { Ok(all.len()) } else { Err(problems) }
}

/// Draws the figures into a folder, and the README's picture where it is kept. The models stay for the notebook of [`crate::python`].
pub fn figures(folder: &Path, update: bool) -> Result<(), Vec<String>> {
    let done = Command::new(example("figures")).arg(folder).arg(crate::python::models()).stdout(Stdio::null()).status();
    if !done.is_ok_and(|status| status.success()) {
        return Err(vec!["the figures could not be drawn: cargo run --example figures".into()]);
    }
    let (drawn, kept) = (folder.join("first.svg"), root().join("docs/pictures/first.svg"));
    let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    if update {
        let copied = kept.parent().map(std::fs::create_dir_all).and_then(|_| std::fs::copy(&drawn, &kept).ok());
        return copied.map(|_| ()).ok_or_else(|| vec![format!("{} can't be written", kept.display())]);
    }
    match difference(&text(&kept), &text(&drawn)) {
        Some(what) if same_bits_as_recorded() => Err(vec![format!("docs/pictures/first.svg: {what}")]),
        _ => Ok(()),
    }
}

/// Whether this CPU computes as the one that the outputs are from.
fn same_bits_as_recorded() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::is_x86_feature_detected!("avx2") && std::env::var_os("SIMSEG_CPU").is_none();
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

fn example(name: &str) -> PathBuf {
    root().join("target/debug/examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// The list: what is in `examples/` with a number, the tap names, the help of every command that the help names, the recipes.
fn shown() -> Result<Vec<Shown>, Vec<String>> {
    let folder = std::fs::read_dir(root().join("examples")).map_err(|error| vec![format!("examples: {error}")])?;
    let mut tour: Vec<String> = folder
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .filter(|name| name.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    tour.sort();
    tour.push("taps".into());
    let step =
        |name: String| Shown { program: example(&name), arguments: vec![], trains: name.starts_with("07"), name };
    let mut all: Vec<Shown> = tour.into_iter().map(step).collect();
    let simseg = root().join("target/debug").join(format!("simseg{}", std::env::consts::EXE_SUFFIX));
    let call = |name: String, arguments: &[&str]| Shown {
        name,
        program: simseg.clone(),
        arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
        trains: false,
    };
    let help = printed(&simseg, &["--help".into()]).map_err(|why| vec![why])?;
    all.push(call("help".into(), &["--help"]));
    for command in commands(&help) {
        all.push(call(format!("help-{command}"), &[command, "--help"]));
    }
    for recipe in ["plain", "paper", "official-code"] {
        all.push(call(format!("recipe-{recipe}"), &["recipe", recipe]));
    }
    Ok(all)
}

/// The commands that a help lists.
fn commands(help: &str) -> Vec<&str> {
    let list = help.lines().skip_while(|line| line.trim() != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let name = |line: &'_ str| line.starts_with("  ") && !line.starts_with("   ");
    list.filter(|line| name(line))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| *word != "help")
        .collect()
}

/// What a program prints, with trailing spaces taken away.
fn printed(program: &Path, arguments: &[String]) -> Result<String, String> {
    // A help is as wide as the terminal, if there is one.
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root()).stdin(Stdio::null()).env_remove("COLUMNS");
    let out = command.output().map_err(|error| format!("{}: {error}", program.display()))?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).trim().to_owned());
    }
    Ok(String::from_utf8_lossy(&out.stdout).lines().map(|line| format!("{}\n", line.trim_end())).collect())
}

/// The first line that is another, if there is one.
fn difference(recorded: &str, now: &str) -> Option<String> {
    let count = recorded.lines().count().max(now.lines().count());
    let (mut old, mut new) = (recorded.lines(), now.lines());
    (1..=count).find_map(|line| {
        let (old, new) = (old.next().unwrap_or("(nothing)"), new.next().unwrap_or("(nothing)"));
        let short = |text: &str| text.chars().take(100).collect::<String>();
        (!alike(old, new)).then(|| format!("line {line} was “{}” and is “{}”", short(old), short(new)))
    })
}

/// The same words and, within one unit of the last digit, the same numbers; whole numbers have to be equal.
fn alike(a: &str, b: &str) -> bool {
    let (a, b) = (pieces(a), pieces(b));
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a == b || near(a, b))
}

fn near(a: &str, b: &str) -> bool {
    let digits = |text: &str| text.split_once('.').map(|(_, after)| after.len());
    match (a.parse::<f64>(), b.parse::<f64>(), digits(a), digits(b)) {
        (Ok(x), Ok(y), Some(n), Some(m)) if n == m => (x - y).abs() <= 1.01 * 10f64.powi(-(n as i32)),
        _ => false,
    }
}

/// Numbers with their signs, and the words between them. Spaces only separate: a column is as wide as its longest number, and −0.00 is 0.00.
fn pieces(line: &str) -> Vec<String> {
    let (mut pieces, mut number): (Vec<String>, _) = (vec![], None);
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        if c == ' ' {
            number = None;
            continue;
        }
        let signs = c == '-' && number != Some(true) && characters.peek().is_some_and(char::is_ascii_digit);
        let here = c.is_ascii_digit() || c == '.' || signs;
        match pieces.last_mut() {
            Some(piece) if number == Some(here) => piece.push(c),
            _ => pieces.push(c.into()),
        }
        number = Some(here);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_digit_may_differ_by_one_and_nothing_else() {
        assert!(alike("loss 1.234, 5 of 6", "loss 1.235, 5 of 6"));
        assert!(alike("loss   1.234", "loss 1.234") && alike("[ 0.00, 1.5]", "[-0.00, 1.5]"));
        for (a, b) in [("1.234", "1.236"), ("5 of 6", "4 of 6"), ("1.23", "1.234"), ("-1.2", "1.2"), ("a 1.0", "b 1.0")]
        {
            assert!(!alike(a, b), "{a} {b}");
        }
        assert_eq!(difference("a\nb\n", "a\n").as_deref(), Some("line 2 was “b” and is “(nothing)”"));
        assert_eq!(difference("a 1.0\n", "a 1.1\n"), None);
    }

    #[test]
    fn commands_are_read_off_the_help() {
        let help = "About.\n\nCommands:\n  run      Train\n             and more\n  recipe   Print\n  help     Print this\n\nOptions:\n  -h\n";
        assert_eq!(commands(help), ["run", "recipe"]);
    }
}
