//! [`AddressValidation`]: when a client has to prove its address with a Retry before it costs us a
//! session (RFC 9000 §8.1.2).

/// When to answer a client's first packet with a Retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressValidation {
    /// Never.
    Never,
    /// Unless it brings a token that we gave it.
    Always,
    /// As [`Always`](Self::Always), while so many sessions are still in their handshake.
    UnderLoad {
        /// Sessions whose handshake is not complete.
        handshakes: usize,
    },
}

impl Default for AddressValidation {
    fn default() -> Self {
        Self::UnderLoad { handshakes: 1000 }
    }
}

impl AddressValidation {
    pub(crate) fn is_required(self, handshaking: usize) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::UnderLoad { handshakes } => handshaking >= handshakes,
        }
    }
}
