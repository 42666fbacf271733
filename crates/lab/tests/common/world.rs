//! A small world of drawn pairs, packed in every way that there is a source for, and experiments that train on it.

#![allow(dead_code, reason = "each test takes what it needs")]

use super::program::{ok, simseg, text};
use parquet::data_type::ByteArrayType;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::Value;
use simseg_data::Source;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// 48 scenes of 32 pixels, as files.
pub struct World {
    /// Images and label maps, and nothing that tests write: runs are judged on it, and go on only with its content.
    pub folder: PathBuf,
    /// Everything else.
    pub place: PathBuf,
    /// Image file and caption of every pair.
    pub pairs: Vec<(String, String)>,
}

impl World {
    pub fn draw(folder: &Path) -> Self {
        let world = folder.join("world");
        ok(&simseg(&["scenes", "--out", text(&world), "--count", "48", "--seed", "3", "--size", "32"]));
        let captions = std::fs::read_to_string(world.join("captions.csv")).unwrap();
        let pair = |line: &str| {
            let fields: Vec<&str> = line.split(',').collect();
            assert!(fields.len() == 4 && !line.contains('"'), "image, caption, context, objects: {line}");
            (fields[0].to_owned(), fields[1].to_owned())
        };
        Self { folder: world, place: folder.to_owned(), pairs: captions.lines().skip(1).map(pair).collect() }
    }

    pub fn image(&self, index: usize) -> Vec<u8> {
        std::fs::read(self.folder.join("images").join(&self.pairs[index].0)).unwrap()
    }

    /// Three shards of sixteen; the images of `corrupt` are cut short.
    pub fn shards(&self, name: &str, corrupt: &[usize]) -> Source {
        let folder = self.place.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for shard in 0..3 {
            let file = std::fs::File::create(folder.join(format!("0000{shard}.tar"))).unwrap();
            let mut builder = tar::Builder::new(file);
            for index in shard * 16..(shard + 1) * 16 {
                let mut image = self.image(index);
                if corrupt.contains(&index) {
                    image.truncate(image.len() / 2);
                }
                for (ending, bytes) in [("png", &image[..]), ("txt", self.pairs[index].1.as_bytes()), ("json", b"{}")] {
                    let mut header = tar::Header::new_gnu();
                    header.set_size(bytes.len() as u64);
                    header.set_mode(0o644);
                    builder.append_data(&mut header, format!("{index:09}.{ending}"), bytes).unwrap();
                }
            }
            builder.finish().unwrap();
        }
        Source::new("webdataset").with("shards", format!("{}/{{00000..00002}}.tar", text(&folder)))
    }

    pub fn parquet(&self) -> Source {
        let path = self.place.join("pairs.parquet");
        let schema =
            "message schema { required group image { required binary bytes; } required binary caption (STRING); }";
        let file = std::fs::File::create(&path).unwrap();
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
        for group in [0..20, 20..48] {
            let mut rows = writer.next_row_group().unwrap();
            let images: Vec<Vec<u8>> = group.clone().map(|index| self.image(index)).collect();
            let captions: Vec<Vec<u8>> = group.map(|index| self.pairs[index].1.clone().into_bytes()).collect();
            for values in [images, captions] {
                let values: Vec<_> = values.into_iter().map(Into::into).collect();
                let mut column = rows.next_column().unwrap().unwrap();
                column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
                column.close().unwrap();
            }
            rows.close().unwrap();
        }
        writer.close().unwrap();
        Source::new("parquet").with("files", path)
    }

    pub fn captions(&self) -> Source {
        self.file(self.folder.join("captions.csv"))
    }

    pub fn file(&self, file: PathBuf) -> Source {
        let images = self.folder.join("images");
        Source::new("captions").with("file", file).with("images", images)
    }

    /// The same captions in COCO's form and separated by tabs.
    pub fn coco_and_tsv(&self) -> [Source; 2] {
        let images =
            self.pairs.iter().enumerate().map(|(id, (name, _))| serde_json::json!({"id": id, "file_name": name}));
        let annotations = self.pairs.iter().enumerate();
        let annotations =
            annotations.map(|(id, (_, text))| serde_json::json!({"id": 7 * id, "image_id": id, "caption": text}));
        let file =
            serde_json::json!({"images": images.collect::<Vec<_>>(), "annotations": annotations.collect::<Vec<_>>()});
        std::fs::write(self.place.join("captions_train2017.json"), file.to_string()).unwrap();
        let lines = self.pairs.iter().map(|(name, text)| format!("{text}\t{name}\n"));
        std::fs::write(self.place.join("captions.tsv"), format!("caption\timage\n{}", lines.collect::<String>()))
            .unwrap();
        ["captions_train2017.json", "captions.tsv"].map(|name| self.file(self.place.join(name)))
    }

    /// An experiment of 9 steps, three epochs, on a source.
    pub fn experiment(&self, name: &str, data: &Source, more: &str) -> PathBuf {
        let toml = format!(
            r#"
name = "{name}"
question = "Do packed pairs train?"
rows = []
[model]
projection = 16
image = {{ image_size = 32, patch = 8, width = 24, depth = 1, heads = 2 }}
text = {{ positions = 25, width = 24, depth = 1, heads = 2 }}
[aligner]
kind = "loda"
image_k = 3
text_k = 1
[training]
data = {data}
batch = 16
steps = 9
checkpoint_every = 1
schedule = {{ rate = 1e-3, warmup = 3, floor = 0.1 }}
{more}
[evaluation]
data = {{ kind = "folder", root = "{root}" }}
metrics = ["iou"]
pictures = 1
"#,
            data = inline(&serde_json::to_value(data).unwrap()),
            root = text(&self.folder),
        );
        let file = self.place.join(format!("{name}.toml"));
        std::fs::write(&file, toml).unwrap();
        file
    }
}

/// A JSON table of plain values as an inline table of TOML.
pub fn inline(value: &Value) -> String {
    let fields = value.as_object().unwrap().iter().map(|(key, value)| format!("{key} = {value}"));
    format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
}

/// A folder for results with nothing beside it: trainings that lie beside would be taken, and not made again.
pub fn out(file: &Path, name: &str) -> PathBuf {
    file.with_extension(name).join("out")
}

/// Runs an experiment; the weights that it leaves.
pub fn weights(file: &Path, name: &str, more: &[&str]) -> Vec<u8> {
    let out = out(file, name);
    ok(&simseg(&[&["run", text(file), "--out", text(&out)], more].concat()));
    trained(&out, file)
}

pub fn trained(out: &Path, file: &Path) -> Vec<u8> {
    let run = format!("{}-seed0/model/model.safetensors", file.file_stem().unwrap().to_str().unwrap());
    std::fs::read(out.join(run)).unwrap()
}

/// The lines of a training's log.
pub fn log(out: &Path, file: &Path) -> Vec<Value> {
    let run = format!("{}-seed0/metrics.jsonl", file.file_stem().unwrap().to_str().unwrap());
    let text = std::fs::read_to_string(out.join(run)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
