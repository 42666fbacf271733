//! `probes.html`: the figures, and for some pictures the maps `s^{I2I}` and `s^{T2I}` with the scores of their captions.

use super::Options;
use crate::failure::{Failure, Outcome};
use crate::probes::word_swap::{self, Swapped, named};
use crate::probes::{Answer, Probe, Seen};
use crate::results::samples::heat;
use askama::Template;
use base64::Engine;
use simseg::{Labels, Picture};
use simseg_segment::map::{Upsample, min_max, resize};
use simseg_segment::prompts::fill;
use simseg_tensor::{Ops, Tensor};

#[derive(Template)]
#[template(path = "probes.html")]
struct Page {
    model: String,
    data: String,
    tables: Vec<Table>,
    pictures: Vec<Shown>,
}

/// The figures of a probe.
struct Table {
    name: &'static str,
    of: String,
    rows: Vec<(&'static str, String, &'static str)>,
}

/// A picture with its maps.
struct Shown {
    caption: String,
    /// Scores of its caption: right, object swapped, context swapped; with examples.
    scores: Vec<(String, String, String)>,
    cards: Vec<Card>,
}

struct Card {
    uri: String,
    text: String,
}

/// The page.
///
/// # Errors
/// If a map cannot be computed.
pub fn render<T: Tensor>(
    options: &Options,
    seen: &Seen<'_, T>,
    asked: &[Probe],
    answers: &[Answer],
    data: &str,
) -> Outcome<String> {
    let table = |answer: &Answer| {
        let row = |figure: &simseg_segment::Figure| {
            let value = answer.figures.get(figure.name).map_or("–".to_owned(), |value| format!("{value:.3}"));
            (figure.heading, value, figure.about)
        };
        Table {
            name: answer.probe.name(),
            of: format!("{} {}", answer.images, if answer.probe == Probe::WordSwap { "captions" } else { "images" }),
            rows: answer.probe.figures().iter().map(row).collect(),
        }
    };
    let swaps = match asked.contains(&Probe::WordSwap) {
        true => word_swap::swaps(seen.examples, seen.model.tokenizer(), options.swaps, options.seed)?,
        false => vec![],
    };
    let mut pictures = vec![];
    for image in 0..seen.examples.images.len().min(options.pictures) {
        let own = swaps.iter().find(|swaps| swaps.image == image);
        let scored = own.map(|own| word_swap::scored(seen, std::slice::from_ref(own))).transpose()?;
        let scores = own.zip(scored).map(|(own, scored)| scores(own, scored[0])).unwrap_or_default();
        pictures.push(shown(seen, image, scores)?);
    }
    let model = options.model.display().to_string();
    let page = Page { model, data: data.to_owned(), tables: answers.iter().map(table).collect(), pictures };
    page.render().map_err(|error| Failure::input("probes.html", error))
}

/// What a caption scores: the kind of caption, an example of it, the mean score.
fn scores(own: &word_swap::Swaps, scored: Swapped) -> Vec<(String, String, String)> {
    let number = |value: f64| format!("{value:.3}");
    let mut lines = vec![("right caption".to_owned(), own.right.clone(), number(scored.right))];
    let others = [("object swapped", &own.objects, scored.object), ("context swapped", &own.contexts, scored.context)];
    for (kind, sentences, score) in others {
        if let (Some(first), Some(score)) = (sentences.first(), score) {
            let kind = format!("{kind} ({} words)", sentences.len());
            lines.push((kind, format!("such as “{first}”"), number(score)));
        }
    }
    lines
}

/// A picture with its truth and its maps: of the pooled image, of its caption, and of each object that it shows or names.
fn shown<T: Tensor>(seen: &Seen<'_, T>, image: usize, scores: Vec<(String, String, String)>) -> Outcome<Shown> {
    let (example, features, model) = (&seen.examples.images[image], &seen.features[image], seen.model);
    let caption = seen.examples.captions.iter().find(|caption| caption.image == image);
    let mut cards = vec![Card { uri: uri(&example.picture), text: "the picture".into() }];
    if let Some(labels) = &example.labels {
        cards.push(Card { uri: uri(&coloured(labels)), text: "its labels".into() });
    }
    let mut add = |embedding: &T, text: String| -> Outcome {
        let mut map = features.patch_scores(embedding)?.to_f32()?; // [1, n]
        min_max(&mut map);
        let (width, height) = (example.picture.width, example.picture.height);
        let map = resize(&map, features.grid, simseg_segment::map::Size { height, width }, Upsample::Bilinear)?;
        cards.push(Card { uri: uri(&heat(&map, width)), text });
        Ok(())
    };
    add(&features.embedding, "s(I2I): the pooled image".into())?;
    let mut words: Vec<String> = example.present.clone();
    if let Some(caption) = caption {
        add(&model.embed(std::slice::from_ref(&caption.text))?, "s(T2I): its caption".into())?;
        let own = &seen.examples.words.objects;
        let found = named(&caption.text, own).into_iter().map(|(word, _)| own[word].clone());
        words.extend(found.filter(|word| !example.present.contains(word)));
    }
    let templates = model.recipe().prompts.templates.lines()?;
    for word in words {
        let embedding = model.embed(&fill(&templates, &word))?.mean(0)?.l2_normalize()?; // [1, d]
        add(&embedding, format!("s(T2I): {word}"))?;
    }
    let caption = caption.map_or_else(|| example.name.clone(), |caption| caption.text.clone());
    Ok(Shown { caption, scores, cards })
}

/// A label map in the colours of its classes.
fn coloured(labels: &Labels) -> Picture {
    let rgb = labels.values.iter().flat_map(|&label| labels.format.colour(label)).collect();
    Picture { width: labels.width, height: labels.height, rgb }
}

fn uri(picture: &Picture) -> String {
    format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(picture.png()))
}
