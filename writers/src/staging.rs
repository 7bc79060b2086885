//! [`bytes_of`]: a decorator cannot know the bytes of a packet that was built in the inner writer's
//! buffer, so decorators lend no location, and every packet they see is borrowed.

use protoquic_core::{OutgoingPacket, Payload};

/// The bytes of a packet given to a writer that lends no location.
pub(crate) fn bytes_of<'a>(packet: &OutgoingPacket<'a>) -> &'a [u8] {
    match packet.payload {
        Payload::Borrowed(data) => data,
        Payload::InPlace(_) => &[],
    }
}

/// The methods that every decorator passes on unchanged.
macro_rules! pass_on {
    () => {
        fn flush(&mut self) -> protoquic_core::WriteResult {
            self.inner.flush()
        }

        pass_on!(but_flush);
    };
    (but_flush) => {
        fn is_write_blocked(&self) -> bool {
            self.inner.is_write_blocked()
        }

        fn set_writable(&mut self) {
            self.inner.set_writable();
        }

        fn max_packet_size(&self, peer: std::net::SocketAddr) -> usize {
            self.inner.max_packet_size(peer)
        }

        pass_on!(capabilities);
    };
    (capabilities) => {
        fn supports_ecn(&self) -> bool {
            self.inner.supports_ecn()
        }

        fn supports_release_time(&self) -> bool {
            self.inner.supports_release_time()
        }

        fn is_batch_mode(&self) -> bool {
            self.inner.is_batch_mode()
        }
    };
}

pub(crate) use pass_on;
