//! Pickles of tensors, read as data: nothing is ever executed.
//!
//! A pickle is a program for a small stack machine, and Python runs whatever it names. Here the machine knows plain values,
//! containers, the few names that `torch.save` uses for tensors, and those of plain objects that trainers leave beside them
//! ([`names`]), which are passed over; anything else (`os.system`, a class of somebody's own) is refused with its name. Sources: CPython's `pickletools`, PyTorch's `torch/serialization.py` and
//! `torch/_utils.py`.
//!
//! Values lie in a list and refer to each other by position, as Python's objects do: a container that the memo hands out
//! twice is one container, and one that holds itself is no trap, since nobody walks it deeper than asked.

mod calls;
mod machine;
mod names;

/// A value's place in a [`Pickle`].
pub type Id = usize;

/// What a pickle holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `None`
    None,
    /// `True`, `False`
    Bool(bool),
    /// A whole number of at most 64 bits; longer ones are [`Value::Object`]s.
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
    /// An object of a harmless class, with the attributes that were set on it.
    Object(Option<Id>),
    /// Values in a file of the archive.
    Storage(Box<Storage>),
    /// A view of a storage.
    Tensor(Box<Tensor>),
}

/// What the names of a pickle stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A dictionary: `collections.OrderedDict` and its kin.
    Dict,
    /// A sequence or a set: `torch.Size`, `set`.
    Sequence,
    /// A string: `TorchVersion`.
    Text,
    /// `torch._utils._rebuild_tensor_v2`
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`
    RebuildParameter,
    /// `torch.FloatStorage` and its kin.
    Storage(Element),
    /// Harmless, and of no use: `argparse.Namespace`, `numpy.dtype`.
    Plain,
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

    /// All storages that it names.
    pub fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.values.iter().filter_map(|value| match value {
            Value::Storage(storage) => Some(&**storage),
            _ => None,
        })
    }
}

/// Runs a pickle's program. In the pickle of a TorchScript archive (`script`), modules are objects, too.
///
/// # Errors
/// If it asks for anything but tensors, plain containers and harmless objects, or is no complete pickle.
pub fn read(bytes: &[u8], script: bool) -> Result<Pickle, String> {
    Ok(first(bytes, script)?.0)
}

/// The first of several pickles, and how many bytes it has.
///
/// # Errors
/// As [`read`].
pub fn first(bytes: &[u8], script: bool) -> Result<(Pickle, usize), String> {
    let mut machine = machine::Machine::new(bytes, script);
    let root = machine.run()?;
    let length = machine.position();
    Ok((Pickle { values: machine.values, root }, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"a": [1, (2.5, None)], "b": x}` with `x` the list again, by the memo.
    const PLAIN: &[u8] = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01G@\x04\x00\x00\x00\x00\x00\x00N\x86eX\x01\x00\x00\x00bh\x02u.";

    #[test]
    fn plain_containers_are_read_and_shared_ones_are_one() {
        let pickle = read(PLAIN, false).unwrap();
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
            let error = read(program, false).unwrap_err();
            assert!(error.contains(&format!("`{name}`")) && error.contains("nothing was executed"), "{error}");
        }
    }

    #[test]
    fn every_early_end_is_an_error() {
        for end in 0..PLAIN.len() {
            assert!(read(&PLAIN[..end], false).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn long_numbers_keep_their_sign() {
        let value = |program: &[u8]| {
            let pickle = read(program, false).unwrap();
            pickle.get(pickle.root).clone()
        };
        assert_eq!(value(b"\x8a\x01\xff."), Value::Int(-1));
        assert_eq!(value(b"\x8a\x03\x00\x00\x01."), Value::Int(65536));
        assert_eq!(value(b"J\xfe\xff\xff\xff."), Value::Int(-2));
        // A random generator's state has longer ones; no tensor needs them.
        assert_eq!(value(b"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01."), Value::Object(None));
    }

    #[test]
    fn what_trainers_leave_beside_the_weights_is_passed_over() {
        let value = |program: &[u8]| {
            let pickle = read(program, false).unwrap_or_else(|error| panic!("{error}: {}", program.escape_ascii()));
            pickle.get(pickle.root).clone()
        };
        // torch.__version__ is its string, a counter its dictionary, a set its list.
        assert_eq!(
            value(b"\x80\x02ctorch.torch_version\nTorchVersion\nX\x03\x00\x00\x002.1\x85\x81."),
            Value::Text("2.1".into())
        );
        assert_eq!(value(b"\x80\x02ccollections\nCounter\n}\x85R."), Value::Dict(vec![]));
        assert_eq!(value(b"\x80\x02c__builtin__\nset\n](K\x01e\x85R."), Value::List(vec![2]));
        assert_eq!(value(b"\x80\x04\x8f(K\x01\x90."), Value::List(vec![1]));
        assert_eq!(
            value(b"\x80\x02ccollections\ndefaultdict\nc__builtin__\nlist\n\x85RK\x01K\x02s."),
            Value::Dict(vec![(4, 5)])
        );
        // argparse.Namespace(lr=1), by NEWOBJ and by the older OBJ and INST; a NumPy scalar; a dtype; a path.
        for program in [
            &b"\x80\x02cargparse\nNamespace\n)\x81}X\x02\x00\x00\x00lrK\x01sb."[..],
            b"(cargparse\nNamespace\no}b.",
            b"(iargparse\nNamespace\n}b.",
            b"\x80\x02cnumpy._core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\x00\x00\x00f8\x89\x88\x87R(K\x03tbC\x08\x00\x00\x00\x00\x00\x00\x00\x00\x86R.",
            b"\x80\x02cpathlib\nPosixPath\nX\x01\x00\x00\x00/\x85R.",
            b"\x80\x02cpathlib\nPosixPath\nX\x01\x00\x00\x00/\x85}\x92.",
        ] {
            assert!(matches!(value(program), Value::Object(_)), "{}", program.escape_ascii());
        }
        assert_eq!(value(b"\x80\x02ctorch\nbfloat16\n."), Value::Class(Class::Plain));
    }

    #[test]
    fn the_text_opcodes_of_protocol_0_are_read() {
        let pickle = read(b"(dp0\nVa\np1\n(lp2\nI1\naF2.5\naI01\naL7L\nasS'b'\ng2\ns.", false).unwrap();
        let a = pickle.lookup(pickle.root, "a").unwrap();
        assert_eq!(pickle.lookup(pickle.root, "b"), Some(a));
        let Value::List(items) = pickle.get(a) else { panic!() };
        let items: Vec<&Value> = items.iter().map(|&item| pickle.get(item)).collect();
        assert_eq!(items, [&Value::Int(1), &Value::Float(2.5), &Value::Bool(true), &Value::Int(7)]);
    }

    #[test]
    fn modules_of_torchscript_are_objects_in_such_an_archive_only() {
        let program = b"\x80\x02c__torch__.torch.nn\nLinear\n)\x81}X\x01\x00\x00\x00aK\x01sb.";
        let pickle = read(program, true).unwrap();
        let &Value::Object(Some(state)) = pickle.get(pickle.root) else { panic!() };
        assert!(pickle.lookup(state, "a").is_some());
        assert!(read(program, false).unwrap_err().contains("__torch__.torch.nn.Linear"));
    }
}
