//! What the refinement of masks is worth: the mIoU with the true classes given, of masks as they are before the refinement.
//!
//! It splits what is lost to masks in two: the resolution ceiling minus this is lost to where the features respond, this minus the
//! mIoU of refined masks to the refinement (less than 0 where it helps).

use super::{Case, Figure, Metric, Resampled, Scope, Unit, iou};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use simseg_registry::Kinds;
use simseg_tensor::{NoTap, Result, Tensor};

/// The metric.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unrefined {}

const FIGURES: [Figure; 1] = [Figure {
    name: "miou_unrefined",
    heading: "mIoU, true classes, unrefined",
    unit: Unit::Share,
    about: "mIoU if the classes of every image were known, of masks before their refinement",
}];

impl<T: Tensor> Metric<T> for Unrefined {
    fn figures(&self) -> &'static [Figure] {
        &FIGURES
    }

    fn scope(&self) -> Scope {
        Scope::Given
    }

    fn observe(&self, case: &Case<'_, T>) -> Result<Value> {
        let given = match case.segmenter.segment_unrefined(case.view, case.objects)? {
            Some(given) => given,
            None => case.segmenter.segment_given(case.view, case.objects, &mut NoTap)?,
        };
        iou::counts(case.truth, &given.labels, case.classes)
    }

    fn finish(&self, observations: &[Value]) -> Result<Vec<Option<f64>>> {
        iou::mean_alone(observations)
    }

    fn prepare<'a>(&'a self, observations: &'a [Value]) -> Result<Resampled<'a>> {
        iou::mean_resampled(observations)
    }
}

/// Adds it to its family.
pub fn register<T: Tensor>(kinds: &mut Kinds<dyn Metric<T>>) {
    kinds.add("unrefined", "the same of masks before their refinement", |metric: Unrefined| Ok(Box::new(metric)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::Size;
    use crate::metrics::TrueClasses;
    use crate::refine::{Crf, Cut};
    use crate::segmenter::SimSegConfig;
    use crate::{ClassBank, ImageFeatures, SegmentRegistry, Segmentation, View};
    use simseg_cpu::{CpuDevice, CpuTensor};
    use simseg_model::pool::Dense;
    use simseg_registry::Choice;
    use simseg_tensor::random;

    type Cpu = CpuTensor<f32>;

    /// Observations of both metrics on one image of three classes.
    fn observed(segmenter: &Choice) -> [Value; 2] {
        let mut rng = random::stream(0, "unrefined", 0);
        let mut tensor = |shape: &[usize]| {
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| random::normal(&mut rng) as f32).collect();
            Cpu::from_host(&values, shape, &CpuDevice).unwrap()
        };
        let (grid, size) = (Size { height: 4, width: 4 }, Size { height: 16, width: 16 });
        let image = ImageFeatures {
            patches: tensor(&[16, 5]),
            grid,
            embedding: tensor(&[1, 5]),
            input: size,
            rgb: (0..3 * size.area()).map(|i| if i / 3 % 16 < 7 { 20 } else { 230 }).collect(),
            output: size,
            tokens: None,
            attention: None,
            windows: vec![],
        };
        let embeddings = tensor(&[3, 5]);
        let bank = ClassBank { classes: 3, background: true, embeddings, class_of: vec![0, 1, 2], prompts: None };
        let segmenter = SegmentRegistry::<Cpu>::built_in().segmenter(segmenter).unwrap();
        let truth: Vec<u16> = (0..size.area()).map(|p| if p % 16 < 7 { 1 } else { 2 }).collect();
        let nothing = vec![0; truth.len()];
        let prediction = Segmentation { scores: vec![], threshold: f32::NAN, masks: vec![], labels: nothing, size };
        let case = Case {
            truth: &truth,
            size,
            present: &[1, 2],
            objects: &[1, 2],
            prediction: &prediction,
            view: View { image: &image, bank: &bank, aligner: &Dense {}, memo: None },
            segmenter: &*segmenter,
            classes: 3,
        };
        let of = |metric: &dyn Metric<Cpu>| metric.observe(&case).unwrap();
        [of(&Unrefined {}), of(&TrueClasses {})]
    }

    #[test]
    fn masks_before_a_crf_are_those_of_a_cut_where_class_and_rest_are_equally_likely() {
        let with = |refine: Choice| observed(&SimSegConfig { refine, ..SimSegConfig::plain() }.choice());
        let [unrefined, refined] = with(Choice::of("crf", &Crf::default()));
        let [cut, given] = with(Choice::of("cut", &Cut { level: 0.5 }));
        assert_ne!(unrefined, refined, "the CRF changes this image");
        assert_eq!(unrefined, given);
        assert_eq!(cut, given, "a cut is no refinement");
        let [higher, given] = with(Choice::of("cut", &Cut { level: 0.7 }));
        assert_eq!(higher, given, "wherever it cuts");
        assert_ne!(higher, cut);
    }

    #[test]
    fn a_segmenter_without_refinement_loses_nothing_to_it() {
        let [unrefined, given] = observed(&Choice::new("per-pixel"));
        assert_eq!(unrefined, given);
    }
}
