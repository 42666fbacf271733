//! What the values of label maps stand for: with or without a background, with 0 for "unlabelled", with a value of their own that
//! is not counted.

use super::IGNORED;
use crate::picture::{Depth, LabelFormat, Labels};
use serde::{Deserialize, Serialize};

/// What the values of label maps stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Values {
    /// Whether the first class is the background. Without one, a pixel that no class claims has no label.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub background: bool,
    /// Whether 0 is "unlabelled" and class `k` is written as `k + 1` (ADE20K; mmsegmentation calls it so, too).
    #[serde(default, skip_serializing_if = "is_no")]
    pub reduce_zero_label: bool,
    /// A value in the files that is not counted. What 255 (with at most 255 classes) and 65535 say is never counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_index: Option<u16>,
}

pub(super) fn yes() -> bool {
    true
}
pub(super) fn is_yes(yes: &bool) -> bool {
    *yes
}
pub(super) fn is_no(yes: &bool) -> bool {
    !*yes
}

impl Default for Values {
    fn default() -> Self {
        Self { background: true, reduce_zero_label: false, ignore_index: None }
    }
}

impl Values {
    /// The labels of a map of `classes` classes as it was read, in place.
    ///
    /// # Errors
    /// What is expected instead of a value that stands for nothing.
    pub fn apply(&self, labels: &mut Labels, classes: usize) -> Result<(), String> {
        let many = classes > 255;
        // Of more than 255 classes an 8-bit map can hold number 255.
        let is_class_255 = many && labels.format.depth == Depth::Eight && self.ignore_index != Some(255);
        for value in &mut labels.values {
            let written = if *value == IGNORED && is_class_255 { 255 } else { *value };
            let ignored = written == IGNORED || Some(written) == self.ignore_index || (written == 255 && !many);
            let label = match (ignored, self.reduce_zero_label) {
                (true, _) => IGNORED,
                (false, false) => written,
                (false, true) => written.checked_sub(1).unwrap_or(IGNORED),
            };
            if label != IGNORED && usize::from(label) >= classes {
                let highest = classes - usize::from(!self.reduce_zero_label);
                let hint = match usize::from(label) == classes && !self.reduce_zero_label {
                    true => " (if 0 is \"unlabelled\" in these maps: background = false, reduce_zero_label = true)",
                    false => "",
                };
                let none = if many { IGNORED } else { 255 };
                return Err(format!("label {written}; expected at most {highest} ({classes} classes) or {none}{hint}"));
            }
            *value = label;
        }
        labels.format = LabelFormat::of(classes, self.background);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(values: Values, classes: usize, depth: Depth, written: &[u16]) -> Result<Vec<u16>, String> {
        let mut labels = Labels::new(written.len(), 1, written.to_vec());
        labels.format.depth = depth;
        values.apply(&mut labels, classes).map(|()| labels.values)
    }

    #[test]
    fn values_become_labels() {
        let usual = Values::default();
        let ade = Values { background: false, reduce_zero_label: true, ignore_index: None };
        let own = Values { ignore_index: Some(0), ..usual };
        let all = |values, classes, depth, written: &[u16]| applied(values, classes, depth, written).unwrap();
        assert_eq!(all(usual, 3, Depth::Eight, &[0, 2, IGNORED]), [0, 2, IGNORED]);
        assert_eq!(all(usual, 3, Depth::Sixteen, &[0, 255, IGNORED]), [0, IGNORED, IGNORED]);
        assert_eq!(all(ade, 3, Depth::Eight, &[0, 1, 3, IGNORED]), [IGNORED, 0, 2, IGNORED]);
        assert_eq!(all(own, 3, Depth::Eight, &[0, 1, 2]), [IGNORED, 1, 2]);
        assert_eq!(all(usual, 300, Depth::Sixteen, &[255, 299, IGNORED]), [255, 299, IGNORED]);
        assert_eq!(all(usual, 300, Depth::Eight, &[7, IGNORED]), [7, 255], "255 of 8 bits is class 255 of 300");
        let marked = Values { ignore_index: Some(255), ..usual };
        assert_eq!(all(marked, 300, Depth::Eight, &[7, IGNORED]), [7, IGNORED]);
    }

    #[test]
    fn values_that_stand_for_nothing_are_named() {
        let error = applied(Values::default(), 3, Depth::Eight, &[3]).unwrap_err();
        assert!(error.contains("label 3; expected at most 2") && error.contains("reduce_zero_label"), "{error}");
        let ade = Values { background: false, reduce_zero_label: true, ignore_index: None };
        assert!(applied(ade, 3, Depth::Eight, &[4]).unwrap_err().contains("at most 3"));
    }
}
