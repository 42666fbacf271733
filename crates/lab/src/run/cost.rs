//! What a training needs, before it starts: memory, and at least how much time, from the shapes of its parameters.
//!
//! A layer `[out, in]` computes `2·out·in` FLOP for each token forwards and twice that backwards, and keeps its input and output for the
//! way back, `4·(in + out)` bytes a token. The FLOP of attention's scores, norms and the loss are left out: a few percent of the networks
//! that were published. How fast the machine multiplies matrices is measured, so that the time is a lower bound: nothing else takes any.
//! What attention, norms and GELU keep beside layers is a share that was measured ([`BESIDE_LAYERS`]).

use crate::experiment::Settings;
use crate::failure::Outcome;
use crate::training::frozen::Tower;
use simseg_model::{Architecture, Parameters, Side};
use simseg_tensor::{Ops, Parameter, Tensor};
use std::time::Instant;

/// Tokens of a caption that estimates count with, `[CLS]` and `[SEP]` among them.
const WORDS: usize = 16;

/// What is kept for the way back, as a multiple of the inputs and outputs of layers: between 1.2 (ViT-S at 224) and 1.8 (width 128 at 64),
/// from the growth of the peak with the batch on the cpu backend.
const BESIDE_LAYERS: f64 = 1.5;
/// Copies of a trained value: itself, its gradient, two means of the optimiser; at the end of a step new ones stand beside the old.
const COPIES: f64 = 8.0;

/// What a training needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// FLOP for each pair.
    pub flop: f64,
    /// Bytes of weights, their gradients, the optimiser's means and running means.
    pub state: f64,
    /// Bytes that one part of a batch keeps for the way back.
    pub activations: f64,
    /// Bytes of the batches that are read ahead and the one in use.
    pub batches: f64,
}

impl Cost {
    /// Of settings; `trained` says which parameters of the layout are, `towers` which are frozen.
    pub fn of(
        settings: &Settings,
        layout: &Parameters<Parameter>,
        trained: &[bool],
        towers: &[Tower],
        network: &dyn Architecture,
    ) -> Self {
        let training = &settings.training;
        let grid = network.image_size() / network.patch().max(1);
        let words = WORDS.min(network.positions());
        let kept = |side| training.frozen_features.is_some() && towers.contains(&(side, None));
        let (mut flop, mut state, mut values) = (0.0, 0.0, 0.0);
        for ((name, parameter), trained) in layout.iter().zip(trained) {
            let count = parameter.shape.iter().product::<usize>() as f64;
            let averaged = if training.ema.is_some() { 2.0 } else { 0.0 };
            let copies = if *trained { COPIES + averaged } else { 1.0 };
            state += 4.0 * copies * count;
            let is_table = (name.contains("embed") && !name.contains("patch_embed")) || name.ends_with("cls_token");
            let (Some(side), true) = (network.side(name), parameter.shape.len() >= 2 && !is_table) else { continue };
            let tokens = if side == Side::Image { grid * grid + 1 } else { words } as f64;
            // A tower whose features are kept computes nothing; what is frozen goes forwards only.
            let is_kept = kept(side) && !network.projects(name);
            let forwards = if is_kept {
                0.0
            } else if *trained && training.parts > 1 {
                2.0
            } else {
                1.0
            };
            let backwards = if *trained { 2.0 } else { 0.0 };
            flop += 2.0 * count * tokens * (forwards + backwards);
            if *trained {
                let out = parameter.shape[0] as f64;
                values += tokens * (out + count / out.max(1.0));
            }
        }
        let part = (training.batch / training.parts) as f64;
        let pixels = (12 * training.batch * network.image_size() * network.image_size()) as f64;
        let batches = pixels * (training.prefetch + 1) as f64;
        Self { flop, state, activations: 4.0 * BESIDE_LAYERS * part * values, batches }
    }

    /// Bytes of all of it.
    pub fn memory(&self) -> f64 {
        self.state + self.activations + self.batches
    }
}

/// FLOP per second of a matrix product of the size of a ViT-B's layer, the best of a few.
///
/// # Errors
/// If the backend fails.
pub fn speed<T: Tensor>(device: &T::Device) -> Outcome<f64> {
    let [n, d, m] = [1024, 768, 3072];
    let tensor = |rows: usize, columns: usize| T::full(0.5, &[rows, columns], device);
    let (x, w) = (tensor(n, d)?, tensor(d, m)?);
    let mut best = f64::INFINITY;
    for _ in 0..4 {
        let began = Instant::now();
        // Reading a value waits for the device.
        x.matmul(&w)?.slice(0, 0, 1)?.slice(1, 0, 1)?.to_f32()?;
        best = best.min(began.elapsed().as_secs_f64());
    }
    Ok((2 * n * d * m) as f64 / best.max(1e-9))
}

/// Bytes for people.
pub fn bytes(count: f64) -> String {
    if count >= 1e9 { format!("{:.1} GB", count / 1e9) } else { format!("{:.1} MB", count / 1e6) }
}

/// Seconds for people.
pub fn time(seconds: f64) -> String {
    let units = [(2.0 * 86_400.0, 86_400.0, "days"), (7_200.0, 3_600.0, "hours"), (0.0, 60.0, "minutes")];
    let (_, unit, name) = units.into_iter().find(|(least, ..)| seconds >= *least).unwrap_or(units[2]);
    format!("{:.1} {name}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Experiment;
    use simseg::Registry;
    use simseg_cpu::CpuTensor;
    use std::path::Path;

    #[test]
    fn a_vit_b_and_a_bert_base_cost_what_was_counted_by_hand() {
        let registry = Registry::<CpuTensor<f32>>::built_in();
        let text = include_str!("../../../../experiments/quick.toml");
        let of = |changes: &[&str]| {
            let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
            let settings =
                Experiment::parse(Path::new("x.toml"), text, &changes, &registry).unwrap().variants[0].settings.clone();
            let network = settings.network(&registry).unwrap();
            let layout = crate::training::start::layout(&settings, &registry).unwrap();
            Cost::of(&settings, &layout, &vec![true; layout.len()], &[], &*network)
        };
        let base = [
            "model.image={ image_size = 224, patch = 16, width = 768, depth = 12, heads = 12 }",
            "model.text={ vocabulary = 30522, positions = 512, width = 768, depth = 12, heads = 12 }",
            "model.projection=512",
        ];
        let cost = of(&base);
        // 12 layers of 12·768² weights and the projections; 197 patches (the first layer has 3·16² inputs) and 16 words.
        let layers = 12.0 * 12.0 * 768.0 * 768.0;
        let weights = 197.0 * (layers + 768.0 * 768.0 + 512.0 * 768.0) + 16.0 * (layers + 512.0 * 768.0);
        assert!((cost.flop - 6.0 * weights).abs() < 1e-9 * cost.flop, "{} and {}", cost.flop, 6.0 * weights);
        // Published counts of parameters: 86 million, and 109 million without BERT's pooler.
        assert!((cost.state / 32.0 - 195e6).abs() < 2e6, "{}", cost.state / 32.0);
        let halves = of(&[&base[..], &["training.parts=2"]].concat());
        assert!(
            (halves.activations * 2.0 - cost.activations).abs() < 1.0
                && (halves.flop / cost.flop - 4.0 / 3.0).abs() < 1e-9
        );
        assert!(speed::<CpuTensor<f32>>(&simseg_cpu::CpuDevice).unwrap() > 1e8);
    }
}
