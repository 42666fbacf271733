//! How training is fed: batches that are read ahead.

#[path = "common/program.rs"]
#[allow(dead_code, reason = "nothing is refused here")]
mod program;
#[path = "common/world.rs"]
mod world;
use program::{simseg, text};
use world::{World, log, out, trained};

#[test]
fn batches_read_ahead_change_no_bit_and_the_wait_for_them_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::draw(folder.path());
    let augment = "augment = [{ kind = \"random-resized-crop\" }, { kind = \"auto-augment\" }]";
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
