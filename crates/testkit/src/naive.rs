//! A third backend in one file: plain loops over `Vec<f64>`, always row-major, nothing clever.
//!
//! It is the yardstick of the testkit and the worked example of `docs/write-a-backend.md`. Every method is the definition
//! in [`Tensor`]'s documentation, written with one helper: `each` visits the positions of a shape in row-major order.

use simseg_tensor::{Binary, Element, Result, Tensor, Unary, contract};
use std::sync::Arc;

/// Values and a shape.
#[derive(Debug, Clone, PartialEq)]
pub struct NaiveTensor {
    values: Arc<Vec<f64>>,
    shape: Vec<usize>,
}

/// Positions and a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NaiveIndex {
    positions: Vec<usize>,
    shape: Vec<usize>,
}

/// Visits every position of a shape in row-major order.
fn each(shape: &[usize], mut visit: impl FnMut(&[usize])) {
    let mut position = vec![0; shape.len()];
    for _ in 0..shape.iter().product() {
        visit(&position);
        for axis in (0..shape.len()).rev() {
            position[axis] += 1;
            if position[axis] < shape[axis] {
                break;
            }
            position[axis] = 0;
        }
    }
}

/// Where a position lies in row-major order.
fn offset(shape: &[usize], position: &[usize]) -> usize {
    shape.iter().zip(position).fold(0, |offset, (&len, &i)| offset * len + i)
}

/// The position with one axis replaced.
fn with(position: &[usize], axis: usize, index: usize) -> Vec<usize> {
    let mut position = position.to_vec();
    position[axis] = index;
    position
}

impl NaiveTensor {
    /// A tensor whose value at a position is what `f` says.
    fn make(shape: &[usize], mut f: impl FnMut(&[usize]) -> f64) -> Self {
        let mut values = Vec::with_capacity(shape.iter().product());
        each(shape, |position| values.push(f(position)));
        Self { values: Arc::new(values), shape: shape.to_vec() }
    }

    fn at(&self, position: &[usize]) -> f64 {
        self.values[offset(&self.shape, position)]
    }

    /// Checks an index for `gather` and `scatter_add`.
    fn selects(&self, op: &'static str, axis: usize, index: &NaiveIndex) -> Result<()> {
        within(op, index, contract::selects(op, &self.shape, axis, &index.shape)?)
    }

    /// Checks a table and an index for `rows` and `rows_add`; returns the table's width.
    fn table(&self, op: &'static str, index: &NaiveIndex) -> Result<usize> {
        let [v, d] = contract::table(op, &self.shape, &index.shape)?;
        within(op, index, v)?;
        Ok(d)
    }
}

fn within(op: &'static str, index: &NaiveIndex, bound: usize) -> Result<()> {
    contract::below(op, index.positions.iter().copied().max(), bound)
}

impl Tensor for NaiveTensor {
    type Device = ();
    type Index = NaiveIndex;

