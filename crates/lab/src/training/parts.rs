//! A step through the batch in parts: the loss of the whole batch, activations of one part at a time ([`simseg_model::accumulate`]).

use super::Objective;
use super::batch::Batch;
use super::state::State;
use simseg_model::accumulate::accumulate;
use simseg_model::{Side, Stage};
use simseg_tensor::{Differentiable, Ops, Result};

/// The loss of a batch in parts of equal size, and its gradients for the trained parameters, whose
/// `values` are given.
pub(super) fn gradients<D: Differentiable>(
    objective: &Objective<D>,
    state: &State<D>,
    values: &[D],
    batch: &Batch<D>,
) -> Result<(D, Vec<D>)> {
    let size = batch.len() / objective.parts;
    let embed = |values: &[D], part: usize| -> Result<[D; 2]> {
        let parameters = state.with_trained(values)?;
        let network = objective.network.build(&parameters)?;
        let aligner = objective.aligner.build(Stage::Training, &parameters)?;
        let [image, text] = batch.encode(&*network, part * size..(part + 1) * size)?; // [b/parts, 1+n, e], [b/parts, m, e]
        Ok([aligner.pool(Side::Image, &image)?, aligner.pool(Side::Text, &text)?])
    };
    let loss = |values: &[D], images: &D, captions: &D| -> Result<D> {
        let parameters = state.with_trained(values)?;
        let temperature = objective.network.build(&parameters)?.temperature()?;
        objective.loss.build(&parameters)?.loss(&images.matmul(&captions.t()?)?, &temperature)
    };
    accumulate(values, objective.parts, embed, loss)
}

#[cfg(test)]
mod tests {
    use crate::experiment::Settings;
    use crate::training::Objective;
    use crate::training::batch::Batch;
    use crate::training::state::State;
    use simseg::{Recipe, Registry};
    use simseg_cpu::{CpuDevice, CpuTensor};
    use simseg_model::{Dropout, TokenBatch};
    use simseg_tensor::{Autodiff, Ops, Tensor, random};

    type D = Autodiff<CpuTensor<f64>>;

    fn settings(aligner: &str) -> Settings {
        let text = format!(
            r#"
            aligner = {{ {aligner} }}
            evaluation = {{ data = {{ kind = "scenes", count = 2, image_size = 16, bias = 0.0 }} }}
            [model]
            projection = 8
            temperature = 0.05
            image = {{ image_size = 16, patch = 4, width = 8, depth = 1, heads = 2 }}
            text = {{ positions = 6, width = 8, depth = 1, heads = 2, vocabulary = 20 }}
            [training]
            data = {{ kind = "scenes", count = 8, image_size = 16, bias = 0.5 }}
            batch = 8
            steps = 1
            schedule = {{ rate = 1e-3, warmup = 0, floor = 1.0 }}
            "#
        );
        let mut table: toml::Table = toml::from_str(&text).unwrap();
        table.insert("segmentation".into(), toml::Value::try_from(Recipe::plain()).unwrap());
        table.try_into().unwrap()
    }

    /// The loss and all gradients, one behind the other.
    fn differentiated(aligner: &str, freeze: &str, parts: usize, rate: f64) -> (f64, Vec<f64>) {
        let registry = Registry::<D>::built_in();
        let settings = settings(aligner);
        let objective = Objective { parts, ..Objective::new(&settings, &registry).unwrap() };
        let layout = super::super::start::layout(&settings, &registry).unwrap();
        let parameters = super::super::start::values(&settings, 7, &registry, &CpuDevice).unwrap();
        let trained: Vec<bool> =
            layout.iter().map(|(name, _)| freeze.is_empty() || !name.starts_with(freeze)).collect();
        let state = State::new(parameters, trained, settings.training.adamw).unwrap();
        let mut rng = random::stream(3, "pixels", 0);
        let pixels: Vec<f64> = (0..8 * 3 * 16 * 16).map(|_| random::uniform(&mut rng) - 0.5).collect();
        let pixels = D::from_host(&pixels, &[8, 3, 16, 16], &CpuDevice).unwrap();
        let sentences: Vec<Vec<u32>> =
            (0..8).map(|i| (0..2 + i % 4).map(|j| 1 + (3 * i + 5 * j) % 19).collect()).collect();
        let captions = TokenBatch::new(&sentences, 0, 0).unwrap();
        let values: Vec<D> = state.trained_only(state.parameters.values()).cloned().collect();
        let dropout = (rate > 0.0).then_some(Dropout { rate, seed: 5, step: 11, first: 0 });
        let batch = Batch { dropout, ..Batch::new(pixels, captions) };
        let (loss, gradients) = objective.gradients(&state, &values, &batch).unwrap();
        let gradients = gradients.iter().flat_map(|gradient| gradient.to_vec::<f64>().unwrap()).collect();
        (loss.item().unwrap(), gradients)
    }

    #[test]
    fn parts_have_the_loss_and_the_gradients_of_the_whole_batch() {
        for aligner in [
            "kind = \"loda\", image_k = 3, text_k = 2",
            "kind = \"dense\"",
            "kind = \"holistic\"",
            "kind = \"attention-pool\"",
        ] {
            for (freeze, rate) in [("", 0.0), ("text_encoder", 0.0), ("", 0.2)] {
                let (loss, whole) = differentiated(aligner, freeze, 1, rate);
                let norm = whole.iter().map(|g| g * g).sum::<f64>().sqrt();
                assert!(norm > 1e-3, "{aligner}: the gradient is {norm}");
                for parts in [2, 4] {
                    let (other, split) = differentiated(aligner, freeze, parts, rate);
                    assert_eq!(whole.len(), split.len());
                    let apart = whole.iter().zip(&split).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
                    assert!((loss - other).abs() <= 1e-12 * loss, "{aligner}, {parts} parts: {loss} and {other}");
                    assert!(apart <= 1e-12 * norm, "{aligner}, {parts} parts: {apart} of {norm} apart");
                }
            }
        }
        let loss = |rate: f64| differentiated("kind = \"dense\"", "", 1, rate).0;
        assert!((loss(0.0) - loss(0.2)).abs() > 1e-3, "something is dropped");
    }
}
