//! The perf protocol's server.

use protoquic::{
    FnFactory, Refuse, ServerConfig, Session, SessionContext, SessionFactory, SessionHost, Stream,
    StreamContext, StreamId,
};

use super::write_pattern;

/// Answers whoever speaks the perf protocol.
#[derive(Debug)]
pub struct PerfServer;

/// One request.
#[derive(Debug, Default)]
pub struct PerfServerStream {
    asked: Vec<u8>,
    left: Option<u64>,
    downloads: bool,
}

/// A factory of [`PerfServer`] sessions.
pub fn perf_factory(config: ServerConfig) -> impl SessionFactory {
    FnFactory::new(&[super::ALPN], config, |connection| {
        Box::new(SessionHost::new(connection, PerfServer))
    })
}

impl Session for PerfServer {
    type Stream = PerfServerStream;

    fn create_incoming_stream(
        &mut self,
        _id: StreamId,
        _cx: &mut SessionContext<'_, Self>,
    ) -> Result<PerfServerStream, Refuse> {
        Ok(PerfServerStream::default())
    }
}

impl Stream<PerfServer> for PerfServerStream {
    fn on_data_available(&mut self, cx: &mut StreamContext<'_, PerfServer>) {
        while let Some(data) = cx.read() {
            let missing = REQUEST_LEN.saturating_sub(self.asked.len());
            self.asked.extend_from_slice(&data[..missing.min(data.len())]);
        }
        if self.left.is_none()
            && let Some(request) = self.asked.first_chunk::<REQUEST_LEN>()
        {
            let left = u64::from_be_bytes(*request);
            self.left = Some(left);
            self.downloads = left > 0;
            self.on_can_write(cx);
        } else if cx.is_read_finished() {
            self.on_can_write(cx); // the upload has ended: so may the answer
        }
    }

    fn on_can_write(&mut self, cx: &mut StreamContext<'_, PerfServer>) {
        let left = write_pattern(cx, self.left.unwrap_or(0));
        if let Some(asked) = &mut self.left {
            *asked = left;
        }
        // A stream that only uploads is answered when all has come.
        if left == 0 && (self.downloads || cx.is_read_finished()) {
            let _ = cx.finish(); // fails only if it is finished or the peer wants no more
        }
    }
}

const REQUEST_LEN: usize = 8;
