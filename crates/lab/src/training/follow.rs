//! A training as ranks other than the first see it: the same steps on other pairs of the batch, without a word and without a file.

use super::batch::Batch;
use super::corpus::Corpus;
use super::frozen::{Frozen, Place};
use super::order::Order;
use super::skipped::Skipped;
use super::state::State;
use super::{Begun, dropout, readers};
use crate::ahead::ahead_by;
use crate::experiment::Settings;
use crate::failure::{Failure, Outcome};
use crate::ranks::{self, Ranks};
use simseg::Registry;
use simseg::hash::Hasher;
use simseg_tensor::{Differentiable, Tensor};
use std::path::Path;
use std::sync::Arc;

/// Takes all steps of a training that rank 0 leads by [`super::train`], from its last checkpoint in `folder` if there is one.
///
/// # Errors
/// If a batch cannot be read, or this rank does not have what the others have.
pub fn follow<D: Differentiable>(
    settings: &Settings,
    seed: u64,
    corpus: &Corpus,
    registry: &Registry<D>,
    (folder, features): (&Path, &Place),
    device: &D::Device,
    ranks: &Arc<dyn Ranks>,
) -> Outcome {
    let training = &settings.training;
    let begun = Begun::of(settings, seed, (corpus, registry), folder, device, Some(ranks))?;
    let Begun { config, steps, schedule, objective, resumed, mut state, .. } = begun;
    let ranks = &**ranks;
    meet(ranks, &state, corpus, &config)?;
    // Rank 0 has written them by now.
    let frozen = Frozen::of(settings, &state, (&*objective.network, corpus), features, device)?;
    let mut skipped = Skipped::open(folder, training.max_corrupt_samples, resumed)?;
    let (own, readers) = (ranks::own(ranks, training.batch), readers()?);
    let mut order = Order::new(corpus.len(), training.batch, settings.seeds.order(seed));
    let batches = (state.step()..steps).map(|step| {
        let (draw, picks) = order.at(step);
        readers.install(|| corpus.read((&picks, own.clone()), draw, training.max_corrupt_samples, &frozen))
    });
    ahead_by(training.prefetch, batches, |read| {
        let index = state.step();
        let batch =
            Batch { dropout: dropout(settings, seed, index, own.start), ..read.take::<D>(&mut skipped, None, device)? };
        let loss = objective.step(&mut state, &batch, schedule.rate_at(index + 1, steps))?;
        if !loss.is_finite() {
            return Err(Failure::Diverged(format!("the loss is {loss}"))); // rank 0 sees the same, and says so
        }
        if state.step() % training.checkpoint_every == 0 || state.step() == steps {
            agree(ranks, &state, &mut skipped)?;
        }
        Ok(())
    })
}

/// Waits until all ranks are ready for the first step, and sees whether they are ready for the same.
///
/// # Errors
/// What this rank has that rank 0 has not.
pub(super) fn meet<T: Tensor>(ranks: &dyn Ranks, state: &State<T>, corpus: &Corpus, settings: &str) -> Outcome {
    let captions = (0..corpus.len()).flat_map(|index| corpus.caption(index).iter().copied().chain([u32::MAX]));
    let mut hash = Hasher::new();
    captions.for_each(|token| _ = hash.update(&token.to_le_bytes()));
    let own = [
        ("settings", settings.to_owned()),
        ("number of training pairs", corpus.len().to_string()),
        ("captions", hash.finalize().to_hex().to_string()),
        ("last checkpoint", state.step().to_string()),
        ("starting weights", weights(state)?),
    ];
    alike(ranks, &own)
}

/// At a checkpoint: joins the lists of skipped samples, and sees whether all ranks still have the same weights.
///
/// # Errors
/// If they have not, or too many samples cannot be read.
pub(super) fn agree<T: Tensor>(ranks: &dyn Ranks, state: &State<T>, skipped: &mut Skipped) -> Outcome {
    alike(ranks, &[("weights", weights(state)?)])?;
    skipped.join(ranks)
}

/// The hash of all weights.
fn weights<T: Tensor>(state: &State<T>) -> Outcome<String> {
    let mut hash = Hasher::new();
    for value in state.parameters.values() {
        value.to_vec::<f64>()?.iter().for_each(|number| _ = hash.update(&number.to_le_bytes()));
    }
    Ok(hash.finalize().to_hex().to_string())
}

/// That all ranks have the same of everything that is named.
///
/// # Errors
/// The first name under which some rank has something else than rank 0. All ranks find out, and rank 0 says it.
pub fn alike(ranks: &dyn Ranks, named: &[(&str, String)]) -> Outcome {
    let own: Vec<&str> = named.iter().map(|(_, value)| value.as_str()).collect();
    let all = ranks.gather(&serde_json::to_vec(&own).unwrap_or_default());
    let Some((rank, other)) = all.iter().enumerate().find(|(_, other)| **other != all[0]) else { return Ok(()) };
    let values = |bytes: &[u8]| serde_json::from_slice::<Vec<String>>(bytes).unwrap_or_default();
    let (first, other) = (values(&all[0]), values(other));
    let differing = named.iter().zip(first.iter().zip(&other)).find(|(_, (a, b))| a != b);
    let name = differing.map_or("data", |((name, _), _)| *name);
    let said = Failure::input(format!("rank {rank}"), format!("other {name} than rank 0; all ranks need the same"));
    Err(if ranks.rank() == 0 { said } else { Failure::Diverged(said.to_string()) })
}
