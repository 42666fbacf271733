//! From raw numbers to a program: which step, on which values, with which settings.
//!
//! An operand is the chosen value, or the nearest earlier one that the step can take, or else a new input that it can.

use crate::hostile::{Domain, LAYOUTS, Layout, values};
use crate::naive::NaiveTensor;
use crate::program::{Line, Program};
use crate::step::Step;
use crate::subject::Input;
use simseg_tensor::{Binary, Tensor, Unary};

/// The numbers one step is read from. All zero is the simplest step on the latest value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Which step: one of [`STEPS`].
    pub step: u8,
    /// Which operand: 0 is the latest value, higher numbers lie further back.
    pub operand: u8,
    /// Its settings, and the sides of new inputs.
    pub numbers: [u8; 6],
}

/// How many kinds of steps there are.
pub const STEPS: u8 = TABLE.len() as u8;
/// Larger values than this are not computed with: chains of products would leave nothing of f32's precision.
const LARGEST: f64 = 30.0;
/// Programs stay this small: plain loops compute them, too.
const VALUES: usize = 8192;
/// How far values stay from where an operation jumps or selects, relative to the largest.
const CLEAR: f64 = 5e-4;
/// Sides of inputs: beside what kernels are blocked for, and mostly small; rising, so that lower numbers are smaller inputs.
const SIDES: [usize; 16] = [1, 1, 2, 2, 3, 3, 3, 4, 4, 5, 6, 7, 8, 9, 17, 33];

/// A program while it is read.
#[derive(Default)]
pub struct Reader {
    program: Program,
    /// The value of every line, by the naive backend.
    known: Vec<NaiveTensor>,
}

/// What a step can take.
type Fits<'a> = &'a dyn Fn(&NaiveTensor) -> bool;

fn host(x: &NaiveTensor) -> Vec<f64> {
    x.to_vec().unwrap_or_default()
}

fn largest(x: &NaiveTensor) -> f64 {
    host(x).iter().fold(0.0, |largest, x| largest.max(x.abs()))
}

fn all(x: &NaiveTensor, within: impl Fn(f64) -> bool) -> bool {
    host(x).into_iter().all(within)
}

fn anything(_: &NaiveTensor) -> bool {
    true
}

/// Whether no two values along an axis are nearly the same.
fn ranked(x: &NaiveTensor, axis: usize) -> bool {
    let (shape, values, clear) = (x.shape(), host(x), CLEAR * largest(x).max(1.0));
    let inner: usize = shape[axis + 1..].iter().product();
    let len = shape[axis];
    (0..values.len() / len.max(1)).all(|line| {
        let start = line / inner * len * inner + line % inner;
        let mut list: Vec<f64> = (0..len).map(|i| values[start + i * inner]).collect();
        list.sort_by(f64::total_cmp);
        list.windows(2).all(|pair| pair[1] - pair[0] > clear)
    })
}

impl Choice {
    /// A number below `n`, from the `i`-th of this choice's; a lower one from a lower one.
    fn below(&self, i: usize, n: usize) -> usize {
        usize::from(self.numbers[i]) * n / 256
    }

    /// So many positions below a bound.
    fn positions(&self, count: usize, bound: usize) -> Vec<usize> {
        (0..count).map(|i| (self.below(1, 256) * (i + 1) + self.below(2, 256)) % bound).collect()
    }

    /// The memory layout of a new input.
    fn layout(&self) -> Layout {
        LAYOUTS[self.below(4, 4)]
    }

    /// A side of a new input.
    fn side(&self, i: usize) -> usize {
        match self.numbers[i] {
            254.. => 1025,
            _ => SIDES[self.below(i, SIDES.len())],
        }
    }

    /// A shape of a new input with so many axes: one long side, or several short ones.
    fn shape(&self, rank: usize) -> Vec<usize> {
        let mut room = 1100;
        let side = |i| {
            let side = self.side(i).min(room);
            room /= side;
            side
        };
        (0..rank).map(side).collect()
    }
}

impl Reader {
    /// What was read; at least one input.
    pub fn finish(mut self) -> Program {
        if self.program.lines.is_empty() {
            self.input(vec![1], Layout::Contiguous, Domain::Any);
        }
        self.program
    }

