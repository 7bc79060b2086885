//! The wire format of QUIC version 1 (RFC 8999, RFC 9000; DATAGRAM from RFC 9221): parse and emit.
//!
//! This room holds no state, decrypts nothing and allocates nothing for a packet: parsed values
//! borrow from the datagram. It must not know about connections, keys or time. Whether a
//! well-formed frame is *welcome* is the connection's question, with two exceptions that need no
//! state: [`Frame::permitted_in`] and the rules of encoding, which the parsers enforce.

mod ack;
mod cursor;
mod frame;
mod frame_emit;
mod frame_parse;
mod header;
mod header_emit;
pub mod packet_number;
mod retry;
mod sole_stream;
mod transport_parameters;
mod transport_parameters_decode;
mod transport_parameters_encode;
mod varint;
mod version;
mod version_information;
mod version_negotiation;

#[cfg(test)]
mod tests;

pub use ack::{AckFrame, AckRanges, write_ack};
pub use cursor::{Reader, Writer};
pub use frame::{
    AckFrequencyFrame, ConnectionCloseFrame, Frame, MAX_STREAMS_LIMIT, PacketType, frame_type,
};
pub use frame_emit::{
    crypto_header_len, datagram_header_len, length_prefixed_room, stream_header_len,
    write_crypto_header, write_datagram_header, write_stream_header,
};
pub use frame_parse::FrameIter;
pub use header::{
    FIXED_BIT, HeaderError, Invariant, KEY_PHASE_BIT, LONG_FORM_BIT, LONG_RESERVED_BITS,
    LongHeader, PACKET_NUMBER_LENGTH_BITS, PacketHeader, RetryFields, SHORT_RESERVED_BITS,
    SPIN_BIT, ShortHeader, destination_bytes, parse_greased_header, parse_header, parse_invariant,
};
pub use header_emit::{
    LongOffsets, MAX_LENGTH_FIELD, long_header_len, patch_length, short_header_len,
    write_long_header, write_short_header,
};
pub use retry::{RETRY_TAG_LEN, write_retry};
pub use sole_stream::SoleStream;
pub(crate) use transport_parameters::ZERO_RTT_LIMITS;
pub use transport_parameters::{PreferredAddress, TransportParameters, parameter_id};
pub use varint::{VARINT_MAX, varint_len};
pub use version::{LongType, Version};
pub use version_information::VersionInformation;
pub use version_negotiation::{VersionNegotiation, write_version_negotiation};
