//! The C interface: open a model, embed words, segment into the caller's buffer. `include/simseg.h` is made from this file
//! (`SIMSEG_BLESS=1 cargo test -p simseg-capi`), and `tests/segment.c` is a program that uses all of it.
//!
//! Every function that can fail returns a [`SimsegStatus`]; what went wrong is a text ([`simseg_last_error`]). No panic crosses the border:
//! it becomes [`SimsegStatus::Internal`]. A model and its words can be used by several threads at once; each thread has a last error of
//! its own.

use simseg::memory::Size;
use simseg::{Error, Image, Model, Picture, Words};
use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How a call ended.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimsegStatus {
    /// Done.
    Ok = 0,
    /// A pointer is null that must not be, a text is not UTF-8, or a size does not fit.
    Argument = 1,
    /// A file, a word or a picture is not what it should be.
    Input = 2,
    /// A fault of this library.
    Internal = 3,
}

/// A model: a network, its vocabulary, and the recipe by which it segments. Several threads may use one, and its words, at the same time.
pub struct SimsegModel(Model);

/// Classes: words that a model has embedded, for this model only.
pub struct SimsegWords {
    words: Words<simseg::Cpu>,
    names: Vec<CString>,
}

/// Raised when a function changes what it takes or means.
pub const SIMSEG_ABI: u32 = 1;

/// The label of a pixel that no class claims, in lists without a background.
pub const SIMSEG_UNCLAIMED: u16 = u16::MAX;

thread_local! {
    static LAST: RefCell<CString> = RefCell::new(CString::default());
}

/// What a call does not get past.
struct Refused(SimsegStatus, String);

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self(SimsegStatus::Input, error.to_string())
    }
}

fn argument(why: impl Into<String>) -> Refused {
    Refused(SimsegStatus::Argument, why.into())
}

/// Runs the body of a call; keeps its error, or its panic, as this thread's last error.
fn call(body: impl FnOnce() -> Result<(), Refused>) -> SimsegStatus {
    let ended = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(Refused(SimsegStatus::Internal, format!("a fault of simseg: {text}")))
    });
    let (status, text) = match ended {
        Ok(()) => (SimsegStatus::Ok, String::new()),
        Err(Refused(status, text)) => (status, text),
    };
    let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
    LAST.with(|last| *last.borrow_mut() = text);
    status
}

/// # Safety
/// `bytes` is null or can be read for `len` bytes while `'a` lasts.
unsafe fn slice<'a>(bytes: *const u8, len: usize, what: &str) -> Result<&'a [u8], Refused> {
    if bytes.is_null() || len > isize::MAX as usize {
        return Err(argument(format!("{what}: expected {len} bytes, found null or too many")));
    }
    // SAFETY: not null, no longer than memory can be, and the caller promises the rest.
    Ok(unsafe { std::slice::from_raw_parts(bytes, len) })
}

/// # Safety
/// `text` is null or ends with a zero byte.
unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<&'a str, Refused> {
    if text.is_null() {
        return Err(argument(format!("{what} is null")));
    }
    // SAFETY: as the caller promised.
    unsafe { CStr::from_ptr(text) }.to_str().map_err(|error| argument(format!("{what}: {error}")))
}

/// # Safety
/// `value` is null or points to a value that lives through `'a`.
unsafe fn borrow<'a, T>(value: *const T, what: &str) -> Result<&'a T, Refused> {
    // SAFETY: as the caller promised.
    unsafe { value.as_ref() }.ok_or_else(|| argument(format!("{what} is null")))
}

/// Puts null where a result will go: a call that fails leaves nothing that could be freed.
///
/// # Safety
/// `out` is null or can be written.
unsafe fn nothing<T>(out: *mut *mut T) -> Result<(), Refused> {
    if out.is_null() {
        return Err(argument("the place for the result is null"));
    }
    // SAFETY: not null, and the caller promises the rest.
    unsafe { out.write(std::ptr::null_mut()) };
    Ok(())
}

/// Hands a value to the caller, after [`nothing`].
///
/// # Safety
/// `out` can be written.
unsafe fn give<T>(out: *mut *mut T, value: impl FnOnce() -> Result<T, Refused>) -> Result<(), Refused> {
    let value = Box::into_raw(Box::new(value()?));
    // SAFETY: the caller's promise.
    unsafe { out.write(value) };
    Ok(())
}

/// The version of this interface that the library has: compare it with `SIMSEG_ABI` of the header.
#[unsafe(no_mangle)]
pub extern "C" fn simseg_abi() -> u32 {
    SIMSEG_ABI
}

