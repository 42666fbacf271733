//! One family of algorithms, by name.

use crate::Choice;
use crate::nearest::{explain, unknown};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Why a choice could not become an algorithm.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that is unknown, of the wrong type or out of range.
    #[error("{key}: {expected}")]
    Setting {
        /// The key, as written in a settings file.
        key: String,
        /// What was expected, and what was found.
        expected: String,
    },
    /// The settings are right, but building from them failed: a file that is not there, say.
    #[error(transparent)]
    Build(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// A setting that cannot work.
    pub fn setting(key: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Setting { key: key.into(), expected: expected.into() }
    }

    /// What a builder failed with.
    pub fn build(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Build(Box::new(error))
    }
}

type Build<M, X> = dyn Fn(&Map<String, Value>, &str, &X) -> Result<Box<M>, Error> + Send + Sync;
type Resolve = dyn Fn(&Map<String, Value>, &str) -> Result<Map<String, Value>, Error> + Send + Sync;

/// One algorithm of a family.
pub struct Kind<M: ?Sized, X: ?Sized = ()> {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one line for `--help`.
    pub about: &'static str,
    build: Arc<Build<M, X>>,
    resolve: Arc<Resolve>,
}

/// One family of algorithms: all that implement `M`. Builders are shown an `X`: what this family is composed from, such as the
/// encoders that a network is made of.
pub struct Kinds<M: ?Sized, X: ?Sized = ()> {
    family: &'static str,
    default: Option<&'static str>,
    kinds: Vec<Kind<M, X>>,
}

impl<M: ?Sized, X: ?Sized> Kinds<M, X> {
    /// An empty family; its name is the section of a settings file that chooses from it.
    pub fn new(family: &'static str) -> Self {
        Self { family, default: None, kinds: vec![] }
    }

    /// A family with a default: the kind of a choice that names none.
    pub fn with_default(family: &'static str, default: &'static str) -> Self {
        Self { default: Some(default), ..Self::new(family) }
    }

    /// Adds an algorithm whose settings are a `C`. A name that is taken gets the new one.
    ///
    /// `C` should refuse unknown keys (`#[serde(deny_unknown_fields)]`); an algorithm without settings is a struct with braces,
    /// `struct Otsu {}`.
    pub fn add<C>(
        &mut self,
        name: &'static str,
        about: &'static str,
        build: impl Fn(C) -> Result<Box<M>, Error> + Send + Sync + 'static,
    ) where
        C: Serialize + DeserializeOwned,
    {
        self.add_composed(name, about, move |config: C, _: &X| build(config));
    }

    /// Adds an algorithm that is composed of others, found in `X`.
    pub fn add_composed<C>(
        &mut self,
        name: &'static str,
        about: &'static str,
        build: impl Fn(C, &X) -> Result<Box<M>, Error> + Send + Sync + 'static,
    ) where
        C: Serialize + DeserializeOwned,
    {
        self.kinds.retain(|kind| kind.name != name);
        self.kinds.push(Kind {
            name,
            about,
            build: Arc::new(move |settings, family, context| build(read::<C>(settings, family)?, context)),
            resolve: Arc::new(|settings, family| match serde_json::to_value(read::<C>(settings, family)?) {
                Ok(Value::Object(settings)) => Ok(settings),
                Ok(Value::Null) => Ok(Map::new()),
                Ok(other) => Err(Error::setting(family, format!("settings are a table, not {other}"))),
                Err(error) => Err(Error::build(error)),
            }),
        });
    }

    /// The algorithm of a choice.
    ///
    /// # Errors
    /// A name nobody knows (with the nearest), a setting that is wrong, or what its builder fails with.
    pub fn build_in(&self, choice: &Choice, context: &X) -> Result<Box<M>, Error> {
        (self.kind(choice)?.build)(&choice.settings, self.family, context)
    }

    /// The choice with its kind and every setting written out.
    ///
    /// # Errors
    /// As [`Self::build_in`], but nothing is built.
    pub fn resolve(&self, choice: &Choice) -> Result<Choice, Error> {
        let kind = self.kind(choice)?;
        Ok(Choice { kind: kind.name.to_owned(), settings: (kind.resolve)(&choice.settings, self.family)? })
    }

    /// All kinds, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Kind<M, X>> {
        self.kinds.iter()
    }

    /// All names.
    pub fn names(&self) -> Vec<&'static str> {
        self.kinds.iter().map(|kind| kind.name).collect()
    }

    fn kind(&self, choice: &Choice) -> Result<&Kind<M, X>, Error> {
        let name = if choice.kind.is_empty() { self.default.unwrap_or_default() } else { choice.kind.as_str() };
        let key = || format!("{}.kind", self.family);
        if name.is_empty() {
            return Err(Error::setting(key(), format!("expected one of {}", self.names().join(", "))));
        }
        let found = self.kinds.iter().find(|kind| kind.name == name);
        found.ok_or_else(|| Error::setting(key(), unknown(name, &self.names())))
    }
}

impl<M: ?Sized> Kinds<M> {
    /// The algorithm of a choice.
    ///
    /// # Errors
    /// As [`Self::build_in`].
    pub fn build(&self, choice: &Choice) -> Result<Box<M>, Error> {
        self.build_in(choice, &())
    }
}

/// Settings as the type that an algorithm has for them.
fn read<C: DeserializeOwned>(settings: &Map<String, Value>, family: &str) -> Result<C, Error> {
    serde_path_to_error::deserialize(Value::Object(settings.clone())).map_err(|error| {
        let (path, problem) = (error.path().to_string(), explain(&error.inner().to_string()));
        // An unknown key is named by the message; every other problem by where it is.
        let key = if path == "." || problem.starts_with("unknown key") {
            family.to_owned()
        } else {
            format!("{family}.{path}")
        };
        Error::setting(key, problem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    trait Rule {
        fn level(&self) -> f64;
    }
    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Cut {
        #[serde(default = "half")]
        level: f64,
    }
    fn half() -> f64 {
        0.5
    }
    impl Rule for Cut {
        fn level(&self) -> f64 {
            self.level
        }
    }

    fn rules() -> Kinds<dyn Rule> {
        let mut rules = Kinds::<dyn Rule>::with_default("refine", "cut");
        rules.add("cut", "above a level", |cut: Cut| Ok(Box::new(cut)));
        rules
    }

    fn fails(choice: &Choice) -> String {
        rules().build(choice).err().unwrap().to_string()
    }

    #[test]
    fn a_choice_without_a_kind_is_the_default_and_resolves_to_all_of_it() {
        let choice = Choice::default();
        assert_eq!(rules().build(&choice).unwrap().level(), 0.5);
        assert_eq!(rules().resolve(&choice).unwrap(), Choice::new("cut").with("level", 0.5));
    }

    #[test]
    fn mistakes_name_the_key_and_the_nearest() {
        assert!(fails(&Choice::new("cutt")).contains("did you mean `cut`?"));
        assert!(
            fails(&Choice::new("cut").with("levl", 1.0)).contains("refine: unknown key `levl`; did you mean `level`?")
        );
        assert!(fails(&Choice::new("cut").with("level", "x")).starts_with("refine.level: invalid type"));
    }

    #[test]
    fn a_name_that_is_taken_gets_the_new_algorithm() {
        let mut rules = rules();
        rules.add("cut", "upside down", |cut: Cut| Ok(Box::new(Cut { level: -cut.level })));
        assert_eq!((rules.names(), rules.build(&Choice::new("cut")).unwrap().level()), (vec!["cut"], -0.5));
    }
}
