//! What grows: its sizes, how time and memory should grow with it, and why.

use crate::fit::{Power, fitted};
use crate::point::Measured;
use serde::{Deserialize, Serialize};

/// What all points share.
pub const ABOUT: &str = "random weights; 20 words of one prompt unless it says otherwise";

/// Width, depth and patch of the towers, for the count of operations.
pub const WIDTH: f64 = 384.0;
const PATCH: f64 = 16.0;

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// The side of one square image, through the encoder.
    Side,
    /// Words of a class bank, one prompt a word.
    Bank,
    /// The same words, looked for in one picture; the bank is made before the clock starts.
    Words,
    /// Images of 224×224 that go through the encoder together.
    Batch,
    /// Pictures in a folder that `simseg segment` gets, with its class bank cached: the whole process.
    Folder,
    /// Threads, for a batch of 4.
    Threads,
}

/// What is measured of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Seconds.
    Time,
    /// Peak resident memory of the process.
    Memory,
}

impl Quantity {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Time, Self::Memory];

    /// Its name.
    pub fn name(self) -> &'static str {
        if self == Self::Time { "time" } else { "peak memory" }
    }

    /// Of a measurement, in seconds or bytes.
    pub fn of(self, measured: &Measured) -> f64 {
        if self == Self::Time { measured.seconds } else { measured.peak_bytes as f64 }
    }
}

impl Axis {
    /// All of them, as they are drawn.
    pub const ALL: [Self; 6] = [Self::Side, Self::Bank, Self::Words, Self::Batch, Self::Folder, Self::Threads];

    /// Its name in the table and after `--only`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Side => "side",
            Self::Bank => "bank",
            Self::Words => "words",
            Self::Batch => "batch",
            Self::Folder => "folder",
            Self::Threads => "threads",
        }
    }

    /// What it is, in a few words.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Side => "image encoder, side in pixels",
            Self::Bank => "class bank, words",
            Self::Words => "segment one picture, words",
            Self::Batch => "image encoder, batch",
            Self::Folder => "simseg segment, pictures",
            Self::Threads => "image encoder, threads",
        }
    }

    /// The sizes.
    pub fn values(self, quick: bool) -> Vec<usize> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let all: &[usize] = match self {
            Self::Side => &[224, 288, 384, 512, 672],
            Self::Bank | Self::Words => &[20, 100, 500, 2000],
            Self::Batch => &[1, 2, 4, 8, 16],
            Self::Folder => &[1, 4, 16, 64],
            Self::Threads => return [1, 2, 4, 8, 16, 32, 64].into_iter().filter(|&threads| threads <= cores).collect(),
        };
        all.iter().copied().take(if quick { 3 } else { usize::MAX }).collect()
    }

    /// A size so small that what it needs of memory does not depend on it: its peak is the fixed part of all others.
    pub fn fixed(self) -> Option<usize> {
        match self {
            Self::Side => Some(32),
            Self::Bank => Some(1),
            Self::Batch => Some(0), // one image of 32 pixels
            // With one word fewer classes are refined than with twenty: that is no part of them.
            Self::Words | Self::Folder | Self::Threads => None,
        }
    }

    /// The exponent that time or memory should have, or bounds of it, and why.
    fn expected(self, quantity: Quantity, points: &[(usize, Measured)]) -> (Expected, &'static str) {
        use Expected::{Between, Exponent};
        match (self, quantity) {
            (Self::Side, Quantity::Time) => {
                let counted: Vec<(f64, f64)> = points.iter().map(|(x, _)| (*x as f64, operations(*x as f64))).collect();
                let why = "counted: n = (side/16)² tokens, 12·d²·n in products with weights, 2·d·n² in attention";
                (Exponent(fitted(&counted).map_or(f64::NAN, |power| power.exponent)), why)
            }
            (Self::Side, Quantity::Memory) => {
                (Between(2.0, 4.0), "above the weights: activations grow as n, attention as n or n² = side⁴")
            }
            (Self::Bank, Quantity::Time) => (Exponent(1.0), "every word is one sentence of the same length"),
            (Self::Bank, Quantity::Memory) => (Between(0.0, 1.0), "sentences go in batches; what stays is 2 KB a word"),
            (Self::Words, Quantity::Time) => {
                (Between(0.0, 1.0), "the encoder sees the picture once, at most 5 classes are refined; scores grow")
            }
            (Self::Words, Quantity::Memory) => (Between(0.0, 1.0), "as the bank, which this process has made"),
            (Self::Batch, Quantity::Time) => (Exponent(1.0), "images do not see each other"),
            (Self::Batch, Quantity::Memory) => {
                (Between(0.0, 1.0), "weights are there once, activations for each image")
            }
            (Self::Folder, Quantity::Time) => (Between(0.0, 1.0), "start once, then picture by picture: 1 for many"),
            (Self::Folder, Quantity::Memory) => (Exponent(0.0), "one picture at a time"),
            (Self::Threads, Quantity::Time) => (Exponent(-1.0), "rows are shared out; less where cores are shared"),
            (Self::Threads, Quantity::Memory) => (Exponent(0.0), "weights are shared; buffers of a thread are small"),
        }
    }
}

/// Multiply-adds of a block of the image encoder.
fn operations(side: f64) -> f64 {
    let n = (side / PATCH).powi(2) + 1.0;
    12.0 * WIDTH * WIDTH * n + 2.0 * WIDTH * n * n
}

/// How it should grow.
enum Expected {
    Exponent(f64),
    Between(f64, f64),
}

/// An axis with what was measured.
pub struct Grown {
    /// Which.
    pub axis: Axis,
    /// At [`Axis::fixed`].
    pub fixed: Option<Measured>,
    /// By size, rising.
    pub points: Vec<(usize, Measured)>,
}

/// What is said of a growth.
pub struct Said {
    /// What was found.
    pub measured: String,
    /// What was expected.
    pub expected: String,
    /// Why that.
    pub why: &'static str,
    /// What does not grow: 0 but for memory.
    pub fixed: f64,
    /// What grows, above it.
    pub power: Option<Power>,
}

impl Grown {
    /// The fit of a quantity, beside what was expected. Memory is fitted above its fixed part, if there is one and it is exceeded by a
    /// twentieth at least: less is noise.
    pub fn said(&self, quantity: Quantity) -> Said {
        let values: Vec<(f64, f64)> = self.points.iter().map(|(x, m)| (*x as f64, quantity.of(m))).collect();
        let fixed = self.fixed.filter(|_| quantity == Quantity::Memory).map(|fixed| quantity.of(&fixed));
        let last = values.last().map_or(0.0, |(_, y)| *y);
        let fixed = fixed.filter(|fixed| last > 1.05 * fixed).unwrap_or(0.0);
        let above: Vec<(f64, f64)> = values.iter().map(|(x, y)| (*x, y - fixed)).filter(|(_, y)| *y > 0.0).collect();
        let power = fitted(&above);
        let (expected, why) = self.axis.expected(quantity, &self.points);
        let exponent = power.map_or_else(|| "no fit".to_owned(), |power| format!("exponent {:.2}", power.exponent));
        let part = if fixed > 0.0 { format!(" above {:.0} MiB", fixed / MIB) } else { String::new() };
        let expected = match expected {
            Expected::Exponent(exponent) => format!("expected {}", (100.0 * exponent).round() / 100.0),
            Expected::Between(low, high) => format!("expected {low} to {high}"),
        };
        Said { measured: format!("{exponent}{part}"), expected, why, fixed, power }
    }
}

/// Bytes of a MiB.
pub const MIB: f64 = (1 << 20) as f64;
