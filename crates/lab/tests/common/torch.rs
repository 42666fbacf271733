//! What `torch.save` and `torch.jit.save` write, around given tensors: pickles made opcode by opcode.

use std::collections::BTreeMap;
use std::io::Write;

/// A tensor of f32.
#[derive(Debug, Clone)]
pub struct Values {
    /// The length of every axis.
    pub shape: Vec<usize>,
    /// Row-major, little-endian.
    pub bytes: Vec<u8>,
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

fn number(out: &mut Vec<u8>, value: usize) {
    out.push(b'J');
    out.extend((value as i32).to_le_bytes());
}

fn tuple(out: &mut Vec<u8>, values: &[usize]) {
    out.push(b'(');
    values.iter().for_each(|&value| number(out, value));
    out.push(b't');
}

/// `_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`, the storage under its number.
fn tensor(out: &mut Vec<u8>, values: &Values, key: usize, legacy: bool) {
    out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
    string(out, "storage");
    out.extend(b"ctorch\nFloatStorage\n");
    string(out, &key.to_string());
    string(out, "cpu");
    number(out, values.bytes.len() / 4);
    if legacy {
        out.push(b'N');
    }
    out.extend(b"tQ");
    number(out, 0);
    tuple(out, &values.shape);
    let strides: Vec<usize> = (0..values.shape.len()).map(|axis| values.shape[axis + 1..].iter().product()).collect();
    tuple(out, &strides);
    out.extend(b"\x89ccollections\nOrderedDict\n)RtR");
}

fn dict(out: &mut Vec<u8>, tensors: &BTreeMap<String, Values>, legacy: bool) {
    out.extend(b"ccollections\nOrderedDict\n)R(");
    for (key, (name, values)) in tensors.iter().enumerate() {
        string(out, name);
        tensor(out, values, key, legacy);
    }
    out.push(b'u');
}

fn archive(pickle: &[u8], tensors: &BTreeMap<String, Values>, more: &[&str]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(vec![]));
    let plain = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut add = |name: &str, content: &[u8]| {
        zip.start_file(format!("archive/{name}"), plain).unwrap();
        zip.write_all(content).unwrap();
    };
    add("data.pkl", pickle);
    tensors.values().enumerate().for_each(|(key, values)| add(&format!("data/{key}"), &values.bytes));
    more.iter().for_each(|name| add(name, b"\x80\x02)."));
    zip.finish().unwrap().into_inner()
}

/// A `.pth`: the state dict under a name (empty: by itself), and pickled things beside it.
pub fn pth(tensors: &BTreeMap<String, Values>, holder: &str, beside: &[(&str, &[u8])]) -> Vec<u8> {
    let mut pickle = b"\x80\x02".to_vec();
    if holder.is_empty() {
        dict(&mut pickle, tensors, false);
    } else {
        pickle.extend(b"}(");
        string(&mut pickle, holder);
        dict(&mut pickle, tensors, false);
        for (name, value) in beside {
            string(&mut pickle, name);
            pickle.extend(*value);
        }
        pickle.push(b'u');
    }
    pickle.push(b'.');
    archive(&pickle, tensors, &["version"])
}

/// The format before PyTorch 1.6.
pub fn legacy(tensors: &BTreeMap<String, Values>) -> Vec<u8> {
    let mut out = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.".to_vec();
    out.extend(b"\x80\x02M\xe9\x03.\x80\x02}(");
    string(&mut out, "little_endian");
    out.extend(b"\x88u.\x80\x02");
    dict(&mut out, tensors, true);
    out.extend(b".\x80\x02](");
    (0..tensors.len()).for_each(|key| string(&mut out, &key.to_string()));
    out.extend(b"e.");
    for values in tensors.values() {
        out.extend((values.bytes.len() as u64 / 4).to_le_bytes());
        out.extend(&values.bytes);
    }
    out
}

/// A TorchScript archive: modules within modules, as the names' dots say.
pub fn script(tensors: &BTreeMap<String, Values>) -> Vec<u8> {
    let mut pickle = b"\x80\x02".to_vec();
    let keys: BTreeMap<&str, usize> = tensors.keys().enumerate().map(|(key, name)| (name.as_str(), key)).collect();
    module(&mut pickle, tensors, &keys, "");
    pickle.push(b'.');
    archive(&pickle, tensors, &["code/__torch__.py", "constants.pkl", "version"])
}

fn module(out: &mut Vec<u8>, tensors: &BTreeMap<String, Values>, keys: &BTreeMap<&str, usize>, prefix: &str) {
    out.extend(b"c__torch__.torch.nn\nModule\n)\x81}(");
    string(out, "training");
    out.push(b'\x89');
    let mut inner: Vec<&str> = vec![];
    for (name, values) in tensors {
        let Some(rest) = name.strip_prefix(prefix) else { continue };
        match rest.split_once('.') {
            None => {
                string(out, rest);
                tensor(out, values, keys[name.as_str()], false);
            }
            Some((part, _)) if !inner.contains(&part) => inner.push(part),
            Some(_) => {}
        }
    }
    for part in inner {
        string(out, part);
        module(out, tensors, keys, &format!("{prefix}{part}."));
    }
    out.extend(b"ub");
}
