//! A caption file beside a folder of images: CSV, TSV and the forms in which Flickr8k and Flickr30k are published.
//!
//! | form | first lines |
//! |---|---|
//! | comma, semicolon, tab or bar separated, columns by name | `image,caption` or `image_name\| comment_number\| comment` |
//! | Flickr's token file: no header | `1000268201.jpg#0⇥A child in a pink dress` |
//!
//! An image may come on several lines, once for each of its captions (Flickr and COCO have five); other columns are passed over.
//! Comma and semicolon separated fields may be quoted (RFC 4180).

use super::{Pair, Pairs};
use crate::picture::Exif;
use crate::source::DataRegistry;
use crate::{Error, Picture, Result};
use serde::{Deserialize, Serialize};
use simseg_registry::Error as BuildError;
use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caption {
    /// Its number in the file, from 1.
    pub line: u64,
    /// The image's file name, as written.
    pub image: String,
    /// What somebody wrote about it.
    pub caption: String,
}

/// What the two columns are called in published files; upper and lower case are the same.
const IMAGE: [&str; 8] = ["image", "image_name", "filename", "file_name", "file", "path", "image_path", "img"];
const CAPTION: [&str; 7] = ["caption", "comment", "text", "title", "sentence", "description", "raw"];
/// In the order in which they are tried.
const DELIMITERS: [u8; 4] = [b',', b'\t', b'|', b';'];
/// Largest file that is read.
const LIMIT: u64 = 2 << 30;

/// What the two columns are called, if it is none of the usual names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// Of file names.
    pub image: Option<String>,
    /// Of captions.
    pub caption: Option<String>,
}

/// Where fields end and which of them count.
struct Form {
    delimiter: u8,
    header: bool,
    image: usize,
    caption: usize,
    fields: usize,
}

/// Reads a caption file.
///
/// # Errors
/// If it cannot be read, lacks a column (the error says which there are), holds no caption, or has a line with too many or too
/// few fields (the error shows the line).
pub fn captions(path: &Path, columns: &Columns) -> Result<Vec<Caption>> {
    let text = crate::bounded::read(path, LIMIT, "a smaller caption file")?;
    let text = String::from_utf8(text).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        Error::content(path, format!("line {line} is not UTF-8"))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    parse(text, columns).map_err(|problem| Error::content(path, problem))
}

fn parse(text: &str, columns: &Columns) -> std::result::Result<Vec<Caption>, String> {
    let first = text.lines().next().unwrap_or_default();
    let form = form_of(first, columns)?;
    let quoted = form.delimiter == b',' || form.delimiter == b';';
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(form.delimiter)
        .has_headers(form.header)
        .quoting(quoted)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut captions = vec![];
    for record in reader.records() {
        let record = record.map_err(|error| format!("expected CSV: {error}"))?;
        let line = record.position().map_or(0, csv::Position::line);
        let fields: Vec<&str> = record.iter().map(str::trim).collect();
        let shown = || text.lines().nth(line.saturating_sub(1) as usize).unwrap_or_default();
        let fields = match fields.len() {
            found if found == form.fields => fields,
            // Captions of the token file may hold tabs of their own; one line of Flickr30K lacks its second bar.
            found if found > form.fields && !form.header => vec![fields[0], fields[1]],
            found if found + 1 == form.fields && form.delimiter == b'|' => match split_number(fields[found - 1]) {
                Some((number, rest)) => [&fields[..found - 1], &[number, rest]].concat(),
                None => return Err(wrong_fields(line, found, &form, shown())),
            },
            found => return Err(wrong_fields(line, found, &form, shown())),
        };
        let (image, caption) = (fields[form.image], fields[form.caption]);
        let image = if form.header { image } else { image.rsplit_once('#').map_or(image, |(name, _)| name) };
        if image.is_empty() || caption.is_empty() {
            return Err(format!("line {line}: expected an image and a caption, found `{}`", shorten(shown())));
        }
        captions.push(Caption { line, image: image.to_owned(), caption: caption.to_owned() });
    }
    if captions.is_empty() {
        return Err("no captions in it".into());
    }
    Ok(captions)
}

