//! What the page says in words, right for every aligner and recipe.

use simseg::Explanation;
use simseg::explanation::Pooling;

/// The pooling in MathML: `k` is how many, `n` all patches.
pub(super) fn formula(aligner: &str) -> &'static str {
    match aligner {
        "loda" => {
            "<math display=\"block\"><msub><mi>z</mi><mi>c</mi></msub><mo>=</mo><mfrac><mn>1</mn><mi>k</mi></mfrac><munder><mo>∑</mo><mrow><mi>p</mi><mo>∈</mo>\
             <mtext>top-k</mtext><mo>(</mo><mi>c</mi><mo>)</mo></mrow></munder><msub><mi>f</mi><mrow><mi>p</mi><mi>c</mi></mrow></msub></math>"
        }
        "dense" => {
            "<math display=\"block\"><msub><mi>z</mi><mi>c</mi></msub><mo>=</mo><mfrac><mn>1</mn><mi>n</mi></mfrac><munder><mo>∑</mo><mi>p</mi></munder>\
             <msub><mi>f</mi><mrow><mi>p</mi><mi>c</mi></mrow></msub></math>"
        }
        "holistic" => {
            "<math display=\"block\"><msub><mi>z</mi><mi>c</mi></msub><mo>=</mo><msub><mi>f</mi><mrow><mtext>[CLS]</mtext><mo>,</mo><mi>c</mi></mrow></msub></math>"
        }
        _ => "",
    }
}

/// Which patches the image's vector is pooled from, in words.
pub(super) fn pooled(told: &Explanation) -> String {
    let (n, d) = (told.grid.area(), told.channels);
    match &told.pooling {
        Pooling::Uniform { .. } => {
            format!("Every one of the {n} patches counts alike in every one of the {d} channels.")
        }
        Pooling::Whole { why } => why.clone(),
        Pooling::PerChannel { picks } => {
            let each = picks.iter().map(Vec::len).sum::<usize>() as f64 / picks.len().max(1) as f64;
            let mut seen = vec![0usize; n];
            picks.iter().flatten().for_each(|pick| seen[pick.token] += 1);
            let none = seen.iter().filter(|&&count| count == 0).count();
            format!(
                "Each of the {d} channels is pooled from its {each:.0} strongest responses among {n} patches; {none} patches take part in \
                 no channel. How often a patch takes part says little; what it adds to a score is below."
            )
        }
    }
}

/// Which classes are drawn and why, in words.
pub(super) fn selection(told: &Explanation) -> String {
    let selection = &told.selection;
    let background = if told.background { " The background is never drawn, whatever it scores." } else { "" };
    let cap = match selection.cap {
        0 => String::new(),
        cap => format!(" Only the first {cap} places of the ranking are looked at."),
    };
    let rule = match (selection.threshold, &selection.statistics) {
        (Some(theta), Some(seen)) => format!(
            "θ = μ + kσ = {:.3} + {}·{:.3} = {theta:.3}, from the {} scores that are outlined. Classes that reach θ (dashed) are drawn (green).",
            seen.mean,
            seen.k,
            seen.deviation,
            seen.entered.len()
        ),
        (Some(theta), None) => {
            format!("The rule `{}` draws classes that reach {theta:.3} (dashed; green).", selection.rule.kind)
        }
        (None, _) => format!("The rule `{}` has no single threshold; what it draws is green.", selection.rule.kind),
    };
    format!("{rule}{cap}{background} Bars start at zero.")
}

/// How a map becomes a mask, in words.
pub(super) fn refined(told: &Explanation) -> String {
    match told.refiner.kind.as_str() {
        "cut" => "cut: every pixel above a level".into(),
        "crf" => "dense CRF: pixels of similar place and colour agree".into(),
        "pamr" => "PAMR: averaged along colours, then cut".into(),
        "" => "no refiner: every pixel takes its best class".into(),
        other => other.into(),
    }
}

/// Who gets a pixel, in words.
pub(super) fn composed(told: &Explanation) -> String {
    let rule = match told.compose.as_str() {
        "covering" => "Where masks overlap, the class with the higher score for the whole image covers the other.",
        "per-pixel" => "Where masks overlap, the class with the higher map value at the pixel wins.",
        _ => "Every pixel takes the class that is likeliest there.",
    };
    let several =
        (0..told.composed.len()).filter(|&p| told.found.iter().filter(|found| found.mask[p] != 0).count() > 1);
    let share = 100.0 * several.count() as f64 / told.composed.len().max(1) as f64;
    let unclaimed = if told.background { "background" } else { "without a label" };
    format!(
        "{rule} {share:.1}% of the pixels are claimed by several; those that no class claims are {unclaimed}, unless the recipe says otherwise."
    )
}
