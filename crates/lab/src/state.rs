//! The state of a run on disk: parameters, optimiser means and the step, in one file that is replaced whole.
//!
//! Killed at any moment, a run goes on from its last checkpoint with the same bits: data order and starting values are
//! functions of the seed, and everything else is in this file.

use crate::failure::{Failure, Outcome};
use simseg_data::checkpoint::{self, Weights};
use simseg_model::{AdamW, AdamWConfig, DualEncoder};
use simseg_tensor::{Ops, Parameter, Tensor};
use std::path::Path;

/// What a run needs to go on.
pub struct State<T> {
    /// The model's parameters, as constants.
    pub model: DualEncoder<T>,
    /// The optimiser with the number of steps taken.
    pub optimiser: AdamW<T>,
    /// Seconds spent training so far.
    pub seconds: f64,
}

/// A named tensor for [`checkpoint::write`].
pub type Named = (String, Vec<usize>, Vec<f32>);

/// Tensors on the host under their names.
///
/// # Errors
/// If the backend fails.
pub fn named<T: Tensor>(prefix: &str, names: &[String], tensors: &[T]) -> Outcome<Vec<Named>> {
    let one =
        |(name, tensor): (&String, &T)| Ok((format!("{prefix}{name}"), tensor.shape().to_vec(), tensor.to_f32()?));
    names.iter().zip(tensors).map(one).collect()
}

impl<T: Tensor> State<T> {
    /// Steps taken.
    pub fn step(&self) -> u64 {
        self.optimiser.step
    }

    /// Writes the state; `settings` says what it belongs to.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path, settings: &str) -> Outcome {
        let (names, values): (Vec<String>, Vec<T>) = self.model.parameters().into_iter().unzip();
        let mut tensors = named("p/", &names, &values)?;
        tensors.extend(named("m/", &names, &self.optimiser.m)?);
        tensors.extend(named("v/", &names, &self.optimiser.v)?);
        let metadata = [
            ("step", self.step().to_string()),
            ("seconds", self.seconds.to_string()),
            ("settings", settings.to_owned()),
        ];
        Ok(checkpoint::write(path, &tensors, &metadata)?)
    }

    /// Reads a state back.
    ///
    /// # Errors
    /// If the file belongs to other settings, or is damaged.
    pub fn load(
        path: &Path,
        settings: &str,
        layout: &DualEncoder<Parameter>,
        config: AdamWConfig,
        device: &T::Device,
    ) -> Outcome<Self> {
        let weights = Weights::open(path)?;
        let text = |key: &str| weights.metadata.get(key).map(String::as_str).unwrap_or_default();
        if text("settings") != settings {
            let expected = "was made with other settings; start afresh with --fresh, or choose another --out";
            return Err(Failure::file(path, expected));
        }
        let number = |key: &str| text(key).parse::<f64>().map_err(|_| Failure::file(path, format!("no `{key}` in it")));
        let read = |prefix: &str| -> Outcome<DualEncoder<T>> {
            layout.map(&mut |name, parameter| {
                let values = weights.get(&format!("{prefix}{name}"), &parameter.shape)?;
                // Copied, not mapped: the file is replaced while training goes on.
                Ok(T::from_host((*values).as_ref(), &parameter.shape, device)?)
            })
        };
        let values = |model: DualEncoder<T>| model.parameters().into_iter().map(|(_, value)| value).collect();
        let (m, v) = (values(read("m/")?), values(read("v/")?));
        let optimiser = AdamW { config, step: number("step")? as u64, m, v };
        Ok(Self { model: read("p/")?, optimiser, seconds: number("seconds")? })
    }
}
