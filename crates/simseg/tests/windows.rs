//! A picture in sliding windows: what comes of them is held against the same windows taken one by one, as pictures of their own.

use proptest::prelude::*;
use simseg::data::transform::{self, Filter};
use simseg::recipe::Fit;
use simseg::windows::Windows;
use simseg::{Choice, Loaded, Model, ModelDescription, Picture, Recipe, Registry, Words};
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_model::Aligner;
use simseg_segment::score::{ClassScore, Pooled};
use simseg_segment::{ImageFeatures, Needs, View};
use simseg_tensor::{NoTap, Ops, Tap, Tensor};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

type Cpu = CpuTensor<f32>;

const PATCH: usize = 8;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny")
}

static MODEL: LazyLock<Model> = LazyLock::new(|| Model::open(folder()).unwrap());
static WORDS: LazyLock<Words<Cpu>> = LazyLock::new(|| MODEL.words(["balloon | fish", "car", "sheep"]).unwrap());

/// Something like a picture: stripes and noise of a seed.
fn picture(width: usize, height: usize, seed: u64) -> Picture {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut value = |i: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 57) as usize + i * (seed as usize % 7 + 1) / 5) as u8
    };
    Picture { width, height, rgb: (0..width * height * 3).map(&mut value).collect() }
}

fn recipe(size: usize, fit: Fit, windows: Option<Windows>) -> Recipe {
    let mut recipe = Recipe::plain();
    recipe.input.size = size;
    recipe.input.fit = fit;
    recipe.input.windows = windows;
    recipe
}

fn model(size: usize, fit: Fit, windows: Option<Windows>) -> Model {
    MODEL.with_recipe(recipe(size, fit, windows)).unwrap()
}

fn features(model: &Model, picture: &Picture) -> ImageFeatures<Cpu> {
    model.features(std::slice::from_ref(picture), &mut NoTap).unwrap().remove(0)
}

fn values(tensor: &Cpu) -> Vec<f32> {
    tensor.to_f32().unwrap()
}

fn bits(tensor: &Cpu) -> Vec<u32> {
    values(tensor).into_iter().map(f32::to_bits).collect()
}

fn unit(vector: &[f32]) -> Vec<f64> {
    let norm = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    vector.iter().map(|x| f64::from(*x) / norm).collect()
}

fn close(got: &[f32], wanted: &[f64], what: &str) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (i, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        assert!((f64::from(*got) - wanted).abs() < 2e-5, "{what}, {i}: {got}, expected {wanted}");
    }
}

/// A window as a picture of its own, with the features that the model without windows has of it.
struct Alone {
    top: usize,
    left: usize,
    width: usize,
    height: usize,
    features: ImageFeatures<Cpu>,
}

/// Every window of a resized picture, by a loop that knows nothing of the library's: on, by one stride, until the border is reached.
fn alone(resized: &Picture, windows: Windows, model_of: impl Fn(usize) -> Model) -> Vec<Alone> {
    let starts = |length: usize| {
        let mut starts = vec![0];
        while starts.last().unwrap() + windows.crop_size < length {
            starts.push((starts.last().unwrap() + windows.stride).min(length - windows.crop_size));
        }
        starts
    };
    let (width, height) = (resized.width.min(windows.crop_size), resized.height.min(windows.crop_size));
    let mut all = vec![];
    for top in starts(resized.height) {
        for &left in &starts(resized.width) {
            let pixel =
                |(y, x): (usize, usize)| resized.rgb[((top + y) * resized.width + left + x) * 3..][..3].to_vec();
            let rgb = (0..height).flat_map(|y| (0..width).map(move |x| (y, x))).flat_map(pixel).collect();
            let features = features(&model_of(width.min(height)), &Picture { width, height, rgb });
            assert_eq!((features.input.width, features.input.height), (width, height), "not resized again");
            all.push(Alone { top, left, width, height, features });
        }
    }
    all
}

