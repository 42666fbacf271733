//! Pairs in tar files that these tests write: whatever the form, the same pairs; and what is wrong is said in one line.

use flate2::{Compression, write::GzEncoder};
use simseg_data::{DataRegistry, Pair, Pairs, Picture, Source};
use std::path::Path;

fn picture(seed: u8) -> Picture {
    Picture { width: 5, height: 3, rgb: (0..45).map(|at| seed.wrapping_mul(29).wrapping_add(at * 5)).collect() }
}

/// A member by name.
type Member = (String, Vec<u8>);

fn sample(key: &str, seed: u8) -> Vec<Member> {
    let caption = format!("  caption of {key}\n");
    let json = format!(r#"{{"caption": "described {key}", "url": "https://example.org/{seed}"}}"#);
    [("png", picture(seed).png()), ("txt", caption.into_bytes()), ("json", json.into_bytes())]
        .map(|(ending, bytes)| (format!("{key}.{ending}"), bytes))
        .into()
}

fn tar(members: &[Member]) -> Vec<u8> {
    let mut builder = tar::Builder::new(vec![]);
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

fn open(shards: impl serde::Serialize) -> Result<Box<dyn Pairs>, String> {
    opened(Source::new("webdataset").with("shards", shards))
}

fn opened(source: Source) -> Result<Box<dyn Pairs>, String> {
    let pairs = DataRegistry::built_in().open_pairs(&source, 0).map_err(|error| error.to_string());
    pairs.inspect_err(|line| assert!(!line.contains('\n'), "{line}"))
}

fn all(pairs: &dyn Pairs) -> Vec<Pair> {
    (0..pairs.len()).map(|index| pairs.pair(index).unwrap()).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn pairs_come_in_the_order_of_the_shards_from_any_place_packed_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let pattern = |ending: &str| format!("{}/{{00..02}}.{ending}", text(folder.path()));
    for shard in 0..3u8 {
        let members: Vec<Member> = (0..4).flat_map(|i| sample(&format!("part/{shard}{i}.x"), shard * 4 + i)).collect();
        // Names have two full stops: the key ends at the first.
        let bytes = tar(&members);
        std::fs::write(folder.path().join(format!("0{shard}.tar")), &bytes).unwrap();
        std::fs::write(folder.path().join(format!("0{shard}.tar.gz")), packed(&bytes)).unwrap();
    }
    let source = |ending: &str| {
        Source::new("webdataset").with("shards", pattern(ending)).with("image", "x.png").with("caption", "x.txt")
    };
    let (plain, gz) = (opened(source("tar")).unwrap(), opened(source("tar.gz")).unwrap());
    let pairs = all(&*plain);
    assert_eq!(pairs.len(), 12);
    for (index, pair) in pairs.iter().enumerate() {
        let (shard, own) = (index / 4, index % 4);
        assert_eq!(pair.picture, picture(index as u8));
        assert_eq!(
            (pair.id.as_str(), pair.caption.as_str()),
            (&*format!("0{shard}/part/{shard}{own}"), &*format!("caption of part/{shard}{own}.x"))
        );
    }
    assert_eq!(all(&*gz), pairs);
    for index in [11, 0, 7, 7, 3] {
        assert_eq!(plain.pair(index).unwrap(), pairs[index]);
        assert_eq!(
            (gz.caption(index).unwrap(), gz.id(index).unwrap()),
            (pairs[index].caption.clone(), pairs[index].id.clone())
        );
    }
    assert!(plain.pair(12).is_err());
    // In parallel, through one file of everything unpacked.
    let threads: Vec<_> = std::thread::scope(|scope| {
        let one = |start: usize| {
            let gz = &gz;
            scope.spawn(move || (0..60).map(|i| gz.pair((start * 5 + i * 7) % 12).unwrap()).collect::<Vec<_>>())
        };
        (0..4).map(one).collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (start, read) in threads.iter().enumerate() {
        assert!(read.iter().enumerate().all(|(i, pair)| *pair == pairs[(start * 5 + i * 7) % 12]));
    }
}

#[test]
fn captions_of_descriptions_and_long_names_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar");
    let long = format!("{}/key", "folder/".repeat(20));
    let mut builder = tar::Builder::new(vec![]);
    let header = |bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header
    };
    for (name, bytes) in sample(&long, 1) {
        builder.append_data(&mut header(&bytes), name, &bytes[..]).unwrap(); // GNU's long names
    }
    for (name, bytes) in sample(&format!("{long}-posix"), 2) {
        builder.append_pax_extensions([("path", name.as_bytes())]).unwrap();
        builder.append_data(&mut header(&bytes), "short", &bytes[..]).unwrap();
    }
    std::fs::write(&path, builder.into_inner().unwrap()).unwrap();
    let source = Source::new("webdataset").with("shards", text(&path)).with("caption", "json");
    let captions: Vec<String> = all(&*opened(source.clone()).unwrap()).into_iter().map(|pair| pair.caption).collect();
    assert_eq!(captions, [format!("described {long}"), format!("described {long}-posix")]);
    let urls = opened(source.clone().with("caption_key", "url")).unwrap();
    assert_eq!(urls.caption(1).unwrap(), "https://example.org/2");
    let error = opened(source.with("caption_key", "alt")).unwrap().caption(0).unwrap_err().to_string();
    assert!(error.contains("key.json") && error.contains("under the key `alt`"), "{error}");
}

#[test]
fn a_sample_that_cannot_be_read_is_an_error_that_names_it_and_the_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar");
    let mut members: Vec<Member> = (0..6).flat_map(|i| sample(&format!("{i}"), i)).collect();
    members.retain(|(name, _)| name != "1.png" && name != "2.txt");
    for (name, bytes) in &mut members {
        match name.as_str() {
            "3.png" => bytes.truncate(40),
            "4.txt" => *bytes = b" \n".to_vec(),
            "5.txt" => *bytes = vec![0xff, 0xfe],
            _ => {}
        }
    }
    members.push(("readme.md".into(), b"not of a sample".to_vec()));
    std::fs::write(&path, tar(&members)).unwrap();
    let pairs = open(text(&path)).unwrap();
    assert_eq!((pairs.len(), pairs.pair(0).unwrap().caption), (6, "caption of 0".into()));
    for (index, needles) in [
        (1, ["a.tar/1", "no image"]),
        (2, ["a.tar/2", "no caption"]),
        (3, ["a.tar/3.png", "not a readable image"]),
        (4, ["a.tar/4.txt", "an empty caption"]),
        (5, ["a.tar/5.txt", "not UTF-8"]),
    ] {
        let error = pairs.pair(index).unwrap_err().to_string();
        assert!(needles.iter().all(|needle| error.contains(needle)), "{index}: {error}");
    }
}

#[test]
fn what_is_wrong_with_shards_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let good = tar(&(0..3).flat_map(|i| sample(&format!("{i}"), i)).collect::<Vec<_>>());
    let twice = tar(&[("0.txt".into(), b"one".to_vec()), ("0.txt".into(), b"two".to_vec())]);
    let cases: [(&str, Vec<u8>, &[&str]); 10] = [
        ("text.tar", b"hello, this is no tar file\n".repeat(60), &["text.tar", "no tar file"]),
        ("short.tar", b"hello".to_vec(), &["short.tar", "no tar file"]),
        ("empty.tar", vec![], &["empty.tar", "no pairs"]),
        ("zeros.tar", vec![0; 1024], &["zeros.tar", "no pairs"]),
        ("other.tar", tar(&[("a.mp3".into(), vec![1; 9])]), &["other.tar", "no pairs", "KEY.jpg"]),
        ("member.tar", good[..good.len() - 1024 - 700].to_vec(), &["member.tar", "cut short"]),
        ("header.tar", good[..512 + 512 + 100].to_vec(), &["header.tar", "cut short"]),
        ("data.tar", good[..512 + 50].to_vec(), &["data.tar", "it ends within its member `0.png`"]),
        ("twice.tar", twice, &["twice.tar", "a second caption of sample `0`"]),
        ("cut.tar.gz", packed(&good)[..200].to_vec(), &["cut.tar.gz", "does not unpack"]),
    ];
    for (name, bytes, needles) in cases {
        let error = open(text(&write(name, &bytes))).err().unwrap_or_else(|| panic!("{name} opens"));
        assert!(needles.iter().all(|needle| error.contains(needle)), "{name}: {error}");
    }
    let good = write("good.tar", &good);
    let error = open([text(&good), "/nowhere/b.tar"]).err().unwrap();
    assert!(error.contains("/nowhere/b.tar: no such file"), "{error}");
    let error = open("/nowhere/{000..012}.tar").err().unwrap();
    assert!(error.contains("matches no file") && error.contains("13") && error.contains("/nowhere/000.tar"), "{error}");
    let error = opened(Source::new("webdataset").with("shards", text(&good)).with("limit", 0)).err().unwrap();
    assert!(error.contains("no pairs"), "{error}");
    let error = opened(Source::new("webdataset").with("shard", text(&good))).err().unwrap();
    assert!(error.contains("did you mean `shards`?"), "{error}");
}

#[test]
fn samples_beyond_the_limit_are_held_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar");
    std::fs::write(&path, tar(&(0..5).flat_map(|i| sample(&format!("{i}"), i)).collect::<Vec<_>>())).unwrap();
    let pairs = opened(Source::new("webdataset").with("shards", text(&path)).with("limit", 2)).unwrap();
    assert_eq!(pairs.len(), 2);
    let held_out = pairs.held_out(2).unwrap();
    assert_eq!((0..held_out.len()).map(|i| held_out.id(i).unwrap()).collect::<Vec<_>>(), ["a/2", "a/3"]);
    let error = pairs.held_out(4).err().unwrap().to_string();
    assert!(error.contains("4 held-out pictures") && error.contains("found 3"), "{error}");
}
