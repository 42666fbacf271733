//! A new value for every value: posterize, solarize, invert, autocontrast, equalize, as Pillow has them (`ImageOps.py`), to the byte.

use crate::picture::Picture;

/// What becomes of each value.
type Table = [u8; 256];

fn looked_up(picture: &Picture, tables: &[Table; 3]) -> Picture {
    let mut rgb = picture.rgb.clone();
    for pixel in rgb.chunks_exact_mut(3) {
        pixel.iter_mut().zip(tables).for_each(|(value, table)| *value = table[usize::from(*value)]);
    }
    Picture { rgb, ..*picture }
}

fn table(of: impl Fn(usize) -> u8) -> Table {
    std::array::from_fn(of)
}

/// A table per channel, from how often each value occurs in it.
fn by_histogram(picture: &Picture, of: impl Fn(&[usize; 256]) -> Option<Table>) -> Picture {
    let mut counts = [[0usize; 256]; 3];
    for pixel in picture.rgb.chunks_exact(3) {
        counts.iter_mut().zip(pixel).for_each(|(counts, &value)| counts[usize::from(value)] += 1);
    }
    looked_up(picture, &counts.map(|counts| of(&counts).unwrap_or_else(|| table(|value| value as u8))))
}

/// The upper bits of every value, 0 to 8 of them.
pub fn posterize(picture: &Picture, bits: u32) -> Picture {
    let mask = (0xff00u32 >> bits.min(8)) as u8;
    looked_up(picture, &[table(|value| value as u8 & mask); 3])
}

/// Values from a threshold on become `255 − v`.
pub fn solarize(picture: &Picture, threshold: f64) -> Picture {
    let turned = |value: usize| if (value as f64) < threshold { value as u8 } else { 255 - value as u8 };
    looked_up(picture, &[table(turned); 3])
}

/// `255 − v`.
pub fn invert(picture: &Picture) -> Picture {
    looked_up(picture, &[table(|value| 255 - value as u8); 3])
}

/// The least value of each channel becomes 0, the largest 255.
pub fn autocontrast(picture: &Picture) -> Picture {
    by_histogram(picture, |counts| {
        let least = counts.iter().position(|&count| count > 0)?;
        let most = counts.iter().rposition(|&count| count > 0)?;
        let scale = (most > least).then(|| 255.0 / (most - least) as f64)?;
        let offset = -(least as f64) * scale;
        Some(table(|value| (value as f64 * scale + offset) as u8)) // towards zero, within 0 and 255
    })
}

/// Every value as often as every other, as far as that goes.
pub fn equalize(picture: &Picture) -> Picture {
    by_histogram(picture, |counts| {
        let occurring = counts.iter().filter(|&&count| count > 0).count();
        let last = counts.iter().rfind(|&&count| count > 0)?;
        let step = (counts.iter().sum::<usize>() - last) / 255;
        if occurring <= 1 || step == 0 {
            return None;
        }
        let mut below = step / 2;
        let mut equal = [0; 256];
        for (value, count) in equal.iter_mut().zip(counts) {
            *value = (below / step).min(255) as u8;
            below += count;
        }
        Some(equal)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_values_by_hand() {
        let picture = Picture { width: 2, height: 1, rgb: vec![10, 200, 7, 60, 255, 7] };
        assert_eq!(posterize(&picture, 4).rgb, [0, 192, 0, 48, 240, 0]);
        assert_eq!(posterize(&picture, 8), picture);
        assert_eq!(solarize(&picture, 60.0).rgb, [10, 55, 7, 195, 0, 7]);
        assert_eq!(invert(&picture).rgb, [245, 55, 248, 195, 0, 248]);
        // One value alone stays; 255·(255/55) − 200·(255/55) falls a hair short of 255, in Pillow too.
        assert_eq!(autocontrast(&picture).rgb, [0, 0, 7, 255, 254, 7]);
        assert_eq!(equalize(&picture), picture, "too few pixels for 255 steps");
        let ramp = Picture { width: 1024, height: 1, rgb: (0..1024).flat_map(|x| [(x / 8) as u8; 3]).collect() };
        let equal = equalize(&ramp);
        assert_eq!((equal.rgb[0], equal.rgb[3 * 1023]), (0, 255), "0 to 127 becomes 0 to 255");
    }
}