    // ---- host ------------------------------------------------------------------------------------------------
    fn from_host<E: Element>(data: &[E], shape: &[usize], _: &()) -> Result<Self> {
        contract::values("from_host", data.len(), shape)?;
        let values = data.iter().map(|x| x.to_f64()).collect();
        Ok(Self { values: Arc::new(values), shape: shape.to_vec() })
    }
    fn index_from_host(data: &[usize], shape: &[usize], _: &()) -> Result<NaiveIndex> {
        contract::values("index_from_host", data.len(), shape)?;
        contract::positions("index_from_host", data)?;
        Ok(NaiveIndex { positions: data.to_vec(), shape: shape.to_vec() })
    }
    fn to_vec<E: Element>(&self) -> Result<Vec<E>> {
        Ok(self.values.iter().map(|&x| E::from_f64(x)).collect())
    }
    fn index_to_vec(index: &NaiveIndex) -> Result<Vec<usize>> {
        Ok(index.positions.clone())
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn device(&self) {}

    // ---- elementwise -----------------------------------------------------------------------------------------
    fn unary(&self, op: Unary) -> Result<Self> {
        Ok(Self::make(&self.shape, |position| {
            let x = self.at(position);
            match op {
                Unary::Affine { mul, add } => mul * x + add,
                Unary::Recip => 1.0 / x,
                Unary::Sqrt => x.sqrt(),
                Unary::Exp => x.exp(),
                Unary::Log => x.ln(),
                Unary::Tanh => x.tanh(),
                Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
                Unary::Erf => libm::erf(x),
                Unary::Clamp { low, high } if !x.is_nan() => x.max(low).min(high),
                Unary::Clamp { .. } => x,
                Unary::Inside { low, high } => f64::from(u8::from(low <= x && x <= high)),
            }
        }))
    }
    fn binary(&self, op: Binary, rhs: &Self) -> Result<Self> {
        contract::equal("binary", &self.shape, &rhs.shape)?;
        Ok(Self::make(&self.shape, |position| {
            let (a, b) = (self.at(position), rhs.at(position));
            match op {
                Binary::Add => a + b,
                Binary::Sub => a - b,
                Binary::Mul => a * b,
                Binary::Div => a / b,
            }
        }))
    }

    // ---- contraction -----------------------------------------------------------------------------------------
    fn matmul(&self, rhs: &Self) -> Result<Self> {
        let shape = contract::matmul(&self.shape, &rhs.shape)?;
        let rank = shape.len();
        let (m, k, n) = (self.shape[rank - 2], self.shape[rank - 1], rhs.shape[rank - 1]);
        Ok(Self::make(&shape, |position| {
            let (i, j) = (position[rank - 2], position[rank - 1]);
            let batch = offset(&self.shape[..rank - 2], &position[..rank - 2]);
            let (row, column) = (&self.values[(batch * m + i) * k..][..k], &rhs.values[batch * k * n..]);
            (0..k).map(|l| row[l] * column[l * n + j]).sum()
        }))
    }
    fn sum(&self, axis: usize) -> Result<Self> {
        let len = contract::axis("sum", &self.shape, axis)?;
        let term = |position: &[usize], i| self.at(&with(position, axis, i));
        Ok(Self::make(&with(&self.shape, axis, 1), |position| (0..len).map(|i| term(position, i)).sum()))
    }

    // ---- movement --------------------------------------------------------------------------------------------
    fn reshape(&self, shape: &[usize]) -> Result<Self> {
        contract::reshape(&self.shape, shape)?;
        Ok(Self { values: self.values.clone(), shape: shape.to_vec() })
    }
    fn permute(&self, axes: &[usize]) -> Result<Self> {
        let shape = contract::permute(&self.shape, axes)?;
        Ok(Self::make(&shape, |position| {
            let mut source = vec![0; axes.len()];
            axes.iter().zip(position).for_each(|(&axis, &i)| source[axis] = i);
            self.at(&source)
        }))
    }
    fn expand(&self, shape: &[usize]) -> Result<Self> {
        contract::expand(&self.shape, shape)?;
        Ok(Self::make(shape, |position| {
            let source: Vec<usize> =
                position.iter().zip(&self.shape).map(|(&i, &len)| if len == 1 { 0 } else { i }).collect();
            self.at(&source)
        }))
    }
    fn slice(&self, axis: usize, start: usize, len: usize) -> Result<Self> {
        let shape = contract::slice(&self.shape, axis, start, len)?;
        Ok(Self::make(&shape, |position| self.at(&with(position, axis, start + position[axis]))))
    }
    fn concat(parts: &[&Self], axis: usize) -> Result<Self> {
        let shape = contract::concat(parts.iter().map(|part| part.shape()), axis)?;
        Ok(Self::make(&shape, |position| {
            let mut i = position[axis];
            let mut parts = parts.iter();
            loop {
                let part = parts.next().expect("lengths add up to the axis");
                if i < part.shape[axis] {
                    return part.at(&with(position, axis, i));
                }
                i -= part.shape[axis];
            }
        }))
    }

    // ---- selection -------------------------------------------------------------------------------------------
    fn topk(&self, k: usize, axis: usize) -> Result<NaiveIndex> {
        let shape = contract::topk(&self.shape, k, axis)?;
        let len = self.shape[axis];
        let mut positions = Vec::new();
        each(&shape, |position| {
            let mut order: Vec<usize> = (0..len).collect();
            let value = |i: usize| self.at(&with(position, axis, i));
            order.sort_by(|&i, &j| value(j).total_cmp(&value(i))); // stable: lowest position first on a tie
            positions.push(order[position[axis]]);
        });
        Ok(NaiveIndex { positions, shape })
    }
    fn gather(&self, axis: usize, index: &NaiveIndex) -> Result<Self> {
        self.selects("gather", axis, index)?;
        let from = |position: &[usize]| index.positions[offset(&index.shape, position)];
        Ok(Self::make(&index.shape, |position| self.at(&with(position, axis, from(position)))))
    }
    fn scatter_add(&self, axis: usize, index: &NaiveIndex, src: &Self) -> Result<Self> {
        self.selects("scatter_add", axis, index)?;
        contract::scatters(&src.shape, &index.shape)?;
        let mut values = self.values.to_vec();
        each(&src.shape, |position| {
            let to = index.positions[offset(&index.shape, position)];
            values[offset(&self.shape, &with(position, axis, to))] += src.at(position);
        });
        Ok(Self { values: Arc::new(values), shape: self.shape.clone() })
    }
    fn rows(&self, index: &NaiveIndex) -> Result<Self> {
        let d = self.table("rows", index)?;
        let values = index.positions.iter().flat_map(|&row| self.values[row * d..(row + 1) * d].to_vec()).collect();
        Ok(Self { values: Arc::new(values), shape: [&index.shape[..], &[d]].concat() })
    }
    fn rows_add(&self, index: &NaiveIndex, src: &Self) -> Result<Self> {
        let d = self.table("rows_add", index)?;
        contract::rows(&src.shape, &index.shape, d)?;
        let mut values = self.values.to_vec();
        for (i, &x) in src.values.iter().enumerate() {
            values[index.positions[i / d] * d + i % d] += x;
        }
        Ok(Self { values: Arc::new(values), shape: self.shape.clone() })
    }
}
