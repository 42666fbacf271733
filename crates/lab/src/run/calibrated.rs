//! Rules that variants are judged by, where these are learned from captions first.

use super::models::Ready;
use super::unit::Work;
use crate::calibration::{self, Cases};
use crate::experiment::Variant;
use crate::failure::{Failure, Outcome};
use simseg::{Choice, Model, Words};
use simseg_segment::threshold::FromCaptions;
use simseg_tensor::Differentiable;

impl<D: Differentiable> Work<'_, D> {
    /// The models of a group as they are judged on a data set. Variants that want thresholds from the same number of captions share
    /// them: all of a group have one training, and score classes alike.
    pub(super) fn calibrated(
        &self,
        seed: u64,
        group: &[Ready<D::Plain>],
        words: &Words<D::Plain>,
        prefix: &str,
    ) -> Outcome<Vec<Model<D::Plain>>> {
        let mut learned: Vec<(FromCaptions, Choice)> = vec![];
        let one = |(index, model): &Ready<D::Plain>| {
            let (variant, place) = (&self.variants[*index], self.place(*index, seed));
            // Rows beside the variants are given their classes.
            let Some(wanted) = calibration::wanted(model.recipe()).filter(|_| variant.built_in.is_none()) else {
                calibration::keep(&place, prefix, None)?;
                return Ok(model.clone());
            };
            let rule = match learned.iter().find(|(other, _)| *other == wanted) {
                Some((_, rule)) => rule.clone(),
                None => {
                    let rule = self.learned(variant, seed, model, words)?;
                    learned.push((wanted, rule.clone()));
                    rule
                }
            };
            let recipe = model.recipe().clone().with_threshold(&rule);
            calibration::keep(&place, prefix, Some(&recipe))?;
            Ok(model.with_recipe(recipe)?)
        };
        group.iter().map(one).collect()
    }

    /// Thresholds from the captions that a variant's training data hold out.
    fn learned(
        &self,
        Variant { name, settings, .. }: &Variant,
        seed: u64,
        model: &Model<D::Plain>,
        words: &Words<D::Plain>,
    ) -> Outcome<Choice> {
        self.sweep.at(format!("{name} seed {seed}: thresholds from captions"));
        let held_out = calibration::held_out(settings, seed, &self.registries.judging.data)?;
        let held_out = held_out.ok_or_else(|| Failure::input("segmentation.threshold", "no captions"))?;
        let pictures = calibration::some_mentioned(&*held_out, &words.list, usize::MAX)?;
        let cases = Cases::captioned((model, words), &*held_out, &pictures, &mut |_| {})?;
        let never = words.bank.foreground().filter(|&class| cases.with(class) == 0);
        let never: Vec<String> = never.map(|class| words.list.name(class).to_owned()).collect();
        if !never.is_empty() {
            let listed = crate::failure::listed(&never);
            crate::output::note!("{name} seed {seed}: never drawn, as no held-out caption mentions them: {listed}");
        }
        Ok(Choice::of("calibrated", &cases.rule()?))
    }
}