    /// A new input.
    fn input(&mut self, shape: Vec<usize>, layout: Layout, domain: Domain) -> usize {
        let values = values(domain, shape.iter().product(), self.known.len() as u64);
        self.known.push(NaiveTensor::from_host(&values, &shape, &()).expect("as many values as the shape holds"));
        let values = values.into_iter().map(|x| x as f32).collect();
        self.program.lines.push(Line::Input(Input { shape, values, layout }));
        self.known.len() - 1
    }

    /// The value `back` lines ago, or the nearest one further back, that fits; if none does, a new input of a shape.
    fn operand(&mut self, choice: &Choice, domain: Domain, rank: usize, fits: Fits<'_>) -> usize {
        let n = self.known.len();
        let back = usize::from(choice.operand) % n.max(1);
        let found = (0..n).map(|i| (2 * n - 1 - back - i) % n).find(|&i| {
            let x = &self.known[i];
            x.shape().len() >= rank && fits(x)
        });
        found.unwrap_or_else(|| {
            let wanted = rank.max(1 + choice.below(3, 3));
            self.input(choice.shape(wanted), choice.layout(), domain)
        })
    }

    /// A second operand of a shape: a known value, or a new input.
    fn partner(&mut self, choice: &Choice, domain: Domain, shape: &[usize], fits: Fits<'_>) -> usize {
        let old = choice.below(2, 2) == 1;
        let found = (0..self.known.len()).rev().find(|&i| self.known[i].shape() == shape && fits(&self.known[i]));
        match found.filter(|_| old) {
            Some(i) => i,
            None => self.input(shape.to_vec(), choice.layout(), domain),
        }
    }

    /// Takes a step, unless its result would be too large to compare.
    fn push(&mut self, step: Step, operands: Vec<usize>) {
        let x: Vec<&NaiveTensor> = operands.iter().map(|&i| &self.known[i]).collect();
        let Ok(value) = step.apply(&x) else { return };
        let values = host(&value);
        if values.len() <= VALUES && values.iter().all(|x| x.abs() <= LARGEST) {
            self.known.push(value);
            self.program.lines.push(Line::Step(step, operands));
        }
    }

    /// Reads one step.
    pub fn take(&mut self, choice: &Choice) {
        TABLE[usize::from(choice.step % STEPS)](self, choice);
    }

    /// A step of one operand, which must fit; where none does, on a new input from a domain.
    fn unary(&mut self, choice: &Choice, step: Step, domain: Domain, fits: Fits<'_>) {
        let x = self.operand(choice, domain, 1, fits);
        // A new input is spread evenly, but may still hit a bound.
        if fits(&self.known[x]) {
            self.push(step, vec![x]);
        }
    }

    fn binary(&mut self, choice: &Choice, op: Binary) {
        let a = self.operand(choice, Domain::Any, 1, &anything);
        let shape = self.known[a].shape().to_vec();
        let b = match op {
            Binary::Div => self.partner(choice, Domain::Positive, &shape, &|x| all(x, |x| x.abs() >= 0.4)),
            _ => self.partner(choice, Domain::Any, &shape, &anything),
        };
        self.push(Step::Binary(op), vec![a, b]);
    }

    /// A step that moves or sums values of one operand: from its shape and an axis.
    fn movement(&mut self, choice: &Choice, step: impl FnOnce(&[usize], usize) -> Step) {
        let x = self.operand(choice, Domain::Any, 1, &anything);
        let shape = self.known[x].shape();
        let step = step(shape, choice.below(0, shape.len()));
        self.push(step, vec![x]);
    }

    fn concat(&mut self, choice: &Choice) {
        let x = self.operand(choice, Domain::Any, 1, &anything);
        let mut shape = self.known[x].shape().to_vec();
        let axis = choice.below(0, shape.len());
        shape[axis] = choice.side(1).min(33);
        let y = self.partner(choice, Domain::Any, &shape, &anything);
        let both = if choice.below(3, 2) == 0 { vec![x, y] } else { vec![y, x, y] };
        self.push(Step::Concat(axis), both);
    }

    fn topk(&mut self, choice: &Choice) {
        let axis_of = |x: &NaiveTensor| choice.below(0, x.shape().len());
        let x = self.operand(choice, Domain::Any, 1, &|x| ranked(x, axis_of(x)));
        let axis = axis_of(&self.known[x]);
        if ranked(&self.known[x], axis) {
            let k = 1 + choice.below(1, self.known[x].shape()[axis]);
            self.push(Step::Topk(k, axis), vec![x]);
        }
    }

