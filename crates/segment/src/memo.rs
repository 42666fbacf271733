//! What was computed for one image, so that segmenters which share a part of their settings share its result: two hundred thresholds
//! on one image need its maps and its CRF once.
//!
//! An entry is found by a key that says everything its value depends on beside the image and the classes: the settings of the step,
//! and for which classes. So what is found is what would be computed, to the last bit.

use simseg_tensor::Result;
use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Results by key, for one image and one list of classes.
#[derive(Default)]
pub struct Memo {
    kept: Mutex<HashMap<String, Arc<dyn Any + Send + Sync>>>,
}

impl Memo {
    /// What is kept under a key, if it is of this type.
    pub fn get<V: Send + Sync + 'static>(&self, key: &str) -> Option<Arc<V>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(kept.get(key)?).downcast().ok()
    }

    /// Keeps a value.
    pub fn put<V: Send + Sync + 'static>(&self, key: String, value: V) -> Arc<V> {
        let value = Arc::new(value);
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&value) as Arc<_>);
        value
    }
}

/// What is kept under a key, or is made now; without a memo it is always made.
///
/// # Errors
/// Whatever making it fails with.
pub fn once<V: Send + Sync + 'static>(
    memo: Option<&Memo>,
    key: impl FnOnce() -> String,
    make: impl FnOnce() -> Result<V>,
) -> Result<Arc<V>> {
    let Some(memo) = memo else { return Ok(Arc::new(make()?)) };
    let key = key();
    match memo.get(&key) {
        Some(kept) => Ok(kept),
        None => Ok(memo.put(key, make()?)),
    }
}

/// One value for each class: those that are kept under `key#class`, and the rest made in one go.
///
/// # Errors
/// Whatever making them fails with.
pub fn each<V: Send + Sync + 'static>(
    memo: Option<&Memo>,
    key: &str,
    classes: &[usize],
    make: impl FnOnce(&[usize]) -> Result<Vec<V>>,
) -> Result<Vec<Arc<V>>> {
    let Some(memo) = memo else { return Ok(make(classes)?.into_iter().map(Arc::new).collect()) };
    let name = |class: usize| format!("{key}#{class}");
    let missing: Vec<usize> = classes.iter().copied().filter(|&class| memo.get::<V>(&name(class)).is_none()).collect();
    let made = if missing.is_empty() { vec![] } else { make(&missing)? };
    let mut made: HashMap<usize, Arc<V>> =
        missing.into_iter().zip(made).map(|(class, value)| (class, memo.put(name(class), value))).collect();
    Ok(classes.iter().filter_map(|&class| made.remove(&class).or_else(|| memo.get(&name(class)))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_made() {
        let memo = Memo::default();
        let make = |classes: &[usize]| Ok(classes.iter().map(|class| class * 10).collect::<Vec<_>>());
        let all = |classes: &[usize], expected: &[usize]| {
            let mut asked = vec![];
            let values = each(Some(&memo), "map", classes, |missing| {
                asked = missing.to_vec();
                make(missing)
            });
            assert_eq!(asked, expected);
            values.unwrap().iter().map(|value| **value).collect::<Vec<_>>()
        };
        assert_eq!(all(&[3, 1], &[3, 1]), [30, 10]);
        assert_eq!(all(&[2, 3, 1], &[2]), [20, 30, 10]);
        assert_eq!(all(&[1], &[]), [10]);
        assert_eq!(**each(None, "map", &[7], make).unwrap().first().unwrap(), 70);
        assert_eq!(*once(Some(&memo), || "x".into(), || Ok(5)).unwrap(), 5);
        assert_eq!(*once(Some(&memo), || "x".into(), || Ok(6)).unwrap(), 5);
        // Another type under the same key is not mistaken for it.
        assert_eq!(*once(Some(&memo), || "x".into(), || Ok("y")).unwrap(), "y");
    }
}
