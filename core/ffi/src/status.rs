//! What functions answer: codes, their texts, and the text of the last error of each thread. Panics
//! end here. This file must not know what functions do.

use std::cell::RefCell;
use std::ffi::{CString, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

use protoquic::polled::Error;

/// Success.
pub const PQ_OK: c_int = 0;
/// There is nothing to do: no datagram to send, nothing to read, no room to write, no event.
pub const PQ_ERR_DONE: c_int = -1;
/// The buffer is too short. Nothing was lost.
pub const PQ_ERR_BUFFER_TOO_SHORT: c_int = -2;
/// An argument or a setting makes no sense; pq_last_error says which.
pub const PQ_ERR_INVALID: c_int = -3;
/// No such stream or exchange, or it is over.
pub const PQ_ERR_UNKNOWN_STREAM: c_int = -4;
/// The stream does not carry data in that direction.
pub const PQ_ERR_WRONG_DIRECTION: c_int = -5;
/// This cannot be done at this point, or not with this kind of connection.
pub const PQ_ERR_WRONG_STATE: c_int = -6;
/// The peer allows no more streams for now.
pub const PQ_ERR_STREAM_LIMIT: c_int = -7;
/// The peer has reset the stream; what was not read is gone.
pub const PQ_ERR_STREAM_RESET: c_int = -8;
/// The peer wants no more data on the stream.
pub const PQ_ERR_STREAM_STOPPED: c_int = -9;
/// Larger than the peer takes, or than fits now.
pub const PQ_ERR_TOO_LARGE: c_int = -10;
/// Too much is waiting already.
pub const PQ_ERR_QUEUE_FULL: c_int = -11;
/// The peer does not know what this asks of it.
pub const PQ_ERR_NOT_SUPPORTED: c_int = -12;
/// The connection is closed or closing, or takes no new requests.
pub const PQ_ERR_CLOSED: c_int = -13;
/// NULL where a pointer must not be.
pub const PQ_ERR_NULL: c_int = -14;
/// A handle that was freed, or is of another kind.
pub const PQ_ERR_BAD_HANDLE: c_int = -15;
/// A fault of this library. The object is to be freed.
pub const PQ_ERR_PANIC: c_int = -16;
/// A file could not be read, or a socket not be used; pq_last_error says why.
pub const PQ_ERR_SYSTEM: c_int = -17;

/// A failure on its way out.
#[derive(Debug)]
pub(crate) struct Failure {
    code: c_int,
    text: String,
}

/// What the functions here work with.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(code: c_int, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::new(PQ_ERR_INVALID, text)
    }

    pub(crate) fn done() -> Self {
        Error::Done.into()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        // `Done` ends every loop: its text is not worth an allocation.
        let text = if error == Error::Done { String::new() } else { error.to_string() };
        Self { code: code_of(&error), text }
    }
}

fn code_of(error: &Error) -> c_int {
    match error {
        Error::Done => PQ_ERR_DONE,
        Error::BufferTooShort(_) => PQ_ERR_BUFFER_TOO_SHORT,
        Error::Invalid(_) => PQ_ERR_INVALID,
        Error::UnknownStream => PQ_ERR_UNKNOWN_STREAM,
        Error::WrongDirection => PQ_ERR_WRONG_DIRECTION,
        Error::WrongState => PQ_ERR_WRONG_STATE,
        Error::StreamLimit => PQ_ERR_STREAM_LIMIT,
        Error::StreamReset(_) => PQ_ERR_STREAM_RESET,
        Error::StreamStopped(_) => PQ_ERR_STREAM_STOPPED,
        Error::TooLarge(_) => PQ_ERR_TOO_LARGE,
        Error::QueueFull => PQ_ERR_QUEUE_FULL,
        Error::NotSupported => PQ_ERR_NOT_SUPPORTED,
        Error::Closed => PQ_ERR_CLOSED,
    }
}

/// A number that a function answers when all is well.
pub(crate) trait Answer {
    fn from_code(code: c_int) -> Self;
}

