//! What a checkpoint says of itself beside its weights: `config.json` as transformers and timm write it, and
//! `open_clip_config.json`; what neither they nor shapes tell is asked for, unless it is certain.

use crate::failure::{Failure, Outcome};
use serde_json::Value;
use simseg_model::clip::Gelu;
use std::cell::RefCell;
use std::path::{Path, PathBuf};

/// Largest description that is read.
const LARGEST: u64 = 1 << 20;

/// What is said of one tower.
#[derive(Debug, Clone, Default, PartialEq)]
struct Tower {
    /// The file that says it.
    file: PathBuf,
    width: Option<usize>,
    heads: Option<usize>,
    gelu: Option<Gelu>,
}

/// One of the two towers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The image tower.
    Image,
    /// The text tower.
    Text,
}

/// What is known beside shapes, and, once the architecture is settled, from what.
#[derive(Debug, Default)]
pub struct Described {
    image: Option<Tower>,
    text: Option<Tower>,
    /// `--heads`: of the image tower, and of the text tower.
    asked: Option<(usize, usize)>,
    /// Lines for the report.
    notes: RefCell<Vec<String>>,
}

/// Width and depth of published towers, and the number of their heads.
const PUBLISHED: [(Family, usize, usize, usize); 15] = [
    (Family::Vit, 192, 12, 3),
    (Family::Vit, 384, 12, 6),
    (Family::Vit, 768, 12, 12),
    (Family::Vit, 1024, 24, 16),
    (Family::Vit, 1280, 32, 16),
    (Family::Vit, 1408, 40, 16),
    (Family::Vit, 1664, 48, 16),
    (Family::ClipText, 512, 12, 8),
    (Family::ClipText, 640, 12, 10),
    (Family::ClipText, 768, 12, 12),
    (Family::ClipText, 1024, 24, 16),
    (Family::ClipText, 1280, 32, 20),
    (Family::Bert, 768, 12, 12),
    (Family::Bert, 768, 6, 12),
    (Family::Bert, 1024, 24, 16),
];

/// Families of towers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Vision transformers, those of CLIP included.
    Vit,
    /// CLIP's text towers.
    ClipText,
    /// BERT.
    Bert,
}

impl Family {
    fn side(self) -> Side {
        match self {
            Self::Vit => Side::Image,
            Self::ClipText | Self::Bert => Side::Text,
        }
    }
}

