//! What the names of a pickle make when they are called: tensors from storages, values from their arguments; nothing is copied twice.

use super::machine::{MOST, Machine, SHORT, Step};
use super::{Class, Id, Storage, Tensor, Value, names};

impl Machine<'_> {
    pub(super) fn name(&mut self, module: &str, name: &str) -> Step {
        let class = names::class(module, name, self.script).ok_or_else(|| refused(module, name))?;
        self.push(Value::Class(class));
        Ok(())
    }

    /// `('storage', class, key, device, count)`; before PyTorch 1.6 also of what it is a view, if of anything.
    pub(super) fn storage(&self, id: Id) -> Step<Storage> {
        let shape = || "a reference that is no storage".to_owned();
        let Value::Tuple(parts) = &self.values[id] else { return Err(shape()) };
        let (kind, class, key, count) = match parts[..] {
            [kind, class, key, _, count] => (kind, class, key, count),
            [kind, class, key, _, count, view] if self.values[view] == Value::None => (kind, class, key, count),
            _ => return Err(shape()),
        };
        match [kind, class, key, count].map(|part| &self.values[part]) {
            [Value::Text(kind), &Value::Class(Class::Storage(element)), Value::Text(key), &Value::Int(count)]
                if kind == "storage" && key.len() <= SHORT =>
            {
                Ok(Storage { element, key: key.clone(), count: count.try_into().map_err(|_| shape())? })
            }
            _ => Err(shape()),
        }
    }

    /// Calls what is known, which makes a value of its arguments or hands one of them on; copies nothing.
    pub(super) fn call(&mut self, function: Id, arguments: Id) -> Step {
        let (Value::Class(class), Value::Tuple(arguments)) = (&self.values[function], &self.values[arguments]) else {
            return Err("a call of what is no function".into());
        };
        let first = arguments.first().map(|&id| (id, &self.values[id]));
        let value = match (class, &arguments[..], first) {
            (Class::Dict, _, Some((id, Value::Dict(_)))) => return self.hand_on(id),
            // Python 2 made ordered dictionaries of lists of pairs: copied, so short work only while nothing is copied twice.
            (Class::Dict, _, Some((_, Value::List(pairs)))) => {
                self.copied += pairs.len();
                if self.copied > MOST {
                    return Err(format!("more than {MOST} values"));
                }
                let pair = |&id: &Id| match self.values[id] {
                    Value::List(ref pair) | Value::Tuple(ref pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
                    _ => Err("a dictionary of what are no pairs".to_owned()),
                };
                Value::Dict(pairs.iter().map(pair).collect::<Step<_>>()?)
            }
            (Class::Dict, ..) => Value::Dict(vec![]),
            (Class::Sequence, _, Some((id, Value::Tuple(_) | Value::List(_)))) => return self.hand_on(id),
            (Class::Sequence, ..) => Value::List(vec![]),
            (Class::Text, _, Some((id, Value::Text(_)))) => return self.hand_on(id),
            // Whether it wants a gradient, and its hooks, are of no use here.
            (Class::RebuildTensor, &[storage, offset, shape, strides, ..], _) => {
                Value::Tensor(Box::new(self.tensor(storage, offset, shape, strides)?))
            }
            (Class::RebuildParameter, _, Some((id, Value::Tensor(_)))) => return self.hand_on(id),
            (Class::RebuildParameter, ..) => return Err("a parameter without a tensor".into()),
            (Class::Plain | Class::Text, ..) => Value::Object(None),
            _ => return Err(format!("a call of {class:?} with {} arguments", arguments.len())),
        };
        self.push(value);
        Ok(())
    }

    fn hand_on(&mut self, id: Id) -> Step {
        self.stack.push(id);
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

    /// Attributes: PyTorch leaves `_metadata` on a state dict; those of a module are its parameters and parts.
    pub(super) fn build(&mut self) -> Step {
        let state = self.pop()?;
        let object = self.top()?;
        match &mut self.values[object] {
            Value::Object(held) => *held = Some(state),
            Value::Dict(_) | Value::List(_) | Value::Tensor(_) => {}
            _ => return Err("attributes for what has none".into()),
        }
        Ok(())
    }
}

fn refused(module: &str, name: &str) -> String {
    let shown: String = format!("{module}.{name}").chars().filter(|c| !c.is_control()).take(80).collect();
    format!(
        "the pickle asks for `{shown}`; only tensors, plain containers and harmless objects are read, nothing was executed"
    )
}
