//! `simseg import` on checkpoints as others publish them (`fixtures/pytorch/imports.py` made them, and what their own stacks
//! compute with them), and on what is no whole checkpoint.

#[path = "common/program.rs"]
mod program;

use program::{ok, refused, simseg, text};
use safetensors::SafeTensors;
use simseg::Model;
use simseg_cpu::{CpuDevice, CpuTensor};
use simseg_model::TokenBatch;
use simseg_tensor::random::{self, ChaCha8Rng};
use simseg_tensor::{Ops, Tap, Tensor};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Output;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/pytorch/import")
}

/// Imports a file of the fixtures.
fn import(checkpoint: &str, vocab: &str, out: &Path, more: &[&str]) -> Output {
    let (checkpoint, vocab) = (fixtures().join(checkpoint), fixtures().join(vocab));
    let arguments = ["import", text(&checkpoint), "--vocab", text(&vocab), "--out", text(out)];
    simseg(&[&arguments[..], more].concat())
}

fn values(bytes: &[u8], name: &str) -> Vec<f32> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let view = file.tensor(name).unwrap();
    view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn expected(name: &str) -> Vec<f32> {
    values(&std::fs::read(fixtures().join("expected.safetensors")).unwrap(), name)
}

fn assert_near(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest;
    println!("{what}: {worst:.1e}");
    assert!(worst <= 1e-5, "{what}: {worst:e}");
}

/// What the program traces for the image and the classes cat and dog.
fn trace(model: &Path) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (classes, trace) = (folder.path().join("classes.txt"), folder.path().join("trace.safetensors"));
    std::fs::write(&classes, "background\ncat\ndog\n").unwrap();
    let image = fixtures().join("image.png");
    let out = folder.path().join("out");
    ok(&simseg(&[
        "segment",
        "--recipe",
        "plain",
        "--model",
        text(model),
        "--classes",
        text(&classes),
        "--out",
        text(&out),
        "--trace",
        text(&trace),
        text(&image),
    ]));
    std::fs::read(trace).unwrap()
}

#[test]
fn a_distributed_save_with_buffers_and_an_optimiser_computes_what_pytorch_does() {
    let out = tempfile::tempdir().unwrap();
    let said = ok(&import("released.pth", "vocab.txt", out.path(), &[]));
    for needle in ["SimSeg", "position_ids: a buffer", "epoch", "optimizer", "4×4 patches of 16", "24 channels"] {
        assert!(said.contains(needle), "{needle}: {said}");
    }
    let trace = trace(out.path());
    assert_near("patches", &values(&trace, "image/patches"), &expected("simseg/patches"));
    assert_near("sentences", &values(&trace, "text/classes")[24..], &expected("simseg/sentences"));
    let model = Model::open(out.path()).unwrap();
    assert_eq!(model.network().temperature().unwrap().to_f32().unwrap(), [0.03]);
    assert_eq!(model.description().aligner.get::<usize>("eval_text_k"), Some(1));
}

#[test]
fn half_precision_and_views_are_read_as_they_are_meant() {
    let out = tempfile::tempdir().unwrap();
    ok(&import("half.pth", "vocab.txt", out.path(), &[]));
    let trace = trace(out.path());
    assert_near("patches", &values(&trace, "image/patches"), &expected("half/patches"));
    assert_near("sentences", &values(&trace, "text/classes")[24..], &expected("half/sentences"));
}

#[test]
fn clip_computes_what_transformers_does_under_either_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut weights = vec![];
    for name in ["openai", "hf"] {
        let out = folder.path().join(name);
        ok(&import(&format!("{name}.safetensors"), "clip", &out, &[]));
        let trace = trace(&out);
        assert_near("patches", &values(&trace, "image/patches"), &expected("clip/patches"));
        assert_near("embedding", &values(&trace, "image/embedding"), &expected("clip/embedding"));
        assert_near("sentences", &values(&trace, "text/classes")[24..], &expected("clip/sentences"));
        weights.push(std::fs::read(out.join("model.safetensors")).unwrap());
    }
    assert!(weights[0] == weights[1], "the same weights in the end");
    let exact = folder.path().join("exact");
    ok(&import("hf.safetensors", "clip", &exact, &["--gelu", "exact"]));
    assert_ne!(values(&trace(&exact), "image/patches"), expected("clip/patches"), "another GELU, other patches");
}

