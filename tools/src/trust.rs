//! How a program's command line says which servers to believe. This file must not know what is
//! asked of them.

use std::path::Path;

use protoquic::crypto::ServerTrust;

use crate::certificate;

/// Believes any server, or those that this file's authorities have signed for, or else those of the
/// system's. The error is a line for a person.
pub fn server_trust(any: bool, ca_file: Option<&Path>) -> Result<ServerTrust, String> {
    if any {
        return Ok(ServerTrust::AnyCertificate);
    }
    let (certificates, place) = match ca_file {
        Some(path) => (certificate::load_certificates(path)?, path.display().to_string()),
        None => (certificate::system_roots(), "the system's store".to_owned()),
    };
    ServerTrust::in_authorities(certificates).map_err(|_| {
        format!(
            "{place} has no usable certificates to verify servers by; give --ca_file, or \
             --disable_certificate_verification for a server of your own"
        )
    })
}
