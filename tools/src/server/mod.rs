//! What `quic_simple_server` serves: an embedded site, a folder of files, or a recorded site. The
//! program puts one of them behind a port.

mod beneath;
mod cache_dir;
mod file_backend;
mod secret_file;
mod session_dir;
mod site;
mod small_files;
mod webtransport;

pub use cache_dir::{Recorded, load_recorded};
pub use file_backend::FileBackend;
pub use secret_file::load_secret;
pub use session_dir::SessionDir;
pub use site::embedded_site;
pub use webtransport::WebTransportBackend;

use http::Method;
use protoquic::http::{Backend, MemoryBackend, RequestHandler, ServerExchange};

/// Where POST gives the body back, whatever else is served.
pub const ECHO_PATH: &str = "/echo";

/// Asks the files first, and memory for what they do not have.
pub struct SiteBackend {
    /// Plain files, if there are any.
    pub files: Option<FileBackend>,
    /// Everything else.
    pub memory: MemoryBackend,
}

impl std::fmt::Debug for SiteBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SiteBackend").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Backend for SiteBackend {
    fn on_request(
        &self,
        request: ::http::Request<()>,
        exchange: &mut ServerExchange<'_>,
    ) -> Option<Box<dyn RequestHandler>> {
        let is_echo = request.method() == Method::POST && request.uri().path() == ECHO_PATH;
        if let Some(files) = &self.files
            && !is_echo
            && files.serve(&request, exchange)
        {
            return None;
        }
        self.memory.on_request(request, exchange)
    }
}