impl Described {
    /// Reads what lies beside these checkpoints.
    ///
    /// # Errors
    /// If it describes a model of another kind, such as RoBERTa.
    pub fn beside(checkpoints: &[&Path], heads: &[usize]) -> Outcome<Self> {
        let asked = match *heads {
            [] => None,
            [both] => Some((both, both)),
            [image, text] => Some((image, text)),
            _ => return Err(Failure::input("--heads", "expected one number, or one of each tower: IMAGE,TEXT")),
        };
        let mut all = Self { asked, ..Self::default() };
        let mut folders: Vec<&Path> = vec![];
        for path in checkpoints {
            let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        for folder in folders {
            // The more particular file last: what it says counts.
            for (name, parse) in [("config.json", config as Parse), ("open_clip_config.json", open_clip)] {
                let file = folder.join(name);
                let Some(value) = json(&file)? else { continue };
                let (image, text) = parse(&value).map_err(|why| Failure::file(&file, why))?;
                let of = |tower: Option<Tower>| tower.map(|tower| Tower { file: file.clone(), ..tower });
                all.image = of(image).or(all.image);
                all.text = of(text).or(all.text);
            }
        }
        Ok(all)
    }

    fn tower(&self, side: Side) -> Option<&Tower> {
        match side {
            Side::Image => self.image.as_ref(),
            Side::Text => self.text.as_ref(),
        }
    }

    fn note(&self, line: String) {
        let mut notes = self.notes.borrow_mut();
        if !notes.contains(&line) {
            notes.push(line);
        }
    }

    /// What was inferred, and from what.
    pub fn notes(&self) -> Vec<String> {
        self.notes.borrow().clone()
    }

    /// How many heads a tower of this width has. Without a description or `--heads`, the number is known for published sizes;
    /// `usual` says why it would be heads of 64 in others, if there is a reason.
    ///
    /// # Errors
    /// If nothing tells, or what tells contradicts the shapes.
    pub fn heads(&self, family: Family, width: usize, depth: usize, usual: Option<&str>) -> Outcome<usize> {
        let side = family.side();
        let name = match side {
            Side::Image => "image",
            Side::Text => "text",
        };
        let tower = self.tower(side);
        if let Some(tower) = tower
            && let Some(said) = tower.width.filter(|&said| said != width)
        {
            let text = format!("describes a tower of {said} channels; the {name} tower beside it has {width}");
            return Err(Failure::file(&tower.file, text));
        }
        let published = PUBLISHED.iter().find(|&&(f, w, d, _)| (f, w, d) == (family, width, depth));
        let (heads, from) = match (self.asked, tower.and_then(|tower| Some((tower, tower.heads?)))) {
            (Some((image, text)), _) => (if side == Side::Image { image } else { text }, "--heads".to_owned()),
            (None, Some((tower, heads))) => (heads, tower.file.display().to_string()),
            (None, None) => match (published, usual) {
                (Some(&(.., heads)), _) => (heads, "a published size".to_owned()),
                (None, _) if width < 64 => (1, "narrower than a head of 64 channels".to_owned()),
                (None, Some(why)) => (width / 64, format!("heads of 64 channels, {why}; --heads for others")),
                (None, None) => {
                    let text = format!(
                        "how many heads has the {name} tower of {width} channels and {depth} layers? Shapes do not tell; expected --heads N, or the config.json of the checkpoint beside it"
                    );
                    return Err(Failure::input("--heads", text));
                }
            },
        };
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(Failure::input(from, format!("{heads} heads do not divide {width} channels")));
        }
        self.note(format!("{name} heads: {heads} of {} channels ({from})", width / heads));
        Ok(heads)
    }

    /// CLIP's GELU, the same in both towers.
    ///
    /// # Errors
    /// If the towers' descriptions differ.
    pub fn gelu(&self, asked: Option<Gelu>) -> Outcome<Gelu> {
        let said: Vec<(&Tower, Gelu)> =
            [&self.image, &self.text].into_iter().flatten().filter_map(|tower| Some((tower, tower.gelu?))).collect();
        let (gelu, from) = match (asked, &said[..]) {
            (Some(gelu), _) => (gelu, "--gelu".to_owned()),
            (None, [(_, a), (other, b)]) if a != b => {
                return Err(Failure::file(&other.file, "the towers have different GELUs; expected one for both"));
            }
            (None, [(tower, gelu), ..]) => (*gelu, tower.file.display().to_string()),
            (None, []) => (Gelu::Quick, "assumed: OpenAI's; most of open_clip's need --gelu exact".to_owned()),
        };
        let name = match gelu {
            Gelu::Quick => "quick",
            Gelu::Exact => "exact",
        };
        self.note(format!("GELU: {name} ({from})"));
        Ok(gelu)
    }
}

type Parse = fn(&Value) -> Result<(Option<Tower>, Option<Tower>), String>;

/// A small JSON file, if it is there.
pub(super) fn json(file: &Path) -> Outcome<Option<Value>> {
    let size = match std::fs::metadata(file) {
        Ok(about) if about.is_file() => about.len(),
        _ => return Ok(None),
    };
    if size > LARGEST {
        return Err(Failure::file(file, format!("{size} bytes; expected a description of at most {LARGEST}")));
    }
    let bytes = std::fs::read(file).map_err(|error| Failure::file(file, error))?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    serde_json::from_slice(text).map(Some).map_err(|error| Failure::file(file, format!("no JSON: {error}")))
}

