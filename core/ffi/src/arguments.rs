//! What C passes by pointer and length, checked. This file must not know what it is for.

use std::ffi::{CStr, c_char};

use crate::status::{Failure, Outcome, PQ_ERR_NULL};

fn check(pointer: bool, len: usize, what: &str) -> Outcome<()> {
    if len > isize::MAX as usize {
        return Err(Failure::invalid(format!("{what} of {len} bytes")));
    }
    if !pointer && len > 0 {
        return Err(Failure::new(PQ_ERR_NULL, format!("{what} is NULL and has {len} bytes")));
    }
    Ok(())
}

/// # Safety
///
/// `data` is NULL or valid for `len` values for as long as the result is used.
pub(crate) unsafe fn slice<'a, T>(data: *const T, len: usize, what: &str) -> Outcome<&'a [T]> {
    check(!data.is_null(), len.saturating_mul(size_of::<T>().max(1)), what)?;
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: it is not NULL, and valid for that length by promise.
    Ok(unsafe { std::slice::from_raw_parts(data, len) })
}

/// # Safety
///
/// `data` is NULL or valid for writing `len` bytes for as long as the result is used.
pub(crate) unsafe fn slice_mut<'a>(data: *mut u8, len: usize, what: &str) -> Outcome<&'a mut [u8]> {
    check(!data.is_null(), len, what)?;
    if len == 0 {
        return Ok(&mut []);
    }
    // SAFETY: it is not NULL, and valid for that length by promise.
    Ok(unsafe { std::slice::from_raw_parts_mut(data, len) })
}

/// # Safety
///
/// `text` is NULL or ends with a NUL byte.
pub(crate) unsafe fn text<'a>(text: *const c_char, what: &str) -> Outcome<&'a str> {
    if text.is_null() {
        return Err(Failure::new(PQ_ERR_NULL, format!("{what} is NULL")));
    }
    // SAFETY: it is not NULL, and ends with NUL by promise.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| Failure::invalid(format!("{what} is not UTF-8")))
}

/// # Safety
///
/// `place` is NULL or valid for writing one value.
pub(crate) unsafe fn put<T>(place: *mut T, value: T, what: &str) -> Outcome<()> {
    if place.is_null() {
        return Err(Failure::new(PQ_ERR_NULL, format!("{what} is NULL")));
    }
    // SAFETY: it is not NULL, and valid for writing by promise.
    unsafe { place.write(value) };
    Ok(())
}

/// As [`put`], for what the caller may not want.
///
/// # Safety
///
/// `place` is NULL or valid for writing one value.
pub(crate) unsafe fn put_if<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: it is not NULL, and valid for writing by promise.
        unsafe { place.write(value) };
    }
}

/// Checks a place that will be written to only when all else went well.
pub(crate) fn check_place<T>(place: *mut T, what: &str) -> Outcome<()> {
    if place.is_null() {
        return Err(Failure::new(PQ_ERR_NULL, format!("{what} is NULL")));
    }
    Ok(())
}

/// An application's error code (RFC 9000 section 16).
pub(crate) fn code(code: u64) -> Outcome<u64> {
    if code >> 62 == 0 {
        Ok(code)
    } else {
        Err(Failure::invalid(format!("the code {code:#x} is larger than 2^62 - 1")))
    }
}

/// Copies text out as a C string, cut to fit. Returns its whole length.
///
/// # Safety
///
/// `out` is NULL or valid for writing `len` bytes.
pub(crate) unsafe fn copy_text(bytes: &[u8], out: *mut c_char, len: usize) -> Outcome<isize> {
    // SAFETY: as promised to us.
    let out = unsafe { slice_mut(out.cast::<u8>(), len, "the buffer")? };
    if let Some(room) = out.len().checked_sub(1) {
        let cut = bytes.len().min(room);
        out[..cut].copy_from_slice(&bytes[..cut]);
        out[cut] = 0;
    }
    Ok(bytes.len() as isize)
}
