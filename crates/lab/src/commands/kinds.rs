//! What can be chosen by name, for `--help`: read from the registry, so that it also lists what an extension added.

use simseg::{Choice, Registry};
use simseg_registry::Kinds;
use simseg_tensor::Tensor;
use std::fmt::Write;

/// The families with their members, and the figures that metrics declare.
pub fn help<T: Tensor>(registry: &Registry<T>) -> String {
    let mut text = String::from("What an experiment file can name:\n");
    family(&mut text, "[model] kind", &registry.model.networks);
    family(&mut text, "[model.image] kind", &registry.model.encoders.image);
    family(&mut text, "[model.text] kind", &registry.model.encoders.text);
    family(&mut text, "[aligner] kind", &registry.model.aligners);
    family(&mut text, "[loss] kind", &registry.model.losses);
    family(&mut text, "[training] data kind", &registry.data.pairs);
    family(&mut text, "[[training.augment]] kind", &registry.data.augmentations);
    family(&mut text, "[evaluation] data kind", &registry.data.datasets);
    family(&mut text, "[segmentation] kind", &registry.segment.segmenters);
    family(&mut text, "[segmentation.score] kind", &registry.segment.parts.scores);
    family(&mut text, "[segmentation.threshold] kind", &registry.segment.parts.thresholds);
    family(&mut text, "[segmentation.refine] kind", &registry.segment.parts.refiners);
    text.push_str(
        "\nMetrics ([evaluation] metrics = […]) and their figures, as `expect` and results.json name them:\n",
    );
    for kind in registry.segment.metrics.iter() {
        let _ = writeln!(text, "  {:<14} {}", kind.name, kind.about);
        let Ok(metric) = registry.segment.metrics.build(&Choice::new(kind.name)) else { continue };
        for figure in metric.figures() {
            let _ = writeln!(text, "    {:<20} {} ({})", figure.name, figure.about, figure.unit);
        }
    }
    text.push_str("\nProbes ([probes] what = […], every = so many steps) and their figures, likewise:\n");
    for probe in crate::probes::Probe::ALL {
        let _ = writeln!(text, "  {:<14} {}", probe.name(), probe.about());
        for figure in probe.figures() {
            let _ = writeln!(text, "    {:<20} {} ({})", figure.name, figure.about, figure.unit);
        }
    }
    text
}

fn family<M: ?Sized, X: ?Sized>(text: &mut String, title: &str, kinds: &Kinds<M, X>) {
    let _ = writeln!(text, "\n{title}:");
    for kind in kinds.iter() {
        let _ = writeln!(text, "  {:<22} {}", kind.name, kind.about);
    }
}
