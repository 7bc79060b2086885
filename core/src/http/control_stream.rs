//! [`ControlReader`]: the frames of the peer's control stream, and which of them may come there
//! (RFC 9114 §6.2.1, §7.2). What their values mean is for `connection`.

use bytes::Bytes;

use super::error::{Http3Code, Http3Error};
use super::frame::{FrameParser, Part, Treatment, frame_type, single_varint};
use super::prioritize::{self, MAX_UPDATE_LEN, PriorityUpdate};
use super::settings::{self, Settings};
use crate::streams::Priority;
use crate::types::Role;

/// A frame of the control stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ControlFrame {
    Settings(Settings),
    GoAway(u64),
    MaxPushId(u64),
    CancelPush(u64),
    PriorityUpdate(PriorityUpdate),
    /// Of a push; `None` if the priority cannot be read.
    PushPriority(u64, Option<Priority>),
}

/// Reads a control stream.
#[derive(Debug)]
pub(super) struct ControlReader {
    /// Ours: who reads.
    role: Role,
    parser: FrameParser,
    has_settings: bool,
    /// Unknown frames passed over since the last look.
    unknown: u64,
}

impl ControlReader {
    pub(super) fn new(role: Role) -> Self {
        Self { role, parser: FrameParser::default(), has_settings: false, unknown: 0 }
    }

    /// The next frame from the front of `chunk`; `None` when it is used up.
    pub(super) fn next(&mut self, chunk: &mut Bytes) -> Result<Option<ControlFrame>, Http3Error> {
        let Self { role, parser, has_settings, unknown } = self;
        let part = parser.next(chunk, |ty, len| decide(*role, has_settings, unknown, ty, len))?;
        let Some(Part::Whole(ty, payload)) = part else {
            return Ok(None);
        };
        Ok(Some(match ty {
            frame_type::SETTINGS => ControlFrame::Settings(Settings::parse(&payload)?),
            frame_type::GOAWAY => ControlFrame::GoAway(single_varint(&payload)?),
            frame_type::PRIORITY_UPDATE => {
                ControlFrame::PriorityUpdate(PriorityUpdate::parse(&payload)?)
            }
            frame_type::PRIORITY_UPDATE_PUSH => {
                let (push, priority) = prioritize::parse_update(&payload)?;
                ControlFrame::PushPriority(push, priority)
            }
            frame_type::MAX_PUSH_ID => ControlFrame::MaxPushId(single_varint(&payload)?),
            _ => ControlFrame::CancelPush(single_varint(&payload)?),
        }))
    }

    /// How many unknown frames there were since the last call.
    pub(super) fn take_unknown(&mut self) -> u64 {
        std::mem::take(&mut self.unknown)
    }
}

/// Whether this frame may come now, and what to do with its payload.
fn decide(
    role: Role,
    has_settings: &mut bool,
    unknown: &mut u64,
    ty: u64,
    len: u64,
) -> Result<Treatment, Http3Error> {
    if ty == frame_type::SETTINGS {
        // RFC 9114 §7.2.4: once.
        if std::mem::replace(has_settings, true) {
            return Err(unexpected(ty));
        }
        return limited(ty, len, settings::MAX_PAYLOAD, Http3Code::EXCESSIVE_LOAD);
    }
    if !*has_settings {
        // RFC 9114 §6.2.1: SETTINGS is the first frame.
        return Err(Http3Error::new(
            Http3Code::MISSING_SETTINGS,
            format!("the control stream begins with frame type {ty:#x}"),
        ));
    }
    match ty {
        // RFC 9114 §7.2.1, §7.2.2, §7.2.5: these belong on request streams.
        frame_type::DATA | frame_type::HEADERS | frame_type::PUSH_PROMISE => Err(unexpected(ty)),
        // RFC 9114 §7.2.7, RFC 9218 §7.2: only clients send them.
        frame_type::MAX_PUSH_ID
        | frame_type::PRIORITY_UPDATE
        | frame_type::PRIORITY_UPDATE_PUSH
            if role.is_client() =>
        {
            Err(unexpected(ty))
        }
        frame_type::PRIORITY_UPDATE | frame_type::PRIORITY_UPDATE_PUSH => {
            limited(ty, len, MAX_UPDATE_LEN, Http3Code::EXCESSIVE_LOAD)
        }
        frame_type::GOAWAY | frame_type::MAX_PUSH_ID | frame_type::CANCEL_PUSH => {
            limited(ty, len, MAX_VARINT_LEN, Http3Code::FRAME_ERROR)
        }
        _ if frame_type::is_http2_only(ty) => Err(unexpected(ty)),
        _ => {
            *unknown += 1;
            Ok(Treatment::Skip)
        }
    }
}

