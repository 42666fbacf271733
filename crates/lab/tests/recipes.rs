//! The published recipes of `experiments/pretrain`: accepted as they are, and trained as miniatures.

#[path = "common/program.rs"]
mod program;
#[path = "common/world.rs"]
mod world;
use program::{ok, refused, simseg, text};
use std::path::{Path, PathBuf};
use world::{World, inline, out, weights};

fn recipe(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../experiments/pretrain/{name}.toml"))
}

/// Where a recipe finds its data.
fn places(shards: &str, labelled: &Path) -> Vec<String> {
    let data = |key: &str| format!("{key}={}", inline(&serde_json::json!({"kind": "folder", "root": labelled})));
    vec![format!("training.data.shards={shards:?}"), data("evaluation.data")]
}

#[test]
fn the_plan_of_a_published_recipe_says_steps_epochs_memory_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::draw(folder.path());
    // 5,000 pairs, for which no picture is read.
    let shard = folder.path().join("00000.tar");
    let mut builder = tar::Builder::new(std::fs::File::create(&shard).unwrap());
    for index in 0..5000 {
        for (ending, bytes) in [("jpg", &b"unread"[..]), ("txt", b"a scene")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, format!("{index:09}.{ending}"), bytes).unwrap();
        }
    }
    builder.finish().unwrap();
    drop(builder);
    for (name, parameters) in [("vit-s", 22), ("vit-b", 86)] {
        // Without the model that it starts from, which is half a gigabyte.
        let toml = std::fs::read_to_string(recipe(name)).unwrap().replace("init = \"imported\"\n", "");
        let file = folder.path().join(format!("{name}.toml"));
        std::fs::write(&file, toml).unwrap();
        let mut arguments = vec!["run".to_owned(), text(&file).to_owned(), "--plan".into()];
        places(text(&shard), &world.folder).into_iter().for_each(|set| arguments.extend(["--set".into(), set]));
        let plan = ok(&simseg(&arguments.iter().map(String::as_str).collect::<Vec<_>>()));
        let said = |needle: &str| assert!(plan.contains(needle), "expected `{needle}` in {plan}");
        said("20 steps of 4096 pairs, random-resized-crop, auto-augment, ");
        said("16.4 epochs of 5000 pairs, each in 4 parts");
        for needle in
            ["memory about ", "weights, gradients and optimiser; ", " activations; ", "at least ", " FLOP a pair, "]
        {
            said(needle);
        }
        let count = plan.split(" parameters").next().unwrap().rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        // The image tower, BERT-base without its words, and two projections.
        let (image, text) = (parameters * 1_000_000, 85_600_000 + 512 * 768);
        assert!(count.abs_diff(image + text) < 2_000_000, "{count}");
    }
}

#[test]
fn a_miniature_of_each_published_recipe_trains_and_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::draw(folder.path());
    let begin = world.experiment("begin", &world.captions(), "");
    weights(&begin, "out", &[]);
    let model = out(&begin, "out").join("begin-seed0/model");
    world.shards("shards", &[5]);
    // Judging costs more than training here: three pictures.
    let judged = folder.path().join("judged");
    ok(&simseg(&["scenes", "--out", text(&judged), "--count", "3", "--seed", "9", "--size", "32"]));
    let shards = format!("{}/{{00000..00002}}.tar", text(&world.place.join("shards")));
    for name in ["vit-s", "vit-b"] {
        let place = folder.path().join(name);
        let file = recipe(name);
        let mut arguments: Vec<String> =
            ["run", text(&file), "--quick", "--out", text(&place)].into_iter().map(str::to_owned).collect();
        let init = format!("training.init={:?}", text(&model));
        places(&shards, &judged).into_iter().chain([init]).for_each(|set| arguments.extend(["--set".into(), set]));
        let run = |more: &[&str]| {
            simseg(&arguments.iter().map(String::as_str).chain(more.iter().copied()).collect::<Vec<_>>())
        };
        let lost = refused(&run(&["--set", "training.init=\"nowhere\""]));
        assert!(lost.contains("nowhere"), "{lost}");
        ok(&run(&[]));
        let results: serde_json::Value =
            serde_json::from_slice(&std::fs::read(place.join("results.json")).unwrap()).unwrap();
        let row = &results["rows"][0];
        assert!(row["status"] == "done" && row["metrics"]["miou"].is_number(), "{row}");
        let run_of = format!("pretrain-{name}-quick-seed0");
        let run_of = std::fs::read_dir(&place)
            .unwrap()
            .map(|e| e.unwrap().path())
            .find(|p| p.join("metrics.jsonl").exists())
            .unwrap_or_else(|| place.join(run_of));
        let lines = std::fs::read_to_string(run_of.join("metrics.jsonl")).unwrap();
        assert_eq!(lines.lines().count(), 9, "three epochs of three batches");
        assert!(lines.contains("\"miou\""), "validated on the way");
        ok(&run(&["--resume"]));
    }
}
