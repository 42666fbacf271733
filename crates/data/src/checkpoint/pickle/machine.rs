//! The stack machine of pickles, without the opcodes that run code: opcodes as in CPython's `pickletools`.
//!
//! Work and memory are bounded by the length of the program: an opcode makes at most one value, and what is copied again and
//! again (a tensor's shape, a storage's name) is short.

use super::{Class, Element, Id, Storage, Tensor, Value};
use std::collections::HashMap;

/// Most values that are read: a checkpoint with its optimiser has some ten per tensor.
const MOST: usize = 4 << 20;
/// Most axes of a tensor, and most characters of a storage's name: what is copied again and again must be short.
const SHORT: usize = 64;

/// The machine, in the middle of a program.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    pub(super) values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack where marks were set.
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
}

type Step<T = ()> = Result<T, String>;

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, values: vec![], stack: vec![], marks: vec![], memo: HashMap::new() }
    }

    pub(super) fn run(&mut self) -> Step<Id> {
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