    /// Gathers from, or adds into, positions along an axis.
    fn positions(&mut self, choice: &Choice, scatter: bool) {
        let x = self.operand(choice, Domain::Any, 1, &anything);
        let mut index = self.known[x].shape().to_vec();
        let axis = choice.below(0, index.len());
        let bound = std::mem::replace(&mut index[axis], 1 + choice.below(3, 4));
        let positions = choice.positions(index.iter().product(), bound);
        if scatter {
            let src = self.partner(choice, Domain::Any, &index, &anything);
            self.push(Step::ScatterAdd(axis, positions, index), vec![x, src]);
        } else {
            self.push(Step::Gather(axis, positions, index), vec![x]);
        }
    }

    /// Looks up, or adds into, rows of a table.
    fn rows(&mut self, choice: &Choice, add: bool) {
        let x = self.operand(choice, Domain::Any, 2, &|x| x.shape().len() == 2);
        let &[v, d] = self.known[x].shape() else { return };
        let count = 1 + choice.below(3, 5);
        let positions = choice.positions(count, v);
        if add {
            let src = self.partner(choice, Domain::Any, &[count, d], &anything);
            self.push(Step::RowsAdd(positions), vec![x, src]);
        } else {
            self.push(Step::Rows(positions), vec![x]);
        }
    }

    fn matmul(&mut self, choice: &Choice) {
        let a = self.operand(choice, Domain::Any, 2, &anything);
        let mut shape = self.known[a].shape().to_vec();
        let rank = shape.len();
        (shape[rank - 2], shape[rank - 1]) = (shape[rank - 1], choice.side(1).min(33));
        let b = self.partner(choice, Domain::Any, &shape, &anything);
        self.push(Step::Matmul, vec![a, b]);
    }

    fn linear(&mut self, choice: &Choice) {
        let x = self.operand(choice, Domain::Any, 1, &anything);
        let (input, output) = (*self.known[x].shape().last().unwrap_or(&1), choice.side(1).min(33));
        let layout = choice.layout();
        let mut operands = vec![x, self.input(vec![output, input], layout, Domain::Any)];
        if choice.below(2, 2) == 1 {
            operands.push(self.input(vec![output], layout, Domain::Any));
        }
        self.push(Step::Linear, operands);
    }

    fn layer_norm(&mut self, choice: &Choice) {
        let x = self.operand(choice, Domain::Any, 1, &anything);
        let d = *self.known[x].shape().last().unwrap_or(&1);
        let weight = self.input(vec![d], choice.layout(), Domain::Positive);
        let bias = self.input(vec![d], Layout::Contiguous, Domain::Any);
        self.push(Step::LayerNorm(0.1), vec![x, weight, bias]);
    }

    fn attention(&mut self, choice: &Choice) {
        let x = self.operand(choice, Domain::Any, 3, &|x| x.shape().len() == 3);
        let &[b, n, d] = self.known[x].shape() else { return };
        let causal = choice.below(0, 2) == 1;
        let m = if causal { n } else { choice.side(1).min(9) };
        let keys = self.partner(choice, Domain::Any, &[b, m, d], &anything);
        let values = if choice.below(3, 2) == 1 { x } else { keys };
        let values = if self.known[values].shape() == [b, m, d] { values } else { keys };
        let heads = (1..=4).rev().find(|&h| d % h == 0 && h <= 1 + choice.below(2, 4)).unwrap_or(1);
        let padded = choice.below(5, 2) == 1;
        let lengths = padded.then(|| (0..b).map(|i| 1 + (i + choice.below(3, 256)) % m).collect());
        self.push(Step::Attention { heads, causal, lengths }, vec![x, keys, values]);
    }

    fn l2_normalize(&mut self, choice: &Choice) {
        // A row near zero has no direction that two precisions could agree on.
        let long = |x: &NaiveTensor| {
            let width = x.shape().last().copied().unwrap_or(1).max(1);
            host(x).chunks(width).all(|row| row.iter().map(|x| x * x).sum::<f64>() > 0.1)
        };
        let x = self.operand(choice, Domain::Positive, 1, &long);
        self.push(if choice.below(0, 2) == 0 { Step::L2Normalize } else { Step::L2NormalizePooled }, vec![x]);
    }
}