impl Answer for c_int {
    fn from_code(code: c_int) -> Self {
        code
    }
}

impl Answer for isize {
    fn from_code(code: c_int) -> Self {
        code as Self
    }
}

impl Answer for i64 {
    fn from_code(code: c_int) -> Self {
        code.into()
    }
}

/// Runs a function's body: failures become codes, and so do panics.
pub(crate) fn guard<T: Answer>(body: impl FnOnce() -> Outcome<T>) -> T {
    // What a panic left half done is only ever freed: the header says so.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(answer)) => answer,
        Ok(Err(failure)) => {
            remember(failure.text);
            T::from_code(failure.code)
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            remember(format!("a fault of protoquic: {}", text.unwrap_or("unknown")));
            T::from_code(PQ_ERR_PANIC)
        }
    }
}

/// As [`guard`], for functions without an answer.
pub(crate) fn guard_quietly(body: impl FnOnce() -> Outcome<()>) {
    let _: c_int = guard(|| body().map(|()| PQ_OK));
}

fn remember(text: String) {
    LAST_ERROR.with_borrow_mut(|last| {
        if !(text.is_empty() && last.is_empty()) {
            *last = CString::new(text.replace('\0', " ")).unwrap_or_default();
        }
    });
}

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

/// What a code means, in a few words. Never NULL; not to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn pq_error_text(code: c_int) -> *const c_char {
    let text = match code {
        PQ_OK.. => c"success",
        PQ_ERR_DONE => c"there is nothing to do now",
        PQ_ERR_BUFFER_TOO_SHORT => c"the buffer is too short",
        PQ_ERR_INVALID => c"an argument or a setting makes no sense",
        PQ_ERR_UNKNOWN_STREAM => c"no such stream, or it is over",
        PQ_ERR_WRONG_DIRECTION => c"the stream does not carry data in that direction",
        PQ_ERR_WRONG_STATE => c"this cannot be done at this point",
        PQ_ERR_STREAM_LIMIT => c"the peer allows no more streams for now",
        PQ_ERR_STREAM_RESET => c"the peer has reset the stream",
        PQ_ERR_STREAM_STOPPED => c"the peer wants no more data on the stream",
        PQ_ERR_TOO_LARGE => c"too large for the peer, or for now",
        PQ_ERR_QUEUE_FULL => c"too much is waiting already",
        PQ_ERR_NOT_SUPPORTED => c"the peer does not support that",
        PQ_ERR_CLOSED => c"the connection is closed",
        PQ_ERR_NULL => c"NULL where a pointer must not be",
        PQ_ERR_BAD_HANDLE => c"a handle that was freed, or is of another kind",
        PQ_ERR_PANIC => c"a fault of protoquic",
        PQ_ERR_SYSTEM => c"the system does not allow it",
        _ => c"not a code of protoquic",
    };
    text.as_ptr()
}

/// What happened to the last call of this thread that failed. Never NULL; valid until the thread's
/// next call that fails.
#[unsafe(no_mangle)]
pub extern "C" fn pq_last_error() -> *const c_char {
    LAST_ERROR.with_borrow(|last| last.as_ptr())
}

/// The library's version, such as "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn pq_version() -> *const c_char {
    const VERSION: &std::ffi::CStr = match std::ffi::CStr::from_bytes_with_nul(
        concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes(),
    ) {
        Ok(version) => version,
        Err(_) => panic!("a version has no NUL"),
    };
    VERSION.as_ptr()
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    #[test]
    fn a_panic_ends_at_the_boundary_with_a_code_and_its_words() {
        let code: c_int = guard(|| panic!("on purpose, {}", 7));
        assert_eq!(code, PQ_ERR_PANIC);
        // SAFETY: it is never NULL and ends with NUL.
        let text = unsafe { CStr::from_ptr(pq_last_error()) };
        assert_eq!(text.to_str().unwrap(), "a fault of protoquic: on purpose, 7");
        let length: isize = guard(|| Err(Failure::invalid("no\0pe")));
        assert_eq!(length, PQ_ERR_INVALID as isize);
    }
}
