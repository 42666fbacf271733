//! An explanation is the segmentation itself, taken apart: every part adds up to what the model said.

use simseg::explanation::{Ledger, Pooling};
use simseg::{Choice, Explanation, Image, Loaded, Model, Picture, Recipe, Registry, Words};
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_data::scenes::Scene;
use simseg_data::{SceneConfig, World};
use simseg_segment::compose::Why;
use std::path::Path;
use std::sync::Arc;

type Cpu = CpuTensor<f32>;

/// The tiny model's weights, pooled by any aligner, used by any recipe.
fn model(aligner: Choice, recipe: Recipe) -> Model {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny"));
    let registry = Arc::new(Registry::<Cpu>::built_in());
    let mut loaded = Loaded::read(folder, &registry, &CpuDevice).unwrap();
    loaded.description.aligner = aligner;
    Model::assemble(loaded, Some(recipe), registry, &CpuDevice).unwrap()
}

fn loda() -> Choice {
    Choice::new("loda").with("image_k", 3).with("text_k", 1)
}

fn scene(index: u64) -> Scene {
    World::new(SceneConfig { bias: 0.0, ..SceneConfig::default() }, 5).unwrap().scene(index)
}

fn told(model: &Model, scene: &Scene) -> (Explanation, Words<Cpu>) {
    let words = model.words(World::classes()).unwrap();
    let truth: Vec<u16> = scene.labels.iter().map(|&label| label.into()).collect();
    (model.explain(&scene.picture(), &words, Some(&truth)).unwrap(), words)
}

fn close(a: f32, b: f32) -> bool {
    (a - b).abs() < 1e-5
}

#[test]
fn patches_add_up_to_every_score_for_loda_and_dense() {
    for (aligner, picked) in [(loda(), 3), (Choice::new("dense"), 64)] {
        for index in 0..4 {
            let (told, _) = told(&model(aligner.clone(), Recipe::plain()), &scene(index));
            let Ledger::Split { entries, sums, .. } = &told.ledger else { panic!("{:?}", told.ledger) };
            for (class, score) in told.scores.iter().enumerate() {
                assert!(close(sums[class], *score), "{} {class}: {} for {score}", aligner.kind, sums[class]);
                let patch = (0..64).max_by(|&a, &b| entries[class][a].total_cmp(&entries[class][b])).unwrap();
                let terms = told.terms(patch, class, None);
                assert!(close(terms.iter().map(|term| term.adds).sum(), entries[class][patch]));
                assert!(terms.iter().all(|term| term.rank <= picked), "a rank beyond k was pooled");
                let all = told.contributions(class).unwrap(); // [n·d]
                for term in &terms {
                    assert!(close(all[patch * told.channels + term.channel], term.adds), "{term:?}");
                }
                assert!(close(all.iter().sum(), *score) && all.len() == 64 * told.channels, "{}", aligner.kind);
            }
            let mean = told.mean_class();
            let versus: f32 = (0..64).flat_map(|patch| told.terms(patch, 1, Some(&mean))).map(|term| term.adds).sum();
            let means = told.scores.iter().sum::<f32>() / told.scores.len() as f32;
            assert!((versus - (told.scores[1] - means)).abs() < 1e-4, "{versus}");
        }
    }
}

#[test]
fn holistic_alignment_says_that_its_score_cannot_be_split() {
    let (told, _) = told(&model(Choice::new("holistic"), Recipe::plain()), &scene(0));
    let Ledger::Whole { why } = &told.ledger else { panic!() };
    assert!(why.contains("[CLS]"), "{why}");
    assert!(told.terms(0, 1, None).is_empty() && told.contributions(1).is_none());
    // Nor does a rule that compares something else than two pools have a ledger.
    let mut recipe = Recipe::plain();
    recipe.segmenter = recipe.segmenter.with("score", Choice::new("best-patch"));
    let (told, _) = self::told(&model(loda(), recipe), &scene(0));
    assert!(matches!(&told.ledger, Ledger::Whole { why } if why.contains("score rule")));
}

#[test]
fn picked_words_pool_to_the_embedding_of_their_class() {
    let (told, _) = told(&model(loda(), Recipe::plain()), &scene(1));
    let d = told.channels;
    for class in &told.classes {
        let Pooling::PerChannel { picks } = &class.pooling else { panic!() };
        assert_eq!(class.tokens.len() * d, class.features.len());
        let pool: Vec<f32> =
            (0..d).map(|c| picks[c].iter().map(|pick| pick.share * class.features[pick.token * d + c]).sum()).collect();
        let norm = pool.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!(pool.iter().zip(&class.embedding).all(|(x, u)| close(x / norm, *u)), "{}", class.name);
        assert_eq!(class.prompts, [format!("a picture of a {}.", class.name)]);
    }
    let fish: Vec<&str> = told.classes[World::classes().iter().position(|name| *name == "fish").unwrap()]
        .tokens
        .iter()
        .map(|token| token.text.as_str())
        .collect();
    assert_eq!(fish, ["[CLS]", "a", "picture", "of", "a", "fish", ".", "[SEP]"]);
}