/// Bounds of `clamp` and `inside`.
const BOUNDS: (f64, f64) = (-0.5, 0.75);

fn positive(x: &NaiveTensor) -> bool {
    all(x, |x| x >= 0.4)
}

fn small(x: &NaiveTensor) -> bool {
    largest(x) <= 2.5
}

/// Whether no value is nearly at one of the [`BOUNDS`].
fn clear(x: &NaiveTensor) -> bool {
    let margin = CLEAR * largest(x).max(1.0);
    all(x, |x| (x - BOUNDS.0).abs() > margin && (x - BOUNDS.1).abs() > margin)
}

/// Every step that a program may have, simple ones first: failing programs shrink towards them.
const TABLE: [fn(&mut Reader, &Choice); 35] = [
    |r, c| r.unary(c, Step::Unary(Unary::Affine { mul: 0.75, add: -0.25 }), Domain::Any, &anything),
    |r, c| r.unary(c, Step::Unary(Unary::Exp), Domain::Any, &small),
    |r, c| r.unary(c, Step::Unary(Unary::Tanh), Domain::Any, &anything),
    |r, c| r.unary(c, Step::Unary(Unary::Sigmoid), Domain::Any, &anything),
    |r, c| r.unary(c, Step::Unary(Unary::Erf), Domain::Any, &anything),
    |r, c| r.unary(c, Step::Unary(Unary::Recip), Domain::Positive, &positive),
    |r, c| r.unary(c, Step::Unary(Unary::Sqrt), Domain::Positive, &positive),
    |r, c| r.unary(c, Step::Unary(Unary::Log), Domain::Positive, &positive),
    |r, c| r.unary(c, Step::Unary(Unary::Clamp { low: BOUNDS.0, high: BOUNDS.1 }), Domain::Any, &clear),
    |r, c| r.unary(c, Step::Unary(Unary::Inside { low: BOUNDS.0, high: BOUNDS.1 }), Domain::Any, &clear),
    |r, c| r.unary(c, Step::Gelu, Domain::Any, &anything),
    |r, c| r.unary(c, Step::QuickGelu, Domain::Any, &anything),
    |r, c| r.unary(c, Step::Softmax, Domain::Any, &anything),
    |r, c| r.unary(c, Step::LogSoftmax, Domain::Any, &anything),
    |r, c| r.binary(c, Binary::Add),
    |r, c| r.binary(c, Binary::Sub),
    |r, c| r.binary(c, Binary::Mul),
    |r, c| r.binary(c, Binary::Div),
    |r, c| r.movement(c, |_, axis| Step::Sum(axis)),
    |r, c| {
        r.movement(c, |shape, _| {
            let all = shape.iter().product();
            let shapes = [vec![all], vec![1, all], vec![all, 1], vec![2, all / 2]];
            Step::Reshape(shapes[c.below(1, if all % 2 == 0 { 4 } else { 3 })].clone())
        })
    },
    |r, c| {
        r.movement(c, |shape, axis| {
            let mut axes: Vec<usize> = (0..shape.len()).collect();
            axes.rotate_left(axis);
            Step::Permute(axes)
        })
    },
    |r, c| {
        r.movement(c, |shape, axis| {
            let mut axes: Vec<usize> = (0..shape.len()).collect();
            axes.rotate_left(axis);
            axes.reverse();
            Step::Permute(axes)
        })
    },
    |r, c| {
        r.movement(c, |shape, _| {
            Step::Expand(shape.iter().map(|&len| if len == 1 { [2, 3, 33][c.below(1, 3)] } else { len }).collect())
        })
    },
    |r, c| {
        r.movement(c, |shape, axis| {
            let start = c.below(1, shape[axis]);
            Step::Slice(axis, start, 1 + c.below(2, shape[axis] - start))
        })
    },
    |r, c| r.concat(c),
    |r, c| r.topk(c),
    |r, c| r.positions(c, false),
    |r, c| r.positions(c, true),
    |r, c| r.rows(c, false),
    |r, c| r.rows(c, true),
    |r, c| r.matmul(c),
    |r, c| r.linear(c),
    |r, c| r.layer_norm(c),
    |r, c| r.attention(c),
    |r, c| r.l2_normalize(c),
];