fn whole(value: &Value, key: &str) -> Option<usize> {
    value.get(key)?.as_u64()?.try_into().ok()
}

/// A setting that these architectures have one value of.
fn only(value: &Value, key: &str, expected: &Value) -> Result<(), String> {
    match value.get(key) {
        None | Some(Value::Null) => Ok(()),
        Some(found) if found == expected => Ok(()),
        Some(found) if found.as_f64().zip(expected.as_f64()).is_some_and(|(a, b)| (a - b).abs() <= 1e-9 * b) => Ok(()),
        Some(found) => Err(format!("`{key}` is {found}; this program computes with {expected} only")),
    }
}

/// `config.json` of transformers (BERT, CLIP) or of timm (ViT); that of anything without a model type says nothing.
fn config(value: &Value) -> Result<(Option<Tower>, Option<Tower>), String> {
    if let Some(architecture) = value.get("architecture").and_then(Value::as_str) {
        return Ok((timm(architecture), None));
    }
    match value.get("model_type").and_then(Value::as_str) {
        None => Ok((None, None)),
        Some("bert") => {
            only(value, "layer_norm_eps", &1e-12.into())?;
            only(value, "hidden_act", &"gelu".into())?;
            only(value, "position_embedding_type", &"absolute".into())?;
            only(value, "is_decoder", &false.into())?;
            let (heads, width) = (whole(value, "num_attention_heads"), whole(value, "hidden_size"));
            Ok((None, Some(Tower { width, heads, ..Tower::default() })))
        }
        Some("clip") => {
            let part = |key: &str| value.get(key).map(clip_tower).transpose();
            Ok((part("vision_config")?, part("text_config")?))
        }
        Some("clip_vision_model") => Ok((Some(clip_tower(value)?), None)),
        Some("clip_text_model") => Ok((None, Some(clip_tower(value)?))),
        Some(other) => Err(format!("describes a model of the kind `{other}`; expected bert or clip")),
    }
}

fn clip_tower(value: &Value) -> Result<Tower, String> {
    only(value, "layer_norm_eps", &1e-5.into())?;
    let gelu = match value.get("hidden_act").and_then(Value::as_str) {
        None => None,
        Some("quick_gelu") => Some(Gelu::Quick),
        Some("gelu") => Some(Gelu::Exact),
        Some(other) => return Err(format!("`hidden_act` is `{other}`; expected gelu or quick_gelu")),
    };
    let (heads, width) = (whole(value, "num_attention_heads"), whole(value, "hidden_size"));
    Ok(Tower { width, heads, gelu, ..Tower::default() })
}

/// timm's names tell the number of heads: `vit_small_patch16_224`.
fn timm(architecture: &str) -> Option<Tower> {
    let size = architecture.strip_prefix("vit_")?.split('_').next()?;
    let heads = match size {
        "tiny" => 3,
        "small" => 6,
        "base" => 12,
        "large" | "huge" | "giant" | "gigantic" => 16,
        _ => return None,
    };
    Some(Tower { heads: Some(heads), ..Tower::default() })
}

/// `open_clip_config.json`.
fn open_clip(value: &Value) -> Result<(Option<Tower>, Option<Tower>), String> {
    let model = value.get("model_cfg").unwrap_or(value);
    let (Some(vision), Some(text)) = (model.get("vision_cfg"), model.get("text_cfg")) else { return Ok((None, None)) };
    let quick = model.get("quick_gelu").and_then(Value::as_bool).unwrap_or(false);
    let gelu = Some(if quick { Gelu::Quick } else { Gelu::Exact });
    let width = whole(vision, "width");
    let heads = width.map(|width| width / whole(vision, "head_width").unwrap_or(64).max(1));
    let image = Tower { width, heads, gelu, ..Tower::default() };
    let heads = whole(text, "heads").or(Some(8));
    let text = Tower { width: whole(text, "width"), heads, gelu, ..Tower::default() };
    Ok((Some(image), Some(text)))
}
