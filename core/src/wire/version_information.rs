//! [`VersionInformation`]: the version_information transport parameter (RFC 9368 §3): which version
//! an end has chosen and which others it could do. What follows from it is for the connection.

use super::cursor::Reader;
use super::version::Version;
use crate::error::TransportError;
use crate::types::Role;

/// One end's versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionInformation {
    /// The version that the sender uses for this connection.
    pub chosen: Version,
    /// From a client: what its first flight is compatible with, most wanted first, the chosen one
    /// among them. From a server: what all of its deployment speaks, in no order. Reserved versions
    /// may be among them.
    pub available: Vec<Version>,
}

impl VersionInformation {
    /// Reads the parameter's value as an end in the role of `sender` wrote it. Every error is a
    /// TRANSPORT_PARAMETER_ERROR (RFC 9368 §4).
    pub fn decode(value: &[u8], sender: Role) -> Result<Self, TransportError> {
        let mut reader = Reader::new(value);
        let chosen = reader.u32().map(Version);
        let chosen = chosen.ok_or_else(|| error("version_information is too short"))?;
        // RFC 9368 §4: a length that is no multiple of four is a parsing failure.
        if !value.len().is_multiple_of(4) || value.len() > 4 + 4 * MAX_AVAILABLE {
            let len = value.len();
            return Err(error(format!("version_information of {len} bytes")));
        }
        let mut available = Vec::with_capacity(value.len() / 4 - 1);
        while let Some(version) = reader.u32() {
            available.push(Version(version));
        }
        // RFC 9368 §4: zero anywhere is a parsing failure.
        if chosen == Version::NEGOTIATION || available.contains(&Version::NEGOTIATION) {
            return Err(error("version_information names version 0"));
        }
        // RFC 9368 §4: a client's chosen version is among its available ones.
        if sender.is_client() && !available.contains(&chosen) {
            return Err(error(format!(
                "version_information chooses {chosen}, which it does not make available"
            )));
        }
        Ok(Self { chosen, available })
    }

    /// The parameter's value.
    pub fn encode(&self) -> Vec<u8> {
        let versions = [self.chosen].into_iter().chain(self.available.iter().copied());
        versions.flat_map(|version| version.0.to_be_bytes()).collect()
    }
}

fn error(reason: impl Into<std::borrow::Cow<'static, str>>) -> TransportError {
    TransportError::transport_parameter(reason)
}

/// How many available versions are read. Clients send a handful.
const MAX_AVAILABLE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::TransportErrorCode;

    #[track_caller]
    fn refused(value: &[u8], sender: Role) {
        let error = VersionInformation::decode(value, sender).expect_err("it breaks a rule");
        assert_eq!(error.code(), TransportErrorCode::TRANSPORT_PARAMETER_ERROR);
    }

    fn value(versions: &[u32]) -> Vec<u8> {
        versions.iter().flat_map(|version| version.to_be_bytes()).collect()
    }

    #[test]
    fn it_round_trips() {
        let available = vec![Version::reserved(0x1234_5678), Version::V2, Version::V1];
        let information = VersionInformation { chosen: Version::V1, available };
        let encoded = information.encode();
        for sender in [Role::Client, Role::Server] {
            assert_eq!(VersionInformation::decode(&encoded, sender).as_ref(), Ok(&information));
        }
    }

    #[test]
    fn a_value_cut_off_is_refused() {
        // RFC 9368 §4
        let whole = value(&[1, 1, 0x6b33_43cf]);
        for len in (0..whole.len()).filter(|len| len % 4 != 0 || *len == 0) {
            refused(&whole[..len], Role::Client);
        }
    }

    #[test]
    fn version_zero_is_refused_as_chosen_and_as_available() {
        // RFC 9368 §4
        refused(&value(&[0, 0, 1]), Role::Server);
        refused(&value(&[1, 1, 0]), Role::Server);
    }

    #[test]
    fn a_client_chooses_from_what_it_makes_available_and_a_server_need_not() {
        // RFC 9368 §4, §3
        refused(&value(&[1]), Role::Client);
        refused(&value(&[1, 0x6b33_43cf]), Role::Client);
        assert!(VersionInformation::decode(&value(&[1]), Role::Server).is_ok());
    }

    #[test]
    fn the_list_is_bounded() {
        assert!(VersionInformation::decode(&value(&[1; 65]), Role::Client).is_ok());
        refused(&value(&[1; 66]), Role::Client);
    }
}
