//! How training is fed: batches that are read ahead.

#[path = "common/program.rs"]
mod program;
#[path = "common/world.rs"]
mod world;
use program::{ok, refused, simseg, text};
use world::{World, log, out, trained, weights};

#[test]
fn batches_read_ahead_change_no_bit_and_the_wait_for_them_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::draw(folder.path());
    // Everything that is drawn for a pair or a step takes part.
    let augment =
        "caption_noise = 0.2\nmixup = 0.3\naugment = [{ kind = \"random-resized-crop\" }, { kind = \"auto-augment\" }]";
    let file = world.experiment("ahead", &world.shards("holes", &[5, 6, 40]), augment);
    let of = |prefetch: usize, threads: &str| {
        let (name, set) = (format!("{prefetch}-{threads}"), format!("training.prefetch={prefetch}"));
        let out = out(&file, &name);
        let run = ["run", text(&file), "--out", text(&out), "--threads", threads, "--set", &set];
        let said = String::from_utf8(simseg(&run).stderr).unwrap();
        assert!(said.contains("images/s, ") && said.contains("% of the time waiting for data"), "{said}");
        let lines = log(&out, &file);
        let waits: Vec<f64> = lines.iter().map(|line| line["wait_seconds"].as_f64().unwrap()).collect();
        assert!(waits.len() == 9 && waits.iter().all(|wait| *wait >= 0.0) && waits[0] > 0.0, "{waits:?}");
        let trainings = out.join("trainings");
        let key = std::fs::read_dir(trainings).unwrap().next().unwrap().unwrap().path();
        let skipped = std::fs::read(key.join("skipped.json")).unwrap();
        (trained(&out, &file), key.file_name().unwrap().to_owned(), skipped)
    };
    let first = of(0, "1");
    for (prefetch, threads) in [(1, "3"), (2, "1"), (20, "2")] {
        assert!(of(prefetch, threads) == first, "{prefetch} ahead, {threads} threads");
    }
}

#[test]
fn noise_and_mixing_change_what_is_learned_and_the_plan_names_them() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::draw(folder.path());
    let of = |name: &str, more: &str| world.experiment(name, &world.captions(), more);
    let plain = weights(&of("plain", ""), "out", &[]);
    for (more, said) in [("caption_noise = 0.2", "caption noise"), ("mixup = 0.3", "mixup")] {
        let file = of("drawn", more);
        let plan = ok(&simseg(&["run", text(&file), "--plan"]));
        assert!(plan.contains(&format!("steps of 16 pairs, {said}, ")), "{plan}");
        let drawn = weights(&file, "out", &["--fresh"]);
        assert!(drawn != plain && drawn == weights(&file, "again", &["--fresh", "--threads", "1"]), "{more}");
    }
}

#[test]
fn what_is_wrong_with_how_training_is_fed_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::draw(folder.path());
    let attempt = |more: &str, needles: &[&str]| {
        let (file, none) = (world.experiment("bad", &world.captions(), more), folder.path().join("none"));
        let aligner = if needles.iter().any(|needle| needle.contains("filip")) { "filip" } else { "dense" };
        let set = format!("aligner={{ kind = {aligner:?} }}");
        let line = refused(&simseg(&["run", text(&file), "--out", text(&none), "--set", &set]));
        assert!(needles.iter().all(|needle| line.contains(needle)), "{line}");
    };
    attempt("prefetch = 65", &["training.prefetch", "from 0 to 64, found 65"]);
    attempt("caption_noise = 1.0", &["training.caption_noise", "from 0 to below 1, found 1"]);
    attempt("mixup = -0.1", &["training.mixup", "from 0 to 4, found -0.1"]);
    attempt("mixup = 0.1", &["training.mixup", "`filip` compares more than pooled vectors"]);
}
