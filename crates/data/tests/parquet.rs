//! Pairs in Parquet files that these tests write: bytes, structs and file names; and what is wrong is said in one line.

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use simseg_data::{DataRegistry, Pairs, Picture, Source};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn picture(seed: u8) -> Picture {
    Picture { width: 5, height: 3, rgb: (0..45).map(|at| seed.wrapping_mul(29).wrapping_add(at * 5)).collect() }
}

/// The values of a column: what is null, and how deep it is defined where it is not.
struct Column(i16, Vec<Option<Vec<u8>>>);

/// A file with a row group of `group` rows after the other.
fn write(path: &Path, schema: &str, columns: &[Column], group: usize, compression: Compression) {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    // Small pages, so that rows are passed over by page and within one.
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_data_page_row_count_limit(2)
        .set_write_batch_size(1)
        .set_dictionary_enabled(false);
    let file = std::fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties.build())).unwrap();
    let rows = columns[0].1.len();
    for start in (0..rows).step_by(group.max(1)) {
        let mut rows_writer = writer.next_row_group().unwrap();
        for Column(depth, values) in columns {
            let values = &values[start..(start + group).min(rows)];
            let levels: Vec<i16> =
                values.iter().map(|value| if value.is_some() { *depth } else { depth - 1 }).collect();
            let there: Vec<ByteArray> = values.iter().flatten().map(|value| value.clone().into()).collect();
            let mut column = rows_writer.next_column().unwrap().unwrap();
            let levels = (*depth > 0).then_some(&levels[..]);
            column.typed::<ByteArrayType>().write_batch(&there, levels, None).unwrap();
            column.close().unwrap();
        }
        rows_writer.close().unwrap();
    }
    writer.close().unwrap();
}

const HUGGING_FACE: &str = "message schema {
    optional group image { optional binary bytes; optional binary path (STRING); }
    optional binary caption (STRING);
}";
const BYTES: &str = "message schema { required binary image; required binary caption (STRING); }";
const NAMES: &str = "message schema { required binary file_name (STRING); optional binary text (STRING); }";

fn captions(depth: i16, rows: u8) -> Column {
    Column(depth, (0..rows).map(|row| Some(format!("caption {row}").into_bytes())).collect())
}

fn pngs(depth: i16, rows: u8) -> Column {
    Column(depth, (0..rows).map(|row| Some(picture(row).png())).collect())
}

fn open(source: Source) -> Result<Box<dyn Pairs>, String> {
    let pairs = DataRegistry::built_in().open_pairs(&source, 0).map_err(|error| error.to_string());
    pairs.inspect_err(|line| assert!(!line.contains('\n'), "{line}"))
}

fn at(path: &Path) -> Source {
    Source::new("parquet").with("files", path.to_str().unwrap())
}

fn check(pairs: &dyn Pairs, rows: u8) {
    assert_eq!(pairs.len(), usize::from(rows));
    for index in (0..rows).rev().chain(0..rows) {
        let pair = pairs.pair(index.into()).unwrap();
        assert_eq!((pair.picture, pair.caption), (picture(index), format!("caption {index}")));
    }
}

#[test]
fn bytes_structs_and_file_names_give_the_same_pairs_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::LZ4_RAW] {
        write(
            &path("hf.parquet"),
            HUGGING_FACE,
            &[pngs(2, 11), Column(2, vec![None; 11]), captions(1, 11)],
            5,
            compression,
        );
        check(&*open(at(&path("hf.parquet"))).unwrap(), 11);
        write(&path("b.parquet"), BYTES, &[pngs(0, 11), captions(0, 11)], 7, compression);
        check(&*open(at(&path("b.parquet"))).unwrap(), 11);
    }
    for row in 0..4 {
        picture(row).save(&path(&format!("{row}.png"))).unwrap();
    }
    let names = || Column(0, (0..4u8).map(|row| Some(format!("{row}.png").into_bytes())).collect());
    write(&path("n.parquet"), NAMES, &[names(), captions(1, 4)], 3, Compression::SNAPPY);
    let source = at(&path("n.parquet")).with("images", folder.path());
    check(&*open(source.clone()).unwrap(), 4);
    // Two files, by a pattern; and the rest held out.
    let both = Source::new("parquet").with("files", format!("{}/{{b,n}}.parquet", folder.path().display()));
    let error = open(both).err().unwrap_or_default();
    assert_eq!(error, "", "columns are found by name in each file");
    let held_out = open(source.with("limit", 1)).unwrap().held_out(2).unwrap();
    assert_eq!(
        (held_out.len(), held_out.id(0).unwrap(), held_out.caption(1).unwrap()),
        (2, "n/1".into(), "caption 2".into())
    );
}

