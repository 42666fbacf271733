//! Sentences that name a class: `a photo of a {}.` with the class in place of `{}`.
//!
//! CLIP (Radford et al. 2021, §3.1.4) averages the embeddings of 80 such sentences per class; SimSeg does the same.

use serde::{Deserialize, Serialize};
use simseg_tensor::{Error, Result};

/// A set of prompt templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Templates {
    /// The 80 templates CLIP used for ImageNet.
    Imagenet80,
    /// `a picture of a {}.`
    Single,
    /// Your own; `{}` stands for the class.
    Own(Vec<String>),
}

/// Checks and reads templates, one a line; blank lines are left out.
///
/// # Errors
/// If there is none, or one has no `{}`.
pub fn parse(text: &str) -> Result<Vec<String>> {
    let lines: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    check(&lines)?;
    Ok(lines)
}

fn check(templates: &[String]) -> Result<()> {
    if let Some(bad) = templates.iter().find(|template| !template.contains("{}")) {
        return Err(Error::setting(
            "prompts.templates",
            format!("every template holds `{{}}` for the class, `{bad}` does not"),
        ));
    }
    if templates.is_empty() {
        return Err(Error::setting("prompts.templates", "at least one template"));
    }
    Ok(())
}

impl Templates {
    /// The templates themselves.
    ///
    /// # Errors
    /// If own templates are empty or miss their `{}`.
    pub fn lines(&self) -> Result<Vec<String>> {
        match self {
            Self::Single => Ok(vec!["a picture of a {}.".to_owned()]),
            Self::Imagenet80 => parse(include_str!("prompts/imagenet80.txt")),
            Self::Own(own) => {
                check(own)?;
                Ok(own.clone())
            }
        }
    }
}

/// Fills a word into every template.
///
/// ```
/// let prompts = simseg_segment::prompts::fill(&["a {}.".into(), "one {}!".into()], "cat");
/// assert_eq!(prompts, ["a cat.", "one cat!"]);
/// ```
pub fn fill(templates: &[String], word: &str) -> Vec<String> {
    templates.iter().map(|template| template.replace("{}", word)).collect()
}
