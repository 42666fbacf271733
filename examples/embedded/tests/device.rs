//! The device gives the labels of the library, takes anything for a picture, and stays within its memory.

use simseg_embedded::Device;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const WORDS: [&str; 3] = ["fish", "cherry", "cup"];

fn picture() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/pytorch/images/coffee.png")).unwrap()
}

/// A PNG of 64×64 pixels.
fn small() -> Vec<u8> {
    let whole = simseg::Picture::from_bytes(&picture(), Default::default()).unwrap();
    let at = |x: usize, y: usize| 3 * ((y * whole.height / 64) * whole.width + x * whole.width / 64);
    let rgb = (0..64 * 64).flat_map(|i| (0..3).map(move |c| (i, c))).map(|(i, c)| whole.rgb[at(i % 64, i / 64) + c]);
    simseg::Picture { width: 64, height: 64, rgb: rgb.collect() }.png()
}

fn run(program: &mut Command, input: &[u8]) -> Output {
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

#[test]
fn the_program_writes_the_labels_of_the_library() {
    let expected = Device::new(&WORDS).unwrap().segment(&picture()).unwrap();
    assert!(!expected.found.is_empty(), "something is found");
    let output = run(Command::new(env!("CARGO_BIN_EXE_embedded")).args(WORDS), &picture());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.iter().map(|&label| u16::from(label)).eq(expected.labels.values));
    for (words, input, says) in [(&WORDS[..], &b"no picture"[..], "not an image"), (&["fish", "fish"], b"", "fish")] {
        let output = run(Command::new(env!("CARGO_BIN_EXE_embedded")).args(words), input);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(says) && said.lines().count() == 1, "{said}");
    }
}

/// The limit is one of addresses, which are more than what is resident: stacks and the program itself count.
#[cfg(target_os = "linux")]
#[test]
fn a_small_scene_needs_no_more_than_64_mib() {
    let mut program = Command::new("sh");
    program.args(["-c", "ulimit -v 65536 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_embedded")]).args(WORDS);
    let output = run(program.env("RAYON_NUM_THREADS", "1"), &small());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout.len(), 64 * 64);
}

#[cfg(target_os = "linux")]
#[test]
fn a_stream_takes_no_more_memory_for_more_frames() {
    let frame = simseg::Picture::from_bytes(&small(), Default::default()).unwrap().rgb;
    let frames: Vec<u8> = (0..200).flat_map(|i| frame.iter().map(move |&x| x.wrapping_add(i))).collect();
    let mut program = Command::new("sh");
    program.args(["-c", "ulimit -v 65536 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_stream"), "64", "64"]).args(WORDS);
    let output = run(program.env("RAYON_NUM_THREADS", "1"), &frames);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.lines().count() == 200, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.lines().all(|line| WORDS.iter().any(|word| line.starts_with(word))), "{said}");
    let output = run(Command::new(env!("CARGO_BIN_EXE_stream")).args(["64", "64", "fish"]), &frame[..100]);
    assert!(output.status.code() == Some(2) && String::from_utf8_lossy(&output.stderr).contains("not whole"));
}

/// The same pixels as a BMP, which has no checksums: what is changed in it is seen by more than the first test.
fn bmp(png: &[u8]) -> Vec<u8> {
    let picture = simseg::Picture::from_bytes(png, Default::default()).unwrap();
    let mut file = b"BM".to_vec();
    let numbers = [54 + picture.rgb.len() as u32, 0, 54, 40, picture.width as u32, picture.height as u32, 1 | 24 << 16];
    numbers.into_iter().chain([0, 0, 0, 0, 0, 0]).for_each(|number| file.extend(number.to_le_bytes()));
    file.extend(&picture.rgb);
    file
}

#[test]
fn ten_thousand_mutated_pictures_are_segmented_or_refused() {
    let device = Device::new(&["fish"]).unwrap();
    let (files, mut state, mut refused) = ([small(), bmp(&small())], 1u64, 0);
    let mut draw = |most: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % most
    };
    for trial in 0..10_000 {
        let mut file = files[trial % 2].clone();
        for _ in 0..=draw(3) {
            // The header, as often as all the rest.
            let reach = if draw(2) == 0 { 64 } else { file.len() };
            let at = draw(reach.min(file.len()));
            match draw(4) {
                0 if trial % 4 == 0 => file.truncate(at.max(1)),
                1 => file[at] ^= 1 << draw(8),
                2 => file[at] = draw(256) as u8,
                _ => file.insert(at, draw(256) as u8),
            }
        }
        refused += usize::from(device.segment(&file).is_err());
    }
    assert!((1000..9000).contains(&refused), "{refused} of 10,000 were refused");
}
