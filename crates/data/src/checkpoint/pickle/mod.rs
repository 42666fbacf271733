//! Pickles of tensors, read as data: nothing is ever executed.
//!
//! A pickle is a program for a small stack machine, and Python runs whatever it names. Here the machine knows plain values,
//! containers, and the few names that `torch.save` uses for tensors ([`Class`]); anything else (`os.system`, a class of
//! somebody's own) is refused with its name. Sources: CPython's `pickletools`, PyTorch's `torch/serialization.py` and
//! `torch/_utils.py`.
//!
//! Values lie in a list and refer to each other by position, as Python's objects do: a container that the memo hands out
//! twice is one container, and one that holds itself is no trap, since nobody walks it deeper than asked.

mod machine;

/// A value's place in a [`Pickle`].
pub type Id = usize;

/// What a pickle holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `None`
    None,
    /// `True`, `False`
    Bool(bool),
    /// A whole number of at most 64 bits.
    Int(i64),
    /// A real number.
    Float(f64),
    /// A string.
    Text(String),
    /// Bytes, whose content nobody needs.
    Bytes,
    /// A list.
    List(Vec<Id>),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A dictionary, ordered or not.
    Dict(Vec<(Id, Id)>),
    /// A known class or function, by itself.
    Class(Class),
    /// Values in a file of the archive.
    Storage(Box<Storage>),
    /// A view of a storage.
    Tensor(Box<Tensor>),
}

/// The names a pickle may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// `collections.OrderedDict`
    OrderedDict,
    /// `torch.Size`: a tuple.
    Size,
    /// `torch._utils._rebuild_tensor_v2`
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`
    RebuildParameter,
    /// `torch.FloatStorage` and its kin.
    Storage(Element),
}

/// Types of stored values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 64-bit real.
    F64,
    /// 32-bit real.
    F32,
    /// 16-bit real.
    F16,
    /// The upper half of a 32-bit real.
    Bf16,
    /// Whole numbers or truth values of this many bytes.
    Whole(usize),
}

impl Element {
    /// Bytes per value.
    pub fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Whole(size) => size,
        }
    }

    /// Whether values are real numbers.
    pub fn is_real(self) -> bool {
        !matches!(self, Self::Whole(_))
    }
}

/// Values in a file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// Their type.
    pub element: Element,
    /// The file's name under `data/`.
    pub key: String,
    /// How many.
    pub count: usize,
}

/// A view of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// What it looks at.
    pub storage: Storage,
    /// Its first value.
    pub offset: usize,
    /// The length of every axis.
    pub shape: Vec<usize>,
    /// Values between neighbours of every axis.
    pub strides: Vec<usize>,
}

/// A pickle's values.
#[derive(Debug)]
pub struct Pickle {
    values: Vec<Value>,
    /// The one that the program leaves.
    pub root: Id,
}

impl Pickle {
    /// A value.
    pub fn get(&self, id: Id) -> &Value {
        &self.values[id]
    }

    /// What a dictionary holds under a string.
    pub fn lookup(&self, dict: Id, key: &str) -> Option<Id> {
        let Value::Dict(entries) = self.get(dict) else { return None };
        // Python keeps the last of equal keys.
        entries.iter().rev().find(|(k, _)| matches!(self.get(*k), Value::Text(text) if text == key)).map(|&(_, v)| v)
    }
}

/// Runs a pickle's program.
///
/// # Errors
/// If it asks for anything but tensors and plain containers, or is no complete pickle.
pub fn read(bytes: &[u8]) -> Result<Pickle, String> {
    let mut machine = machine::Machine::new(bytes);
    let root = machine.run()?;
    Ok(Pickle { values: machine.values, root })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"a": [1, (2.5, None)], "b": x}` with `x` the list again, by the memo.
    const PLAIN: &[u8] = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01G@\x04\x00\x00\x00\x00\x00\x00N\x86eX\x01\x00\x00\x00bh\x02u.";

    #[test]
    fn plain_containers_are_read_and_shared_ones_are_one() {
        let pickle = read(PLAIN).unwrap();
        let a = pickle.lookup(pickle.root, "a").unwrap();
        assert_eq!(pickle.lookup(pickle.root, "b"), Some(a));
        let Value::List(items) = pickle.get(a) else { panic!() };
        assert_eq!(pickle.get(items[0]), &Value::Int(1));
        let Value::Tuple(pair) = pickle.get(items[1]) else { panic!() };
        assert_eq!((pickle.get(pair[0]), pickle.get(pair[1])), (&Value::Float(2.5), &Value::None));
    }

    #[test]
    fn what_would_run_code_is_refused_by_name() {
        for (program, name) in [
            (&b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R."[..], "os.system"),
            (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.", "builtins.eval"),
            (b"\x80\x02ctorch\nload\n.", "torch.load"),
            (b"\x80\x02c__main__\nModel\n)\x81.", "__main__.Model"),
        ] {
            let error = read(program).unwrap_err();
            assert!(error.contains(&format!("`{name}`")) && error.contains("nothing was executed"), "{error}");
        }
    }

    #[test]
    fn every_early_end_is_an_error() {
        for end in 0..PLAIN.len() {
            assert!(read(&PLAIN[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn long_numbers_keep_their_sign() {
        let value = |program: &[u8]| {
            let pickle = read(program).unwrap();
            pickle.get(pickle.root).clone()
        };
        assert_eq!(value(b"\x8a\x01\xff."), Value::Int(-1));
        assert_eq!(value(b"\x8a\x03\x00\x00\x01."), Value::Int(65536));
        assert_eq!(value(b"J\xfe\xff\xff\xff."), Value::Int(-2));
        assert!(read(b"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01.").is_err());
    }
}
