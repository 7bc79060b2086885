//! [`Cipher`]: encrypts a server ID and a nonce of 5 to 19 bytes into as many
//! (draft-ietf-quic-load-balancers §5.4): 16 as one block of AES, other lengths by four rounds of a
//! Feistel network whose halves overlap in one byte, four bits each, if the length is odd. This file
//! must not know what the bytes mean.

use aes::Aes128;
use aes::cipher::{Block, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

pub(super) struct Cipher {
    aes: Aes128,
}

/// One half, as wide as a block so that it can be worked on as a whole.
type Half = [u8; BLOCK];

impl Cipher {
    pub(super) fn new(key: &[u8; 16]) -> Self {
        Self { aes: Aes128::new(key.into()) }
    }

    pub(super) fn encrypt(&self, bytes: &mut [u8]) {
        if let Ok(block) = <&mut [u8; BLOCK]>::try_from(&mut *bytes) {
            self.aes.encrypt_block(block.into());
            return;
        }
        let len = bytes.len();
        let (mut left, mut right) = split(bytes);
        self.round(len, 1, &left, &mut right, Side::Right);
        self.round(len, 2, &right, &mut left, Side::Left);
        self.round(len, 3, &left, &mut right, Side::Right);
        self.round(len, 4, &right, &mut left, Side::Left);
        join(&left, &right, bytes);
    }

    pub(super) fn decrypt(&self, bytes: &mut [u8]) {
        if let Ok(block) = <&mut [u8; BLOCK]>::try_from(&mut *bytes) {
            self.aes.decrypt_block(block.into());
            return;
        }
        let len = bytes.len();
        let (mut left, mut right) = split(bytes);
        self.round(len, 4, &right, &mut left, Side::Left);
        self.round(len, 3, &left, &mut right, Side::Right);
        self.round(len, 2, &right, &mut left, Side::Left);
        self.round(len, 1, &left, &mut right, Side::Right);
        join(&left, &right, bytes);
    }

    /// Adds to one half what the cipher makes of the other.
    fn round(&self, len: usize, pass: u8, from: &Half, to: &mut Half, side: Side) {
        let mut block = Block::<Aes128>::from(*from);
        block[BLOCK - 2] = len as u8;
        block[BLOCK - 1] = pass;
        self.aes.encrypt_block(&mut block);
        let half = len.div_ceil(2);
        for (byte, mask) in to[..half].iter_mut().zip(block) {
            *byte ^= mask;
        }
        if len % 2 == 1 {
            side.clear_shared_bits(to, half);
        }
    }
}

/// Which half.
#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

impl Side {
    /// Of the byte that both halves have of an odd length, each has four bits.
    fn clear_shared_bits(self, half: &mut Half, len: usize) {
        match self {
            Self::Left => half[len - 1] &= 0xf0,
            Self::Right => half[0] &= 0x0f,
        }
    }
}

fn split(bytes: &[u8]) -> (Half, Half) {
    let half = bytes.len().div_ceil(2);
    let (mut left, mut right) = ([0; BLOCK], [0; BLOCK]);
    left[..half].copy_from_slice(&bytes[..half]);
    right[..half].copy_from_slice(&bytes[bytes.len() - half..]);
    if bytes.len() % 2 == 1 {
        Side::Left.clear_shared_bits(&mut left, half);
        Side::Right.clear_shared_bits(&mut right, half);
    }
    (left, right)
}

fn join(left: &Half, right: &Half, bytes: &mut [u8]) {
    let (len, half) = (bytes.len(), bytes.len().div_ceil(2));
    bytes[..half].copy_from_slice(&left[..half]);
    if len % 2 == 1 {
        bytes[half - 1] |= right[0];
        bytes[half..].copy_from_slice(&right[1..half]);
    } else {
        bytes[half..].copy_from_slice(&right[..half]);
    }
}

/// The block of AES, in bytes.
const BLOCK: usize = 16;