/// What went wrong in the last call of this thread that returns a status or is `simseg_memory`; empty if nothing did. Valid until the next such call.
#[unsafe(no_mangle)]
pub extern "C" fn simseg_last_error() -> *const c_char {
    LAST.with(|last| last.borrow().as_ptr())
}

/// Opens a model directory. The model is to be freed by `simseg_model_free`.
///
/// # Safety
/// `folder` is a text that ends with a zero byte; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn simseg_model_open(folder: *const c_char, out: *mut *mut SimsegModel) -> SimsegStatus {
    // SAFETY: the caller's promises.
    call(|| unsafe {
        nothing(out)?;
        let folder = text(folder, "folder")?;
        give(out, || Ok(SimsegModel(Model::open(folder)?)))
    })
}

/// Opens a model from the bytes of its files `config.json`, `model.safetensors`, and `vocab.txt` or `tokenizer.json`. They are copied.
///
/// # Safety
/// Each pointer can be read for as many bytes as are said; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn simseg_model_from_memory(
    config: *const u8,
    config_len: usize,
    weights: *const u8,
    weights_len: usize,
    vocabulary: *const u8,
    vocabulary_len: usize,
    out: *mut *mut SimsegModel,
) -> SimsegStatus {
    // SAFETY: the caller's promises.
    call(|| unsafe {
        nothing(out)?;
        let config = slice(config, config_len, "config")?;
        let weights = slice(weights, weights_len, "weights")?;
        let vocabulary = slice(vocabulary, vocabulary_len, "vocabulary")?;
        give(out, || Ok(SimsegModel(Model::from_bytes(config, weights, vocabulary)?)))
    })
}

/// Limits the memory that a call of `simseg_segment` may take, weights included, in bytes: a picture that may need more is then refused with
/// `SIMSEG_STATUS_INPUT` before anything is asked for. Embedding words is no part of it, and calls at the same time on several threads take as much
/// each. A limit that the weights alone exceed is refused, and the model stays as it was; `SIZE_MAX` lifts it. How much freed memory waits to be used
/// again follows the limit, too: one number for the whole process, that of the latest call.
///
/// # Safety
/// `model` came from this library, and no other thread uses it during this call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn simseg_model_limit_memory(model: *mut SimsegModel, bytes: usize) -> SimsegStatus {
    // SAFETY: the caller's promises.
    call(|| unsafe {
        let model = model.as_mut().ok_or_else(|| argument("model is null"))?;
        model.0 = model.0.clone().with_memory_limit(bytes)?;
        Ok(())
    })
}

/// Frees a model; null is allowed. Its words stay, but can't be used any more except to be freed.
///
/// # Safety
/// `model` is null or came from this library, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn simseg_model_free(model: *mut SimsegModel) {
    if !model.is_null() {
        // SAFETY: made by `give`, and not freed before, as the caller promised.
        drop(unsafe { Box::from_raw(model) });
    }
}

/// Embeds `count` words, one class each, such as `"cat"` or `"cat | kitten"`. Class 0 is the background: it is put in front unless the first
/// word is `background`. To be freed by `simseg_words_free`.
///
/// # Safety
/// `model` came from this library; `words` can be read for `count` texts, each of which ends with a zero byte; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn simseg_words_new(
    model: *const SimsegModel,
    words: *const *const c_char,
    count: usize,
    out: *mut *mut SimsegWords,
) -> SimsegStatus {
    // SAFETY: the caller's promises.
    call(|| unsafe {
        nothing(out)?;
        let model = &borrow(model, "model")?.0;
        if words.is_null() {
            return Err(argument("words are null"));
        }
        let one = |i| text(*words.add(i), "a word");
        let lines = (0..count).map(one).collect::<Result<Vec<&str>, Refused>>()?;
        give(out, || {
            let words = model.words(lines)?;
            let name = |class| CString::new(words.list.name(class)).map_err(|error| argument(error.to_string()));
            let names = (0..words.list.len()).map(name).collect::<Result<_, _>>()?;
            Ok(SimsegWords { words, names })
        })
    })
}

/// How many classes there are, the background included; 0 for null.
///
/// # Safety
/// `words` is null or came from this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn simseg_words_count(words: *const SimsegWords) -> usize {
    // SAFETY: the caller's promise.
    unsafe { words.as_ref() }.map_or(0, |words| words.names.len())
}

/// The first word of a class; null if there is no such class. Valid as long as the words.
///
/// # Safety
/// `words` is null or came from this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn simseg_words_name(words: *const SimsegWords, class: usize) -> *const c_char {
    // SAFETY: the caller's promise.
    let name = unsafe { words.as_ref() }.and_then(|words| words.names.get(class));
    name.map_or(std::ptr::null(), |name| name.as_ptr())
}