/// What kind of file its first line announces.
fn form_of(first: &str, columns: &Columns) -> std::result::Result<Form, String> {
    let numbered =
        |name: &str| name.rsplit_once('#').is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    if first.split_once('\t').is_some_and(|(name, _)| numbered(name)) {
        return Ok(Form { delimiter: b'\t', header: false, image: 0, caption: 1, fields: 2 });
    }
    let fields = |delimiter: u8| -> Vec<String> {
        let mut reader =
            csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).from_reader(first.as_bytes());
        let record = reader.records().next().and_then(std::result::Result::ok);
        record.map(|record| record.iter().map(|field| field.trim().to_owned()).collect()).unwrap_or_default()
    };
    for delimiter in DELIMITERS {
        let names = fields(delimiter);
        let find = |own: &Option<String>, usual: &[&str]| match own {
            Some(own) => names.iter().position(|name| name == own),
            None => usual.iter().find_map(|usual| names.iter().position(|name| name.eq_ignore_ascii_case(usual))),
        };
        if let (Some(image), Some(caption)) = (find(&columns.image, &IMAGE), find(&columns.caption, &CAPTION)) {
            return Ok(Form { delimiter, header: true, image, caption, fields: names.len() });
        }
    }
    let most = DELIMITERS.into_iter().max_by_key(|&delimiter| fields(delimiter).len()).unwrap_or(b',');
    let wanted = |own: &Option<String>, usual: &[&str]| match own {
        Some(own) => format!("`{own}`"),
        None => format!("`{}` (or {})", usual[0], usual[1..].join(", ")),
    };
    Err(format!(
        "expected a first line with the columns {} and {}, separated by comma, tab, | or ;; found the columns {}",
        wanted(&columns.image, &IMAGE),
        wanted(&columns.caption, &CAPTION),
        fields(most).iter().map(|name| format!("`{}`", shorten(name))).collect::<Vec<_>>().join(", "),
    ))
}

/// `4   A dog runs` as its number and the rest.
fn split_number(field: &str) -> Option<(&str, &str)> {
    let (number, rest) = field.split_once(char::is_whitespace)?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then(|| (number, rest.trim()))
}

fn wrong_fields(line: u64, found: usize, form: &Form, shown: &str) -> String {
    let delimiter = char::from(form.delimiter).escape_default();
    let expected = format!("expected {} fields separated by `{delimiter}`, found {found}", form.fields);
    format!("line {line}: {expected}: `{}`", shorten(shown))
}

/// The first words of a line, for messages.
fn shorten(line: &str) -> String {
    const MOST: usize = 80;
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// The settings of `kind = "captions"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptionFile {
    /// The caption file.
    pub file: PathBuf,
    /// The folder that its file names are below.
    pub images: PathBuf,
    /// The column of file names, if it has none of the usual names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_column: Option<String>,
    /// The column of captions, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption_column: Option<String>,
    /// Use the first so many pairs; those after them are held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Whether photographs are turned as their camera noted it.
    #[serde(default)]
    pub exif: Exif,
}

/// Pairs of a caption file.
#[derive(Debug, Clone)]
pub struct Captioned {
    file: PathBuf,
    images: PathBuf,
    lines: Vec<Caption>,
    /// The lines beyond the limit.
    rest: Vec<Caption>,
    exif: Exif,
}

impl CaptionFile {
    /// Reads the file, and sees that its images are there.
    ///
    /// # Errors
    /// If the file is damaged, or an image is not there or outside the folder.
    pub fn open(self) -> Result<Captioned> {
        let columns = Columns { image: self.image_column, caption: self.caption_column };
        let mut lines = captions(&self.file, &columns)?;
        let rest = lines.split_off(self.limit.unwrap_or(usize::MAX).min(lines.len()));
        if lines.is_empty() {
            return Err(Error::content(&self.file, "no captions in it (limit is 0)"));
        }
        if !self.images.is_dir() {
            return Err(Error::content(&self.images, "expected the folder of images"));
        }
        let read = Captioned { file: self.file, images: self.images, lines, rest, exif: self.exif };
        read.check()?;
        Ok(read)
    }
}