#[test]
fn threshold_maps_and_crf_follow_each_other() {
    let recipe = Recipe::official_code();
    let recipe = Recipe { input: Recipe::plain().input, ..recipe };
    let (mut selected, mut moved) = (0, 0);
    for index in 0..4 {
        let (told, _) = told(&model(loda(), recipe.clone()), &scene(index));
        let (looked, theta) = (told.selection.statistics.unwrap(), told.selection.threshold.unwrap());
        assert!(close((looked.mean + looked.k * looked.deviation) as f32, theta));
        assert_eq!(looked.entered.len(), 10);
        assert!(looked.entered.windows(2).all(|pair| told.scores[pair[0]] >= told.scores[pair[1]]));
        for found in &told.found {
            assert!(told.scores[found.class] >= theta && found.score == told.scores[found.class]);
            let (low, high) = found.raw.iter().fold((f32::MAX, f32::MIN), |(l, h), &x| (l.min(x), h.max(x)));
            let stretched = |x: f32| (x - low) / (high - low);
            assert!(found.raw.iter().zip(&found.map).all(|(x, m)| close(stretched(*x), *m)));
            assert_eq!(found.q.len(), 4, "before any message, and after three rounds");
            assert!(found.q[0].iter().zip(&found.map).all(|(q, m)| close(*q, *m)));
            let last = found.q.last().unwrap();
            assert!(last.iter().zip(&found.crf).all(|(q, bit)| (*q > 0.5) == (*bit == 1)));
            moved += usize::from(found.crf != found.mask);
            selected += 1;
        }
    }
    assert!(selected > 0 && moved > 0, "{selected} selected, {moved} changed by closing");
}

#[test]
fn every_pixel_says_who_claimed_it_and_why_it_has_its_label() {
    let mut reasons = std::collections::BTreeSet::new();
    for index in 0..12 {
        let mut recipe = Recipe::plain();
        // A low threshold selects several classes, and a low cut lets their masks overlap.
        let low = serde_json::json!({"kind": "best", "count": 3});
        recipe.segmenter = recipe.segmenter.with("threshold", low);
        if index % 2 == 1 {
            recipe.segmenter = recipe.segmenter.with("compose", "per-pixel");
        }
        let (told, _) = told(&model(loda(), recipe), &scene(index));
        for p in 0..64 * 64 {
            let pixel = told.pixel(p % 64, p / 64).unwrap();
            let label = told.composed[p];
            match told.why[p] {
                Why::Unclaimed => assert!(pixel.claims.is_empty() && label == 0),
                Why::OnlyClaim => assert_eq!(pixel.claims, [usize::from(label)]),
                Why::HigherScore | Why::HigherMap => {
                    let value = |class: &usize| {
                        let found = told.found.iter().find(|found| found.class == *class).unwrap();
                        if told.why[p] == Why::HigherScore { found.score } else { found.map[p] }
                    };
                    let best = pixel.claims.iter().max_by(|a, b| value(a).total_cmp(&value(b))).unwrap();
                    assert!(pixel.claims.len() > 1 && *best == usize::from(label), "{}", pixel.sentence);
                }
                other => panic!("{other:?}"),
            }
            assert!(pixel.sentence.contains(&told.classes[usize::from(label)].name), "{}", pixel.sentence);
            reasons.insert(format!("{:?}", told.why[p]));
        }
        assert_eq!(told.labels, told.composed, "the input has the picture's size");
        assert!(told.pixel(64, 0).is_none());
    }
    assert_eq!(reasons.len(), 4, "{reasons:?}");
}

#[test]
fn an_explanation_reads_back_as_it_was_written_and_other_formats_are_refused() {
    let (told, _) = told(&model(loda(), Recipe::plain()), &scene(2));
    let json = told.to_json().unwrap();
    // Numbers of 64 bits may come back one bit off; those of 32 do not.
    let mut read = Explanation::parse(&json).unwrap();
    assert_eq!(read.truth.as_ref().unwrap().labels, told.truth.as_ref().unwrap().labels);
    (read.truth, read.selection.statistics) = (told.truth.clone(), told.selection.statistics.clone());
    assert_eq!(read, told);
    let other = json.replacen("\"format\":1", "\"format\":2", 1);
    assert!(Explanation::parse(&other).unwrap_err().to_string().contains("expected 1"));
    assert!(Explanation::parse("{}").is_err());
    let truth = told.truth.unwrap();
    assert!(truth.miou > 0.0 && truth.iou.len() == told.classes.len());
}

#[test]
fn a_picture_in_windows_and_one_of_another_shape_are_explained_too() {
    let mut recipe = Recipe::plain();
    recipe.input.size = 128;
    let model = model(loda(), recipe);
    let words = model.words(["fish", "car"]).unwrap();
    let picture = Picture { width: 90, height: 50, rgb: (0..90 * 50 * 3).map(|i| (i % 251) as u8).collect() };
    let told = model.explain(&picture, &words, None).unwrap();
    assert_eq!((told.input.width, told.labels.len(), told.composed.len()), (128, 90 * 50, 128 * 128));
    assert_eq!(told.patch_at(127, 127), 255);
    assert!(model.explain(&picture, &words, Some(&[0; 3])).unwrap_err().to_string().contains("truth"));
}

#[test]
fn a_picture_whose_bytes_are_somebody_elses_is_segmented_and_explained_alike() {
    let (model, scene) = (model(loda(), Recipe::plain()), scene(2));
    let (picture, words) = (scene.picture(), model.words(World::classes()).unwrap());
    let seen = Image::from_rgb(scene.size, scene.size, &scene.rgb[..]).unwrap();
    assert_eq!(model.input_size(&seen), model.input_size(&picture));
    assert_eq!(model.segment(&seen, &words).unwrap(), model.segment(&picture, &words).unwrap());
    assert_eq!(model.explain(&seen, &words, None).unwrap(), model.explain(&picture, &words, None).unwrap());
    assert_eq!(model.segment_all([seen].iter(), &words, &mut simseg::Unwatched).unwrap().len(), 1);
    let short = Image::from_rgb(scene.size, scene.size, &scene.rgb[1..]).unwrap_err().to_string();
    assert!(short.contains("12287 bytes for 64×64"), "{short}");
}
