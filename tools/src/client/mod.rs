//! What `quic_simple_client` does: URLs in, responses out. One connection for each host, all its
//! requests at once on it.

mod fetch;
mod output;
mod pushes;
mod session_file;
mod upload;

pub use fetch::{FetchOptions, Outcome, fetch_all};
pub use output::{Destination, Folder, Progress};
pub use pushes::PushLimits;
pub use session_file::SessionFile;
pub use upload::RequestBody;
