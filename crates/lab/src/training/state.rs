//! The state of a run on disk: parameters, optimiser means and the step, in one file that is replaced whole.
//!
//! Killed at any moment, a run goes on from its last checkpoint with the same bits: data order and starting values are
//! functions of the seed, and everything else is in this file.

use crate::experiment::Training;
use crate::failure::{Failure, Outcome};
use simseg_data::checkpoint::{self, Weights};
use simseg_model::{AdamW, AdamWConfig, Parameters};
use simseg_tensor::{Ops, Parameter, Tensor};
use std::path::Path;

/// What a run needs to go on.
pub struct State<T> {
    /// All parameters, as constants.
    pub parameters: Parameters<T>,
    /// Which of them are trained: the optimiser has means for these alone.
    pub trained: Vec<bool>,
    /// The optimiser with the number of steps taken.
    pub optimiser: AdamW<T>,
    /// Running means of the trained parameters and the share that they keep at most at each step, if there are to be any.
    pub averages: Option<(f64, Vec<T>)>,
    /// Seconds spent training so far.
    pub seconds: f64,
}

/// A named tensor for [`checkpoint::write`].
type Named = (String, Vec<usize>, Vec<f32>);

/// A tensor on the host under its name.
fn named<T: Tensor>(name: String, tensor: &T) -> Outcome<Named> {
    Ok((name, tensor.shape().to_vec(), tensor.to_f32()?))
}

impl<T: Tensor> State<T> {
    /// Before the first step.
    ///
    /// # Errors
    /// If the backend fails.
    pub fn new(parameters: Parameters<T>, trained: Vec<bool>, config: AdamWConfig) -> Outcome<Self> {
        let mut state = Self { optimiser: AdamW::new(config, &[])?, parameters, trained, averages: None, seconds: 0.0 };
        let values: Vec<T> = state.trained_only(state.parameters.values()).cloned().collect();
        state.optimiser = AdamW::new(config, &values)?;
        Ok(state)
    }

    /// The same with running means of the weights, which begin as the starting values.
    #[must_use]
    pub fn averaged_by(mut self, decay: Option<f64>) -> Self {
        let values = || self.trained_only(self.parameters.values()).cloned().collect();
        self.averages = decay.map(|decay| (decay, values()));
        self
    }

    /// Moves the running means towards the parameters after a step: `w̄ ← d·w̄ + (1−d)·w`, where `d = min(decay, (1+t)/(10+t))` after `t`
    /// steps, so that a short training is not an average of its start (as in TensorFlow's `ExponentialMovingAverage`).
    ///
    /// # Errors
    /// If the backend fails.
    pub fn average(&mut self) -> simseg_tensor::Result<()> {
        let Some((decay, means)) = self.averages.take() else { return Ok(()) };
        let t = self.step() as f64;
        let d = decay.min((1.0 + t) / (10.0 + t));
        let values = self.trained_only(self.parameters.values()).zip(&means);
        let means = values.map(|(value, mean)| mean.scale(d)?.add(&value.scale(1.0 - d)?));
        self.averages = Some((decay, means.collect::<simseg_tensor::Result<Vec<T>>>()?));
        Ok(())
    }

    /// The parameters that are judged and kept: the running means, if there are any.
    ///
    /// # Errors
    /// If the backend fails.
    pub fn judged(&self) -> simseg_tensor::Result<Parameters<T>> {
        match &self.averages {
            Some((_, means)) => self.with_trained(means),
            None => self.parameters.with(self.parameters.values().to_vec()),
        }
    }

    /// Steps taken.
    pub fn step(&self) -> u64 {
        self.optimiser.step
    }

    /// Of one value per parameter those of the trained ones.
    pub fn trained_only<'a, V>(&'a self, values: &'a [V]) -> impl Iterator<Item = &'a V> {
        values.iter().zip(&self.trained).filter(|(_, trained)| **trained).map(|(value, _)| value)
    }

    /// The parameters with these values for the trained ones, in their order.
    ///
    /// # Errors
    /// If their shapes are others.
    pub fn with_trained(&self, values: &[T]) -> simseg_tensor::Result<Parameters<T>> {
        let mut values = values.iter();
        let next = |(old, &trained): (&T, &bool)| match trained {
            true => values.next().unwrap_or(old).clone(),
            false => old.clone(),
        };
        self.parameters.with(self.parameters.values().iter().zip(&self.trained).map(next).collect())
    }

    /// Writes the state; `settings` says what it belongs to.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path, settings: &str) -> Outcome {
        let all = self.parameters.iter().map(|(name, value)| named(format!("p/{name}"), value));
        let mut tensors = all.collect::<Outcome<Vec<Named>>>()?;
        let names: Vec<&str> = self.parameters.names().collect();
        for (prefix, means) in [("m/", &self.optimiser.m), ("v/", &self.optimiser.v)] {
            for (name, mean) in self.trained_only(&names).zip(means) {
                tensors.push(named(format!("{prefix}{name}"), mean)?);
            }
        }
        for (name, mean) in self.trained_only(&names).zip(self.averages.iter().flat_map(|(_, means)| means)) {
            tensors.push(named(format!("e/{name}"), mean)?);
        }
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
        layout: &Parameters<Parameter>,
        trained: Vec<bool>,
        training: &Training,
        device: &T::Device,
    ) -> Outcome<Self> {
        let config = training.adamw;
        let weights = Weights::open(path)?;
        let text = |key: &str| weights.metadata.get(key).map(String::as_str).unwrap_or_default();
        if text("settings") != settings {
            let expected = "was made with other settings; start afresh with --fresh, or choose another --out";
            return Err(Failure::file(path, expected));
        }
        let number = |key: &str| text(key).parse::<f64>().map_err(|_| Failure::file(path, format!("no `{key}` in it")));
        let read = |prefix: &str, (name, parameter): (&str, &Parameter)| -> Outcome<T> {
            let values = weights.get(&format!("{prefix}{name}"), &parameter.shape)?;
            // Copied, not mapped: the file is replaced while training goes on.
            Ok(T::from_host((*values).as_ref(), &parameter.shape, device)?)
        };
        let parameters = layout.iter().map(|one| read("p/", one)).collect::<Outcome<Vec<T>>>()?;
        let means = |prefix: &str| {
            let kept = layout.iter().zip(&trained).filter(|(_, trained)| **trained);
            kept.map(|(one, _)| read(prefix, one)).collect::<Outcome<Vec<T>>>()
        };
        let optimiser = AdamW { config, step: number("step")? as u64, m: means("m/")?, v: means("v/")? };
        let averages = training.ema.map(|decay| Ok::<_, Failure>((decay, means("e/")?))).transpose()?;
        Ok(Self { parameters: layout.with(parameters)?, trained, optimiser, averages, seconds: number("seconds")? })
    }
}
