//! Strict accounting: every parameter has a source of its shape, every tensor a use. Nothing else is a plan.

use super::dialect::{Dialect, Source};
use super::shapes::Files;
use super::{Found, Options};
use crate::failure::{Failure, Outcome};
use simseg::WeightType;
use simseg_data::checkpoint::{Stored, is_narrowed};
use simseg_tensor::Parameter;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// What becomes of every tensor.
pub struct Plan {
    /// Whose names.
    pub dialect: Dialect,
    /// The architecture.
    pub network: Found,
    /// Every parameter with its source.
    pub parameters: Vec<Planned>,
    /// Tensors of no use, and why.
    pub unused: Vec<(String, &'static str)>,
}

/// A parameter with its source.
pub struct Planned {
    /// Our name for it.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    parameter: Parameter,
    source: Source,
}

impl Plan {
    /// Accounts for everything.
    ///
    /// # Errors
    /// One line with all that is missing, misshapen and left over.
    pub fn make(files: &Files, options: &Options) -> Outcome<Self> {
        let dialect = Dialect::of(files, options.text.is_some())?;
        let network = dialect.network(files, options)?;
        let (mut missing, mut misshapen, mut used) = (vec![], vec![], BTreeSet::new());
        let mut parameters = Vec::new();
        for (name, parameter) in network.architecture().parameters() {
            let mut source = dialect.source(&name, files);
            if let Source::Tensor(names) = &mut source {
                let found = names.iter().position(|name| files.has(name)).unwrap_or(0);
                *names = vec![names.swap_remove(found)];
            }
            for (name, expected) in wanted(&source, &parameter.shape) {
                match files.shape(&name) {
                    None => missing.push(name.clone()),
                    Some(shape) if !fits(shape, &expected) => {
                        misshapen.push(format!("{name} {shape:?} instead of {expected:?}"));
                    }
                    Some(_) if !files.is_real(&name) => misshapen.push(format!("{name} with whole numbers")),
                    Some(_) => {}
                }
                used.insert(name);
            }
            parameters.push(Planned { name, shape: parameter.shape.clone(), parameter, source });
        }
        let (mut unused, mut extra) = (vec![], vec![]);
        for name in files.names().filter(|name| !used.contains(*name)) {
            match dialect.unused(name) {
                Some(why) => unused.push((name.to_owned(), why)),
                None => extra.push(name.to_owned()),
            }
        }
        let faults = [("missing", missing), ("misshapen", misshapen), ("left over", extra)];
        let faults: Vec<String> = faults
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{} {what}: {}", names.len(), crate::failure::listed(names)))
            .collect();
        if !faults.is_empty() {
            return Err(files.problem(format!("not a whole {dialect} checkpoint; {}", faults.join("; "))));
        }
        Ok(Self { dialect, network, parameters, unused })
    }

    /// Looks at every value once: one that is no number would be in every result.
    ///
    /// # Errors
    /// The first tensor that holds NaN or an infinity, or what becomes infinite in the type in which it is to be stored.
    pub fn check_values(&self, files: &Files, store: Option<WeightType>) -> Outcome {
        for name in self.parameters.iter().flat_map(|planned| planned.source.names()) {
            let finite = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).is_finite();
            if !files.bytes(&name)?.chunks_exact(4).all(finite) {
                return Err(files.problem(format!("tensor `{name}` holds values that are not finite")));
            }
        }
        let Some(kind) = store else { return Ok(()) };
        for planned in self.parameters.iter().filter(|planned| is_narrowed(&planned.name, &planned.shape)) {
            for name in planned.source.names() {
                let values = files.bytes(&name)?;
                let mut values = values.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b));
                if let Some(x) = values.find(|x| !kind.holds(*x)) {
                    let text = format!("tensor `{name}` holds {x}, which {kind} cannot; expected another --store");
                    return Err(files.problem(text));
                }
            }
        }
        Ok(())
    }
}

impl Source {
    /// The tensors it reads.
    fn names(&self) -> Vec<String> {
        match self {
            Self::Tensor(names) | Self::Stacked(names) => names.clone(),
            Self::Transposed(name) => vec![name.clone()],
            Self::Fresh => vec![],
        }
    }
}

/// The tensors of a source with the shapes they must have.
fn wanted(source: &Source, shape: &[usize]) -> Vec<(String, Vec<usize>)> {
    let mut shape = shape.to_vec();
    match source {
        Source::Tensor(_) => {}
        Source::Transposed(_) => shape.reverse(),
        Source::Stacked(names) => shape[0] /= names.len(),
        Source::Fresh => return vec![],
    }
    source.names().into_iter().map(|name| (name, shape.clone())).collect()
}

/// One value may come as a scalar or as a list of one.
fn fits(shape: &[usize], expected: &[usize]) -> bool {
    shape == expected || (expected.is_empty() && shape == [1])
}

impl Planned {
    /// Whether it gets starting values.
    pub fn is_fresh(&self) -> bool {
        self.source == Source::Fresh
    }

    /// The parameter on its way to a file, in fewer bits if that is asked for and it is one of those; bytes are made when their turn
    /// comes.
    pub fn stored<'a>(&'a self, files: &'a Files, seed: u64, store: Option<WeightType>) -> Vec<Stored<'a>> {
        let bytes = move || match self.bytes(files, seed) {
            Ok(bytes) => bytes,
            // `check_values` has read every source just before.
            Err(error) => unreachable!("{error}"),
        };
        let (name, shape) = (self.name.clone(), self.shape.clone());
        match store.filter(|_| is_narrowed(&name, &shape)) {
            Some(kind) => Stored::narrow(name, shape, kind, bytes),
            None => vec![Stored::lazy(name, shape, bytes)],
        }
    }

    fn bytes<'a>(&'a self, files: &'a Files, seed: u64) -> Result<Cow<'a, [u8]>, Failure> {
        Ok(match &self.source {
            Source::Tensor(names) => files.bytes(&names[0])?,
            Source::Transposed(name) => Cow::Owned(transposed(&files.bytes(name)?, self.shape[1], self.shape[0])),
            Source::Stacked(names) => {
                let parts = names.iter().map(|name| files.bytes(name)).collect::<Outcome<Vec<_>>>()?;
                Cow::Owned(parts.concat())
            }
            Source::Fresh => {
                let values = self.parameter.values(seed, &self.name);
                Cow::Owned(values.iter().flat_map(|x| x.to_le_bytes()).collect())
            }
        })
    }
}

/// The bytes of `[rows, columns]` as `[columns, rows]`.
fn transposed(bytes: &[u8], rows: usize, columns: usize) -> Vec<u8> {
    let value = |row: usize, column: usize| &bytes[4 * (row * columns + column)..][..4];
    (0..columns).flat_map(|column| (0..rows).flat_map(move |row| value(row, column))).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_transposed_value_by_value() {
        let bytes = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let (wide, tall) = (bytes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), bytes(&[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
        assert_eq!(transposed(&wide, 2, 3), tall);
    }
}
