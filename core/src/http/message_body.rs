//! [`BodyLength`]: accounting of a message's body against its content-length (RFC 9114 §4.1.2).

use super::error::Fault;

/// How much body a message may have, and how much it has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BodyLength {
    /// What the message said; `None` if nothing.
    declared: Option<u64>,
    /// Announced by DATA frame headers.
    announced: u64,
}

impl BodyLength {
    /// A body of this length, or of any.
    pub(super) const fn new(declared: Option<u64>) -> Self {
        Self { declared, announced: 0 }
    }

    /// A DATA frame of this length begins. Early: no byte of an oversized body is handed out.
    pub(super) fn on_data_frame(&mut self, len: u64) -> Result<(), Fault> {
        self.announced = self.announced.saturating_add(len);
        match self.declared {
            Some(declared) if self.announced > declared => Err(Fault::message(format!(
                "{} bytes of body where content-length is {declared}",
                self.announced
            ))),
            _ => Ok(()),
        }
    }

    /// The message has ended.
    pub(super) fn on_end(&self) -> Result<(), Fault> {
        match self.declared {
            Some(declared) if self.announced != declared => Err(Fault::message(format!(
                "the body ends after {} bytes where content-length is {declared}",
                self.announced
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_its_declared_length_or_is_malformed() {
        let outcome = |declared, frames: &[u64]| {
            let mut body = BodyLength::new(declared);
            let all = frames.iter().try_for_each(|len| body.on_data_frame(*len));
            all.and_then(|()| body.on_end()).is_ok()
        };
        assert!(outcome(None, &[]) && outcome(None, &[5, 7]));
        assert!(outcome(Some(12), &[5, 7]) && outcome(Some(0), &[0]) && outcome(Some(0), &[]));
        assert!(!outcome(Some(11), &[5, 7]) && !outcome(Some(13), &[5, 7]));
        assert!(!outcome(Some(0), &[1]) && !outcome(Some(1), &[u64::MAX, 2]));
    }
}
