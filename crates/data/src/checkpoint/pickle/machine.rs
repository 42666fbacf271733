//! The stack machine of pickles, without the opcodes that run code: opcodes as in CPython's `pickletools`.
//!
//! Work and memory are bounded by the length of the program: an opcode makes at most one value, and what is copied again and
//! again (a tensor's shape, a storage's name) is short.

use super::{Id, Value};
use std::collections::HashMap;

/// Most values that are read: a checkpoint with its optimiser has some ten per tensor.
pub(super) const MOST: usize = 4 << 20;
/// Most axes of a tensor, and most characters of a storage's name: what is copied again and again must be short.
pub(super) const SHORT: usize = 64;

/// The machine, in the middle of a program.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    pub(super) values: Vec<Value>,
    pub(super) stack: Vec<Id>,
    /// Heights of the stack where marks were set.
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
    /// Whether modules of TorchScript are read.
    pub(super) script: bool,
    /// Entries that were copied from lists to dictionaries.
    pub(super) copied: usize,
}

pub(super) type Step<T = ()> = Result<T, String>;

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8], script: bool) -> Self {
        Self { bytes, at: 0, values: vec![], stack: vec![], marks: vec![], memo: HashMap::new(), script, copied: 0 }
    }

    /// How many bytes were read.
    pub(super) fn position(&self) -> usize {
        self.at
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
                0x8a => self.long(1)?,
                0x8b => self.long(4)?,
                b'I' | b'L' => {
                    let line = self.line()?;
                    self.push(match line.trim_end_matches('L') {
                        "00" => Value::Bool(false),
                        "01" => Value::Bool(true),
                        digits => digits.parse().map_or(Value::Object(None), Value::Int),
                    });
                }
                b'F' => {
                    let line = self.line()?;
                    let value = line.parse().map_err(|_| "a real number that is none")?;
                    self.push(Value::Float(value));
                }
                b'G' => {
                    let value = f64::from_be_bytes(self.array()?);
                    self.push(Value::Float(value));
                }
                0x8c => self.text(1)?,
                b'X' => self.text(4)?,
                0x8d => self.text(8)?,
                b'V' => {
                    let line = self.line()?;
                    self.push(Value::Text(line));
                }
                // Strings of Python 2; PyTorch's names are ASCII.
                b'S' => {
                    let line = self.line()?;
                    self.push(Value::Text(line.trim_matches(['\'', '"']).to_owned()));
                }
                b'U' => self.old_text(1)?,
                b'T' => self.old_text(4)?,
                b'C' => self.blob(1)?,
                b'B' => self.blob(4)?,
                0x8e | 0x96 => self.blob(8)?,

                b'(' => self.marks.push(self.stack.len()),
                // A set is a list whose items Python keeps apart.
                b']' | 0x8f => self.push(Value::List(vec![])),
                b'}' => self.push(Value::Dict(vec![])),
                b')' => self.push(Value::Tuple(vec![])),
                b't' | 0x91 => {
                    let items = self.since_mark()?;
                    self.push(Value::Tuple(items));
                }
                b'l' => {
                    let items = self.since_mark()?;
                    self.push(Value::List(items));
                }
                b'd' => {
                    let items = self.since_mark()?;
                    self.push(Value::Dict(vec![]));
                    self.insert(items)?;
                }
                0x85..=0x87 => {
                    let first = self.stack.len().checked_sub(usize::from(opcode) - 0x84);
                    // What lies below a mark belongs to an unfinished container.
                    let floor = self.marks.last().copied().unwrap_or(0);
                    let first = first.filter(|&first| first >= floor).ok_or("a tuple of too few")?;
                    let items = self.stack.split_off(first);
                    self.push(Value::Tuple(items));
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' | 0x90 => {
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

                b'0' => {
                    self.pop()?;
                }
                b'1' => {
                    self.since_mark()?;
                }
                b'2' => {
                    let top = self.top()?;
                    self.stack.push(top);
                }

                b'q' => self.remember(1)?,
                b'r' => self.remember(4)?,
                0x94 => {
                    let top = self.top()?;
                    self.memo.insert(self.memo.len(), top);
                }
                b'p' => {
                    let (place, top) = (self.place()?, self.top()?);
                    self.memo.insert(place, top);
                }
                b'g' => {
                    let place = self.place()?;
                    self.recalled(place)?;
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
                // Reduce and new object: a class or function with its arguments.
                b'R' | 0x81 => {
                    let (arguments, function) = (self.pop()?, self.pop()?);
                    self.call(function, arguments)?;
                }
                0x92 => {
                    let (_named, arguments, function) = (self.pop()?, self.pop()?, self.pop()?);
                    self.call(function, arguments)?;
                }
                b'o' => {
                    let mut items = self.since_mark()?;
                    if items.is_empty() {
                        return Err("an object without a class".into());
                    }
                    let function = items.remove(0);
                    let arguments = self.hold(Value::Tuple(items));
                    self.call(function, arguments)?;
                }
                b'i' => {
                    let (module, name) = (self.line()?, self.line()?);
                    let items = self.since_mark()?;
                    self.name(&module, &name)?;
                    let function = self.pop()?;
                    let arguments = self.hold(Value::Tuple(items));
                    self.call(function, arguments)?;
                }
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
    pub(super) fn hold(&mut self, value: Value) -> Id {
        self.values.push(value);
        self.values.len() - 1
    }

    pub(super) fn push(&mut self, value: Value) {
        let id = self.hold(value);
        self.stack.push(id);
    }

    pub(super) fn pop(&mut self) -> Step<Id> {
        // What lies below a mark belongs to an unfinished container.
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("a value that was never made".into());
        }
        self.stack.pop().ok_or_else(|| "a value that was never made".into())
    }

    pub(super) fn top(&self) -> Step<Id> {
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
    fn long(&mut self, length_bytes: usize) -> Step {
        let length = self.number(length_bytes)?;
        let bytes = self.take(length)?;
        if bytes.len() > 8 {
            self.push(Value::Object(None));
            return Ok(());
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

    fn old_text(&mut self, length_bytes: usize) -> Step {
        let length = self.number(length_bytes)?;
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
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
        self.recalled(place)
    }

    /// A place in the memo, as protocol 0 writes it.
    fn place(&mut self) -> Step<usize> {
        self.line()?.parse().map_err(|_| "a place that is no number".into())
    }

    fn recalled(&mut self, place: usize) -> Step {
        let id = *self.memo.get(&place).ok_or("a value that was never remembered")?;
        self.stack.push(id);
        Ok(())
    }

    fn append(&mut self, items: Vec<Id>) -> Step {
        let list = self.top()?;
        match &mut self.values[list] {
            Value::List(list) => list.extend(items),
            Value::Object(_) => {}
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
            Value::Object(_) => Ok(()),
            _ => Err("entries for what is no dictionary".into()),
        }
    }
}