/// Frees words; null is allowed.
///
/// # Safety
/// `words` is null or came from this library, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn simseg_words_free(words: *mut SimsegWords) {
    if !words.is_null() {
        // SAFETY: made by `give`, and not freed before, as the caller promised.
        drop(unsafe { Box::from_raw(words) });
    }
}

/// How many bytes `simseg_segment` needs at most for a picture of `width` × `height` pixels with these words, weights included; the picture and the
/// caller's buffers are not counted. 0 if a pointer is null or the size is none that a picture may have.
///
/// # Safety
/// `model` and `words` are null or came from this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn simseg_memory(
    model: *const SimsegModel,
    words: *const SimsegWords,
    width: usize,
    height: usize,
) -> usize {
    let mut bytes = 0;
    // SAFETY: the caller's promises.
    let status = call(|| unsafe {
        let (model, words) = (&borrow(model, "model")?.0, borrow(words, "words")?);
        Picture::check(width, height).map_err(Error::from)?;
        bytes = model.memory(Size { height, width }, &words.words).peak();
        Ok(())
    });
    if status == SimsegStatus::Ok { bytes } else { 0 }
}

/// Segments a picture of `width` × `height` pixels of three bytes (red, green, blue); a row starts `stride` bytes after the one above it.
/// Writes a class for each pixel to `labels`, row after row without gaps: a number below `simseg_words_count`, or `SIMSEG_UNCLAIMED`.
/// Unless it is null, `scores` gets the score of each class for the whole picture, `scores_len` being their number.
///
/// # Safety
/// `model` and `words` came from this library. `rgb` can be read for `stride·(height − 1) + 3·width` bytes, which nothing changes until the
/// call returns (where `stride` is `3·width` they are read in place, without a copy). `labels` can be written for `labels_len` values,
/// `scores` is null or can be written for `scores_len` values; neither overlaps `rgb`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn simseg_segment(
    model: *const SimsegModel,
    words: *const SimsegWords,
    rgb: *const u8,
    width: usize,
    height: usize,
    stride: usize,
    labels: *mut u16,
    labels_len: usize,
    scores: *mut f32,
    scores_len: usize,
) -> SimsegStatus {
    // SAFETY: the caller's promises.
    call(|| unsafe {
        let (model, words) = (&borrow(model, "model")?.0, borrow(words, "words")?);
        let sizes = || {
            let (line, pixels) = (width.checked_mul(3)?, width.checked_mul(height)?);
            let len = stride.checked_mul(height.checked_sub(1)?)?.checked_add(line)?;
            (line > 0 && stride >= line).then_some((line, pixels, len))
        };
        let (line, pixels, len) = sizes().ok_or_else(|| {
            argument(format!(
                "{width}×{height} pixels of three bytes, rows {stride} bytes apart: empty, too large, or rows overlap"
            ))
        })?;
        let bytes = slice(rgb, len, "rgb")?;
        if labels.is_null() || labels_len != pixels {
            return Err(argument(format!("labels: expected {pixels} values, found null or {labels_len}")));
        }
        if !scores.is_null() && scores_len != words.names.len() {
            return Err(argument(format!("scores: expected {} values, found {scores_len}", words.names.len())));
        }
        // Before gigabytes are copied from a picture that is refused then.
        Picture::check(width, height).map_err(Error::from)?;
        let rgb = match stride == line {
            true => Cow::Borrowed(bytes),
            false => {
                let mut rgb = Vec::with_capacity(3 * pixels);
                bytes.chunks(stride).for_each(|row| rgb.extend_from_slice(&row[..line]));
                Cow::Owned(rgb)
            }
        };
        let found = model.segment(&Image::from_rgb(width, height, rgb).map_err(Error::from)?, &words.words)?;
        std::slice::from_raw_parts_mut(labels, pixels).copy_from_slice(&found.labels.values);
        if !scores.is_null() {
            std::slice::from_raw_parts_mut(scores, scores_len).copy_from_slice(&found.details.scores);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_status_and_a_text() {
        // SAFETY: the text of this thread, which lives until its next call.
        let last = || unsafe { CStr::from_ptr(simseg_last_error()) }.to_str().unwrap().to_owned();
        assert_eq!(call(|| panic!("zero is {}", 0)), SimsegStatus::Internal);
        assert!(last().contains("zero is 0"), "{}", last());
        assert_eq!((call(|| Err(argument("a\0b"))), last()), (SimsegStatus::Argument, "a b".to_owned()));
        assert_eq!((call(|| Ok(())), last()), (SimsegStatus::Ok, String::new()));
    }
}
