//! Header fields, between C's lists and messages: pseudo-fields are fields like others in C, as in
//! HTTP/3 itself. This file must not know connections.

use std::ffi::c_char;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, Uri};

use crate::arguments::slice;
use crate::status::{Failure, Outcome};

/// One field of a header section. Neither name nor value ends with NUL.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct pq_header {
    /// In lower case.
    pub name: *const c_char,
    /// How long it is.
    pub name_len: usize,
    /// Any bytes that HTTP allows.
    pub value: *const c_char,
    /// How long it is.
    pub value_len: usize,
}

/// A list that C can look at, and the bytes behind it.
#[derive(Default)]
pub(crate) struct HeaderList {
    bytes: Vec<u8>,
    /// Where name and value end, of each.
    ends: Vec<(usize, usize)>,
    list: Vec<pq_header>,
}

impl HeaderList {
    fn begin(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.list.clear();
    }

    fn add(&mut self, name: &str, value: &[u8]) {
        self.bytes.extend_from_slice(name.as_bytes());
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((middle, self.bytes.len()));
    }

    fn add_fields(&mut self, fields: &HeaderMap) {
        for (name, value) in fields {
            self.add(name.as_str(), value.as_bytes());
        }
    }

    /// Everything is added: the bytes stay where they are from here on.
    fn end(&mut self) {
        let mut start = 0;
        for &(middle, end) in &self.ends {
            self.list.push(pq_header {
                name: self.bytes[start..middle].as_ptr().cast(),
                name_len: middle - start,
                value: self.bytes[middle..end].as_ptr().cast(),
                value_len: end - middle,
            });
            start = end;
        }
    }

    pub(crate) fn set_request(&mut self, request: &Request<()>) {
        self.begin();
        self.add(":method", request.method().as_str().as_bytes());
        let uri = request.uri();
        self.add(":scheme", uri.scheme_str().unwrap_or_default().as_bytes());
        self.add(":authority", uri.authority().map_or("", |name| name.as_str()).as_bytes());
        self.add(":path", uri.path_and_query().map_or("/", |path| path.as_str()).as_bytes());
        self.add_fields(request.headers());
        self.end();
    }

    pub(crate) fn set_response(&mut self, response: &Response<()>) {
        self.begin();
        self.add(":status", response.status().as_str().as_bytes());
        self.add_fields(response.headers());
        self.end();
    }

    pub(crate) fn set_trailers(&mut self, trailers: Option<&HeaderMap>) {
        self.begin();
        if let Some(trailers) = trailers {
            self.add_fields(trailers);
        }
        self.end();
    }

    pub(crate) fn list(&self) -> &[pq_header] {
        &self.list
    }
}

/// A list of C's, sorted.
pub(crate) struct Fields<'a> {
    pseudo: Vec<(&'a str, &'a [u8])>,
    map: HeaderMap,
}

impl<'a> Fields<'a> {
    /// # Safety
    ///
    /// `list` is valid for `len` fields, and they for their lengths.
    pub(crate) unsafe fn read(list: *const pq_header, len: usize) -> Outcome<Self> {
        // SAFETY: promised to us.
        let list = unsafe { slice(list, len, "the header list")? };
        let mut fields = Self { pseudo: Vec::new(), map: HeaderMap::new() };
        for field in list {
            // SAFETY: promised to us.
            let (name, value) = unsafe {
                let name = slice(field.name.cast::<u8>(), field.name_len, "a header's name")?;
                (name, slice(field.value.cast::<u8>(), field.value_len, "a header's value")?)
            };
            fields.add(name, value)?;
        }
        Ok(fields)
    }

    fn add(&mut self, name: &'a [u8], value: &'a [u8]) -> Outcome<()> {
        let text = String::from_utf8_lossy(name);
        if name.first() == Some(&b':') {
            let name = std::str::from_utf8(name)
                .map_err(|_| Failure::invalid(format!("{text:?} is no name of a field")))?;
            if self.pseudo.iter().any(|(known, _)| *known == name) {
                return Err(Failure::invalid(format!("{name} is there twice")));
            }
            self.pseudo.push((name, value));
            return Ok(());
        }
        let name = HeaderName::from_lowercase(name).map_err(|_| {
            Failure::invalid(format!("{text:?} is no name of a field in lower case"))
        })?;
        let value = HeaderValue::from_bytes(value).map_err(|_| {
            Failure::invalid(format!("the value of {name} has bytes that none may"))
        })?;
        self.map.append(name, value);
        Ok(())
    }

    /// Takes a pseudo-field out.
    fn take(&mut self, name: &str) -> Outcome<&'a str> {
        let at = self.pseudo.iter().position(|(known, _)| *known == name);
        let at = at.ok_or_else(|| Failure::invalid(format!("{name} is missing")))?;
        let value = self.pseudo.swap_remove(at).1;
        std::str::from_utf8(value).map_err(|_| Failure::invalid(format!("{name} is not text")))
    }

    fn no_more(&self) -> Outcome<()> {
        match self.pseudo.first() {
            Some((name, _)) => Err(Failure::invalid(format!("{name} has no place here"))),
            None => Ok(()),
        }
    }

    pub(crate) fn into_request(mut self) -> Outcome<Request<()>> {
        let (method, scheme) = (self.take(":method")?, self.take(":scheme")?);
        let (authority, path) = (self.take(":authority")?, self.take(":path")?);
        self.no_more()?;
        let bad = |error: http::Error| Failure::invalid(format!("the request: {error}"));
        let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build();
        let request = Request::builder().method(method).uri(uri.map_err(bad)?).body(());
        let mut request = request.map_err(bad)?;
        *request.headers_mut() = self.map;
        Ok(request)
    }

    pub(crate) fn into_response(mut self) -> Outcome<Response<()>> {
        let status = self.take(":status")?;
        self.no_more()?;
        let response = Response::builder().status(status).body(());
        let mut response =
            response.map_err(|error| Failure::invalid(format!(":status {status:?}: {error}")))?;
        *response.headers_mut() = self.map;
        Ok(response)
    }

    pub(crate) fn into_trailers(self) -> Outcome<HeaderMap> {
        self.no_more()?;
        Ok(self.map)
    }
}
