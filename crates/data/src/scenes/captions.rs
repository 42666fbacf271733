//! Captions, with the noise of real ones: the context is nearly always named, objects often are not, and some words mean
//! nothing.

use super::{Placed, SceneConfig, contexts, objects, pick};
use simseg_tensor::random::{self, ChaCha8Rng};

/// Words that say nothing about the picture.
const DISTRACTORS: [&str; 10] =
    ["nice", "today", "morning", "beautiful", "holiday", "quiet", "favourite", "lovely", "again", "view"];

const WITH_CONTEXT: [&str; 5] = [
    "a {o} in the {c}",
    "a picture of a {o} and the {c}",
    "the {c} with a {o}",
    "a {o} near the {c}",
    "photo of a {o} at the {c}",
];
const WITHOUT_CONTEXT: [&str; 3] = ["a picture of a {o}", "a {o}", "photo of a {o}"];
const CONTEXT_ONLY: [&str; 4] = ["a picture of the {c}", "the {c}", "photo of the {c}", "at the {c}"];

/// Writes the caption of a scene.
pub(crate) fn write(config: &SceneConfig, placed: &[Placed], context: usize, rng: &mut ChaCha8Rng) -> String {
    let mut chance = |share: f64| random::uniform(rng) < share;
    let context_only = chance(config.context_only);
    let no_context = chance(config.no_context);
    let named: Vec<&str> = placed
        .iter()
        .filter(|_| !chance(config.left_out))
        .map(|object| objects::NAMES[usize::from(object.class) - 1])
        .collect();
    let templates: &[&str] = match (context_only || named.is_empty(), no_context) {
        (true, _) => &CONTEXT_ONLY,
        (false, true) => &WITHOUT_CONTEXT,
        (false, false) => &WITH_CONTEXT,
    };
    let template = templates[pick(rng, templates.len())];
    let sentence = template.replace("{o}", &named.join(" and a ")).replace("{c}", contexts::NAMES[context]);
    let mut words = vec![];
    let mut distract = |words: &mut Vec<String>| {
        if random::uniform(rng) < config.distractors {
            words.push(DISTRACTORS[pick(rng, DISTRACTORS.len())].to_owned());
        }
    };
    distract(&mut words);
    words.push(sentence);
    distract(&mut words);
    // The full stop is a token too: a prompt that ends in one must not meet an embedding that was never trained.
    words.join(" ") + "."
}

/// Every word that a caption, or the prompt `a picture of a {}.`, can hold; each once.
pub(crate) fn words() -> Vec<&'static str> {
    let templates = WITH_CONTEXT.iter().chain(&WITHOUT_CONTEXT).chain(&CONTEXT_ONLY);
    let mut words: Vec<&str> =
        templates.flat_map(|template| template.split(' ')).filter(|w| !w.starts_with('{')).collect();
    words.extend(DISTRACTORS.iter().chain(&objects::NAMES).chain(&contexts::NAMES));
    words.extend([".", "background"]);
    let mut seen = std::collections::HashSet::new();
    words.retain(|word| seen.insert(*word));
    words
}

#[cfg(test)]
mod tests {
    use crate::scenes::{SceneConfig, World, contexts, objects};

    #[test]
    fn most_captions_name_the_context_and_only_true_objects() {
        let scenes = World::new(SceneConfig::default(), 3).unwrap().scenes(0..800);
        let (mut contexts_named, mut objects_named, mut there) = (0usize, 0usize, 0usize);
        for scene in &scenes {
            let words: Vec<&str> = scene.caption.trim_end_matches('.').split(' ').collect();
            contexts_named += usize::from(words.contains(&contexts::NAMES[scene.context]));
            let classes: Vec<&str> =
                scene.objects.iter().map(|object| objects::NAMES[usize::from(object.class) - 1]).collect();
            there += classes.len();
            let named: Vec<&&str> = words.iter().filter(|word| objects::NAMES.contains(word)).collect();
            assert!(named.iter().all(|word| classes.contains(word)), "{}", scene.caption);
            objects_named += named.len();
            assert!(words.iter().all(|word| World::words().contains(word)), "{}", scene.caption);
        }
        let share = contexts_named as f64 / scenes.len() as f64;
        assert!(share > 0.9 && share < 1.0, "{share}");
        let share = objects_named as f64 / there as f64;
        assert!((share - 0.9 * 0.85).abs() < 0.06, "{share}");
    }

    #[test]
    fn noise_can_be_switched_off() {
        let quiet = SceneConfig { context_only: 0.0, left_out: 0.0, distractors: 0.0, ..SceneConfig::default() };
        for scene in World::new(quiet, 3).unwrap().scenes(0..50) {
            for object in &scene.objects {
                assert!(scene.caption.contains(objects::NAMES[usize::from(object.class) - 1]), "{}", scene.caption);
            }
        }
    }
}
