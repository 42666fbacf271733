//! A step through the batch in parts: the loss of the whole batch, activations of one part at a time ([`simseg_model::accumulate`]); and
//! where ranks share the batch, of which each has some pairs ([`crate::ranks`]).

use super::batch::Batch;
use super::mixup;
use super::objective::Objective;
use super::state::State;
use crate::ranks::{self, Ranks};
use simseg_model::accumulate::{Contrasted, accumulate, accumulate_with};
use simseg_model::{Side, Stage};
use simseg_tensor::{Differentiable, Ops, Result};

/// The loss of a batch in parts of equal size, and its gradients for the trained parameters, whose
/// `values` are given. Of several ranks each gives its own pairs, and gets the loss and the gradients of all.
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
        mixup::loss(&*objective.loss.build(&parameters)?, &images.matmul(&captions.t()?)?, &temperature, batch.mix)
    };
    let Some(ranks) = objective.ranks.as_deref() else { return accumulate(values, objective.parts, embed, loss) };
    let contrast =
        |leaves: &[D], images: &D, captions: &D| contrast(objective, state, ranks, leaves, [images, captions]);
    let (loss, gradients) = accumulate_with(values, objective.parts, embed, contrast)?;
    let mut all: Vec<D> = gradients.iter().chain([&loss]).map(Differentiable::detach).collect();
    ranks::sum(ranks, &mut all)?;
    let loss = all.pop().unwrap_or(loss);
    Ok((loss, all))
}

/// A rank's share of the contrast: its `p` images against all `b` captions, and its captions against all images. The gradients of its
/// embeddings `[p, e]` are those of all shares together.
fn contrast<D: Differentiable>(
    objective: &Objective<D>,
    state: &State<D>,
    ranks: &dyn Ranks,
    leaves: &[D],
    own: [&D; 2],
) -> Result<Contrasted<D>> {
    let [images, captions] = [ranks::rows(ranks, own[0])?.leaf(), ranks::rows(ranks, own[1])?.leaf()]; // [b, e]
    let [p, _] = own[0].dims()?;
    let first = ranks.rank() * p;
    let rows = |all: &D| all.slice(0, first, p);
    let parameters = state.with_trained(leaves)?;
    let temperature = objective.network.build(&parameters)?.temperature()?;
    let by_image = rows(&images)?.matmul(&captions.t()?)?; //          [p, b]
    let by_caption = rows(&captions)?.matmul(&images.t()?)?; //        [p, b]
    let loss = objective.loss.build(&parameters)?.share(&by_image, &by_caption, first, &temperature)?;
    let wanted: Vec<&D> = [&images, &captions].into_iter().chain(leaves).collect();
    let (loss, mut gradients) = loss.backward(&wanted)?;
    let direct = gradients.split_off(2);
    ranks::sum(ranks, &mut gradients)?;
    let embeddings = gradients.iter().map(rows).collect::<Result<Vec<D>>>()?;
    Ok(Contrasted { loss, embeddings, direct })
}

#[cfg(test)]
mod tests {
    use crate::experiment::Settings;
    use crate::ranks::Ranks;
    use crate::ranks::threads::Threads;
    use crate::training::batch::Batch;
    use crate::training::objective::Objective;
    use crate::training::state::State;
    use simseg::{Recipe, Registry};
    use simseg_cpu::{CpuDevice, CpuTensor, Scalar};
    use simseg_model::{Dropout, TokenBatch};
    use simseg_tensor::{Autodiff, Ops, Tensor, random};
    use std::ops::Range;
    use std::sync::Arc;

    /// What is differentiated, and how.
    #[derive(Clone, Copy)]
    struct Case {
        aligner: &'static str,
        loss: &'static str,
        freeze: &'static str,
        dropout: f64,
        parts: usize,
    }

    const PAIRS: usize = 12;
    const WHOLE: Case = Case { aligner: LODA, loss: "kind = \"info-nce\"", freeze: "", dropout: 0.0, parts: 1 };
    const LODA: &str = "kind = \"loda\", image_k = 3, text_k = 2";
    const ALIGNERS: [&str; 4] = [LODA, "kind = \"dense\"", "kind = \"holistic\"", "kind = \"attention-pool\""];

    fn settings(Case { aligner, loss, .. }: Case) -> Settings {
        let text = format!(
            r#"
            aligner = {{ {aligner} }}
            loss = {{ {loss} }}
            evaluation = {{ data = {{ kind = "scenes", count = 2, image_size = 16, bias = 0.0 }} }}
            [model]
            projection = 8
            temperature = 0.05
            image = {{ image_size = 16, patch = 4, width = 8, depth = 1, heads = 2 }}
            text = {{ positions = 6, width = 8, depth = 1, heads = 2, vocabulary = 20 }}
            [training]
            data = {{ kind = "scenes", count = {PAIRS}, image_size = 16, bias = 0.5 }}
            batch = {PAIRS}
            steps = 1
            schedule = {{ rate = 1e-3, warmup = 0, floor = 1.0 }}
            "#
        );
        let mut table: toml::Table = toml::from_str(&text).unwrap();
        table.insert("segmentation".into(), toml::Value::try_from(Recipe::plain()).unwrap());
        table.try_into().unwrap()
    }

