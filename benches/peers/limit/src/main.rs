//! What the kernel and the cipher allow: sealed datagrams of the same size, by GSO and GRO, with the
//! same cipher, and no QUIC. Nothing is parsed, nothing acknowledged but a count of bytes that keeps
//! the sender from overrunning the receiver's socket.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use polling::{Event, Events, Poller};
use protoquic_perf_kit::{
    Client, MAX_UDP_PAYLOAD, Mode, Program, Result, Server, bind, report_bulk,
};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

fn main() -> Result<()> {
    match Program::read() {
        Program::Server(server) => serve(&server),
        Program::Client(client) => ask(&client),
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
        let socket = bind(address)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
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

/// Does what clients ask for: a packet of nine bytes, which way and how much.
fn serve(server: &Server) -> Result<()> {
    server.refuse_http3()?;
    let mut endpoint = Endpoint::bind(server.listen)?;
    println!("listening on {}", endpoint.socket.local_addr()?);
    loop {
        let mut asked = None;
        endpoint.read(Duration::from_secs(60), |packet, from| {
            if let Ok([up, bytes @ ..]) = <[u8; 9]>::try_from(&*packet) {
                asked = Some((from, up == 1, u64::from_be_bytes(bytes)));
            }
        })?;
        let done = match asked {
            Some((client, true, bytes)) => receive(&mut endpoint, client, bytes),
            Some((client, false, bytes)) => send(&mut endpoint, client, bytes),
            None => continue,
        };
        if let Err(error) = done {
            eprintln!("{error}");
        }
    }
}

fn ask(client: &Client) -> Result<()> {
    client.refuse_http3()?;
    let mut endpoint = Endpoint::bind(client.local())?;
    let (peer, bytes) = (client.connect, client.bytes());
    let is_up = client.mode == Mode::Up;
    let mut request = [u8::from(is_up); 9];
    request[1..].copy_from_slice(&bytes.to_be_bytes());
    let started = Instant::now();
    endpoint.write(peer, &request, None)?;
    match client.mode {
        Mode::Down => receive(&mut endpoint, peer, bytes)?,
        Mode::Up => {
            // The receiver's first count says that it is there.
            endpoint.read(Duration::from_secs(1), |_, _| {})?;
            send(&mut endpoint, peer, bytes)?;
        }
        Mode::Rps | Mode::Hs => return Err("the limit has the modes down and up only".into()),
    }
    report_bulk(client, started.elapsed());
    Ok(())
}

/// Sends so much, as fast as the other end counts.
fn send(endpoint: &mut Endpoint, peer: SocketAddr, wanted: u64) -> Result<()> {
    let (key, mut buffer) = (key()?, vec![0; BUFFER]);
    let (mut sent, mut counted, mut number) = (0_u64, 0_u64, 0_u64);
    while counted < wanted {
        let blocked = sent - counted > IN_FLIGHT || sent >= wanted;
        let wait = if blocked {
            Duration::from_secs(1)
        } else {
            Duration::ZERO
        };
        let heard = endpoint.read(wait, |packet, _| {
            if let Ok(bytes) = <[u8; 8]>::try_from(&*packet) {
                counted = counted.max(u64::from_be_bytes(bytes));
            }
        })?;
        if blocked && !heard {
            return Err(format!("{counted} of {wanted} bytes were counted").into());
        }
        if !blocked {
            let batch = &mut buffer[..PER_BATCH * PACKET];
            for packet in batch.chunks_exact_mut(PACKET) {
                seal(&key, number, packet)?;
                number += 1;
            }
            endpoint.write(peer, batch, Some(PACKET))?;
            sent += (PER_BATCH * PAYLOAD) as u64;
        }
    }
    Ok(())
}

fn seal(key: &LessSafeKey, number: u64, packet: &mut [u8]) -> Result<()> {
    let (header, rest) = packet.split_at_mut(HEADER);
    header[..8].copy_from_slice(&number.to_be_bytes());
    let (payload, tag) = rest.split_at_mut(PAYLOAD);
    let sealed = key
        .seal_in_place_separate_tag(nonce(number), Aad::from(&*header), payload)
        .map_err(|_| "the cipher failed")?;
    tag.copy_from_slice(sealed.as_ref());
    Ok(())
}

/// Opens what comes until so much has come, and counts it back.
fn receive(endpoint: &mut Endpoint, peer: SocketAddr, wanted: u64) -> Result<()> {
    let key = key()?;
    let (mut received, mut failures) = (0_u64, 0_u64);
    loop {
        endpoint.write(peer, &received.to_be_bytes(), None)?;
        if received >= wanted {
            return Ok(());
        }
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
            let why = format!("{received} of {wanted} bytes came, {failures} packets were broken");
            return Err(why.into());
        }
    }
}

/// The bytes of one receive buffer, and of the send buffer.
const BUFFER: usize = 1 << 16;
/// How many GRO batches one system call may bring.
const BATCHES: usize = 4;
/// What a short QUIC header takes.
const HEADER: usize = 13;
/// A datagram's bytes.
const PACKET: usize = MAX_UDP_PAYLOAD as usize;
/// What a datagram carries: the rest is its header and the cipher's tag.
const PAYLOAD: usize = PACKET - HEADER - 16;
/// What fits into one UDP send; the kernel would split up to 64.
const PER_BATCH: usize = 65_507 / PACKET;
/// Bytes that may be under way.
const IN_FLIGHT: u64 = 1 << 20;