/// The means, over the windows that hold each patch of a grid, of what a window says about its own patch `p`.
fn means(alone: &[Alone], columns: usize, n: usize, of: impl Fn(&Alone, usize) -> Vec<f64>) -> Vec<Vec<f64>> {
    let one = |patch: usize| {
        let (y, x) = (patch / columns * PATCH, patch % columns * PATCH);
        let inside = |w: &&Alone| (w.top..w.top + w.height).contains(&y) && (w.left..w.left + w.width).contains(&x);
        let holding: Vec<&Alone> = alone.iter().filter(inside).collect();
        assert!(!holding.is_empty(), "patch {patch} is in no window");
        let said = holding.iter().map(|w| of(w, (y - w.top) / PATCH * (w.width / PATCH) + (x - w.left) / PATCH));
        let sum = said.reduce(|a, b| a.iter().zip(b).map(|(a, b)| a + b).collect()).unwrap();
        sum.into_iter().map(|x| x / holding.len() as f64).collect()
    };
    (0..n).map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, failure_persistence: None, ..ProptestConfig::default() })]

    /// The maps are the means of the windows' cosine maps, and the embedding the mean of their embeddings.
    #[test]
    fn maps_are_means_of_the_windows_maps(
        (side, width, height) in (2usize..13, 20usize..50, 20usize..50),
        (crop, stride) in (2usize..9).prop_flat_map(|crop| (Just(crop), 1..=crop)),
        squash: bool,
        seed: u64,
    ) {
        // Windows of 2×2 (the model pools three patches) up to 8×8 patches; inputs of up to 12 patches a side, or 2.5 times that along a strip.
        let windows = Windows { crop_size: crop * PATCH, stride: stride * PATCH };
        let fit = if squash { Fit::Squash } else { Fit::KeepAspect };
        let model_in_windows = model(side * PATCH, fit, Some(windows));
        let picture = picture(width, height, seed);
        let found = features(&model_in_windows, &picture);
        let resized = transform::resize_with(
            &picture, found.input.width, found.input.height, Filter::Bilinear, Recipe::plain().input.resize,
        );
        let alone = alone(&resized, windows, |side| model(side, Fit::KeepAspect, None));
        prop_assert_eq!(found.windows.len(), alone.len());

        let bank = &WORDS.bank;
        let rows: Vec<Vec<f32>> = values(&bank.embeddings).chunks(64).map(<[f32]>::to_vec).collect();
        let own: Vec<Vec<f32>> = alone.iter().map(|w| values(&w.features.patches)).collect();
        let cosines = |w: &Alone, p: usize| -> Vec<f64> {
            let at = alone.iter().position(|other| std::ptr::eq(other, w)).unwrap();
            let patch = unit(&own[at][p * 64..][..64]);
            rows.iter().map(|row| row.iter().zip(&patch).map(|(a, b)| f64::from(*a) * b).sum()).collect()
        };
        let by_patch = means(&alone, found.grid.width, found.grid.area(), cosines);
        let wanted: Vec<f64> = (0..rows.len()).flat_map(|r| by_patch.iter().map(move |patch| patch[r])).collect();
        close(&values(&found.patch_scores(&bank.embeddings).unwrap()), &wanted, "cosines");

        // A segmenter's map is that, upsampled: every pixel its patch's, the best of a class's words.
        let own_map = "map = { upsample = \"nearest\", min_max = false }".parse::<toml::Table>().unwrap()["map"].clone();
        let mut nearest = recipe(side * PATCH, fit, Some(windows));
        nearest.segmenter = nearest.segmenter.with("map", own_map);
        let nearest = MODEL.with_recipe(nearest).unwrap();
        let map = nearest.segmenter().maps(nearest.view(&found, &WORDS), &[1]).unwrap().remove(0);
        let words: Vec<usize> = bank.rows_of(1).collect();
        prop_assert_eq!(words.len(), 2);
        let pixel = |i: usize| {
            let (y, x) = (i / found.input.width / PATCH, i % found.input.width / PATCH);
            let patch = &by_patch[y * found.grid.width + x];
            words.iter().map(|&r| patch[r]).fold(f64::NEG_INFINITY, f64::max)
        };
        close(&map, &(0..found.input.area()).map(pixel).collect::<Vec<_>>(), "map");

        let embeddings: Vec<Vec<f32>> = alone.iter().map(|w| values(&w.features.embedding)).collect();
        for (window, (one, embedding)) in found.windows.iter().zip(alone.iter().zip(&embeddings)) {
            prop_assert_eq!((window.top, window.left), (one.top, one.left));
            prop_assert_eq!((window.size.height, window.size.width), (one.height, one.width));
            let wanted: Vec<f64> = embedding.iter().map(|&x| f64::from(x)).collect();
            close(&values(&window.embedding), &wanted, "a window's embedding");
        }
        let sum: Vec<f32> = (0..64).map(|i| embeddings.iter().map(|z| z[i]).sum()).collect();
        close(&values(&found.embedding), &unit(&sum), "the embedding");

        // One window of a class is enough for `best-window`.
        let score = MODEL.registry().segment.parts.scores.build(&Choice::new("best-window")).unwrap();
        let score = score.scores(nearest.view(&found, &WORDS)).unwrap();
        let dot = |z: &Vec<f32>, row: usize| z.iter().zip(&rows[row]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let best = |class: usize| {
            let all = embeddings.iter().flat_map(|z| bank.rows_of(class).map(move |row| dot(z, row)));
            all.fold(f64::NEG_INFINITY, f64::max)
        };
        close(&score, &(0..4).map(best).collect::<Vec<_>>(), "best-window");
    }
}