#[test]
fn a_row_that_cannot_be_read_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let Column(_, mut images) = pngs(2, 5);
    images[1] = None;
    images[2] = Some(b"no picture".to_vec());
    let names = vec![None, None, None, Some(b"far/away.jpg".to_vec()), None];
    images[3] = None;
    let Column(_, mut texts) = captions(1, 5);
    texts[4] = None;
    write(&path, HUGGING_FACE, &[Column(2, images), Column(2, names), Column(1, texts)], 5, Compression::SNAPPY);
    let pairs = open(at(&path)).unwrap();
    assert_eq!(pairs.pair(0).unwrap().picture, picture(0));
    for (index, needle) in [
        (1, "row 1: no image"),
        (2, "row 2: not an image"),
        (3, "row 3: the image is a file name, `far/away.jpg`; expected its folder in `images`"),
        (4, "row 4: no caption"),
    ] {
        let error = pairs.pair(index).unwrap_err().to_string();
        assert!(error.contains("a.parquet") && error.contains(needle), "{error}");
    }
}

#[test]
fn what_is_wrong_with_files_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let good = path("good.parquet");
    write(&good, BYTES, &[pngs(0, 4), captions(0, 4)], 2, Compression::SNAPPY);
    let bytes = std::fs::read(&good).unwrap();
    std::fs::write(path("text.parquet"), b"image,caption\n").unwrap();
    std::fs::write(path("cut.parquet"), &bytes[..bytes.len() / 2]).unwrap();
    let list = "message schema { required binary image; required group caption (LIST) { repeated group list { required binary element (STRING); } } }";
    let other = "message schema { required binary image; required int64 caption; }";
    let schema = |name: &str, text: &str| {
        let schema = Arc::new(parse_message_type(text).unwrap());
        let file = std::fs::File::create(path(name)).unwrap();
        SerializedFileWriter::new(file, schema, Arc::default()).unwrap().close().unwrap();
    };
    schema("list.parquet", list);
    schema("number.parquet", other);
    schema("none.parquet", BYTES);
    for (source, needles) in [
        (at(&path("text.parquet")), &["text.parquet", "no Parquet file"][..]),
        (at(&path("cut.parquet")), &["cut.parquet", "damaged"]),
        (at(&path("list.parquet")), &["`caption`", "a list"]),
        (at(&path("number.parquet")), &["`caption`", "INT64"]),
        (at(&path("none.parquet")), &["none.parquet", "no rows"]),
        (at(&good).with("caption_column", "alt"), &["no column of captions", "`alt`", "`image`, `caption`"]),
        (at(&good).with("image_column", "photo"), &["no column of images", "`photo`"]),
        (at(&good).with("images", "/nowhere"), &["/nowhere", "folder of images"]),
        (at(&path("absent.parquet")), &["absent.parquet", "no such file"]),
    ] {
        let error = open(source.clone()).err().unwrap_or_else(|| panic!("{source:?} opens"));
        assert!(needles.iter().all(|needle| error.contains(needle)), "{source:?}: {error}");
    }
}

#[test]
fn damage_anywhere_is_an_error_or_a_pair_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good.parquet");
    write(&good, HUGGING_FACE, &[pngs(2, 4), Column(2, vec![None; 4]), captions(1, 4)], 2, Compression::SNAPPY);
    let bytes = std::fs::read(&good).unwrap();
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {})); // caught in there
    let (mut refused, mut read) = (0, 0);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x41;
        std::fs::write(&good, &damaged).unwrap();
        match open(self::at(&good)) {
            Err(_) => refused += 1,
            Ok(pairs) => read += (0..pairs.len().min(8)).filter(|&index| pairs.pair(index).is_ok()).count(),
        }
    }
    std::panic::set_hook(usual);
    assert!(refused > 0 && read > 0, "{refused} refused, {read} pairs read of {} damaged files", bytes.len());
}
