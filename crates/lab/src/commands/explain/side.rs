//! One model's side of the page: its explanation in words and pictures.

use super::images;
use super::said::{composed, formula, pooled, refined, selection};
use simseg::explanation::{Found, Ledger, Pooling};
use simseg::{Explanation, Picture};
use simseg_segment::threshold::ranking;

/// Most classes that are drawn step by step, and most scores in a chart.
const MOST: [usize; 2] = [6, 30];

/// What the template shows.
pub struct Side {
    pub name: String,
    pub aligner: String,
    pub formula: &'static str,
    pub recipe: String,
    pub recipe_toml: String,
    pub small: bool,
    pub input: String,
    pub input_size: String,
    pub grid: String,
    pub patches: usize,
    pub channels: usize,
    pub pooled: String,
    pub ledgers: Vec<Entries>,
    pub whole: Option<String>,
    pub image_to_image: String,
    pub words: Vec<Sentence>,
    pub bars: Vec<Bar>,
    pub left_out: usize,
    pub zero: String,
    pub threshold_left: Option<String>,
    pub selection: String,
    pub found: Vec<Drawn>,
    pub refined: String,
    pub composed: String,
    pub labels: String,
    pub legend: Vec<Share>,
    pub truth: Option<String>,
}

/// A class's ledger.
pub struct Entries {
    pub name: String,
    pub score: String,
    pub sum: String,
    pub image: String,
    /// The patches that add most: place, entry.
    pub rows: Vec<[String; 2]>,
    pub concentrated: String,
}

/// How a class was read.
pub struct Sentence {
    pub name: String,
    pub prompt: String,
    pub tokens: Vec<[String; 2]>,
}

/// A score, from zero.
pub struct Bar {
    pub name: String,
    pub score: String,
    pub left: String,
    pub width: String,
    pub drawn: bool,
    pub entered: bool,
}

/// A class's map on its way to a mask: title and picture of each step.
pub struct Drawn {
    pub name: String,
    pub steps: Vec<[String; 2]>,
    pub note: String,
}

/// A class of the label map.
pub struct Share {
    pub name: String,
    pub hex: String,
    pub share: String,
}

impl Side {
    /// A model's explanation of the picture that it saw as `input`.
    pub fn new(name: String, recipe: String, input: &Picture, told: &Explanation) -> Self {
        let order = ranking(&told.scores);
        let (low, high) = extremes(told);
        let percent = |score: f32| 100.0 * (score - low) / (high - low).max(1e-9);
        let selected = |class: usize| told.selection.selected.contains(&class);
        let entered =
            |class: usize| told.selection.statistics.as_ref().is_some_and(|seen| seen.entered.contains(&class));
        let bar = |&class: &usize| {
            let score = told.scores[class];
            let (from, to) = (percent(score.min(0.0)), percent(score.max(0.0)));
            let [left, width] = [from, to - from].map(|share| format!("{share:.2}"));
            let name = told.classes[class].name.clone();
            Bar { name, score: format!("{score:.3}"), left, width, drawn: selected(class), entered: entered(class) }
        };
        let shown: Vec<usize> = order.iter().copied().filter(|&class| selected(class)).take(MOST[0]).collect();
        let shown = if shown.is_empty() { order.iter().copied().take(1).collect() } else { shown };
        let grid = told.grid.width;
        let (ledgers, whole) = match &told.ledger {
            Ledger::Split { entries, sums, .. } => {
                (shown.iter().map(|&class| ledger(told, class, &entries[class], sums[class])).collect(), None)
            }
            Ledger::Whole { why } => (vec![], Some(why.clone())),
        };
        Self {
            name,
            aligner: told.aligner.kind.clone(),
            formula: formula(&told.aligner.kind),
            recipe,
            recipe_toml: told.recipe.clone(),
            small: input.width < 400,
            input: images::picture(input),
            input_size: format!("{}×{}", input.width, input.height),
            grid: format!("{}×{}", told.grid.height, grid),
            patches: told.grid.area(),
            channels: told.channels,
            pooled: pooled(told),
            ledgers,
            whole,
            image_to_image: images::heat(&told.image_to_image, grid, range(&told.image_to_image)),
            words: shown.iter().map(|&class| sentence(told, class)).collect(),
            bars: order.iter().take(MOST[1]).map(bar).collect(),
            left_out: order.len().saturating_sub(MOST[1]),
            zero: format!("{:.2}", percent(0.0)),
            threshold_left: told.selection.threshold.map(|theta| format!("{:.2}", percent(theta))),
            selection: selection(told),
            found: told.found.iter().take(MOST[0]).map(|found| drawn(told, found)).collect(),
            refined: refined(told),
            composed: composed(told),
            labels: images::labels(&told.labels, told.picture.width, told.classes.len(), told.background),
            legend: legend(told),
            truth: told.truth.as_ref().map(|truth| {
                format!("mIoU of this label map: {:.3}, over the classes in it or in the truth.", truth.miou)
            }),
        }
    }
}

