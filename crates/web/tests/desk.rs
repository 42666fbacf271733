//! The page's questions, asked natively.

use serde_json::{Value, json};
use simseg_web::Desk;
use simseg_web::small::{self, Aligner};
use simseg_web::training::{Training, TrainingRequest};
use simseg_web::world::encoded;

fn asked(desk: &mut Desk, request: Value) -> Value {
    serde_json::from_str(&desk.answer(&request.to_string())).unwrap()
}

/// A desk with one trained model.
fn desk(aligner: Aligner, steps: u64) -> Desk {
    let mut training = Training::new(TrainingRequest { aligner, steps, ..TrainingRequest::default() }).unwrap();
    for _ in 0..steps {
        training.step().unwrap();
    }
    let (weights, mut desk) = (small::rounded(&training.weights().unwrap()), Desk::default());
    let loaded = asked(&mut desk, json!({ "what": "load", "aligner": aligner, "weights": encoded(&weights) }));
    assert_eq!(loaded, json!({}));
    desk
}

#[test]
fn loda_points_at_objects_where_dense_does_not() {
    let point = |aligner| {
        let mut training = Training::new(TrainingRequest { aligner, ..TrainingRequest::default() }).unwrap();
        let first = training.step().unwrap();
        let last = (1..training.request.steps).map(|_| training.step().unwrap()).last().unwrap();
        assert!(last.loss < 0.8 * first.loss && last.step == 60, "{last:?}");
        training.judge().unwrap().point_on_object
    };
    let (dense, loda) = (point(Aligner::Dense), point(Aligner::Loda));
    assert!(loda > 1.5 * dense, "{loda} against {dense}");
}

#[test]
fn a_scene_is_looked_at_explained_and_edited() {
    let mut desk = desk(Aligner::Loda, 20);
    let scene = json!({ "index": 3 });
    let look = |scene: &Value, word: &str| json!({ "what": "look", "scene": scene, "word": word, "caption": "a fish in the sea.", "k": [3, 1] });
    let seen = asked(&mut desk, look(&scene, "fish"));
    assert_eq!(seen["models"]["loda"]["map"].as_array().unwrap().len(), 64);
    let explain = json!({ "what": "explain", "aligner": "loda", "scene": scene, "words": ["zebra"], "k": [3, 1] });
    let told = asked(&mut desk, explain);
    let (sums, scores) = (&told["ledger"]["sums"], &told["scores"]);
    for (sum, score) in sums.as_array().unwrap().iter().zip(scores.as_array().unwrap()) {
        assert!((sum.as_f64().unwrap() - score.as_f64().unwrap()).abs() < 1e-5);
    }
    let zebra = told["classes"].as_array().unwrap().last().unwrap();
    assert!(zebra["tokens"].as_array().unwrap().iter().any(|token| token["text"] == "[UNK]"), "{}", zebra["tokens"]);
    let terms = asked(&mut desk, json!({ "what": "terms", "class": 1, "patch": 5, "versus": null }));
    let sum: f64 = terms.as_array().unwrap().iter().map(|term| term["adds"].as_f64().unwrap()).sum();
    assert!((sum - told["ledger"]["entries"][1][5].as_f64().unwrap()).abs() < 1e-5);
    let pixel = asked(&mut desk, json!({ "what": "pixel", "x": 3, "y": 4 }));
    assert!(pixel["sentence"].as_str().unwrap().ends_with('.'));
    let other = asked(&mut desk, look(&json!({ "index": 3, "context": 4, "objects": [] }), "fish"));
    assert!(other["rgb"] != seen["rgb"] && other["right"] == "a picture of the snow.");
    let rules =
        json!({ "what": "rules", "ask": { "aligner": "loda", "scene": scene, "k": [3, 1] }, "dial": { "k": 1.0 } });
    let rules = asked(&mut desk, rules);
    let oracle = rules.as_array().unwrap().last().unwrap();
    assert!(oracle["rule"].as_str().unwrap().starts_with("oracle") && oracle["miou"].as_f64().unwrap() > 0.0);
    let kernel = asked(
        &mut desk,
        json!({ "what": "kernel", "scene": scene, "x": 1, "y": 0, "kernels": serde_json::to_value(simseg_segment::refine::CrfParameters::default()).unwrap() }),
    );
    let near: Vec<f64> = serde_json::from_value(kernel["position"].clone()).unwrap();
    assert_eq!(
        near.iter().position(|x| *x == near.iter().copied().fold(0.0, f64::max)),
        Some(1).filter(|_| near[1] >= near[0]).or(Some(0))
    );
}

#[test]
fn what_cannot_be_done_is_an_error_and_never_a_panic() {
    let mut desk = desk(Aligner::Dense, 1);
    let ask = |scene: Value| json!({ "what": "explain", "aligner": "dense", "scene": scene, "k": [3, 1] });
    let object = json!({ "class": 11, "centre": [0.5, 0.5], "half": 0.2, "turn": 0.0, "mirrored": false });
    let wrong = [
        (json!({}), "what"),
        (json!({ "what": "nothing" }), "nothing"),
        (json!({ "what": "load", "aligner": "loda", "weights": "AAAA" }), "bytes"),
        (json!({ "what": "terms", "class": 1, "patch": 0, "versus": null }), "explained"),
        (json!({ "what": "step", "count": 1 }), "training"),
        (ask(json!({ "index": 0, "context": 99 })), "context"),
        (ask(json!({ "index": 0, "objects": [object] })), "object"),
        (ask(json!({ "picture": { "side": 64, "rgb": "AAAA" } })), "side"),
        (json!({ "what": "explain", "aligner": "loda", "scene": {}, "k": [3, 1] }), "weights"),
        (
            json!({ "what": "explain", "aligner": "dense", "scene": {}, "k": [3, 1], "recipe": { "refine": { "kind": "nothing" } } }),
            "nothing",
        ),
        (json!({ "what": "train", "aligner": "loda", "batch": 0 }), "batch"),
        (json!({ "what": "train", "bias": 2.0 }), "bias"),
        (json!({ "what": "train", "aligner": "loda", "k": [65, 1] }), "k"),
    ];
    for (request, needle) in wrong {
        let answer = asked(&mut desk, request.clone());
        let error = answer["error"].as_str().unwrap_or_else(|| panic!("{request} was answered: {answer}"));
        assert!(error.contains(needle), "{request}: {error}");
    }
}