impl Captioned {
    /// That its images are there, below the folder.
    fn check(&self) -> Result<()> {
        let mut seen = HashSet::new();
        let mut missing: Vec<&Caption> = vec![];
        for line in &self.lines {
            if seen.insert(line.image.as_str()) {
                let inside = Path::new(&line.image)
                    .components()
                    .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
                if !inside {
                    let expected = format!(
                        "line {}: expected a file below the folder of images, found `{}`",
                        line.line, line.image
                    );
                    return Err(Error::content(&self.file, expected));
                }
                if !self.images.join(&line.image).is_file() {
                    missing.push(line);
                }
            }
        }
        let Some(first) = missing.first() else { return Ok(()) };
        let (place, images) = (format!("line {}: `{}`", first.line, first.image), self.images.display());
        let counts = format!("{} of {} images", missing.len(), seen.len());
        Err(Error::content(&self.file, format!("{counts} are not in {images}, the first of them in {place}")))
    }
}

impl Pairs for Captioned {
    fn len(&self) -> usize {
        self.lines.len()
    }

    fn pair(&self, index: usize) -> Result<Pair> {
        let Caption { image, caption, .. } = &self.lines[index];
        Ok(Pair {
            id: image.clone(),
            picture: Picture::load_with(&self.images.join(image), self.exif)?,
            caption: caption.clone(),
        })
    }

    fn caption(&self, index: usize) -> Result<String> {
        Ok(self.lines[index].caption.clone())
    }

    fn id(&self, index: usize) -> Result<String> {
        Ok(self.lines[index].image.clone())
    }

    /// The first so many pictures beyond the limit none of whose captions is within it.
    fn held_out(&self, pictures: usize) -> Result<Box<dyn Pairs>> {
        if self.rest.is_empty() {
            let text = format!("all of its {} pairs are used, none is held out; expected a `limit`", self.lines.len());
            return Err(Error::content(&self.file, text));
        }
        let used: HashSet<&str> = self.lines.iter().map(|line| line.image.as_str()).collect();
        let (mut chosen, mut lines) = (HashSet::new(), vec![]);
        for line in self.rest.iter().filter(|line| !used.contains(line.image.as_str())) {
            if chosen.len() < pictures || chosen.contains(line.image.as_str()) {
                chosen.insert(line.image.as_str());
                lines.push(line.clone());
            }
        }
        if chosen.len() < pictures {
            let text = format!(
                "expected {pictures} held-out pictures: beyond `limit` = {}, with no caption within it; found {}",
                self.lines.len(),
                chosen.len()
            );
            return Err(Error::content(&self.file, text));
        }
        let held_out = Self { lines, rest: vec![], ..self.clone() };
        held_out.check()?;
        Ok(Box::new(held_out))
    }
}

