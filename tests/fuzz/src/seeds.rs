//! Whole files, small and of every form that the parsers know.

fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

/// A tensor `[2, 2]` of f32 in storage `0`.
fn tensor(out: &mut Vec<u8>, legacy: bool) {
    out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
    string(out, "storage");
    out.extend(b"ctorch\nFloatStorage\n");
    string(out, "0");
    string(out, "cpu");
    out.extend(b"K\x04");
    if legacy {
        out.push(b'N');
    }
    out.extend(b"tQK\x00K\x02K\x02\x86K\x02K\x01\x86\x89ccollections\nOrderedDict\n)RtR");
}

/// Pickles of a state dict and of what trainers leave beside it; the format before PyTorch 1.6. Archives of them come from
/// `zip_of`, whose checksums a mutation breaks: so the plain pickles of the old format reach deeper.
pub fn pth() -> Vec<Vec<u8>> {
    let mut old = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}(".to_vec();
    string(&mut old, "little_endian");
    old.extend(b"\x88u.\x80\x02}(");
    string(&mut old, "state_dict");
    old.extend(b"}(");
    string(&mut old, "module.a.weight");
    tensor(&mut old, true);
    old.push(b'u');
    for (name, value) in [
        ("args", &b"cargparse\nNamespace\n)\x81}X\x02\x00\x00\x00lrG?\x1a6\xe2\xeb\x1cC-sb"[..]),
        ("seen", b"c__builtin__\nset\n](K\x01K\x02e\x85R"),
        ("best", b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\x00\x00\x00f8K\x00K\x01\x87R\x8e\x08\x00\x00\x00\x00\x00\x00\x00abcdefgh\x86R"),
        ("old", b"(dp9\nVa\np8\n(lp7\nI1\naF2.5\naI01\naL7L\nasS'b'\ng7\ns"),
        ("set", b"\x8f(K\x01\x90"),
        ("long", b"\x8b\x04\x00\x00\x00abcd"),
        ("counts", b"ccollections\nCounter\n}X\x01\x00\x00\x00aK\x02s\x85R"),
    ] {
        string(&mut old, name);
        old.extend(value);
    }
    old.extend(b"u.\x80\x02](");
    string(&mut old, "0");
    old.extend(b"e.");
    old.extend(4u64.to_le_bytes());
    old.extend([0; 16]);
    vec![old]
}

pub fn safetensors() -> Vec<Vec<u8>> {
    [r#"{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"BF16","shape":[4],"data_offsets":[16,24]}}"#, r#"{"__metadata__":{"format":"pt"},"n":{"dtype":"I64","shape":[3],"data_offsets":[0,24]}}"#]
        .iter()
        .map(|header| [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[1; 24]].concat())
        .collect()
}

pub fn index() -> Vec<Vec<u8>> {
    vec![br#"{"metadata": {"total_size": 8}, "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#.to_vec()]
}

pub fn config() -> Vec<Vec<u8>> {
    [
        r#"{"model_type": "bert", "hidden_size": 384, "num_attention_heads": 12, "hidden_act": "gelu", "layer_norm_eps": 1e-12}"#,
        r#"{"model_type": "clip", "text_config": {"hidden_act": "gelu", "num_attention_heads": 8}, "vision_config": {"hidden_act": "gelu", "hidden_size": 768}}"#,
        r#"{"architecture": "vit_small_patch16_224", "num_classes": 0}"#,
        r#"{"model": {"image": {"image_size": 64, "patch": 16, "width": 16, "depth": 1, "heads": 1}, "text": {"vocabulary": 9, "positions": 8, "types": 2, "width": 16, "intermediate": 32, "depth": 1, "heads": 1}, "projection": 8, "temperature": 0.02}, "aligner": {"kind": "dense"}}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

pub fn tokenizer() -> Vec<Vec<u8>> {
    let merges = simseg_data::Tokenizer::from_bytes(b"#version: 0.2\na t</w>\nc at</w>\np h\nph o\n");
    let clip = merges.and_then(|tokenizer| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        tokenizer.save(folder.path())?;
        Ok(std::fs::read(folder.path().join("tokenizer.json")).expect("it was saved"))
    });
    vec![
        clip.expect("merges of pairs"),
        br###"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{"id":0,"content":"[UNK]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":null,"decoder":null,"model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{"[UNK]":0,"a":1,"cat":2,"##s":3}}}"###.to_vec()]
}

pub fn vocabulary() -> Vec<Vec<u8>> {
    vec![
        b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\ncat\n##s\nphoto\nof\n".to_vec(),
        b"\xef\xbb\xbf[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\nCat\r\n\r\n".to_vec(),
        b"#version: 0.2\na t</w>\nc at</w>\np h\nph o\n".to_vec(),
    ]
}

pub fn classes() -> Vec<Vec<u8>> {
    vec!["background\ncat | kitten\ndog\n猫\n".as_bytes().to_vec(), b"\xef\xbb\xbfbackground\r\na\r\n\r\n".to_vec()]
}

pub fn experiment() -> Vec<Vec<u8>> {
    [include_str!("../../../experiments/quick.toml"), include_str!("../../../experiments/threshold.toml")]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
}

fn pixels(width: usize, height: usize) -> Vec<u8> {
    (0..3 * width * height).map(|i| (i * 37 % 251) as u8).collect()
}

pub fn picture() -> Vec<Vec<u8>> {
    use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress, compress_progressive};
    let rgb = pixels(19, 13);
    let plain = compress(&rgb, 19, 13, PixelFormat::Rgb, 80, Subsampling::S420).unwrap_or_default();
    let exif = [
        b"\xff\xd8\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0",
        &plain[2..],
        b"ftypmp42",
    ]
    .concat();
    let progressive = compress_progressive(&rgb, 19, 13, PixelFormat::Rgb, 80, Subsampling::S444).unwrap_or_default();
    let png = simseg_data::Picture { width: 19, height: 13, rgb }.png();
    let webp = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0".to_vec();
    let mut bmp =
        b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x02\0\0\0\x02\0\0\0\x01\0\x18\0\0\0\0\0\x10\0\0\0".to_vec();
    bmp.extend([0; 32]);
    vec![exif, progressive, png, webp, bmp]
}

pub fn labels() -> Vec<Vec<u8>> {
    let values = (0..9 * 7).map(|i| (i % 4) as u16).collect();
    let ours = simseg_data::picture::Labels::new(9, 7, values).png();
    let mut packed = vec![];
    let mut encoder = png::Encoder::new(&mut packed, 5, 3);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Two);
    encoder.set_palette(vec![0, 0, 0, 255, 255, 255, 1, 2, 3]);
    let written = encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&[0b00_01_10_00, 0b01_00_00_00].repeat(3)));
    written.expect("rows of two bytes");
    let many = simseg_data::picture::LabelFormat::of(300, true);
    let values = (0..9 * 7).map(|i| i * 5).collect();
    let deep = simseg_data::picture::Labels { format: many, ..simseg_data::picture::Labels::new(9, 7, values) }.png();
    vec![ours, packed, deep]
}

pub fn context() -> Vec<Vec<u8>> {
    let image = |number: u32, phase: &str| {
        format!(
            r#"{{"image_id": {number}, "file_name": "2008_00000{number}.jpg", "phase": "{phase}", "height": 2, "width": 3}}"#
        )
    };
    let mask = |number: u32, category: u32, counts: &str| {
        format!(
            r#"{{"image_id": {number}, "category_id": {category}, "segmentation": {{"counts": "{counts}", "size": [2, 3]}}}}"#
        )
    };
    let text = format!(
        r#"{{"images": [{}, {}], "annos_segmentation": [{}, {}], "categories": [{{"id": 25, "name": "bird"}}]}}"#,
        image(1, "train"),
        image(2, "val"),
        mask(1, 25, "06"),
        mask(2, 416, "222"),
    );
    vec![text.into_bytes()]
}

pub fn captions() -> Vec<Vec<u8>> {
    [
        "image,caption\na.jpg,a cat\nb.jpg,\"a \"\"big\"\" dog, asleep\"\n",
        "image_name| comment_number| comment\na.jpg| 0| a cat\nb.jpg| 4   a dog\n",
        "a.jpg#0\ta cat\nb.jpg#3\ta dog\n",
        "id;Caption;File_Name\n1;a cat;a.jpg\n",
        r#"{"images": [{"id": 4, "file_name": "a.jpg"}], "annotations": [{"image_id": 4, "caption": "a cat"}]}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

pub fn runs() -> Vec<Vec<u8>> {
    vec![b"0`0ln0".to_vec(), b"PPYo1".to_vec(), b"4321".to_vec()]
}

/// Two samples, the second with a long name; plain and packed.
pub fn webdataset() -> Vec<Vec<u8>> {
    let png = simseg_data::Picture { width: 2, height: 2, rgb: (0..12).collect() }.png();
    let mut builder = tar::Builder::new(vec![]);
    for key in ["0".to_owned(), "long/".repeat(25)] {
        for (ending, bytes) in [("png", &png[..]), ("txt", b"a cat"), ("json", b"{}")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, format!("{key}k.{ending}"), bytes).expect("written to memory");
        }
    }
    vec![builder.into_inner().expect("written to memory")]
}

/// Two rows as Hugging Face has them.
pub fn parquet() -> Vec<Vec<u8>> {
    use parquet::data_type::{ByteArray, ByteArrayType};
    let png = simseg_data::Picture { width: 2, height: 2, rgb: (0..12).collect() }.png();
    let schema = "message schema { optional group image { optional binary bytes; optional binary path (STRING); } optional binary caption (STRING); }";
    let schema = parquet::schema::parser::parse_message_type(schema).expect("a schema");
    let mut bytes = vec![];
    let write = || -> parquet::errors::Result<()> {
        let mut writer =
            parquet::file::writer::SerializedFileWriter::new(&mut bytes, schema.into(), std::sync::Arc::default())?;
        let mut rows = writer.next_row_group()?;
        let captions = vec![ByteArray::from("a cat"), "a dog".into()];
        for (values, levels) in [(vec![png.clone().into(), png.into()], [2, 2]), (vec![], [1, 1]), (captions, [1, 1])] {
            if let Some(mut column) = rows.next_column()? {
                column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
                column.close()?;
            }
        }
        rows.close()?;
        writer.close().map(|_| ())
    };
    write().expect("written to memory");
    vec![bytes]
}
