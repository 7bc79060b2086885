//! [`SendState`]: the sending part of a stream (RFC 9000 §3.1). Only the states and their
//! transitions; what they mean for buffers and frames is decided elsewhere.
//!
//! ```text
//!   Ready --SendData--> Send --SendFin--> DataSent --AllAcked--> DataRecvd
//!     |                  |                   |
//!     +------SendReset---+-------------------+--> ResetSent --ResetAcked--> ResetRecvd
//! ```

/// Where the sending part of a stream is (RFC 9000 §3.1, Figure 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendState {
    /// Nothing was sent.
    Ready,
    /// Data was sent; more may follow.
    Send,
    /// Everything up to and including FIN was sent.
    DataSent,
    /// RESET_STREAM is to be sent, or was.
    ResetSent,
    /// The peer has everything. Terminal.
    DataRecvd,
    /// The peer has our RESET_STREAM. Terminal.
    ResetRecvd,
}

/// What happens to the sending part of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendInput {
    /// A STREAM frame without FIN was sent.
    SendData,
    /// A STREAM frame with FIN was sent.
    SendFin,
    /// The application, or STOP_SENDING, ended the stream early.
    SendReset,
    /// All data and FIN are acknowledged.
    AllAcked,
    /// RESET_STREAM is acknowledged.
    ResetAcked,
}

impl SendState {
    /// Applies `input`. Returns whether that is a transition; if not, nothing changes.
    pub(super) fn apply(&mut self, input: SendInput) -> bool {
        let next = self.next(input);
        *self = next.unwrap_or(*self);
        next.is_some()
    }

    /// Whether data and FIN may still be sent or resent.
    pub(super) const fn carries_data(self) -> bool {
        matches!(self, Self::Ready | Self::Send | Self::DataSent)
    }

    /// Whether nothing can happen any more.
    pub(super) const fn is_terminal(self) -> bool {
        matches!(self, Self::DataRecvd | Self::ResetRecvd)
    }

    /// The transition table.
    const fn next(self, input: SendInput) -> Option<Self> {
        Some(match (self, input) {
            (Self::Ready | Self::Send, SendInput::SendData) => Self::Send,
            (Self::Ready | Self::Send, SendInput::SendFin) => Self::DataSent,
            (Self::Ready | Self::Send | Self::DataSent, SendInput::SendReset) => Self::ResetSent,
            (Self::DataSent, SendInput::AllAcked) => Self::DataRecvd,
            (Self::ResetSent, SendInput::ResetAcked) => Self::ResetRecvd,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::SendInput::{AllAcked, ResetAcked, SendData, SendFin, SendReset};
    use super::SendState::{DataRecvd, DataSent, Ready, ResetRecvd, ResetSent, Send};

    #[test]
    fn the_whole_table_is_that_of_figure_2() {
        // RFC 9000 §3.1
        let inputs = [SendData, SendFin, SendReset, AllAcked, ResetAcked];
        let table = [
            (Ready, [Some(Send), Some(DataSent), Some(ResetSent), None, None]),
            (Send, [Some(Send), Some(DataSent), Some(ResetSent), None, None]),
            (DataSent, [None, None, Some(ResetSent), Some(DataRecvd), None]),
            (ResetSent, [None, None, None, None, Some(ResetRecvd)]),
            (DataRecvd, [None; 5]),
            (ResetRecvd, [None; 5]),
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
