//! Random programs: chains of steps over a few inputs, the same on any backend.
//!
//! A program is drawn from a seed, so that a failure is one number, and shrinks by dropping steps that the failure does not
//! need; what is left prints as one line per step.

use crate::gradient::weigh;
use crate::hostile::{Domain, LAYOUTS, Layout, values};
use crate::step::Step;
use simseg_tensor::{Binary, Differentiable, Ops, Result, Tensor, Unary, random};
use std::fmt;

/// Inputs, then steps; operand `i` is input `i`, or the result of step `i − inputs`.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// Shapes and layouts of the inputs.
    pub inputs: Vec<(Vec<usize>, Layout)>,
    /// Steps with their operands.
    pub steps: Vec<(Step, Vec<usize>)>,
    /// Where the inputs' values come from.
    pub seed: u64,
}

/// What is known about a value while a program is drawn.
#[derive(Clone)]
struct Known {
    shape: Vec<usize>,
}

impl Program {
    /// The program of a seed, with up to `most` steps.
    pub fn draw(seed: u64, most: usize) -> Self {
        let mut rng = random::stream(seed, "program", 0);
        let mut pick = move |n: usize| (random::uniform(&mut rng) * n as f64) as usize;
        let mut side = {
            let mut rng = random::stream(seed, "sides", 0);
            move || [1, 2, 3, 4, 5, 8, 33][(random::uniform(&mut rng) * 7.0) as usize]
        };
        let rank = 1 + pick(3);
        let shape: Vec<usize> = (0..rank).map(|_| side()).collect();
        let mut program = Self { inputs: vec![], steps: vec![], seed };
        let mut known = Vec::new();
        for _ in 0..1 + pick(2) {
            program.inputs.push((shape.clone(), LAYOUTS[pick(4)]));
            known.push(Known { shape: shape.clone() });
        }
        for _ in 0..1 + pick(most) {
            let at = pick(known.len());
            let shape = known[at].shape.clone();
            let rank = shape.len();
            // New inputs come before all steps in the numbering, so operands of earlier steps shift.
            let fresh = |program: &mut Self, known: &mut Vec<Known>, shape: &[usize], layout: Layout| {
                let position = program.inputs.len();
                program.inputs.push((shape.to_vec(), layout));
                known.insert(position, Known { shape: shape.to_vec() });
                for (_, operands) in &mut program.steps {
                    operands.iter_mut().filter(|operand| **operand >= position).for_each(|operand| *operand += 1);
                }
                position
            };
            let shifted = |at: usize, new: usize| if new <= at { at + 1 } else { at };
            let axis = pick(rank);
            let layout = LAYOUTS[pick(4)];
            let last = *shape.last().expect("rank is at least 1");
            let choice = pick(20);
            let (step, operands) = match choice {
                0 => (Step::Unary(Unary::Affine { mul: 0.75, add: -0.25 }), vec![at]),
                1 => (Step::Unary([Unary::Tanh, Unary::Sigmoid, Unary::Erf][pick(3)]), vec![at]),
                2 => (Step::Gelu, vec![at]),
                3 => {
                    let same: Vec<usize> = (0..known.len()).filter(|&i| known[i].shape == shape).collect();
                    let op = [Binary::Add, Binary::Sub, Binary::Mul][pick(3)];
                    (Step::Binary(op), vec![at, same[pick(same.len())]])
                }
                4 => (Step::Sum(axis), vec![at]),
                5 => (Step::Reshape(vec![shape.iter().product()]), vec![at]),
                6 => {
                    let mut axes: Vec<usize> = (0..rank).collect();
                    axes.rotate_left(pick(rank));
                    (Step::Permute(axes), vec![at])
                }
                7 => {
                    let wide = shape.iter().map(|&len| if len == 1 { 3 } else { len }).collect();
                    (Step::Expand(wide), vec![at])
                }
                8 => {
                    let start = pick(shape[axis]);
                    (Step::Slice(axis, start, 1 + pick(shape[axis] - start)), vec![at])
                }
                9 => (Step::Concat(axis), vec![at, at]),
                10 => (Step::Largest(1 + pick(shape[axis]), axis), vec![at]),
                11 => {
                    let mut index = shape.clone();
                    index[axis] = 1 + pick(4);
                    let count = index.iter().product();
                    (Step::Gather(axis, (0..count).map(|_| pick(shape[axis])).collect(), index), vec![at])
                }
                12 => (Step::Softmax, vec![at]),
                13 => (Step::LogSoftmax, vec![at]),
                14 if rank == 2 => (Step::Rows((0..1 + pick(5)).map(|_| pick(shape[0])).collect()), vec![at]),
                15 => {
                    let weight = fresh(&mut program, &mut known, &[1 + pick(5), last], layout);
                    (Step::Linear, vec![shifted(at, weight), weight])
                }
                16 => {
                    let weight = fresh(&mut program, &mut known, &[last], layout);
                    let bias = fresh(&mut program, &mut known, &[last], Layout::Contiguous);
                    (Step::LayerNorm(0.1), vec![shifted(shifted(at, weight), bias), weight, bias])
                }
                17 if rank >= 2 => {
                    let mut other = shape.clone();
                    (other[rank - 2], other[rank - 1]) = (last, 1 + pick(6));
                    let other = fresh(&mut program, &mut known, &other, layout);
                    (Step::Matmul, vec![shifted(at, other), other])
                }
                18 if rank == 3 => {
                    let heads = if last % 2 == 0 { 2 } else { 1 };
                    (Step::Attention(heads, pick(2) == 0), vec![at, at, at])
                }
                19 if rank == 2 => {
                    let positions: Vec<usize> = (0..3).map(|_| pick(shape[0])).collect();
                    let src = fresh(&mut program, &mut known, &[3, last], layout);
                    (Step::RowsAdd(positions), vec![shifted(at, src), src])
                }
                _ => (Step::QuickGelu, vec![at]),
            };
            let shapes: Vec<&[usize]> = operands.iter().map(|&operand| &known[operand].shape[..]).collect();
            let shape = result_shape(&step, &shapes);
            if shape.iter().product::<usize>() > 20_000 {
                continue;
            }
            known.push(Known { shape });
            program.steps.push((step, operands));
        }
        program
    }

