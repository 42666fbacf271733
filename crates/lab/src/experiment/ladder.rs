//! A ladder from one recipe to another: every setting in which they differ alone, and all of them one after the other.
//!
//! ```toml
//! [ladder]
//! from = "paper"
//! to = "official-code"
//! ```
//!
//! makes the variants `from`, `only-KEY` for every setting that differs, and `upto-KEY` with all settings up to that one; the last is
//! `to`.

use crate::failure::{Failure, Outcome};
use serde::Deserialize;
use simseg::{Recipe, Registry};
use simseg_tensor::Tensor;
use toml::{Table, Value};

/// The two ends.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ladder {
    /// The recipe to start from: a name or a file.
    pub from: String,
    /// The recipe to arrive at.
    pub to: String,
    /// The order in which settings are switched; those that are not named follow in theirs.
    #[serde(default)]
    pub order: Vec<String>,
}

/// A rung: its name, the setting that was switched last, and the recipe.
pub struct Rung {
    /// Its name.
    pub name: String,
    /// The setting, empty for the start.
    pub key: String,
    /// A complete `[segmentation]`.
    pub recipe: Table,
}

impl Ladder {
    /// All rungs.
    ///
    /// # Errors
    /// If a recipe is unknown, or the order names a setting in which they agree.
    pub fn rungs<T: Tensor>(&self, registry: &Registry<T>) -> Outcome<Vec<Rung>> {
        let table = |name: &str| -> Outcome<Table> {
            let recipe = Recipe::load(name, "", &[], registry)?.resolved(registry)?;
            Table::try_from(recipe).map_err(|error| Failure::input("ladder", error))
        };
        let (from, to) = (table(&self.from)?, table(&self.to)?);
        let mut keys = vec![];
        differing(&from, &to, "", &mut keys);
        if let Some(unknown) = self.order.iter().find(|key| !keys.contains(key)) {
            let text = format!("`{unknown}` is the same in both, or unknown (differing: {})", keys.join(", "));
            return Err(Failure::input("ladder.order", text));
        }
        let mut order = self.order.clone();
        order.extend(keys.into_iter().filter(|key| !self.order.contains(key)));
        let mut rungs = vec![Rung { name: self.from.clone(), key: String::new(), recipe: from.clone() }];
        let switched = |recipe: &Table, key: &str| {
            let mut recipe = recipe.clone();
            switch(&mut recipe, &to, key);
            recipe
        };
        if order.len() > 1 {
            rungs.extend(order.iter().map(|key| Rung {
                name: format!("only-{key}"),
                key: key.clone(),
                recipe: switched(&from, key),
            }));
        }
        let mut recipe = from.clone();
        for (i, key) in order.iter().enumerate() {
            recipe = switched(&recipe, key);
            let last = i + 1 == order.len();
            // The first alone is there already.
            if i > 0 || last {
                let name = if last { self.to.clone() } else { format!("upto-{key}") };
                rungs.push(Rung { name, key: key.clone(), recipe: recipe.clone() });
            }
        }
        Ok(rungs)
    }
}

/// The settings in which two tables differ. A table of another kind is one setting: its keys mean something else.
fn differing(a: &Table, b: &Table, prefix: &str, keys: &mut Vec<String>) {
    let all = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
    for name in all {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match (a.get(name), b.get(name)) {
            (Some(a), Some(b)) if a == b => {}
            (Some(Value::Table(a)), Some(Value::Table(b))) if a.get("kind") == b.get("kind") => {
                differing(a, b, &key, keys);
            }
            _ => keys.push(key),
        }
    }
}

/// Gives a setting the value it has in another table.
fn switch(table: &mut Table, other: &Table, key: &str) {
    match key.split_once('.') {
        Some((section, rest)) => {
            if let (Some(Value::Table(table)), Some(Value::Table(other))) = (table.get_mut(section), other.get(section))
            {
                switch(table, other, rest);
            }
        }
        None => match other.get(key) {
            Some(value) => drop(table.insert(key.to_owned(), value.clone())),
            None => drop(table.remove(key)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use simseg_cpu::CpuTensor;

    #[test]
    fn a_ladder_leads_from_one_recipe_to_the_other() {
        let registry = Registry::<CpuTensor<f32>>::built_in();
        let ladder = Ladder { from: "paper".into(), to: "official-code".into(), order: vec!["map.upsample".into()] };
        let rungs = ladder.rungs(&registry).unwrap();
        let names: Vec<&str> = rungs.iter().map(|rung| rung.name.as_str()).collect();
        assert_eq!((names[0], names[1], *names.last().unwrap()), ("paper", "only-map.upsample", "official-code"));
        let recipe = |name: &str| Table::try_from(Recipe::by_name(name).unwrap().resolved(&registry).unwrap()).unwrap();
        assert_eq!(rungs[0].recipe, recipe("paper"));
        assert_eq!(rungs.last().unwrap().recipe, recipe("official-code"));
        // n settings: the start, each alone, and n - 1 more on the way.
        let singles = names.iter().filter(|name| name.starts_with("only-")).count();
        assert!(singles > 3 && names.len() == 2 * singles, "{names:?}");
        let mut recipes: Vec<String> = rungs.iter().map(|rung| rung.recipe.to_string()).collect();
        recipes.sort();
        recipes.dedup();
        assert_eq!(recipes.len(), rungs.len(), "no two rungs are the same");
        let wrong = Ladder { order: vec!["map.upsmaple".into()], ..ladder };
        assert!(wrong.rungs(&registry).err().unwrap().to_string().contains("differing: "));
    }
}
