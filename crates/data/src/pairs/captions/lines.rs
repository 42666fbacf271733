//! The text of a caption file: CSV, TSV and the forms in which Flickr8k and Flickr30k are published.
//!
//! | form | first lines |
//! |---|---|
//! | comma, semicolon, tab or bar separated, columns by name | `image,caption` or `image_name\| comment_number\| comment` |
//! | Flickr's token file: no header | `1000268201.jpg#0⇥A child in a pink dress` |
//!
//! | COCO's captions ([`super::coco`]) | `{"images": [{"id": …, "file_name": …}], "annotations": [{"image_id": …, "caption": …}]}` |
//!
//! An image may come on several lines, once for each of its captions (Flickr and COCO have five); other columns are passed over.
//! Comma and semicolon separated fields may be quoted (RFC 4180).

use crate::{Error, Result};
use std::path::Path;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caption {
    /// Its number in the file, from 1; of COCO's captions the number of the annotation.
    pub line: u64,
    /// The image's file name, as written.
    pub image: String,
    /// What somebody wrote about it.
    pub caption: String,
}

/// What the two columns are called in published files; upper and lower case are the same.
pub const IMAGE: [&str; 8] = ["image", "image_name", "filename", "file_name", "file", "path", "image_path", "img"];
/// Likewise.
pub const CAPTION: [&str; 7] = ["caption", "comment", "text", "title", "sentence", "description", "raw"];
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
    let read = if text.trim_start().starts_with('{') { super::coco::parse(text) } else { parse(text, columns) };
    read.map_err(|problem| Error::content(path, problem))
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
}
