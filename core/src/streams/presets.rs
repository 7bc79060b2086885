//! [`WindowPreset`]: receive windows by name, for those who want what another program has. This file
//! must not know what windows are used for.

use std::fmt;
use std::str::FromStr;

use super::config::StreamsConfig;

/// Named receive windows: how much a peer may send before it is read.
///
/// ```
/// use protoquic_core::streams::{StreamsConfig, WindowPreset};
///
/// let preset: WindowPreset = "chrome-client".parse().expect("it is one of the names");
/// let streams = StreamsConfig::default().with_windows(preset);
/// assert_eq!(streams.max_data, 15 << 20);
/// assert_eq!(streams.max_stream_data_bidi_local, 6 << 20);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WindowPreset {
    /// `adaptive`: those of [`StreamsConfig::default`], which grow as the application keeps up.
    #[default]
    Adaptive,
    /// `chrome-client`: Chrome's, 15 MiB for a connection and 6 MiB for each stream from the start.
    /// They do not grow. (QuicClientBase::Initialize)
    ChromeClient,
    /// `simple-server`: a test server's for few clients, 1 MiB for a connection and 64 KiB for each
    /// stream at first. They grow as far as the adaptive ones do. (QuicSimpleServer::Initialize)
    SimpleServer,
}

impl WindowPreset {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Adaptive, Self::ChromeClient, Self::SimpleServer];

    /// The name by which programs take it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Adaptive => "adaptive",
            Self::ChromeClient => "chrome-client",
            Self::SimpleServer => "simple-server",
        }
    }
}

impl StreamsConfig {
    /// These settings with the receive windows of a preset. Everything else stays.
    #[must_use]
    pub fn with_windows(self, preset: WindowPreset) -> Self {
        let default = Self::default();
        let (connection, stream, most_of_connection, most_of_stream) = match preset {
            WindowPreset::Adaptive => (
                default.max_data,
                default.max_stream_data_bidi_local,
                default.max_connection_window,
                default.max_stream_window,
            ),
            WindowPreset::ChromeClient => (15 << 20, 6 << 20, 15 << 20, 6 << 20),
            WindowPreset::SimpleServer => {
                (1 << 20, 64 << 10, default.max_connection_window, default.max_stream_window)
            }
        };
        Self {
            max_data: connection,
            max_stream_data_bidi_local: stream,
            max_stream_data_bidi_remote: stream,
            max_stream_data_uni: stream,
            max_stream_window: most_of_stream,
            max_connection_window: most_of_connection,
            ..self
        }
    }
}

impl FromStr for WindowPreset {
    type Err = UnknownWindowPreset;

    fn from_str(name: &str) -> Result<Self, UnknownWindowPreset> {
        Self::ALL.into_iter().find(|preset| preset.name() == name).ok_or(UnknownWindowPreset)
    }
}

impl fmt::Display for WindowPreset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is none of [`WindowPreset`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownWindowPreset;

impl fmt::Display for UnknownWindowPreset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("windows are one of adaptive, chrome-client, simple-server")
    }
}

impl std::error::Error for UnknownWindowPreset {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_has_its_name_and_the_error_tells_all_of_them() {
        for preset in WindowPreset::ALL {
            assert_eq!(preset.to_string().parse(), Ok(preset));
            assert!(UnknownWindowPreset.to_string().contains(preset.name()));
        }
        assert_eq!("large".parse::<WindowPreset>(), Err(UnknownWindowPreset));
    }

    #[test]
    fn a_preset_changes_windows_and_nothing_else() {
        let mine =
            StreamsConfig { max_streams_bidi: 7, send_buffer: 9, ..StreamsConfig::default() };
        let server = mine.clone().with_windows(WindowPreset::SimpleServer);
        assert_eq!((server.max_data, server.max_stream_data_bidi_remote), (1 << 20, 64 << 10));
        assert_eq!((server.max_streams_bidi, server.send_buffer), (7, 9));
        assert_eq!(server.with_windows(WindowPreset::Adaptive), mine);
    }
}
