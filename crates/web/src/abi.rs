//! How a request gets into WebAssembly, and the answer out: three functions over one buffer, in place of generated glue.
//!
//! ```text
//! at = room(length)        the page writes a request of so many bytes there
//! length = answer()        one call, one answer
//! at = said()              where the answer lies, until the next call
//! ```
//!
//! `wasm-bindgen` would generate this and much more, with a program of its own that has to match the crate's version.

use crate::Desk;
use std::cell::RefCell;

#[derive(Default)]
struct State {
    request: Vec<u8>,
    answer: Vec<u8>,
    desk: Desk,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Where a request of `length` bytes goes.
#[unsafe(no_mangle)]
pub extern "C" fn room(length: usize) -> *mut u8 {
    STATE.with_borrow_mut(|state| {
        state.request = vec![0; length];
        state.request.as_mut_ptr()
    })
}

/// Answers the request that was written; the length of the answer in bytes.
#[unsafe(no_mangle)]
pub extern "C" fn answer() -> usize {
    STATE.with_borrow_mut(|state| {
        let request = String::from_utf8_lossy(&std::mem::take(&mut state.request)).into_owned();
        state.answer = state.desk.answer(&request).into_bytes();
        state.answer.len()
    })
}

/// Where the answer lies.
#[unsafe(no_mangle)]
pub extern "C" fn said() -> *const u8 {
    STATE.with_borrow(|state| state.answer.as_ptr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_in_and_an_answer_comes_out() {
        room(3); // three zero bytes: no request
        let length = answer();
        assert!(!said().is_null());
        let text = STATE.with_borrow(|state| String::from_utf8(state.answer.clone()).unwrap());
        assert!(text.len() == length && text.starts_with("{\"error\":"), "{text}");
    }
}