/// Every tensor that is shown, by name, to the bit.
#[derive(Default, PartialEq, Debug)]
struct Seen(Vec<(String, Vec<u32>)>);

impl Tap<Cpu> for Seen {
    fn see(&mut self, name: &str, value: &Cpu) -> simseg_tensor::Result<()> {
        self.0.push((name.to_owned(), bits(value)));
        Ok(())
    }
    fn see_host(&mut self, name: &str, _: &[usize], values: &[f32]) -> simseg_tensor::Result<()> {
        self.0.push((name.to_owned(), values.iter().map(|x| x.to_bits()).collect()));
        Ok(())
    }
}

#[test]
fn one_window_that_covers_the_input_gives_the_bits_of_none() {
    let scores = ["aligner", "pooled", "best-window", "best-patch", "local-softmax"];
    for (size, fit, crop_size) in [(0, Fit::Squash, 0), (40, Fit::KeepAspect, 96), (96, Fit::Squash, 96)] {
        for kind in scores {
            let picture = picture(70, 55, 9);
            let run = |windows: Option<Windows>, kind: &str| {
                let mut recipe = recipe(size, fit, windows);
                recipe.segmenter = recipe.segmenter.with("score", Choice::new(kind));
                let model = MODEL.with_recipe(recipe).unwrap();
                let mut seen = Seen::default();
                let segmented = model.segment_tapped(&picture, &WORDS, &mut seen).unwrap();
                (segmented, seen, features(&model, &picture))
            };
            let none = run(None, if kind == "best-window" { "pooled" } else { kind });
            let (segmented, seen, features) = run(Some(Windows { crop_size, stride: 8 }), kind);
            assert!(seen == none.1 && segmented == none.0, "{kind} at {size}");
            assert!(seen.0.iter().any(|(name, _)| name.starts_with("image/block/")), "layers of one window are shown");
            assert_eq!(bits(&features.patches), bits(&none.2.patches));
            let [window] = features.windows.as_slice() else { panic!("{} windows", features.windows.len()) };
            assert_eq!((window.top, window.left, window.size), (0, 0, features.input));
            assert_eq!(bits(&window.embedding), bits(&features.embedding));
        }
    }
}

#[test]
fn pictures_of_a_batch_do_not_mix_and_many_windows_go_in_parts() {
    // 81 windows of 64 patches each, of which 64 go together: parts cut through pictures.
    let windows = Some(Windows { crop_size: 64, stride: 8 });
    let model = model(128, Fit::Squash, windows);
    let pictures: Vec<Picture> = (0..3).map(|seed| picture(50, 60, seed)).collect();
    let together = model.features(&pictures, &mut NoTap).unwrap();
    for (found, picture) in together.iter().zip(&pictures) {
        let wanted: Vec<f64> = values(&features(&model, picture).patches).into_iter().map(f64::from).collect();
        assert_eq!(found.windows.len(), 81);
        close(&values(&found.patches), &wanted, "patches");
    }
    assert_ne!(values(&together[0].patches), values(&together[1].patches));
}

#[test]
fn a_tap_sees_the_whole_picture_and_no_layer_of_a_window() {
    let mut seen = Seen::default();
    let model = model(96, Fit::Squash, Some(Windows { crop_size: 64, stride: 32 }));
    model.features(&[picture(30, 30, 1)], &mut seen).unwrap();
    let shown: Vec<(&str, usize)> = seen.0.iter().map(|(name, values)| (name.as_str(), values.len())).collect();
    assert_eq!(shown, [("image/pixels", 3 * 96 * 96), ("image/patches", 144 * 64), ("image/embedding", 64)]);
}

/// The tiny model with another aligner and registry.
fn assembled(kind: &str, recipe: Recipe, registry: Registry<Cpu>) -> simseg::Result<Model> {
    let loaded = Loaded::read(&folder(), &registry, &CpuDevice)?;
    let description = ModelDescription { aligner: Choice::new(kind), ..loaded.description };
    Model::assemble(Loaded { description, ..loaded }, Some(recipe), Arc::new(registry), &CpuDevice)
}

