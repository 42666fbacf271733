//! Images with captions: a CSV file with the columns `image` and `caption`, in any order and beside others.
//!
//! An image may come on several lines, once for each of its captions (Flickr30K and COCO have five); fields may be quoted
//! (RFC 4180). SimSeg's release reads the same two columns.

use crate::{Error, Result};
use std::path::Path;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caption {
    /// The image's file name, as written.
    pub image: String,
    /// What somebody wrote about it.
    pub caption: String,
}

/// Reads a caption file line by line.
///
/// # Errors
/// At once if it cannot be opened or lacks a column; later for each line that has too many or too few fields.
pub fn captions(path: &Path) -> Result<impl Iterator<Item = Result<Caption>> + use<>> {
    let path = path.to_owned();
    let file = std::fs::File::open(&path).map_err(Error::io(&path))?;
    let mut reader = csv::Reader::from_reader(file);
    let headers = reader.headers().map_err(|error| Error::content(&path, error.to_string()))?;
    let column = |name: &str| {
        let found = headers.iter().position(|header| header.trim() == name);
        found.ok_or_else(|| Error::content(&path, format!("expected a first line with `{name}`, found {:?}", headers)))
    };
    let (image, caption) = (column("image")?, column("caption")?);
    Ok(reader.into_records().map(move |record| {
        let record = record.map_err(|error| Error::content(&path, error.to_string()))?;
        Ok(Caption { image: record[image].to_owned(), caption: record[caption].to_owned() })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Caption>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.csv");
        std::fs::write(&path, text).unwrap();
        captions(&path)?.collect()
    }

    #[test]
    fn columns_are_found_by_name_and_fields_may_be_quoted() {
        let read = read("id,caption,image\n1,\"a \"\"big\"\" cat, asleep\",a.jpg\n2,two\u{e9},b.jpg\n").unwrap();
        assert_eq!(read[0], Caption { image: "a.jpg".into(), caption: "a \"big\" cat, asleep".into() });
        assert_eq!((read.len(), &read[1].caption[..]), (2, "twoé"));
    }

    #[test]
    fn mistakes_name_the_file_and_the_column() {
        let error = read("picture,caption\na,b\n").unwrap_err().to_string();
        assert!(error.contains("c.csv") && error.contains("`image`") && !error.contains('\n'), "{error}");
        assert!(read("image,caption\na.jpg\n").unwrap_err().to_string().contains("c.csv"));
        assert!(read("").is_err());
    }
}
