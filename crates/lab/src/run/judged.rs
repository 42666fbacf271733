//! What variants of one training are worth on the experiment's data, by this process or with the help of other ranks.

use super::models::{Ready, judge};
use super::plan::Unit;
use super::ranks::{Job, Share};
use super::unit::Work;
use crate::failure::{Failure, Outcome};
use crate::judging::{self, Judge};
use crate::ranks::Ranks;
use crate::results::images::{self, Images, Judged};
use crate::results::samples;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use simseg::{Choice, Model};
use simseg_segment::metrics::Metric;
use simseg_tensor::Differentiable;
use std::ops::Range;

/// One metric list for each variant of a group.
type Metrics<T> = Vec<Vec<Box<dyn Metric<T>>>>;

/// What one image adds to a variant of a group.
#[derive(Debug, Serialize, Deserialize)]
struct Observed {
    variant: usize,
    stem: String,
    values: Vec<Value>,
}

/// The images that a rank judges. Rank 0, which has the pictures to look at, begins with these at least.
fn share(ranks: &dyn Ranks, images: usize, pictures: usize) -> Range<usize> {
    let at = |rank: usize| if rank == 0 { 0 } else { (images * rank / ranks.size()).max(pictures).min(images) };
    at(ranks.rank())..if ranks.rank() + 1 == ranks.size() { images } else { at(ranks.rank() + 1) }
}

