//! A name with settings, as it stands in a file.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// An algorithm by name: `{ kind = "loda", image_k = 3, text_k = 1 }`.
///
/// What the settings mean is known to the algorithm alone; [`crate::Kinds::resolve`] checks them and fills in defaults.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Choice {
    /// The name; empty for the default of the family.
    pub kind: String,
    /// Everything beside it.
    pub settings: Map<String, Value>,
}

impl Choice {
    /// An algorithm without settings of its own.
    pub fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), settings: Map::new() }
    }

    /// An algorithm with the settings of a struct, as it would write them.
    ///
    /// # Panics
    /// If it writes anything but a table of plain values.
    pub fn of(kind: impl Into<String>, settings: &impl Serialize) -> Self {
        match serde_json::to_value(settings) {
            Ok(Value::Object(settings)) => Self { kind: kind.into(), settings },
            other => panic!("settings are a table of plain values, not {other:?}"),
        }
    }

    /// The same with one setting more (or another value for it).
    ///
    /// # Panics
    /// If the value is none that JSON can hold, such as a map whose keys are not strings.
    pub fn with(mut self, key: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).expect("settings are plain values");
        self.settings.insert(key.to_owned(), value);
        self
    }

    /// A setting, if it is there and of this type.
    pub fn get<V: for<'a> Deserialize<'a>>(&self, key: &str) -> Option<V> {
        V::deserialize(self.settings.get(key)?).ok()
    }

    /// The same without some of its settings.
    pub fn without(&self, keys: &[&str]) -> Self {
        let kept = self.settings.iter().filter(|(key, _)| !keys.contains(&key.as_str()));
        Self { kind: self.kind.clone(), settings: kept.map(|(key, value)| (key.clone(), value.clone())).collect() }
    }
}

impl Serialize for Choice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kind = (!self.kind.is_empty()).then(|| ("kind".to_owned(), Value::String(self.kind.clone())));
        let settings = self.settings.iter().map(|(key, value)| (key.clone(), value.clone()));
        // Plain values before tables: TOML cannot have them the other way round.
        let (tables, plain): (Vec<_>, Vec<_>) = settings.partition(|(_, value)| value.is_object());
        kind.into_iter().chain(plain).chain(tables).collect::<Map<String, Value>>().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut settings = Map::deserialize(deserializer)?;
        match settings.remove("kind") {
            None => Ok(Self { kind: String::new(), settings }),
            Some(Value::String(kind)) => Ok(Self { kind, settings }),
            Some(other) => Err(serde::de::Error::custom(format!("kind: expected a name, found {other}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_reads_back_as_it_was_written() {
        let choice = Choice::new("loda").with("image_k", 3).with("padding", "compete");
        let text = serde_json::to_string(&choice).unwrap();
        assert_eq!(text, r#"{"kind":"loda","image_k":3,"padding":"compete"}"#);
        assert_eq!(serde_json::from_str::<Choice>(&text).unwrap(), choice);
        assert_eq!(serde_json::from_str::<Choice>(r#"{"a":1}"#).unwrap().kind, "");
        assert!(serde_json::from_str::<Choice>(r#"{"kind":1}"#).unwrap_err().to_string().contains("expected a name"));
        assert_eq!(choice.without(&["padding"]), Choice::new("loda").with("image_k", 3));
        assert_eq!((choice.get::<usize>("image_k"), choice.get::<usize>("padding")), (Some(3), None));
    }
}
