//! Where a JPEG ends, and where its Exif lies, by its markers alone.
//!
//! Source: ITU-T T.81, annex B (segments, and markers within entropy-coded data).

use std::ops::Range;

/// What the markers tell.
pub(super) struct Extent {
    /// Behind the end marker of the image; a phone's video or a second image may follow.
    pub end: usize,
    /// The TIFF structure of its Exif, if it has one.
    pub exif: Option<Range<usize>>,
}

const END: u8 = 0xd9;
const SCAN: u8 = 0xda;
const APP1: u8 = 0xe1;

/// Walks from marker to marker to the end of the image; none if it is cut short or is no JPEG.
pub(super) fn extent(bytes: &[u8]) -> Option<Extent> {
    if !bytes.starts_with(&[0xff, 0xd8]) {
        return None;
    }
    let (mut at, mut exif) = (2, None);
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        let marker = *bytes.get(at + 1)?;
        match marker {
            0xff => at += 1, // a byte of filling
            END => return Some(Extent { end: at + 2, exif }),
            // An 0xff of the data, a restart, or a marker without a segment.
            0x00 | 0x01 | 0xd0..=0xd8 => at += 2,
            _ => {
                let length = usize::from(u16::from_be_bytes([*bytes.get(at + 2)?, *bytes.get(at + 3)?])).max(2);
                let segment = at + 4..at + 2 + length;
                if marker == APP1 && exif.is_none() && bytes.get(segment.clone())?.starts_with(b"Exif\0\0") {
                    exif = Some(segment.start + 6..segment.end);
                }
                // Behind the header of a scan lies its data, up to the next marker.
                debug_assert!(marker != SCAN || segment.end > at);
                at = segment.end;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A start, an Exif with a preview of its own, a scan whose data hold a restart and a stuffed byte, an end.
    fn photograph() -> Vec<u8> {
        let exif = b"Exif\0\0II*\0\xff\xd8\xff\xda\xff\xd9";
        let mut bytes = vec![0xff, 0xd8, 0xff, 0xe1];
        bytes.extend((exif.len() as u16 + 2).to_be_bytes());
        bytes.extend(exif);
        bytes.extend(b"\xff\xda\x00\x02\x11\xff\x00\xff\xd0\x22\xff\xff\xd9");
        bytes
    }

    #[test]
    fn it_ends_at_its_own_end_whatever_lies_inside_or_behind() {
        let alone = photograph();
        let extent_of = |bytes: &[u8]| extent(bytes).map(|extent| (extent.end, extent.exif));
        assert_eq!(extent_of(&alone), Some((alone.len(), Some(12..alone.len() - 13))));
        let mut video = alone.clone();
        video.extend(b"ftypmp42\xff\xda\xff\xd9\xff\xda");
        assert_eq!(extent_of(&video).unwrap().0, alone.len());
        for end in 0..alone.len() {
            assert!(extent(&alone[..end]).is_none(), "cut at {end}");
        }
        assert!(extent(b"GIF89a").is_none());
    }
}