impl<D: Differentiable> Work<'_, D> {
    fn metrics(&self, group: &[Ready<D::Plain>]) -> Outcome<Metrics<D::Plain>> {
        let registry = &self.registries.judging;
        let metrics = group.iter().map(|(index, _)| {
            let names = &self.variants[*index].settings.evaluation.metrics;
            names.iter().map(|name| Ok(registry.segment.metrics.build(&Choice::new(name))?)).collect()
        });
        metrics.collect()
    }

    /// Pictures that are kept to look at.
    fn pictures(&self, index: usize) -> usize {
        self.variants[index].settings.evaluation.pictures
    }

    /// Judges variants together; leaves pictures to look at.
    pub(super) fn judged(&self, unit: &Unit, group: &[Ready<D::Plain>]) -> Outcome<Vec<Judged>> {
        let registry = &self.registries.judging;
        let settings = &self.variants[group[0].0].settings;
        let mut seen: Vec<Images> = group.iter().map(|_| Images::new()).collect();
        for (source, (prefix, data)) in settings.evaluation.data.list().into_iter().enumerate() {
            let dataset = registry.data.open_dataset(data, settings.seeds.test)?;
            let words = group[0].1.classes(simseg::ClassList::parse(&dataset.class_lines().join("\n"))?)?;
            let metrics = self.metrics(group)?;
            let models = self.calibrated(unit.seed, group, &words, &prefix)?;
            let most = group.iter().map(|(index, _)| self.pictures(*index)).max().unwrap_or(0);
            self.tell(|| {
                let group = group.iter().zip(&models).map(|((index, _), model)| (*index, model.recipe().clone()));
                Job::Judge(Share { unit: unit.into(), group: group.collect(), source, pictures: most })
            });
            let all = group.iter().zip(&models).zip(&metrics);
            let judges: Vec<Judge<'_, D::Plain>> = all
                .map(|(((index, _), model), metrics)| judge(model, &words, metrics, self.variants[*index].built_in))
                .collect();
            seen.iter_mut().for_each(|seen| seen.classes(&prefix, dataset.classes()));
            let mut pictures: Vec<Vec<samples::Sample>> = group.iter().map(|_| vec![]).collect();
            self.sweep.at(format!("{} seed {}: {prefix}judging", self.variants[group[0].0].name, unit.seed));
            let own = self.ranks.as_deref().map_or(0..dataset.len(), |ranks| share(ranks, dataset.len(), most));
            let judged = judging::panel(&judges, &*dataset, own, &mut |number, image| {
                let evaluation = &self.variants[group[number].0].settings.evaluation;
                if image.index < evaluation.pictures {
                    pictures[number].push(samples::Sample::of(&*dataset, &image, &judges[number])?);
                }
                seen[number].add(&prefix, &image.item.stem, &evaluation.metrics, &image.observed);
                self.sweep.add(1, None);
                Ok(())
            });
            // Others wait to be heard, whatever became of this rank's images.
            let others = self.ranks.as_deref().map_or(Ok(vec![]), gathered);
            judged?;
            for Observed { variant, stem, values } in others? {
                seen[variant].add(
                    &prefix,
                    &stem,
                    &self.variants[group[variant].0].settings.evaluation.metrics,
                    &values,
                );
                self.sweep.add(1, None);
            }
            for (number, (index, _)) in group.iter().enumerate() {
                let place = self.place(*index, unit.seed);
                samples::save(&place.join("pictures"), &prefix, &pictures[number])?;
            }
        }
        let mut known = images::Known::default();
        let finish = |(seen, (index, _)): (Images, &Ready<D::Plain>)| {
            seen.save(&self.place(*index, unit.seed).join(images::NAME))?;
            seen.judge_after(registry, &mut known)
        };
        seen.into_iter().zip(group).map(finish).collect()
    }

    /// Judges this rank's share of the images for rank 0, which hears of them, or why it cannot.
    pub(super) fn judge_share(&self, share: &Share, ranks: &dyn Ranks) {
        let observed = self.observed(share, ranks).map_err(|failure| failure.to_string());
        ranks.gather(&serde_json::to_vec(&observed).unwrap_or_default());
    }

    fn observed(&self, share_of: &Share, ranks: &dyn Ranks) -> Outcome<Vec<Observed>> {
        let Share { unit, group, source, pictures } = share_of;
        let unit = unit.unit();
        let mut ready: Vec<Ready<D::Plain>> = vec![];
        let loaded = self.loaded(&unit)?;
        for (index, recipe) in group {
            let model: Model<D::Plain> = self.assembled(*index, loaded.clone(), ready.first())?;
            ready.push((*index, model.with_recipe(recipe.clone())?));
        }
        let settings = &self.variants[group[0].0].settings;
        let sources = settings.evaluation.data.list();
        let (_, data) =
            sources.get(*source).ok_or_else(|| Failure::input("evaluation.data", "fewer than rank 0 has"))?;
        let dataset = self.registries.judging.data.open_dataset(data, settings.seeds.test)?;
        let words = ready[0].1.classes(simseg::ClassList::parse(&dataset.class_lines().join("\n"))?)?;
        let metrics = self.metrics(&ready)?;
        let judges: Vec<Judge<'_, D::Plain>> = ready
            .iter()
            .zip(&metrics)
            .map(|((index, model), metrics)| judge(model, &words, metrics, self.variants[*index].built_in))
            .collect();
        let mut all = vec![];
        judging::panel(&judges, &*dataset, share(ranks, dataset.len(), *pictures), &mut |variant, image| {
            all.push(Observed { variant, stem: image.item.stem.clone(), values: image.observed });
            Ok(())
        })?;
        Ok(all)
    }
}

/// What the other ranks observed, in their order, which is that of the images.
fn gathered(ranks: &dyn Ranks) -> Outcome<Vec<Observed>> {
    let mut all = vec![];
    for (rank, bytes) in ranks.gather(&[]).into_iter().enumerate().skip(1) {
        let observed = serde_json::from_slice::<Result<Vec<Observed>, String>>(&bytes);
        let observed = observed.map_err(|error| Failure::Machine(format!("rank {rank}: {error}")))?;
        all.extend(observed.map_err(|why| Failure::Input(format!("rank {rank}: {why}")))?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranks::threads::Threads;

    #[test]
    fn every_image_is_judged_by_one_rank_and_the_first_pictures_by_rank_0() {
        for (size, images, pictures) in [(1, 5, 2), (2, 10, 3), (3, 10, 6), (3, 2, 5), (4, 0, 1), (5, 3, 0)] {
            let shares = Threads::run(size, |ranks| share(ranks, images, pictures));
            let all: Vec<usize> = shares.iter().flat_map(|share| share.clone()).collect();
            assert_eq!(all, (0..images).collect::<Vec<_>>(), "{shares:?}");
            assert!(shares[0].end >= pictures.min(images), "{shares:?}");
        }
    }
}
