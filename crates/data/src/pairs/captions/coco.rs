//! COCO's captions: `captions_train2017.json` and what is written in its form.
//!
//! `images` give every image a number and a file name, `annotations` a caption to a number; other keys are passed over. Source: COCO's
//! data format, "Image Captioning". Pairs come in the order of annotations.

use super::lines::Caption;
use serde::Deserialize;
use std::collections::HashMap;

#[derive(Deserialize)]
struct File {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Image {
    id: u64,
    file_name: String,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: u64,
    caption: String,
}

/// The captions of a file; see the module.
pub(super) fn parse(text: &str) -> Result<Vec<Caption>, String> {
    let expected = "expected COCO's captions, {\"images\": [{\"id\", \"file_name\"}], \"annotations\": [{\"image_id\", \"caption\"}]}";
    let file: File = serde_json::from_str(text).map_err(|error| format!("{expected}: {error}"))?;
    let names: HashMap<u64, &str> = file.images.iter().map(|image| (image.id, image.file_name.as_str())).collect();
    let mut captions = Vec::with_capacity(file.annotations.len());
    for (place, Annotation { image_id, caption }) in file.annotations.into_iter().enumerate() {
        let line = place as u64 + 1;
        let image = names.get(&image_id).filter(|name| !name.is_empty());
        let image = image.ok_or_else(|| format!("annotation {line}: no image has the id {image_id}"))?;
        // Published captions have line ends and spaces around them.
        let caption = caption.split_whitespace().collect::<Vec<_>>().join(" ");
        if caption.is_empty() {
            return Err(format!("annotation {line}: expected a caption, found an empty one"));
        }
        captions.push(Caption { line, image: (*image).to_owned(), caption });
    }
    if captions.is_empty() { Err("no captions in it".into()) } else { Ok(captions) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_find_the_names_of_their_images() {
        let text = r#"{"info": {}, "images": [{"id": 9, "file_name": "b.jpg", "width": 5}, {"id": 4, "file_name": "a.jpg"}],
            "annotations": [{"image_id": 4, "id": 1, "caption": " A cat\nsleeps. "}, {"image_id": 9, "id": 2, "caption": "A dog"}]}"#;
        let read = parse(text).unwrap();
        let all: Vec<_> = read.iter().map(|c| (c.line, c.image.as_str(), c.caption.as_str())).collect();
        assert_eq!(all, [(1, "a.jpg", "A cat sleeps."), (2, "b.jpg", "A dog")]);
        for (text, needle) in [
            (r#"{"images": []}"#, "`annotations`"),
            (
                r#"{"images": [], "annotations": [{"image_id": 3, "caption": "x"}]}"#,
                "annotation 1: no image has the id 3",
            ),
            (
                r#"{"images": [{"id": 3, "file_name": "a"}], "annotations": [{"image_id": 3, "caption": " "}]}"#,
                "annotation 1",
            ),
            (r#"{"images": [], "annotations": []}"#, "no captions"),
            (r#"{"images": ["#, "expected COCO's captions"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(needle) && !error.contains('\n'), "{text}: {error}");
        }
    }
}
