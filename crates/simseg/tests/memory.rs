//! What `Model::memory` says beside what is asked for, counted by the allocator.

use peak_alloc::PeakAlloc;
use simseg::memory::Size;
use simseg::{Error, Model, Picture, Recipe, Registry, WeightType};
use simseg_tensor::Tensor;
use std::sync::{Mutex, PoisonError};

#[global_allocator]
static COUNTED: PeakAlloc = PeakAlloc;

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny");

/// Tests of one process that count all its memory take turns.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // No buffer of an earlier test waits and is used again uncounted.
    simseg_cpu::arena::bound(0);
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn model(recipe: &str, set: &[&str]) -> Model {
    let registry = Registry::<simseg::Cpu>::built_in();
    let set: Vec<String> = set.iter().map(|&it| it.to_owned()).collect();
    let recipe = Recipe::load(recipe, "", &set, &registry).unwrap();
    Model::open(TINY).unwrap().with_recipe(recipe).unwrap()
}

/// No two pixels alike: the worst that can happen to a CRF.
fn noise(width: usize, height: usize) -> Picture {
    let mut state = 1u32;
    let byte = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    Picture { width, height, rgb: (0..3 * width * height).map(byte).collect() }
}

/// Bytes asked for at most at once while `work` ran, beyond those before.
fn counted<R>(work: impl FnOnce() -> R) -> (usize, R) {
    let before = COUNTED.current_usage();
    COUNTED.reset_peak_usage();
    let done = work();
    (COUNTED.peak_usage().saturating_sub(before), done)
}

#[test]
fn no_recipe_or_size_needs_more_than_was_said_and_much_less_is_never_said() {
    let _turn = alone();
    let recipes: [(&str, &[&str]); 8] = [
        ("plain", &[]),
        ("plain", &["input.size=256"]),
        ("official-code", &["input.size=128", "threshold={kind=\"fixed\",score=-1}"]),
        ("paper", &["input.size=256", "threshold={kind=\"fixed\",score=-1}"]),
        (
            "official-code",
            &["input.size=128", "refine.labels=joint", "map.compete=20", "threshold={kind=\"fixed\",score=-1}"],
        ),
        ("plain", &["refine.kind=pamr", "input.size=128"]),
        ("plain", &["input.size=256", "input.windows.crop_size=64", "input.windows.stride=32"]),
        ("plain", &["input.size=384", "map.affinity=0.2"]),
    ];
    for (recipe, set) in recipes {
        let model = model(recipe, set);
        let words = model.words(["balloon", "fish", "car", "cup", "cherry"]).unwrap();
        let side = model.input_size(&noise(1, 1)).height;
        for (width, height) in [(side, side), (64, 64), (300, 200), (1500, 1000)] {
            let picture = noise(width, height);
            let said = model.memory(Size { height, width }, &words);
            (0..2).for_each(|_| drop(model.segment(&picture, &words).unwrap())); // copies of weights are made now
            let (needed, found) = counted(|| model.segment(&picture, &words).unwrap());
            assert_eq!(found.labels.values.len(), width * height);
            let working = said.peak() - said.weights;
            let what = format!("{recipe} {set:?} {width}×{height}: {needed} of {said:?}");
            println!("{what}");
            assert!(needed <= working, "{what}");
            // A picture that is resized is no noise any more, and its CRF needs less.
            // What each thread may copy counts as if all did at once, which they rarely do: held to where there are few.
            let threads = simseg_tensor::parallel::current_num_threads();
            assert!(width != side || threads > 2 || working < 3 * needed + (threads << 17), "{what}");
        }
    }
}

#[test]
fn weights_are_those_that_are_kept() {
    let _turn = alone();
    let parameters =
        |model: &Model| model.parameters().iter().map(|(_, it)| it.shape().iter().product::<usize>()).sum::<usize>();
    let picture = noise(64, 64);
    let of = |rounded: Option<WeightType>| {
        let (kept, model) = counted(|| {
            let model = match rounded {
                None => Model::open(TINY).unwrap(),
                Some(kind) => Model::open_rounded(TINY, kind).unwrap(),
            };
            let words = model.words(["fish", "car"]).unwrap();
            (0..2).for_each(|_| drop(model.segment(&picture, &words).unwrap()));
            model
        });
        let words = model.words(["fish"]).unwrap();
        // To say it takes no memory, whatever was given back since the last picture.
        let (asked, said) = counted(|| model.memory(Size { height: 64, width: 64 }, &words));
        assert!(asked < 1 << 16, "{rounded:?}: {asked} bytes for an answer");
        (said.weights, kept, parameters(&model))
    };
    let (wide, _, count) = of(None);
    assert_eq!(wide, 4 * count);
    let (narrow, kept, _) = of(Some(WeightType::Int8));
    // A byte each, scales, and what is never rounded.
    assert!(narrow > count && 2 * narrow < 3 * count && narrow < kept, "{narrow} of {count}, {kept} counted");
}

#[test]
fn a_limit_is_kept_with_an_error_and_lets_through_what_fits() {
    let _turn = alone();
    let model = model("plain", &["input.fit=keep-aspect"]);
    let words = model.words(["fish", "car"]).unwrap();
    let needed = |width, height| model.memory(Size { height, width }, &words).peak();
    let limit = needed(200, 200);
    assert!(needed(2000, 100) > limit);
    let limited = model.clone().with_memory_limit(limit).unwrap();
    assert_eq!(limited.memory_limit(), Some(limit));
    let fits = noise(200, 200);
    assert_eq!(limited.segment(&fits, &words).unwrap(), model.segment(&fits, &words).unwrap());
    let strip = noise(2000, 100);
    let (asked, refused) = counted(|| limited.segment(&strip, &words));
    match refused {
        Err(Error::Input(line)) => {
            assert!(
                line.starts_with("a picture of 2000×100: needs up to") && line.contains("the memory limit is"),
                "{line}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(asked < 1 << 16, "{asked} bytes for a refusal");
    let weights = model.memory(Size { height: 1, width: 1 }, &words).weights;
    let refused = model.with_memory_limit(weights - 1).map(drop).unwrap_err().to_string();
    assert!(refused.contains("the weights alone are"), "{refused}");
}

#[test]
fn buffers_that_wait_stay_within_the_limit() {
    let _turn = alone();
    let model = model("plain", &["input.size=256"]);
    let words = model.words(["fish", "car"]).unwrap();
    let needed = model.memory(Size { height: 64, width: 64 }, &words);
    let limited = model.with_memory_limit(needed.peak()).unwrap();
    for _ in 0..3 {
        limited.segment(&noise(64, 64), &words).unwrap();
    }
    let usage = simseg_cpu::arena::usage::<f32>();
    assert!(usage.waiting > 0 && usage.in_use + usage.waiting <= needed.peak() - needed.weights, "{usage:?}");
    // What is in use may exceed a bound; when it is given back, nothing waits.
    simseg_cpu::arena::bound(0);
    limited.segment(&noise(64, 64), &words).unwrap();
    assert_eq!(simseg_cpu::arena::usage::<f32>().waiting, 0);
}