    /// The inputs on a backend.
    ///
    /// # Errors
    /// Whatever the backend says.
    pub fn make<T: Tensor>(&self, device: &T::Device) -> Result<Vec<T>> {
        let one = |(i, (shape, layout)): (usize, &(Vec<usize>, Layout))| {
            layout.make(&values(Domain::Any, shape.iter().product(), self.seed + i as u64), shape, device)
        };
        self.inputs.iter().enumerate().map(one).collect()
    }

    /// The result of every step.
    ///
    /// # Errors
    /// Whatever the backend says.
    pub fn run<T: Tensor>(&self, inputs: &[T]) -> Result<Vec<T>> {
        let mut all = inputs.to_vec();
        for (step, operands) in &self.steps {
            let operands: Vec<&T> = operands.iter().map(|&i| &all[i]).collect();
            all.push(step.apply(&operands)?);
        }
        Ok(all.split_off(inputs.len()))
    }

    /// The gradients of the weighed last result for every input.
    ///
    /// # Errors
    /// Whatever the backend says.
    pub fn gradients<D: Differentiable>(&self, device: &D::Device) -> Result<Vec<Vec<f64>>> {
        let inputs = self.make::<D>(device)?;
        crate::gradient::rules(&inputs, |x| match self.run(x)?.last() {
            Some(last) => weigh(last),
            None => x[0].sum_all(),
        })
    }

    /// The smallest program that `fails` still says yes to: steps are dropped from the end and from the middle as long as
    /// no later step needs them.
    pub fn shrink(&self, fails: impl Fn(&Self) -> bool) -> Self {
        let mut best = self.clone();
        loop {
            let n = best.inputs.len();
            let smaller = (0..best.steps.len()).rev().find_map(|drop| {
                let gone = n + drop;
                if best.steps.iter().any(|(_, operands)| operands.contains(&gone)) {
                    return None;
                }
                let mut candidate = best.clone();
                candidate.steps.remove(drop);
                for (_, operands) in &mut candidate.steps {
                    operands.iter_mut().filter(|operand| **operand > gone).for_each(|operand| *operand -= 1);
                }
                fails(&candidate).then_some(candidate)
            });
            match smaller {
                Some(smaller) => best = smaller,
                None => return best,
            }
        }
    }
}

/// The shape a step gives.
fn result_shape(step: &Step, shapes: &[&[usize]]) -> Vec<usize> {
    let mut shape = shapes[0].to_vec();
    let last = shape.len() - 1;
    match step {
        Step::Sum(axis) => shape[*axis] = 1,
        Step::Reshape(to) | Step::Expand(to) | Step::Gather(_, _, to) => shape = to.clone(),
        Step::Permute(axes) => shape = axes.iter().map(|&axis| shapes[0][axis]).collect(),
        Step::Slice(axis, _, len) => shape[*axis] = *len,
        Step::Concat(axis) => shape[*axis] = shapes.iter().map(|shape| shape[*axis]).sum(),
        Step::Largest(k, axis) => shape[*axis] = *k,
        Step::Rows(positions) => shape[0] = positions.len(),
        Step::Linear => shape[last] = shapes[1][0],
        Step::Matmul => shape[last] = shapes[1][last],
        _ => {}
    }
    shape
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (shape, layout)) in self.inputs.iter().enumerate() {
            writeln!(f, "%{i} = input {shape:?} ({layout:?})")?;
        }
        for (i, (step, operands)) in self.steps.iter().enumerate() {
            let operands: Vec<String> = operands.iter().map(|operand| format!("%{operand}")).collect();
            writeln!(f, "%{} = {step} {}", self.inputs.len() + i, operands.join(", "))?;
        }
        write!(f, "(seed {})", self.seed)
    }
}
