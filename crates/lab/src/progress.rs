//! Progress for people: a bar with rate, ETA and loss on a terminal, a line now and then elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// A bar that counts something.
pub struct Steps {
    bar: ProgressBar,
    label: String,
    /// Multiplies steps into the unit of the rate, such as images.
    unit: (f64, &'static str),
    began: Cell<Option<(Instant, u64)>>,
    spoke: Cell<Option<Instant>>,
    plain: bool,
    measured: String,
}

impl Steps {
    /// A bar under a name; `per_step` units of `unit` happen in each step.
    pub fn new(label: impl Into<String>, per_step: f64, unit: &'static str) -> Self {
        let plain = !std::io::stderr().is_terminal();
        let target = if plain { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(8) };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = ProgressStyle::with_template("{prefix:>18} {bar:30.green} {pos:>5}/{len} {msg} ETA {eta}");
        bar.set_style(style.expect("a valid template").progress_chars("━━╌"));
        let label = label.into();
        bar.set_prefix(label.clone());
        Self {
            bar,
            label,
            unit: (per_step, unit),
            began: Cell::new(None),
            spoke: Cell::new(None),
            plain,
            measured: String::new(),
        }
    }

    /// Changes what is said in front.
    pub fn label(&mut self, label: String) {
        self.bar.set_prefix(label.clone());
        self.label = label;
        self.measured.clear();
    }

    /// What was measured last, said behind the loss under this label.
    pub fn measured(&mut self, text: String) {
        self.measured = format!(" {text}");
    }

    /// Starts counting at `position` of `length`.
    pub fn start(&self, length: u64, position: u64) {
        self.bar.set_length(length);
        self.bar.set_position(position);
        self.bar.reset_eta();
        self.began.set(Some((Instant::now(), position)));
        self.spoke.set(Some(Instant::now()));
    }

    /// At a position.
    pub fn to(&self, position: u64, loss: Option<f64>) {
        self.bar.set_position(position);
        let Some((began, first)) = self.began.get() else { return };
        let rate = (position - first) as f64 * self.unit.0 / began.elapsed().as_secs_f64().max(1e-9);
        let loss = loss.map(|loss| format!(" loss {loss:.3}")).unwrap_or_default();
        let text = format!("{rate:.0} {}/s{loss}{}", self.unit.1, self.measured);
        if self.plain && self.spoke.get().is_none_or(|at| at.elapsed() > Duration::from_secs(10)) {
            self.spoke.set(Some(Instant::now()));
            crate::output::note!("{}: {position}/{} {text}", self.label, self.bar.length().unwrap_or(0));
        }
        self.bar.set_message(text);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
