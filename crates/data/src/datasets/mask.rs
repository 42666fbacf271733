//! Masks as run lengths, as COCO and PASCAL in Detail store them.
//!
//! A mask of `h` rows is read column by column; its runs alternate between out and in, starting with out, and add up to
//! `h·w`. As text, every run is a signed number in base 32, lowest digit first: five bits a character, the sixth says that
//! more follow, 48 is added to print; from the fourth run on it is the difference to the run two before. The last digit's
//! highest bit is the sign. Source: `maskApi.c` of cocoapi (Dollár and Lin), described there as a kind of LEB128.

/// The runs of a text.
///
/// ```
/// // 3 out, 2 in, 4 out; then 2 + 1 in.
/// assert_eq!(simseg_data::datasets::mask::runs("3241")?, [3, 2, 4, 3]);
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
/// If it holds other characters, ends within a number, or a run is negative or too long.
pub fn runs(text: &str) -> Result<Vec<u32>, String> {
    let mut runs: Vec<u32> = vec![];
    let mut bytes = text.bytes();
    while bytes.len() > 0 {
        let (mut value, mut shift) = (0i64, 0);
        loop {
            let Some(byte) = bytes.next() else { return Err(format!("run {} is cut short", runs.len() + 1)) };
            let digit = match byte {
                48..=111 => i64::from(byte - 48),
                _ => return Err(format!("byte {byte} in run {}, expected 48 to 111", runs.len() + 1)),
            };
            value |= (digit & 31) << shift;
            shift += 5;
            if digit & 32 == 0 {
                if digit & 16 != 0 {
                    value -= 1 << shift;
                }
                break;
            }
            if shift > 35 {
                return Err(format!("run {} has too many digits", runs.len() + 1));
            }
        }
        if runs.len() > 2 {
            value += i64::from(runs[runs.len() - 2]);
        }
        runs.push(u32::try_from(value).map_err(|_| format!("run {} is {value} pixels long", runs.len() + 1))?);
    }
    Ok(runs)
}

/// Gives the pixels inside the mask a value. `map` is `[height, width]`.
///
/// # Errors
/// If the runs do not cover the map exactly.
pub fn paint(runs: &[u32], map: &mut [u16], width: usize, height: usize, value: u16) -> Result<(), String> {
    let covered: u64 = runs.iter().map(|&run| u64::from(run)).sum();
    if covered != (width * height) as u64 || map.len() != width * height {
        return Err(format!("runs cover {covered} pixels; expected {width}×{height}"));
    }
    let mut place = 0;
    for (i, &run) in runs.iter().enumerate() {
        let end = place + run as usize;
        if i % 2 == 1 {
            for p in place..end {
                map[p % height * width + p / height] = value;
            }
        }
        place = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The other direction, for round trips.
    fn text(runs: &[u32]) -> String {
        let mut out = String::new();
        for (i, &run) in runs.iter().enumerate() {
            let mut value = i64::from(run) - if i > 2 { i64::from(runs[i - 2]) } else { 0 };
            loop {
                let digit = value & 31;
                value >>= 5;
                let done = if digit & 16 != 0 { value == -1 } else { value == 0 };
                out.push(char::from(48 + digit as u8 + if done { 0 } else { 32 }));
                if done {
                    break;
                }
            }
        }
        out
    }

    #[test]
    fn runs_go_down_the_columns() {
        // 2 rows × 3 columns: skip 1, take 3 → (1,0), (0,1), (1,1).
        let mut map = [0; 6];
        paint(&[1, 3, 2], &mut map, 3, 2, 7).unwrap();
        assert_eq!(map, [0, 7, 0, 7, 7, 0]);
        assert!(paint(&[1, 3], &mut map, 3, 2, 7).is_err());
    }

    #[test]
    fn damaged_text_is_an_error() {
        assert!(runs("P").unwrap_err().contains("cut short"));
        assert!(runs(" ").is_err());
        assert!(runs("@").is_err(), "a negative run");
        assert!(runs("ooooooooooooo").is_err());
    }

    proptest! {
        #[test]
        fn text_and_runs_say_the_same(lengths in prop::collection::vec(0u32..100_000, 0..40)) {
            prop_assert_eq!(runs(&text(&lengths)).unwrap(), lengths);
        }

        #[test]
        fn any_text_ends_without_a_panic(text in "[ -~]{0,60}") {
            let _ = runs(&text);
        }
    }
}
