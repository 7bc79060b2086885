//! What viewer and server say to each other on the feedback stream: [`Request`] and [`Notice`], and
//! [`Messages`], which cuts the stream into them. `docs/live-video.md` has the formats. This file
//! must not know what follows from a message.

use std::fmt;
use std::str::FromStr;

use bytes::{Buf as _, Bytes, BytesMut};
use protoquic::wire::{Reader, varint_len};

use super::nal::Codec;
use super::wire::put_varint;

/// How frames travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// All on one stream: everything arrives, in order, whenever that is.
    #[default]
    Stream,
    /// Each on a stream of its own, given up when it is late.
    Frames,
    /// In datagrams, with parity if that is wanted: nothing is sent twice.
    Datagrams,
}

/// Which frames are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Skip {
    /// All.
    #[default]
    Nothing,
    /// Those that others need.
    Disposable,
    /// Key frames only.
    AllButKeys,
}

/// What a viewer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// To begin. Once, first.
    Play {
        /// How frames are to travel.
        mode: Mode,
        /// After how many milliseconds a frame is late.
        deadline: u64,
        /// How much parity datagrams get: percent of the data.
        parity: u64,
    },
    /// What time it is; this is the viewer's, in microseconds.
    Ping(u64),
    /// At most so many bits a second; 0: no limit.
    Bitrate(u64),
    /// To leave out frames.
    Skip(Skip),
    /// Nothing until further notice.
    Pause,
    /// Further notice.
    Resume,
    /// Nothing before the next key frame.
    KeyFrame,
}

/// What a server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The answer to [`Request::Play`].
    Begun {
        /// How the video is coded.
        codec: Codec,
        /// From one frame to the next, in microseconds.
        interval: u64,
    },
    /// The answer to [`Request::Ping`]: the viewer's time, and then the server's.
    Pong(u64, u64),
    /// What the server does now, after a request that changed it.
    State {
        /// Bits a second; 0: no limit.
        bitrate: u64,
        /// Which frames are left out.
        skip: Skip,
        /// Nothing is sent.
        paused: bool,
    },
    /// The video is over.
    End {
        /// How many frames were sent to this viewer.
        sent: u64,
        /// How many frames the video had.
        frames: u64,
    },
}

/// A message of either direction.
pub trait Message: Sized {
    /// Its type and its fields.
    fn fields(&self) -> (u64, Vec<u64>);
    /// The message of this type; `Ok(None)` if there is no such type, which is skipped.
    fn from_fields(kind: u64, reader: &mut Reader<'_>) -> Result<Option<Self>, String>;

    /// As it is sent: type, length, fields.
    fn encode(&self) -> Bytes {
        let (kind, fields) = self.fields();
        let mut out = BytesMut::new();
        put_varint(&mut out, kind);
        put_varint(&mut out, fields.iter().map(|field| varint_len(*field) as u64).sum());
        for field in fields {
            put_varint(&mut out, field);
        }
        out.freeze()
    }
}

/// Cuts a stream into messages.
#[derive(Debug, Default)]
pub struct Messages(BytesMut);

impl Messages {
    /// Adds bytes. Take all messages out before adding more.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next message that is whole. The error is a line for a person.
    pub fn next_message<M: Message>(&mut self) -> Result<Option<M>, String> {
        loop {
            let mut reader = Reader::new(&self.0);
            let header = reader.varint().zip(reader.varint());
            let Some((kind, len)) = header else { return Ok(None) };
            if len > MAX_MESSAGE {
                return Err(format!("a message of {len} bytes; {MAX_MESSAGE} are taken at most"));
            }
            let Some(body) = reader.bytes(len as usize) else { return Ok(None) };
            let message = M::from_fields(kind, &mut Reader::new(body));
            let whole = reader.position();
            self.0.advance(whole);
            // What is unknown is of a later version of the protocol.
            if let Some(message) = message? {
                return Ok(Some(message));
            }
        }
    }
}

impl Message for Request {
    fn fields(&self) -> (u64, Vec<u64>) {
        match *self {
            Self::Play { mode, deadline, parity } => (1, vec![mode.number(), deadline, parity]),
            Self::Ping(time) => (2, vec![time]),
            Self::Bitrate(rate) => (3, vec![rate]),
            Self::Skip(skip) => (4, vec![skip.number()]),
            Self::Pause => (5, vec![]),
            Self::Resume => (6, vec![]),
            Self::KeyFrame => (7, vec![]),
        }
    }

    fn from_fields(kind: u64, reader: &mut Reader<'_>) -> Result<Option<Self>, String> {
        let mut next = || reader.varint().ok_or_else(|| format!("a request {kind} cut short"));
        Ok(Some(match kind {
            1 => Self::Play { mode: Mode::of(next()?)?, deadline: next()?, parity: next()? },
            2 => Self::Ping(next()?),
            3 => Self::Bitrate(next()?),
            4 => Self::Skip(Skip::of(next()?)?),
            5 => Self::Pause,
            6 => Self::Resume,
            7 => Self::KeyFrame,
            _ => return Ok(None),
        }))
    }
}

impl Message for Notice {
    fn fields(&self) -> (u64, Vec<u64>) {
        match *self {
            Self::Begun { codec, interval } => {
                (0x41, vec![if codec == Codec::H264 { 264 } else { 265 }, interval])
            }
            Self::Pong(theirs, ours) => (0x42, vec![theirs, ours]),
            Self::State { bitrate, skip, paused } => {
                (0x43, vec![bitrate, skip.number(), u64::from(paused)])
            }
            Self::End { sent, frames } => (0x44, vec![sent, frames]),
        }
    }

