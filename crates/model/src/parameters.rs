//! All parameters of a network, its aligner and its loss: named tensors in one fixed order.
//!
//! Training needs no more than this list: leaves are made of it, gradients come back in its order, checkpoints are its names.
//! A network is rebuilt around the leaves of every step, which costs as little as copying handles.

use simseg_tensor::{Error, Parameter, Result, Tensor};
use std::collections::HashMap;
use std::sync::Arc;

/// Named values in a fixed order.
#[derive(Debug, Clone)]
pub struct Parameters<V> {
    names: Arc<Names>,
    values: Vec<V>,
}

#[derive(Debug)]
struct Names {
    list: Vec<String>,
    place: HashMap<String, usize>,
}

impl<V> Parameters<V> {
    /// From names with values, in their order.
    ///
    /// # Errors
    /// If a name occurs twice.
    pub fn new(named: Vec<(String, V)>) -> Result<Self> {
        let (list, values): (Vec<String>, Vec<V>) = named.into_iter().unzip();
        let mut place = HashMap::with_capacity(list.len());
        for (i, name) in list.iter().enumerate() {
            if place.insert(name.clone(), i).is_some() {
                return Err(Error::parameter(name, "occurs twice"));
            }
        }
        Ok(Self { names: Arc::new(Names { list, place }), values })
    }

    /// The value of a name.
    ///
    /// # Errors
    /// If there is none.
    pub fn get(&self, name: &str) -> Result<&V> {
        match self.names.place.get(name) {
            Some(&place) => Ok(&self.values[place]),
            None => Err(Error::parameter(name, "is missing")),
        }
    }

    /// The same names around other values, given in their order.
    ///
    /// # Errors
    /// If there are more or fewer values than names.
    pub fn with<W>(&self, values: Vec<W>) -> Result<Parameters<W>> {
        if values.len() != self.len() {
            let (lhs, rhs) = (vec![values.len()], vec![self.len()]);
            return Err(Error::Shape { op: "parameters", lhs, rhs, rule: "one value per name" });
        }
        Ok(Parameters { names: self.names.clone(), values })
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.list.iter().map(String::as_str)
    }

    /// All values, in order.
    pub fn values(&self) -> &[V] {
        &self.values
    }

    /// Names with values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.names().zip(&self.values)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl Parameters<Parameter> {
    /// Starting values: of every parameter a pure function of `(seed, name)`, whatever else is in the list.
    ///
    /// # Errors
    /// If the backend fails.
    pub fn draw<T: Tensor>(&self, seed: u64, device: &T::Device) -> Result<Parameters<T>> {
        let values = self.iter().map(|(name, parameter)| parameter.draw(seed, name, device));
        self.with(values.collect::<Result<Vec<T>>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_values_keep_their_order() {
        let named = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), name.len())).collect::<Vec<_>>();
        let parameters = Parameters::new(named(&["a", "bcd", "ef"])).unwrap();
        assert_eq!((parameters.values(), *parameters.get("ef").unwrap()), (&[1, 3, 2][..], 2));
        assert_eq!(*parameters.with(vec!['x', 'y', 'z']).unwrap().get("bcd").unwrap(), 'y');
        assert!(parameters.with(vec!['x']).is_err() && parameters.get("b").is_err());
        assert!(Parameters::new(named(&["a", "b", "a"])).unwrap_err().to_string().contains("`a`"));
    }
}
