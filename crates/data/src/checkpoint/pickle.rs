//! Pickles of tensors, read as data: nothing is ever executed.
//!
//! A pickle is a program for a small stack machine, and Python runs whatever it names. Here the machine knows plain values,
//! containers, and the few names that `torch.save` uses for tensors ([`Class`]); anything else (`os.system`, a class of
//! somebody's own) is refused with its name. Sources: CPython's `pickletools`, PyTorch's `torch/serialization.py` and
//! `torch/_utils.py`.
//!
//! Values lie in a list and refer to each other by position, as Python's objects do: a container that the memo hands out
//! twice is one container, and one that holds itself is no trap, since nobody walks it deeper than asked.

use std::collections::HashMap;

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

/// Most values that are read: a checkpoint with its optimiser has some ten per tensor.
const MOST: usize = 4 << 20;
/// Most axes of a tensor, and most characters of a storage's name: what is copied again and again must be short.
const SHORT: usize = 64;

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
    let mut machine = Machine { bytes, at: 0, values: vec![], stack: vec![], marks: vec![], memo: HashMap::new() };
    let root = machine.run()?;
    Ok(Pickle { values: machine.values, root })
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack where marks were set.
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
}

type Step<T = ()> = Result<T, String>;

impl Machine<'_> {
    fn run(&mut self) -> Step<Id> {
        loop {
            if self.values.len() > MOST {
                return Err(format!("more than {MOST} values"));
            }
            let opcode = self.take(1)?[0];
            match opcode {
                // Framing and protocol say nothing about values.
                0x80 => self.skip(1)?,
                0x95 => self.skip(8)?,
                b'.' => return self.pop(),

                b'N' => self.push(Value::None),
                0x88 => self.push(Value::Bool(true)),
                0x89 => self.push(Value::Bool(false)),
                b'K' => self.whole(1)?,
                b'M' => self.whole(2)?,
                b'J' => {
                    let value = i32::from_le_bytes(self.array()?);
                    self.push(Value::Int(value.into()));
                }
                0x8a => self.long()?,
                b'G' => {
                    let value = f64::from_be_bytes(self.array()?);
                    self.push(Value::Float(value));
                }
                0x8c => self.text(1)?,
                b'X' => self.text(4)?,
                0x8d => self.text(8)?,
                b'C' => self.blob(1)?,
                b'B' => self.blob(4)?,
                0x8e => self.blob(8)?,

                b'(' => self.marks.push(self.stack.len()),
                b']' => self.push(Value::List(vec![])),
                b'}' => self.push(Value::Dict(vec![])),
                b')' => self.push(Value::Tuple(vec![])),
                b't' => {
                    let items = self.since_mark()?;
                    self.push(Value::Tuple(items));
                }
                0x85..=0x87 => {
                    let first = self.stack.len().checked_sub(usize::from(opcode) - 0x84).ok_or("a tuple of too few")?;
                    let items = self.stack.split_off(first);
                    self.push(Value::Tuple(items));
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' => {
                    let items = self.since_mark()?;
                    self.append(items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.insert(vec![key, value])?;
                }
                b'u' => {
                    let items = self.since_mark()?;
                    self.insert(items)?;
                }

                b'q' => self.remember(1)?,
                b'r' => self.remember(4)?,
                0x94 => {
                    let top = self.top()?;
                    self.memo.insert(self.memo.len(), top);
                }
                b'h' => self.recall(1)?,
                b'j' => self.recall(4)?,

                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.name(&module, &name)?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (Value::Text(module), Value::Text(name)) = (&self.values[module], &self.values[name]) else {
                        return Err("a name that is no text".into());
                    };
                    let (module, name) = (module.clone(), name.clone());
                    self.name(&module, &name)?;
                }
                b'Q' => {
                    let id = self.pop()?;
                    let storage = self.storage(id)?;
                    self.push(Value::Storage(Box::new(storage)));
                }
                b'R' => self.call()?,
                b'b' => self.build()?,
                other => {
                    let place = self.at - 1;
                    return Err(format!(
                        "opcode {other:#04x} at byte {place}: nothing that tensors or containers need"
                    ));
                }
            }
        }
    }

    // ---- bytes -----------------------------------------------------------------------------------------------
    fn skip(&mut self, count: usize) -> Step {
        self.take(count).map(|_| ())
    }

    fn take(&mut self, count: usize) -> Step<&[u8]> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len()).ok_or("the pickle is cut short")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// An unsigned number of up to eight bytes.
    fn number(&mut self, bytes: usize) -> Step<usize> {
        let value = self.take(bytes)?.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        usize::try_from(value).map_err(|_| "a length beyond this machine".into())
    }

    fn line(&mut self) -> Step<String> {
        let length = self.bytes[self.at..].iter().position(|&byte| byte == b'\n').ok_or("the pickle is cut short")?;
        let text = std::str::from_utf8(&self.bytes[self.at..self.at + length]).map_err(|_| "a name that is no text")?;
        self.at += length + 1;
        Ok(text.to_owned())
    }

    // ---- values ----------------------------------------------------------------------------------------------
    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Step<Id> {
        // What lies below a mark belongs to an unfinished container.
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("a value that was never made".into());
        }
        self.stack.pop().ok_or_else(|| "a value that was never made".into())
    }

    fn top(&self) -> Step<Id> {
        self.stack.last().copied().ok_or_else(|| "a value that was never made".into())
    }

    fn since_mark(&mut self) -> Step<Vec<Id>> {
        let height = self.marks.pop().ok_or("the end of a container that never began")?;
        Ok(self.stack.split_off(height))
    }

    fn whole(&mut self, bytes: usize) -> Step {
        let value = self.number(bytes)? as i64;
        self.push(Value::Int(value));
        Ok(())
    }

    /// Two's complement of any length.
    fn long(&mut self) -> Step {
        let length = self.number(1)?;
        let bytes = self.take(length)?;
        if bytes.len() > 8 {
            return Err("a whole number of more than 64 bits".into());
        }
        let fill = if bytes.last().is_some_and(|&last| last >= 0x80) { 0xff } else { 0 };
        let mut whole = [fill; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(whole)));
        Ok(())
    }

    fn text(&mut self, length_bytes: usize) -> Step {
        let length = self.number(length_bytes)?;
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| "a string that is not UTF-8")?.to_owned();
        self.push(Value::Text(text));
        Ok(())
    }

    fn blob(&mut self, length_bytes: usize) -> Step {
        let length = self.number(length_bytes)?;
        self.take(length)?;
        self.push(Value::Bytes);
        Ok(())
    }

    fn remember(&mut self, bytes: usize) -> Step {
        let (place, top) = (self.number(bytes)?, self.top()?);
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, bytes: usize) -> Step {
        let place = self.number(bytes)?;
        let id = *self.memo.get(&place).ok_or("a value that was never remembered")?;
        self.stack.push(id);
        Ok(())
    }

    fn append(&mut self, items: Vec<Id>) -> Step {
        let list = self.top()?;
        match &mut self.values[list] {
            Value::List(list) => list.extend(items),
            _ => return Err("items for what is no list".into()),
        }
        Ok(())
    }

    fn insert(&mut self, items: Vec<Id>) -> Step {
        let dict = self.top()?;
        match &mut self.values[dict] {
            Value::Dict(entries) if items.len().is_multiple_of(2) => {
                entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                Ok(())
            }
            _ => Err("entries for what is no dictionary".into()),
        }
    }

    // ---- names and calls -------------------------------------------------------------------------------------
    fn name(&mut self, module: &str, name: &str) -> Step {
        let class = match (module, name) {
            ("collections", "OrderedDict") => Class::OrderedDict,
            ("torch", "Size") => Class::Size,
            ("torch._utils", "_rebuild_tensor_v2") => Class::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Class::RebuildParameter,
            ("torch", storage) => Class::Storage(match storage {
                "DoubleStorage" => Element::F64,
                "FloatStorage" => Element::F32,
                "HalfStorage" => Element::F16,
                "BFloat16Storage" => Element::Bf16,
                "LongStorage" => Element::Whole(8),
                "IntStorage" => Element::Whole(4),
                "ShortStorage" => Element::Whole(2),
                "CharStorage" | "ByteStorage" | "BoolStorage" => Element::Whole(1),
                _ => return Err(refused(module, name)),
            }),
            _ => return Err(refused(module, name)),
        };
        self.push(Value::Class(class));
        Ok(())
    }

    /// `('storage', class, key, device, count)`
    fn storage(&self, id: Id) -> Step<Storage> {
        let shape = || "a reference that is no storage".to_owned();
        let Value::Tuple(parts) = &self.values[id] else { return Err(shape()) };
        let &[kind, class, key, _, count] = &parts[..] else { return Err(shape()) };
        match [kind, class, key, count].map(|part| &self.values[part]) {
            [Value::Text(kind), &Value::Class(Class::Storage(element)), Value::Text(key), &Value::Int(count)]
                if kind == "storage" && key.len() <= SHORT =>
            {
                Ok(Storage { element, key: key.clone(), count: count.try_into().map_err(|_| shape())? })
            }
            _ => Err(shape()),
        }
    }

    fn call(&mut self) -> Step {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let (Value::Class(class), Value::Tuple(arguments)) = (&self.values[function], &self.values[arguments]) else {
            return Err("a call of what is no function".into());
        };
        let value = match (class, &arguments[..]) {
            (Class::OrderedDict, []) => Value::Dict(vec![]),
            (Class::Size, &[items]) => match &self.values[items] {
                Value::Tuple(items) | Value::List(items) if items.len() <= SHORT => Value::Tuple(items.clone()),
                _ => return Err("a size of what is no short tuple".into()),
            },
            // Whether it wants a gradient, and its hooks, are of no use here.
            (Class::RebuildTensor, &[storage, offset, shape, strides, ..]) => {
                Value::Tensor(Box::new(self.tensor(storage, offset, shape, strides)?))
            }
            (Class::RebuildParameter, &[data, ..]) => match &self.values[data] {
                Value::Tensor(tensor) => Value::Tensor(tensor.clone()),
                _ => return Err("a parameter without a tensor".into()),
            },
            _ => return Err(format!("a call of {class:?} with {} arguments", arguments.len())),
        };
        self.push(value);
        Ok(())
    }

    fn tensor(&self, storage: Id, offset: Id, shape: Id, strides: Id) -> Step<Tensor> {
        let Value::Storage(storage) = &self.values[storage] else { return Err("a tensor without a storage".into()) };
        let number = |id: Id| match self.values[id] {
            Value::Int(value) => usize::try_from(value).map_err(|_| "a tensor with a negative size".to_owned()),
            _ => Err("a tensor whose size is no number".to_owned()),
        };
        let numbers = |id: Id| -> Step<Vec<usize>> {
            match &self.values[id] {
                Value::Tuple(items) if items.len() <= SHORT => items.iter().map(|&item| number(item)).collect(),
                _ => Err("a tensor whose shape is no short tuple".to_owned()),
            }
        };
        let (offset, shape, strides) = (number(offset)?, numbers(shape)?, numbers(strides)?);
        if shape.len() != strides.len() {
            return Err("a tensor with more axes than strides, or fewer".into());
        }
        Ok(Tensor { storage: (**storage).clone(), offset, shape, strides })
    }

    /// A dictionary's own attributes (PyTorch leaves `_metadata` on a state dict): of no use here.
    fn build(&mut self) -> Step {
        self.pop()?;
        match self.values[self.top()?] {
            Value::Dict(_) => Ok(()),
            _ => Err("attributes for what is no dictionary".into()),
        }
    }
}

fn refused(module: &str, name: &str) -> String {
    let shown: String = format!("{module}.{name}").chars().filter(|c| !c.is_control()).take(80).collect();
    format!("the pickle asks for `{shown}`; only tensors and plain containers are read, nothing was executed")
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