#[test]
fn aligners_that_compare_tokens_get_the_means_of_the_windows_tokens() {
    let windows = Windows { crop_size: 64, stride: 32 };
    let model = |recipe| assembled("filip", recipe, Registry::built_in()).unwrap();
    let in_windows = model(recipe(96, Fit::Squash, Some(windows)));
    let picture = picture(96, 96, 4);
    let found = features(&in_windows, &picture);
    let alone = alone(&picture, windows, |_| model(recipe(64, Fit::Squash, None)));
    let tokens = |w: &Alone, t: usize| -> Vec<f64> {
        let all = values(&w.features.tokens.as_ref().unwrap().values);
        all[t * 64..][..64].iter().map(|&x| f64::from(x)).collect()
    };
    let patches = means(&alone, 12, 144, |w, p| tokens(w, 1 + p));
    let cls: Vec<f64> = (0..64).map(|i| alone.iter().map(|w| tokens(w, 0)[i]).sum::<f64>() / 4.0).collect();
    let got = found.tokens.as_ref().unwrap();
    assert_eq!(got.values.shape(), [1, 145, 64]);
    close(&values(&got.values), &[vec![cls], patches].concat().concat(), "tokens");
    // What they are for: the aligner's own similarity of the whole picture.
    let words = in_windows.words(["balloon", "car"]).unwrap();
    let scores = in_windows.segment_features(&picture, &found, &words, &mut NoTap).unwrap().details.scores;
    let prompts = words.bank.prompts.as_ref().unwrap();
    let own = in_windows.aligner().similarity(got, &prompts[1].tokens).unwrap();
    assert!((f64::from(scores[1]) - own.item().unwrap()).abs() < 1e-6, "{scores:?}");
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Looks {}

impl ClassScore<Cpu> for Looks {
    fn needs(&self, _: &dyn Aligner<Cpu>) -> Needs {
        Needs { attention: true, ..Needs::default() }
    }
    fn scores(&self, view: View<'_, Cpu>) -> simseg_tensor::Result<Vec<f32>> {
        assert!(view.image.attention.is_some());
        Pooled {}.scores(view)
    }
}

#[test]
fn whoever_looks_at_attention_is_told_before_anything_is_computed() {
    let open = |windows: Option<Windows>| {
        let mut registry = Registry::<Cpu>::built_in();
        registry.segment.parts.scores.add("looks", "at attention", |rule: Looks| Ok(Box::new(rule)));
        let mut recipe = recipe(96, Fit::Squash, windows);
        recipe.segmenter = recipe.segmenter.with("score", Choice::new("looks"));
        assembled("dense", recipe, registry)
    };
    let whole = open(None).unwrap();
    whole.segment(&picture(30, 30, 1), &whole.words(["car"]).unwrap()).unwrap();
    let line = open(Some(Windows { crop_size: 64, stride: 64 })).err().unwrap().to_string();
    assert!(line.starts_with("input.windows: expected none") && line.contains("attention"), "{line}");
}

#[test]
fn windows_that_a_model_cannot_have_are_refused_in_one_line() {
    for (crop_size, stride, wanted) in [
        (60, 32, "input.windows.crop_size: expected a multiple of the model's patch (8), found 60"),
        (64, 12, "input.windows.stride: expected a multiple of the model's patch (8), found 12"),
        (4, 4, "input.windows.crop_size: expected a multiple of the model's patch (8), found 4"),
        (0, 72, "input.windows.stride: expected 1 to 64, the crop_size, pixels, found 72"),
        (64, 0, "input.windows.stride: expected 1 to 64, the crop_size, pixels, found 0"),
        (32, 40, "input.windows.stride: expected 1 to 32, the crop_size, pixels, found 40"),
    ] {
        let refused = MODEL.with_recipe(recipe(96, Fit::Squash, Some(Windows { crop_size, stride })));
        assert_eq!(refused.err().unwrap().to_string(), wanted);
    }
    let own = model(96, Fit::Squash, Some(Windows { crop_size: 0, stride: 64 }));
    assert_eq!(own.recipe().input.windows, Some(Windows { crop_size: 64, stride: 64 }), "the size of training");
}

#[test]
fn limits_are_those_of_a_window_and_of_the_grid() {
    let line = |size: usize, crop_size: usize| {
        let windows = (crop_size > 0).then_some(Windows { crop_size, stride: crop_size });
        let found = model(size, Fit::Squash, windows).features(&[picture(9, 9, 1)], &mut NoTap);
        found.map(|found| found[0].windows.len()).map_err(|error| error.to_string())
    };
    assert!(line(1032, 0).unwrap_err().contains("16641 patches; expected at most 16384: a smaller input.size"));
    assert_eq!(line(1032, 64), Ok(17 * 17));
    let window = line(1040, 1032).unwrap_err();
    assert!(window.contains("1032×1032 pixels are 16641 patches; expected at most 16384: a smaller input.windows"));
    assert!(line(1032, 100_000).unwrap_err().contains("16641 patches"), "a window is no larger than the input");
    assert!(line(2056, 64).unwrap_err().contains("66049 patches; expected at most 65536: a smaller input.size"));
}