/// Lowest and highest of the scores, the threshold and zero.
fn extremes(told: &Explanation) -> (f32, f32) {
    let all = told.scores.iter().copied().chain(told.selection.threshold);
    all.fold((0.0, 0.0), |(low, high), score| (f32::min(low, score), f32::max(high, score)))
}

fn range(values: &[f32]) -> [f32; 2] {
    values.iter().fold([f32::MAX, f32::MIN], |[low, high], &x| [low.min(x), high.max(x)])
}

fn ledger(told: &Explanation, class: usize, entries: &[f32], sum: f32) -> Entries {
    let width = told.grid.width;
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by(|&a, &b| entries[b].abs().total_cmp(&entries[a].abs()));
    let most = order.first().map_or(1.0, |&p| entries[p].abs().max(1e-9));
    let tenth = (entries.len() / 10).max(1);
    let size = |patches: &[usize]| patches.iter().map(|&p| entries[p].abs()).sum::<f32>();
    let row = |&p: &usize| [format!("row {}, column {}", p / width + 1, p % width + 1), format!("{:+.4}", entries[p])];
    Entries {
        name: told.classes[class].name.clone(),
        score: format!("{:.5}", told.scores[class]),
        sum: format!("{sum:.5}"),
        image: images::signed(entries, width, most),
        rows: order.iter().take(8).map(row).collect(),
        concentrated: format!(
            "The {tenth} largest of {} entries are {:.0}% of all entries' sizes.",
            entries.len(),
            100.0 * size(&order[..tenth]) / size(&order).max(1e-9)
        ),
    }
}

/// The first sentence of a class, with how many channels each token was picked for.
fn sentence(told: &Explanation, class: usize) -> Sentence {
    let class = &told.classes[class];
    let picked = |token: usize| match &class.pooling {
        Pooling::PerChannel { picks } => {
            let count = picks.iter().filter(|picks| picks.iter().any(|pick| pick.token == token)).count();
            format!("{count} of {}", told.channels)
        }
        Pooling::Uniform { .. } => "all".into(),
        Pooling::Whole { .. } => if token == 0 { "stands for all" } else { "–" }.into(),
    };
    let more = match class.prompts.len() {
        0 | 1 => String::new(),
        many => format!(" (the first of {many} sentences, whose normalised mean is the class)"),
    };
    Sentence {
        name: class.name.clone(),
        prompt: format!("“{}”{more}", class.prompts.first().map_or("", String::as_str)),
        tokens: class.tokens.iter().enumerate().map(|(i, token)| [token.text.clone(), picked(i)]).collect(),
    }
}

fn drawn(told: &Explanation, found: &Found) -> Drawn {
    let width = told.input.width;
    let mut steps = vec![];
    let [low, high] = if found.raw.is_empty() { range(&found.map) } else { range(&found.raw) };
    let patches = &told.text_to_image[found.class];
    steps.push(["cosine of each patch".to_owned(), images::heat(patches, told.grid.width, range(patches))]);
    steps.push(["map, stretched".to_owned(), images::heat(&found.map, width, [0.0, 1.0])]);
    let last = found.q.len().saturating_sub(1);
    for (t, q) in found.q.iter().enumerate().filter(|&(t, _)| t == 1 || (t == last && t > 0)) {
        steps.push([format!("probability after round {t} of the CRF"), images::heat(q, width, [0.0, 1.0])]);
    }
    if found.crf != found.mask && !found.crf.is_empty() {
        steps.push(["after the CRF".to_owned(), images::mask(&found.crf, width)]);
    }
    let title = if found.crf.is_empty() { "mask" } else { "mask after the CRF" };
    let title = if steps.len() > 4 && found.crf != found.mask { "mask, closed" } else { title };
    steps.push([title.to_owned(), images::mask(&found.mask, width)]);
    let note = format!("score {:.3}; cosines from {low:.3} to {high:.3}", found.score);
    Drawn { name: told.classes[found.class].name.clone(), steps, note }
}

/// Classes of a label map with their colours and shares of the pixels.
fn legend(told: &Explanation) -> Vec<Share> {
    let row = |class: usize| {
        let pixels = told.labels.iter().filter(|&&label| usize::from(label) == class).count();
        let share = format!("{:.0}%", 100.0 * pixels as f64 / told.labels.len().max(1) as f64);
        let name = told.classes[class].name.clone();
        (pixels > 0).then(|| Share { name, hex: images::hex(class, told.background), share })
    };
    (0..told.classes.len()).filter_map(row).collect()
}