/// Keeps named intermediates.
#[derive(Default)]
struct Seen(Vec<(String, Vec<f32>)>);

impl<T: Tensor> Tap<T> for Seen {
    fn see(&mut self, name: &str, value: &T) -> simseg_tensor::Result<()> {
        self.0.push((name.to_owned(), value.to_f32()?));
        Ok(())
    }
}

#[test]
fn two_towers_without_projections_are_a_start_for_pretraining() {
    let out = tempfile::tempdir().unwrap();
    let bert = fixtures().join("bert.safetensors");
    let more = ["--text", text(&bert), "--projection", "20", "--seed", "4"];
    let said = ok(&import("vit.safetensors", "vocab.txt", out.path(), &more));
    for needle in ["head.weight: a classifier's", "pooler", "fresh", "text_projection.linear.weight", "seed 4"] {
        assert!(said.contains(needle), "{needle}: {said}");
    }
    let model = Model::open(out.path()).unwrap();
    let mut seen = Seen::default();
    let picture = simseg_data::Picture::load(&fixtures().join("image.png")).unwrap();
    let by = simseg_data::transform::Normalisation::IMAGENET;
    let pixels = simseg_data::transform::normalise(&picture, &by);
    let pixels = CpuTensor::<f32>::from_host(&pixels, &[1, 3, 64, 64], &CpuDevice).unwrap();
    let tokens = model.network().encode_image(&pixels, &mut seen).unwrap();
    assert_eq!(tokens.values.shape(), [1, 17, 20]);
    let ids = model.tokenizer().encode("a picture of a cat.", 0).unwrap();
    model.network().encode_text(&TokenBatch::new(&[ids], 0, 0).unwrap(), &mut seen).unwrap();
    let found = |name: &str| &seen.0.iter().find(|(n, _)| n == name).unwrap().1;
    assert_near("image tokens", found("image/tokens"), &expected("parts/tokens"));
    assert_near("words", found("text/layer/1"), &expected("parts/words"));
}

/// A safetensors file with changes.
fn changed(from: &str, to: &Path, change: impl Fn(&str, Vec<usize>) -> Option<(String, Vec<usize>)>) {
    let bytes = std::fs::read(fixtures().join(from)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let kept = file.tensors().into_iter().filter_map(|(name, view)| {
        let (name, shape) = change(&name, view.shape().to_vec())?;
        let count: usize = shape.iter().product();
        Some((name, safetensors::tensor::TensorView::new(view.dtype(), shape, &view.data()[..4 * count]).unwrap()))
    });
    safetensors::serialize_to_file(kept.collect::<Vec<_>>(), None, to).unwrap();
}

#[test]
fn what_is_missing_left_over_or_misshapen_is_named_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("changed.safetensors");
    changed("openai.safetensors", &file, |name, mut shape| match name {
        "ln_final.bias" => None,
        "visual.ln_post.weight" => Some((format!("{name}s"), shape)),
        "visual.ln_pre.weight" => {
            shape[0] -= 1;
            Some((name.to_owned(), shape))
        }
        _ => Some((name.to_owned(), shape)),
    });
    let out = folder.path().join("out");
    let vocab = fixtures().join("clip");
    let line = refused(&simseg(&["import", text(&file), "--vocab", text(&vocab), "--out", text(&out)]));
    for needle in [
        "changed.safetensors",
        "2 missing: visual.ln_post.weight, ln_final.bias",
        "1 misshapen: visual.ln_pre.weight [15] instead of [16]",
        "1 left over: visual.ln_post.weights",
    ] {
        assert!(line.contains(needle), "{needle}: {line}");
    }
    assert!(!out.exists());
}