    /// The loss and all gradients, one behind the other; on a rank, of its share of the pairs.
    fn differentiated<E: Scalar>(case: Case, ranks: Option<&Threads>) -> (f64, Vec<f64>) {
        type D<E> = Autodiff<CpuTensor<E>>;
        let registry = Registry::<D<E>>::built_in();
        let settings = settings(case);
        let Range { start, end } = ranks.map_or(0..PAIRS, |ranks| crate::ranks::own(ranks, PAIRS));
        let ranks = ranks.map(|ranks| Arc::new(ranks.clone()) as Arc<dyn Ranks>);
        let objective = Objective { parts: case.parts, ranks, ..Objective::new(&settings, &registry).unwrap() };
        let layout = super::super::start::layout(&settings, &registry).unwrap();
        let parameters = super::super::start::values(&settings, 7, &registry, &CpuDevice).unwrap();
        let is_trained = |name: &str| case.freeze.is_empty() || !name.starts_with(case.freeze);
        let trained = layout.iter().map(|(name, _)| is_trained(name)).collect();
        let state = State::new(parameters, trained, settings.training.adamw).unwrap();
        let mut rng = random::stream(3, "pixels", 0);
        let pixels: Vec<f64> = (0..PAIRS * 3 * 16 * 16).map(|_| random::uniform(&mut rng) - 0.5).collect();
        let pixels = D::<E>::from_host(&pixels, &[PAIRS, 3, 16, 16], &CpuDevice).unwrap();
        let sentences: Vec<Vec<u32>> =
            (0..PAIRS).map(|i| (0..2 + i / 4).map(|j| 1 + ((3 * i + 5 * j) % 19) as u32).collect()).collect();
        let captions = TokenBatch::new(&sentences[start..end], 0, 4).unwrap(); // as wide as that of all pairs
        let pixels = pixels.slice(0, start, end - start).unwrap();
        let values: Vec<D<E>> = state.trained_only(state.parameters.values()).cloned().collect();
        let dropout = Dropout { rate: case.dropout, seed: 5, step: 11, first: start as u64 };
        let dropout = (case.dropout > 0.0).then_some(dropout);
        let batch = Batch { dropout, ..Batch::new(pixels, captions) };
        let (loss, gradients) = objective.gradients(&state, &values, &batch).unwrap();
        let gradients = gradients.iter().flat_map(|gradient| gradient.to_vec::<f64>().unwrap()).collect();
        (loss.item().unwrap(), gradients)
    }

    fn norm(values: impl Iterator<Item = f64>) -> f64 {
        values.map(|value| value * value).sum::<f64>().sqrt()
    }

    /// That both are the same but for rounding.
    fn same(what: &str, most: f64, (loss, gradient): &(f64, Vec<f64>), (other, split): &(f64, Vec<f64>)) {
        assert_eq!(gradient.len(), split.len());
        let whole = norm(gradient.iter().copied());
        assert!(whole > 1e-3, "{what}: the gradient is {whole}");
        let apart = norm(gradient.iter().zip(split).map(|(a, b)| a - b));
        assert!((loss - other).abs() <= most * loss, "{what}: {loss} and {other}");
        assert!(apart <= most * whole, "{what}: {apart} of {whole} apart");
    }

    #[test]
    fn parts_have_the_loss_and_the_gradients_of_the_whole_batch() {
        for aligner in ALIGNERS {
            for (freeze, dropout) in [("", 0.0), ("text_encoder", 0.0), ("", 0.2)] {
                let case = Case { aligner, freeze, dropout, ..WHOLE };
                let whole = differentiated::<f64>(case, None);
                for parts in [2, 4] {
                    let split = differentiated::<f64>(Case { parts, ..case }, None);
                    same(&format!("{aligner}, {parts} parts"), 1e-12, &whole, &split);
                }
            }
        }
        let loss = |dropout: f64| differentiated::<f64>(Case { dropout, ..WHOLE }, None).0;
        assert!((loss(0.0) - loss(0.2)).abs() > 1e-3, "something is dropped");
    }

    fn ranks_are_as_one<E: Scalar>(case: Case, most: f64) {
        let whole = differentiated::<E>(Case { parts: 1, ..case }, None);
        for size in [2, 3] {
            for (rank, own) in Threads::run(size, |ranks| differentiated::<E>(case, Some(ranks))).iter().enumerate() {
                let Case { aligner, loss, parts, .. } = case;
                same(&format!("{aligner}, {loss}, rank {rank} of {size}, {parts} parts"), most, &whole, own);
            }
        }
    }

    #[test]
    fn ranks_have_the_loss_and_the_gradients_of_one() {
        for aligner in ALIGNERS {
            ranks_are_as_one::<f64>(Case { aligner, ..WHOLE }, 1e-12);
            ranks_are_as_one::<f32>(Case { aligner, ..WHOLE }, 1e-6);
        }
        for loss in [
            "kind = \"info-nce\", label_smoothing = 0.1",
            "kind = \"info-nce\", fixed_temperature = 0.07",
            "kind = \"siglip\"",
        ] {
            ranks_are_as_one::<f64>(Case { loss, ..WHOLE }, 1e-12);
        }
        ranks_are_as_one::<f64>(Case { dropout: 0.2, ..WHOLE }, 1e-12);
        ranks_are_as_one::<f64>(Case { freeze: "text_encoder", parts: 2, ..WHOLE }, 1e-12);
    }
}
