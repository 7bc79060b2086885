//! How an [`Evil`] opens what comes, takes part in the handshake, and acknowledges. It judges nothing.

use protoquic::crypto::{NewKeys, open_payload, unprotect_header};
use protoquic::wire::{
    Frame, FrameIter, PacketHeader, PacketType, Version, packet_number, parse_header,
};
use protoquic::{ConnectionId, Ecn, Role, Session, Space};

use crate::net::{Mail, Net};

use super::{Evil, SeenPacket, ack_frame, packet_type};

impl Evil {
    pub(super) fn on_datagram<S: Session>(&mut self, net: &mut Net<S>, mail: Mail) {
        self.received_bytes += mail.data.len();
        self.datagrams += 1;
        let mut opened = false;
        let mut rest = &mail.data[..];
        while let Ok(header) = parse_header(rest, self.local_id.len()) {
            let mut version = self.version;
            let (ty, number_offset, len) = match header {
                PacketHeader::Long(long) => {
                    version = long.version;
                    if let Some(retry) = long.retry {
                        return self.on_retry(net, long.source, retry.token.to_vec());
                    }
                    if !std::mem::replace(&mut self.heard, true) {
                        self.peer_id = long.source;
                    }
                    let ty = long.packet_type().expect("only a Retry has none");
                    (ty, long.pn_offset, long.packet_len)
                }
                PacketHeader::Short(short) => (PacketType::OneRtt, short.pn_offset, rest.len()),
                _ => break,
            };
            let mut packet = rest[..len].to_vec();
            opened |= self.open(ty, version, &mut packet, number_offset, mail.ecn).is_some();
            rest = &rest[len..];
            self.read_tls(net); // the next packet may need the keys of this one
        }
        if !opened {
            self.unknown.push(mail);
        }
    }

    fn on_retry<S: Session>(&mut self, net: &mut Net<S>, source: ConnectionId, token: Vec<u8>) {
        self.retries.push((source, token.clone()));
        if self.follows_retry && self.retries.len() == 1 {
            self.redirect(source, token);
            self.start(net);
        }
    }

    fn open(
        &mut self,
        ty: PacketType,
        version: Version,
        packet: &mut [u8],
        number_offset: usize,
        ecn: Ecn,
    ) -> Option<()> {
        let space = ty.space();
        let first =
            self.first_keys.as_ref().filter(|(of, _)| *of == version && space as usize == 0);
        let keys = first.map(|(_, keys)| keys).or(self.keys[space as usize].as_ref())?;
        let (_, truncated, len) = unprotect_header(&*keys.remote.header, packet, number_offset)?;
        let numbers = &mut self.numbers[space as usize];
        let number = packet_number::decode(numbers.last().copied(), truncated, len);
        let start = number_offset + len;
        let length = open_payload(&*keys.remote.packet, packet, start, number)?;
        let payload = packet[start..start + length].to_vec();
        if numbers.insert(number) {
            for frame in FrameIter::new(&payload) {
                let frame = frame.expect("our stack sends frames that can be read");
                self.to_acknowledge[space as usize] |= frame.is_ack_eliciting();
                if let Frame::Crypto { offset, data } = frame {
                    self.crypto_received[space as usize].1.insert(offset, data.to_vec());
                }
            }
            self.seen.push(SeenPacket { space, number, payload, ecn });
        }
        Some(())
    }

    fn read_tls<S: Session>(&mut self, net: &mut Net<S>) {
        for (received, waiting) in &mut self.crypto_received {
            while let Some(entry) = waiting.first_entry()
                && *entry.key() <= *received
            {
                let (offset, data) = entry.remove_entry();
                let end = offset + data.len() as u64;
                if end > *received {
                    let fresh = &data[(*received - offset) as usize..];
                    self.tls.read(fresh).expect("our stack speaks proper TLS");
                    *received = end;
                }
            }
        }
        if !self.heard && self.role == Role::Client {
            return;
        }
        loop {
            let mut out = Vec::new();
            let keys = self.tls.write(&mut out);
            let idle = out.is_empty();
            if !idle {
                let out = (self.tamper)(self.level, out);
                self.send_crypto(net, self.level, &out);
            }
            match keys {
                Some(NewKeys::Handshake(keys)) => {
                    self.level = Space::Handshake;
                    self.keys[1] = Some(keys);
                }
                Some(NewKeys::OneRtt { keys, next }) => {
                    self.level = Space::Application;
                    self.keys[2] = Some(keys);
                    self.secrets = Some(next);
                }
                None if idle => return,
                None => {}
            }
        }
    }

    pub(super) fn flush<S: Session>(&mut self, net: &mut Net<S>) {
        for space in Space::ALL {
            if self.acknowledges && std::mem::take(&mut self.to_acknowledge[space as usize]) {
                let ack = self.ack(space);
                self.send(net, packet_type(space), &ack);
            }
        }
    }

    /// An ACK of the newest run of packets.
    fn ack(&self, space: Space) -> Vec<u8> {
        let numbers = &self.numbers[space as usize];
        let largest = numbers.last().copied().expect("something came");
        let run = numbers.iter().rev().zip(0..).take_while(|(n, i)| **n == largest - i).count();
        ack_frame(largest, run as u64 - 1)
    }
}
