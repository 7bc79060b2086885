//! What the kernel and the cipher allow: sealed datagrams of the same size, by GSO and GRO, with the
//! same cipher, and no QUIC. Nothing is parsed, nothing acknowledged but a count of bytes that keeps
//! the sender from overrunning the receiver's socket.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use polling::{Event, Events, Poller};
use protoquic_perf_kit::{Client, MAX_UDP_PAYLOAD, Program, Result, Server, report_bulk};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

fn main() -> Result<()> {
    match Program::read() {
        Program::Server(server) => send(&server),
        Program::Client(client) => receive(&client),
    }
}

/// A socket that waits.
struct Endpoint {
    socket: UdpSocket,
    state: UdpSocketState,
    poller: Poller,
    incoming: Vec<u8>,
}

impl Endpoint {
    fn bind(address: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        state.set_recv_buffer_size(UdpSockRef::from(&socket), 4 << 20)?;
        state.set_send_buffer_size(UdpSockRef::from(&socket), 4 << 20)?;
        let poller = Poller::new()?;
        // SAFETY: the socket lives as long as the poller: both are the endpoint's.
        unsafe { poller.add(&socket, Event::readable(0))? };
        Ok(Self {
            socket,
            state,
            poller,
            incoming: vec![0; BATCHES * BUFFER],
        })
    }

    /// Hands each datagram that is there to `take`, waiting for one at most so long.
    fn read(
        &mut self,
        wait: Duration,
        mut take: impl FnMut(&mut [u8], SocketAddr),
    ) -> Result<bool> {
        let mut waited = false;
        loop {
            let mut meta = [RecvMeta::default(); BATCHES];
            let mut slices: Vec<_> = self
                .incoming
                .chunks_mut(BUFFER)
                .map(IoSliceMut::new)
                .collect();
            match self
                .state
                .recv(UdpSockRef::from(&self.socket), &mut slices, &mut meta)
            {
                Ok(count) => {
                    for (buffer, meta) in self.incoming.chunks_mut(BUFFER).zip(&meta[..count]) {
                        for packet in buffer[..meta.len].chunks_mut(meta.stride.max(1)) {
                            take(packet, meta.addr);
                        }
                    }
                    return Ok(true);
                }
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error.into()),
                Err(_) if waited || wait.is_zero() => return Ok(false),
                Err(_) => {
                    self.poller.modify(&self.socket, Event::readable(0))?;
                    self.poller.wait(&mut Events::new(), Some(wait))?;
                    waited = true;
                }
            }
        }
    }

    fn write(
        &self,
        destination: SocketAddr,
        contents: &[u8],
        segment: Option<usize>,
    ) -> Result<()> {
        let transmit = Transmit {
            destination,
            ecn: None,
            contents,
            segment_size: segment,
            src_ip: None,
        };
        loop {
            match self
                .state
                .try_send(UdpSockRef::from(&self.socket), &transmit)
            {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                other => return Ok(other?),
            }
        }
    }
}

fn key() -> Result<LessSafeKey> {
    Ok(LessSafeKey::new(
        UnboundKey::new(&AES_128_GCM, &[7; 16]).map_err(|_| "no key")?,
    ))
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

fn send(server: &Server) -> Result<()> {
    let mut endpoint = Endpoint::bind(server.listen)?;
    println!("listening on {}", endpoint.socket.local_addr()?);
    let (key, mut buffer) = (key()?, vec![0; BUFFER]);
    let size = usize::from(MAX_UDP_PAYLOAD);
    loop {
        let (mut client, mut wanted) = (None, 0);
        endpoint.read(Duration::from_secs(60), |packet, from| {
            if let Ok(bytes) = <[u8; 9]>::try_from(&*packet) {
                client = Some(from);
                wanted = u64::from_be_bytes(bytes[1..].try_into().unwrap_or_default());
            }
        })?;
        let Some(client) = client else { continue };
        let (mut sent, mut received, mut number) = (0_u64, 0_u64, 0_u64);
        while received < wanted {
            let blocked = sent - received > IN_FLIGHT || sent >= wanted;
            let wait = if blocked {
                Duration::from_secs(1)
            } else {
                Duration::ZERO
            };
            let heard = endpoint.read(wait, |packet, _| {
                if let Ok(bytes) = <[u8; 8]>::try_from(&*packet) {
                    received = received.max(u64::from_be_bytes(bytes));
                }
            })?;
            if blocked && !heard {
                break; // the client is gone, or datagrams are
            }
            if !blocked {
                let batch = &mut buffer[..PER_BATCH * size];
                for packet in batch.chunks_exact_mut(size) {
                    let (header, rest) = packet.split_at_mut(HEADER);
                    header[..8].copy_from_slice(&number.to_be_bytes());
                    let (payload, tag) = rest.split_at_mut(size - HEADER - AES_128_GCM.tag_len());
                    let sealed = key
                        .seal_in_place_separate_tag(nonce(number), Aad::from(&*header), payload)
                        .map_err(|_| "the cipher failed")?;
                    tag.copy_from_slice(sealed.as_ref());
                    number += 1;
                }
                endpoint.write(client, batch, Some(size))?;
                sent += (PER_BATCH * PAYLOAD) as u64;
            }
        }
    }
}

fn receive(client: &Client) -> Result<()> {
    let mut endpoint = Endpoint::bind(client.local())?;
    let (key, wanted) = (key()?, client.bytes());
    let mut request = [0; 9];
    request[1..].copy_from_slice(&wanted.to_be_bytes());
    let started = Instant::now();
    endpoint.write(client.connect, &request, None)?;
    let (mut received, mut failures) = (0_u64, 0_u64);
    while received < wanted {
        let heard = endpoint.read(Duration::from_secs(1), |packet, _| {
            let Some((header, rest)) = packet.split_at_mut_checked(HEADER) else {
                return;
            };
            let number = header.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
            match key.open_in_place(nonce(number.unwrap_or_default()), Aad::from(&*header), rest) {
                Ok(plain) => received += plain.len() as u64,
                Err(_) => failures += 1,
            }
        })?;
        if !heard || failures > 0 {
            return Err(
                format!("{received} of {wanted} bytes came, {failures} were broken").into(),
            );
        }
        endpoint.write(client.connect, &received.to_be_bytes(), None)?;
    }
    report_bulk(client, started.elapsed());
    Ok(())
}

/// The bytes of one receive buffer, and of the send buffer.
const BUFFER: usize = 1 << 16;
/// How many GRO batches one system call may bring.
const BATCHES: usize = 4;
/// What a short QUIC header takes.
const HEADER: usize = 13;
/// What a datagram carries.
const PAYLOAD: usize = MAX_UDP_PAYLOAD as usize - HEADER - 16;
/// What fits into one UDP send.
const PER_BATCH: usize = 65_507 / MAX_UDP_PAYLOAD as usize;
/// Bytes that may be under way.
const IN_FLIGHT: u64 = 1 << 20;