#[test]
fn wrong_words_and_lone_towers_are_refused() {
    let out = tempfile::tempdir().unwrap();
    let nowhere = out.path().join("nowhere");
    let lone = refused(&import("vit.safetensors", "vocab.txt", &nowhere, &[]));
    assert!(lone.contains("--text"), "{lone}");
    let words = refused(&import("released.pth", "clip", &nowhere, &[]));
    assert!(words.contains("expected the vocabulary"), "{words}");
    let picture = refused(&import("image.png", "vocab.txt", &nowhere, &[]));
    assert!(picture.contains("neither a .pth"), "{picture}");
    let aligner = refused(&import("released.pth", "vocab.txt", &nowhere, &["--aligner", "lodda"]));
    assert!(aligner.contains("--aligner"), "{aligner}");
    assert!(!nowhere.exists());
}

/// A zip archive as `torch.save` writes it, around a pickle.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(vec![]));
    let plain = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in [("model/data.pkl", pickle), ("model/data/0", &[0; 16][..]), ("model/version", b"3\n")] {
        zip.start_file(name, plain).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn a_pickle_that_would_run_something_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (file, proof) = (folder.path().join("hostile.pth"), folder.path().join("proof"));
    let command = format!("touch {}", proof.display());
    let mut pickle = b"\x80\x02cposix\nsystem\nX".to_vec();
    pickle.extend((command.len() as u32).to_le_bytes());
    pickle.extend(command.as_bytes());
    pickle.extend(b"\x85R.");
    std::fs::write(&file, archive(&pickle)).unwrap();
    let vocab = fixtures().join("vocab.txt");
    let out = folder.path().join("out");
    let line = refused(&simseg(&["import", text(&file), "--vocab", text(&vocab), "--out", text(&out)]));
    assert!(line.contains("`posix.system`") && line.contains("nothing was executed"), "{line}");
    assert!(!proof.exists() && !out.exists());
}

fn below(n: usize, rng: &mut ChaCha8Rng) -> usize {
    (random::uniform(rng) * n as f64) as usize
}

/// Thousands of damaged versions: an error in one line, or a checkpoint; never a panic, a hang or a huge allocation.
#[test]
fn damaged_checkpoints_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    for (name, detects_all) in [("released.pth", true), ("half.pth", true), ("openai.safetensors", false)] {
        let whole = std::fs::read(fixtures().join(name)).unwrap();
        let path = folder.path().join(name);
        let mut rng = random::stream(0, name, 0);
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            simseg_data::checkpoint::Checkpoint::open(&path)
        };
        assert!(read(&whole).is_ok());
        let mut survived = 0;
        for round in 0..1500 {
            let mut bytes = whole.clone();
            match round % 3 {
                0 => bytes.truncate(below(whole.len(), &mut rng)),
                // Directory and pickle are a small part of the file: every second flip goes there.
                1 => {
                    let place = whole.len() - 1 - below(whole.len().min(12_000), &mut rng);
                    bytes[place] ^= 1 << below(8, &mut rng);
                }
                _ => {
                    let place = below(whole.len().min(20_000), &mut rng);
                    bytes[place] ^= 1 << below(8, &mut rng);
                }
            }
            match read(&bytes) {
                Ok(checkpoint) => {
                    survived += 1;
                    // What is read is whole: every tensor's values are there.
                    for name in checkpoint.names().filter(|name| checkpoint.is_real(name)) {
                        let count: usize = checkpoint.shape(name).unwrap().iter().product();
                        assert_eq!(checkpoint.bytes(name).unwrap().len(), 4 * count);
                    }
                }
                Err(error) => {
                    let line = error.to_string();
                    assert!(line.contains(name) && !line.contains('\n'), "{line}");
                }
            }
        }
        println!("{name}: {survived} of 1500 damaged versions still read");
        // Checksums find what shape and names do not; safetensors has none. What is left are bits that nobody reads.
        assert!(survived < if detects_all { 600 } else { 1000 }, "{name}: {survived}");
    }
}
