//! [`RecvState`]: the receiving part of a stream (RFC 9000 §3.2). Only the states and their
//! transitions; what they mean for buffers and frames is decided elsewhere.
//!
//! ```text
//!   Recv --Fin--> SizeKnown --AllData--> DataRecvd --ReadAll--> DataRead
//!    |               |
//!    +-----Reset-----+--> ResetRecvd --ReadReset--> ResetRead
//! ```
//!
//! Of the two optional transitions of Figure 3 we take neither: a RESET_STREAM that comes after all
//! data is ignored, and data that comes after a RESET_STREAM is too.

/// Where the receiving part of a stream is (RFC 9000 §3.2, Figure 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecvState {
    /// Data is coming in.
    Recv,
    /// FIN came, some data is missing.
    SizeKnown,
    /// All data is here, the application has not read it all.
    DataRecvd,
    /// RESET_STREAM came, the application does not know it yet.
    ResetRecvd,
    /// The application has read everything. Terminal.
    DataRead,
    /// The application knows of the reset. Terminal.
    ResetRead,
}

/// What happens to the receiving part of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecvInput {
    /// A STREAM frame with FIN arrived.
    Fin,
    /// The last missing byte arrived (or is not wanted any more).
    AllData,
    /// RESET_STREAM arrived.
    Reset,
    /// The application read the last byte (or does not want it).
    ReadAll,
    /// The application was told of the reset.
    ReadReset,
}

impl RecvState {
    /// Applies `input`. Returns whether that is a transition; if not, nothing changes.
    pub(super) fn apply(&mut self, input: RecvInput) -> bool {
        let next = self.next(input);
        *self = next.unwrap_or(*self);
        next.is_some()
    }

    /// Whether data that arrives is of use.
    pub(super) const fn wants_data(self) -> bool {
        matches!(self, Self::Recv | Self::SizeKnown)
    }

    /// Whether nothing can happen any more.
    pub(super) const fn is_terminal(self) -> bool {
        matches!(self, Self::DataRead | Self::ResetRead)
    }

    /// The transition table.
    const fn next(self, input: RecvInput) -> Option<Self> {
        Some(match (self, input) {
            (Self::Recv, RecvInput::Fin) => Self::SizeKnown,
            (Self::SizeKnown, RecvInput::AllData) => Self::DataRecvd,
            (Self::Recv | Self::SizeKnown, RecvInput::Reset) => Self::ResetRecvd,
            (Self::DataRecvd, RecvInput::ReadAll) => Self::DataRead,
            (Self::ResetRecvd, RecvInput::ReadReset) => Self::ResetRead,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::RecvInput::{AllData, Fin, ReadAll, ReadReset, Reset};
    use super::RecvState::{DataRead, DataRecvd, Recv, ResetRead, ResetRecvd, SizeKnown};

    #[test]
    fn the_whole_table_is_that_of_figure_3() {
        // RFC 9000 §3.2
        let inputs = [Fin, AllData, Reset, ReadAll, ReadReset];
        let table = [
            (Recv, [Some(SizeKnown), None, Some(ResetRecvd), None, None]),
            (SizeKnown, [None, Some(DataRecvd), Some(ResetRecvd), None, None]),
            (DataRecvd, [None, None, None, Some(DataRead), None]),
            (ResetRecvd, [None, None, None, None, Some(ResetRead)]),
            (DataRead, [None; 5]),
            (ResetRead, [None; 5]),
        ];
        for (state, row) in table {
            for (input, expected) in inputs.into_iter().zip(row) {
                let mut actual = state;
                assert_eq!(actual.apply(input), expected.is_some(), "{state:?} {input:?}");
                assert_eq!(actual, expected.unwrap_or(state), "{state:?} {input:?}");
            }
            assert_eq!(state.is_terminal(), row == [None; 5], "{state:?}");
        }
    }
}