/// Adds it to the sources.
pub fn register(registry: &mut DataRegistry) {
    registry.pairs.add("captions", "a caption file and a folder of images", |file: CaptionFile| {
        Ok(Box::new(file.open().map_err(BuildError::build)?))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> std::result::Result<Vec<(String, String)>, String> {
        let lines = parse(text, &Columns::default())?;
        Ok(lines.into_iter().map(|line| (line.image, line.caption)).collect())
    }

    fn pair(image: &str, caption: &str) -> (String, String) {
        (image.to_owned(), caption.to_owned())
    }

    #[test]
    fn published_forms_are_told_apart() {
        for text in [
            "image,caption\na.jpg,a cat\nb.jpg,\"a \"\"big\"\" dog, asleep\"\n",
            "id;Caption;File_Name\n1;a cat;a.jpg\n2;\"a \"\"big\"\" dog, asleep\";b.jpg\n",
            "image\tcaption\r\na.jpg\ta cat\r\nb.jpg\ta \"big\" dog, asleep\r\n",
            "image_name| comment_number| comment\na.jpg| 0| a cat\nb.jpg| 1| a \"big\" dog, asleep\n",
            "image_name| comment_number| comment\na.jpg| 0| a cat\nb.jpg| 4   a \"big\" dog, asleep\n",
            "a.jpg#0\ta cat\nb.jpg#3\ta \"big\" dog, asleep\n",
        ] {
            let wanted = [pair("a.jpg", "a cat"), pair("b.jpg", "a \"big\" dog, asleep")];
            assert_eq!(read(text).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn mistakes_show_the_line_or_the_columns() {
        for (text, needles) in [
            ("picture,words\na,b\n", &["`image`", "`picture`, `words`"][..]),
            ("image,caption\na.jpg\n", &["line 2", "2 fields", "`a.jpg`"]),
            ("image_name| comment_number| comment\na.jpg| many| words| here\n", &["line 2", "found 4", "words| here"]),
            ("image,caption\na.jpg,\n", &["line 2", "an image and a caption"]),
            ("image,caption\n", &["no captions"]),
            ("", &["expected a first line"]),
        ] {
            let error = read(text).unwrap_err();
            assert!(needles.iter().all(|needle| error.contains(needle)), "{text}: {error}");
            assert!(!error.contains("Record") && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn images_that_are_not_there_are_counted_and_none_is_outside_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.csv");
        let open = |text: &str, limit| {
            std::fs::write(&file, text).unwrap();
            let images = folder.path().to_owned();
            CaptionFile {
                file: file.clone(),
                images,
                image_column: None,
                caption_column: None,
                limit,
                exif: Exif::Apply,
            }
            .open()
        };
        Picture { width: 1, height: 1, rgb: vec![1, 2, 3] }.save(&folder.path().join("a.png")).unwrap();
        let pairs = open("\u{feff}image,caption\na.png,one\na.png,two\n", None).unwrap();
        assert_eq!((pairs.len(), pairs.pair(1).unwrap().caption), (2, "two".into()));
        assert_eq!(pairs.pair(0).unwrap().picture.rgb, [1, 2, 3]);
        assert_eq!(open("image,caption\na.png,one\nb.png,two\n", Some(1)).unwrap().len(), 1);
        let error = open("image,caption\na.png,one\nb.png,two\nb.png,three\n", None).unwrap_err().to_string();
        assert!(error.contains("1 of 2 images") && error.contains("line 3: `b.png`"), "{error}");
        let error = open("image,caption\n../c.csv,one\n", None).unwrap_err().to_string();
        assert!(error.contains("below the folder"), "{error}");
    }

    #[test]
    fn pictures_beyond_the_limit_are_held_out_unless_one_of_their_captions_is_within_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.csv");
        let text = "image,caption\na.png,one\nb.png,two\nb.png,three\nc.png,four\nd.png,five\nc.png,six\n";
        std::fs::write(&file, text).unwrap();
        for name in ["a", "b", "c", "d"] {
            let picture = Picture { width: 1, height: 1, rgb: vec![1, 2, 3] };
            picture.save(&folder.path().join(format!("{name}.png"))).unwrap();
        }
        let open = |limit| {
            let images = folder.path().to_owned();
            let (image_column, caption_column) = (None, None);
            let file =
                CaptionFile { file: file.clone(), images, image_column, caption_column, limit, exif: Exif::Apply };
            file.open().unwrap()
        };
        let held_out = |limit, pictures| {
            let pairs = open(limit).held_out(pictures).map_err(|error| error.to_string())?;
            let lines = (0..pairs.len()).map(|i| (pairs.id(i).unwrap(), pairs.caption(i).unwrap()));
            Ok::<_, String>(lines.collect::<Vec<_>>())
        };
        let (four, five, six) = (pair("c.png", "four"), pair("d.png", "five"), pair("c.png", "six"));
        assert_eq!(held_out(Some(2), 2).unwrap(), [four.clone(), five, six.clone()]);
        assert_eq!(held_out(Some(2), 1).unwrap(), [four, six], "with all of its captions");
        let error = held_out(Some(2), 3).unwrap_err();
        assert!(error.contains("expected 3 held-out pictures") && error.contains("found 2"), "{error}");
        for limit in [None, Some(6), Some(60)] {
            let error = held_out(limit, 1).unwrap_err();
            assert!(error.contains("c.csv") && error.contains("none is held out"), "{error}");
        }
    }
}