fn limited(ty: u64, len: u64, max: u64, code: Http3Code) -> Result<Treatment, Http3Error> {
    if len > max {
        let reason = format!("{len} bytes in a frame of type {ty:#x}, more than {max}");
        return Err(Http3Error::new(code, reason));
    }
    Ok(Treatment::Collect)
}

fn unexpected(ty: u64) -> Http3Error {
    Http3Error::new(
        Http3Code::FRAME_UNEXPECTED,
        format!("frame type {ty:#x} on the control stream"),
    )
}

/// The longest payload that is one integer.
const MAX_VARINT_LEN: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(role: Role, bytes: &[u8]) -> Result<Vec<ControlFrame>, Http3Code> {
        let mut reader = ControlReader::new(role);
        let mut chunk = Bytes::copy_from_slice(bytes);
        let mut frames = Vec::new();
        while let Some(frame) = reader.next(&mut chunk).map_err(|error| error.code)? {
            frames.push(frame);
        }
        Ok(frames)
    }

    fn after_settings(frame: &[u8]) -> Result<Vec<ControlFrame>, Http3Code> {
        read(Role::Server, &[&[4, 0][..], frame].concat())
    }

    #[test]
    fn settings_come_first() {
        let settings = ControlFrame::Settings(Settings::default());
        assert_eq!(read(Role::Server, &[4, 0]), Ok(vec![settings]));
        // MAX_PUSH_ID, GOAWAY, an unknown frame, DATA
        for first in [&[0x0d, 1, 0][..], &[7, 1, 0], &[0x21, 0], &[0, 0]] {
            assert_eq!(read(Role::Server, first), Err(Http3Code::MISSING_SETTINGS));
        }
    }

    #[test]
    fn settings_come_once() {
        assert_eq!(after_settings(&[4, 0]), Err(Http3Code::FRAME_UNEXPECTED));
    }

    #[test]
    fn frames_of_request_streams_and_of_http2_are_unexpected() {
        for ty in [0, 1, 5, 2, 6, 8, 9] {
            let error = Err(Http3Code::FRAME_UNEXPECTED);
            assert_eq!(after_settings(&[ty, 0]), error, "type {ty}");
        }
    }

    #[test]
    fn only_a_server_is_told_a_max_push_id() {
        let max = [4, 0, 0x0d, 1, 5];
        assert_eq!(read(Role::Server, &max).unwrap()[1], ControlFrame::MaxPushId(5));
        assert_eq!(read(Role::Client, &max), Err(Http3Code::FRAME_UNEXPECTED));
    }

    #[test]
    fn frames_of_one_integer_have_no_other_length() {
        for ty in [7, 3, 0x0d] {
            for payload in [&[0_u8][..], &[2, 1, 1], &[9], &[0xff; 8]] {
                let frame = [&[ty], payload].concat();
                assert_eq!(after_settings(&frame), Err(Http3Code::FRAME_ERROR), "{frame:?}");
            }
        }
    }

    #[test]
    fn unknown_frames_are_passed_over_and_counted() {
        let mut reader = ControlReader::new(Role::Client);
        let mut chunk = Bytes::from_static(&[4, 0, 0x21, 3, 1, 2, 3, 0x40, 0x40, 0, 7, 1, 4]);
        assert!(matches!(reader.next(&mut chunk), Ok(Some(ControlFrame::Settings(_)))));
        assert_eq!(reader.next(&mut chunk), Ok(Some(ControlFrame::GoAway(4))));
        assert_eq!(reader.take_unknown(), 2);
    }

    #[test]
    fn huge_settings_are_refused_unread() {
        let frame = [4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(read(Role::Server, &frame), Err(Http3Code::EXCESSIVE_LOAD));
    }
}
