//! Random programs: inputs in awkward layouts and steps over them, the same on any backend.
//!
//! A program is read from raw numbers ([`Choice`]), and *every* list of numbers is a program: numbers are taken modulo what is
//! possible where they are used. So proptest can shrink the numbers, by leaving some out and lowering others, without ever making
//! nonsense, and low numbers mean small inputs and simple steps. What is left prints as one line per value.
//!
//! While a program is read, the naive backend computes it. That is how a logarithm finds a positive operand, top-k one without
//! near ties, and a clamp one that stays clear of its bounds: results must not depend on the last bit, or backends could not agree.

use crate::choice::{Choice, Reader};
use crate::gradient::weigh;
use crate::hostile::Layout;
use crate::step::Step;
use crate::subject::{Input, Subject};
use simseg_tensor::{Error, Ops, Result, Tensor};
use std::fmt;

/// A line of a program; line `i` makes value `%i`.
#[derive(Clone, PartialEq)]
pub enum Line {
    /// Given.
    Input(Input),
    /// A step on the values of earlier lines.
    Step(Step, Vec<usize>),
}

/// Inputs and steps.
#[derive(Clone, PartialEq, Default)]
pub struct Program {
    /// In order.
    pub lines: Vec<Line>,
}

impl Program {
    /// The program that these choices mean.
    pub fn read(choices: &[Choice]) -> Self {
        let mut reader = Reader::default();
        for choice in choices {
            reader.take(choice);
        }
        reader.finish()
    }

    /// The names of its steps, in order.
    pub fn steps(&self) -> Vec<String> {
        let name = |line: &Line| match line {
            Line::Input(_) => None,
            Line::Step(step, _) => Some(step.name()),
        };
        self.lines.iter().filter_map(name).collect()
    }

    /// The value of every line. `x` are the inputs.
    fn run<T: Tensor>(&self, x: &[T]) -> Result<Vec<T>> {
        let mut inputs = x.iter();
        let mut all: Vec<T> = Vec::with_capacity(self.lines.len());
        for line in &self.lines {
            let value = match line {
                Line::Input(_) => inputs.next().cloned().ok_or(Error::setting("program", "one value per input"))?,
                Line::Step(step, operands) => step.apply(&operands.iter().map(|&i| &all[i]).collect::<Vec<_>>())?,
            };
            all.push(value);
        }
        Ok(all)
    }

    /// Whether no later line uses the value of line `i`.
    fn is_result(&self, i: usize) -> bool {
        let uses = |line: &Line| matches!(line, Line::Step(_, operands) if operands.contains(&i));
        !self.lines[i + 1..].iter().any(uses)
    }
}

impl Subject for Program {
    fn inputs(&self) -> Vec<Input> {
        let input = |line: &Line| match line {
            Line::Input(input) => Some(input.clone()),
            Line::Step(..) => None,
        };
        self.lines.iter().filter_map(input).collect()
    }

    fn compute<T: Tensor>(&self, x: &[T]) -> Result<Vec<(String, T)>> {
        let named = |(i, (line, value)): (usize, (&Line, T))| match line {
            Line::Input(_) => None,
            Line::Step(step, _) => Some((format!("%{i} = {step}"), value)),
        };
        Ok(self.lines.iter().zip(self.run(x)?).enumerate().filter_map(named).collect())
    }

    /// Every value that nothing else is made of counts.
    fn loss<T: Tensor>(&self, x: &[T]) -> Result<T> {
        let all = self.run(x)?;
        let mut loss: Option<T> = None;
        for (_, value) in all.iter().enumerate().filter(|(i, _)| self.is_result(*i)) {
            let part = weigh(value)?.reshape(&[])?;
            loss = Some(match loss {
                Some(sum) => sum.add(&part)?,
                None => part,
            });
        }
        loss.ok_or(Error::setting("program", "at least one line"))
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, line) in self.lines.iter().enumerate() {
            match line {
                Line::Input(Input { shape, layout: Layout::Contiguous, .. }) => writeln!(f, "%{i} = input {shape:?}")?,
                Line::Input(Input { shape, layout, .. }) => writeln!(f, "%{i} = input {shape:?}, {layout}")?,
                Line::Step(step, operands) => {
                    let operands: Vec<String> = operands.iter().map(|operand| format!("%{operand}")).collect();
                    writeln!(f, "%{i} = {step} {}", operands.join(", "))?;
                }
            }
        }
        Ok(())
    }
}

/// As it reads: proptest prints what it found by `Debug`.
impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{self}")
    }
}