    fn from_fields(kind: u64, reader: &mut Reader<'_>) -> Result<Option<Self>, String> {
        let mut next = || reader.varint().ok_or_else(|| format!("a notice {kind} cut short"));
        Ok(Some(match kind {
            0x41 => {
                let codec = match next()? {
                    264 => Codec::H264,
                    265 => Codec::H265,
                    other => return Err(format!("video coded as {other}, which is unknown here")),
                };
                Self::Begun { codec, interval: next()? }
            }
            0x42 => Self::Pong(next()?, next()?),
            0x43 => {
                Self::State { bitrate: next()?, skip: Skip::of(next()?)?, paused: next()? != 0 }
            }
            0x44 => Self::End { sent: next()?, frames: next()? },
            _ => return Ok(None),
        }))
    }
}

impl Mode {
    fn number(self) -> u64 {
        self as u64
    }

    fn of(number: u64) -> Result<Self, String> {
        [Self::Stream, Self::Frames, Self::Datagrams]
            .into_iter()
            .find(|mode| mode.number() == number)
            .ok_or_else(|| format!("mode {number}, which is none"))
    }
}

impl Skip {
    fn number(self) -> u64 {
        self as u64
    }

    fn of(number: u64) -> Result<Self, String> {
        [Self::Nothing, Self::Disposable, Self::AllButKeys]
            .into_iter()
            .find(|skip| skip.number() == number)
            .ok_or_else(|| format!("skipping {number}, which is none"))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream => "stream",
            Self::Frames => "frames",
            Self::Datagrams => "datagrams",
        })
    }
}

/// The names `stream`, `frames` and `datagrams`.
impl FromStr for Mode {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Stream, Self::Frames, Self::Datagrams]
            .into_iter()
            .find(|mode| mode.to_string() == name)
            .ok_or_else(|| format!("{name} is no mode; it is stream, frames or datagrams"))
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::Disposable => "disposable",
            Self::AllButKeys => "all-but-keys",
        })
    }
}

/// The names `nothing`, `disposable` and `all-but-keys`.
impl FromStr for Skip {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Nothing, Self::Disposable, Self::AllButKeys]
            .into_iter()
            .find(|skip| skip.to_string() == name)
            .ok_or_else(|| {
                format!("{name} cannot be skipped; it is nothing, disposable or all-but-keys")
            })
    }
}

/// What a viewer may type: `pause`, `resume`, `key`, `bitrate KBIT`, `skip WHAT`.
impl FromStr for Request {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let request = match (words.next(), words.next()) {
            (Some("pause"), None) => Self::Pause,
            (Some("resume"), None) => Self::Resume,
            (Some("key"), None) => Self::KeyFrame,
            (Some("bitrate"), Some(rate)) => rate
                .parse::<u32>()
                .map(|kilobits| Self::Bitrate(u64::from(kilobits) * 1000))
                .map_err(|_| format!("{rate} is no number of kbit/s; 0 is no limit"))?,
            (Some("skip"), Some(what)) => Self::Skip(what.parse()?),
            _ => {
                return Err(format!(
                    "{} is no command; there are: pause, resume, key, bitrate KBIT, skip nothing, \
                     skip disposable, skip all-but-keys, quit",
                    line.trim()
                ));
            }
        };
        match words.next() {
            None => Ok(request),
            Some(word) => Err(format!("{word} is too much")),
        }
    }
}

/// The longest message, in bytes.
const MAX_MESSAGE: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_however_the_stream_is_cut() {
        let requests = [
            Request::Play { mode: Mode::Datagrams, deadline: 150, parity: 20 },
            Request::Ping(1 << 50),
            Request::Bitrate(4_000_000),
            Request::Skip(Skip::AllButKeys),
            Request::Pause,
            Request::Resume,
            Request::KeyFrame,
        ];
        let stream: Vec<u8> = requests.iter().flat_map(Message::encode).collect();
        let (mut messages, mut read) = (Messages::default(), Vec::new());
        for byte in stream {
            messages.push(&[byte]);
            while let Some(request) = messages.next_message::<Request>().unwrap() {
                read.push(request);
            }
        }
        assert_eq!(read, requests);
        let notices = [
            Notice::Begun { codec: Codec::H264, interval: 16_667 },
            Notice::Pong(1, 2),
            Notice::State { bitrate: 1, skip: Skip::Disposable, paused: true },
            Notice::End { sent: 9, frames: 10 },
        ];
        let mut messages = Messages::default();
        for notice in notices {
            messages.push(&notice.encode());
            assert_eq!(messages.next_message(), Ok(Some(notice)));
        }
    }

    #[test]
    fn unknown_messages_are_skipped_and_bad_ones_refused() {
        let read = |bytes: &[u8]| {
            let mut messages = Messages::default();
            messages.push(bytes);
            messages.next_message::<Request>()
        };
        assert_eq!(read(&[0x3f, 2, 9, 9, 5, 0]), Ok(Some(Request::Pause)));
        for bad in [&[1, 1, 0][..], &[4, 1, 3], &[1, 3, 3, 0, 0], &[2, 0x41, 1]] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert_eq!(read(&[2, 0]), Err("a request 2 cut short".to_owned()));
    }

    #[test]
    fn commands_are_typed() {
        assert_eq!("bitrate 500".parse(), Ok(Request::Bitrate(500_000)));
        assert_eq!(" skip disposable\n".parse(), Ok(Request::Skip(Skip::Disposable)));
        for bad in
            ["", "bitrate", "bitrate x", "skip all", "pause now", "key frame", "skip nothing x"]
        {
            assert!(bad.parse::<Request>().is_err(), "{bad}");
        }
    }
}
