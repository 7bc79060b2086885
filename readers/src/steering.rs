//! The program by which Linux chooses one of several sockets for a datagram: by a byte of its
//! destination connection ID, modulo the number of sockets. [`program`] is the program, `attach` gives
//! it to the kernel. This file must not know who reads the sockets.

/// An instruction of classic BPF: what it does, how far to jump if a condition holds and if it does
/// not, and its operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    code: u16,
    jump_true: u8,
    jump_false: u8,
    operand: u32,
}

/// Chooses among `sockets` by byte `id_byte` of the destination connection ID. A datagram that is too
/// short to have it goes to the first socket. (RFC 8999 §5: a long header has flags, four bytes of
/// version, the ID's length and the ID; a short one flags and the ID.)
pub(crate) fn program(sockets: u32, id_byte: u32) -> [Instruction; 7] {
    let step = |code, operand| Instruction { code, jump_true: 0, jump_false: 0, operand };
    [
        step(LOAD_BYTE, 0),
        Instruction { code: JUMP_IF_SET, jump_true: 2, jump_false: 0, operand: LONG_FORM },
        step(LOAD_BYTE, 1 + id_byte),
        step(JUMP, 1),
        step(LOAD_BYTE, 6 + id_byte),
        step(MODULO, sockets),
        step(RETURN, 0),
    ]
}

/// Gives the program to the kernel, for all sockets of the group that this one belongs to.
#[cfg(target_os = "linux")]
pub(crate) fn attach(socket: &std::net::UdpSocket, program: &[Instruction]) -> std::io::Result<()> {
    use nix::libc::{sock_filter, sock_fprog};
    use nix::sys::socket::{setsockopt, sockopt::AttachReusePortCbpf};

    let mut filter: Vec<sock_filter> = program
        .iter()
        .map(|step| sock_filter {
            code: step.code,
            jt: step.jump_true,
            jf: step.jump_false,
            k: step.operand,
        })
        .collect();
    // The kernel copies what this points to before the call returns.
    let program = sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    setsockopt(socket, AttachReusePortCbpf, &program).map_err(std::io::Error::from)
}

/// Other systems cannot.
#[cfg(not(target_os = "linux"))]
pub(crate) fn attach(_: &std::net::UdpSocket, _: &[Instruction]) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// BPF_LD | BPF_B | BPF_ABS
const LOAD_BYTE: u16 = 0x30;
/// BPF_JMP | BPF_JSET | BPF_K
const JUMP_IF_SET: u16 = 0x45;
/// BPF_JMP | BPF_JA
const JUMP: u16 = 0x05;
/// BPF_ALU | BPF_MOD | BPF_K
const MODULO: u16 = 0x94;
/// BPF_RET | BPF_A
const RETURN: u16 = 0x16;
/// The first bit of a long header.
const LONG_FORM: u32 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel's interpreter makes of a program, as far as ours needs it: reading past the
    /// end ends it with 0, as there.
    fn run(program: &[Instruction], datagram: &[u8]) -> u32 {
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            match step.code {
                LOAD_BYTE => match datagram.get(step.operand as usize) {
                    Some(byte) => accumulator = u32::from(*byte),
                    None => return 0,
                },
                JUMP_IF_SET if accumulator & step.operand != 0 => at += step.jump_true as usize,
                JUMP_IF_SET => at += step.jump_false as usize,
                JUMP => at += step.operand as usize,
                MODULO => accumulator %= step.operand,
                RETURN => return accumulator,
                other => panic!("instruction {other:#x} is not known"),
            }
        }
    }

    #[test]
    fn both_headers_are_steered_by_the_same_byte_of_the_id() {
        let id = [10, 11, 12, 13, 14, 15, 16, 17];
        let short = [&[0x41][..], &id, &[0xff; 20]].concat();
        let long = [&[0xc3, 0, 0, 0, 1, 8][..], &id, &[0xff; 20]].concat();
        for sockets in [1, 2, 3, 64, 256] {
            for byte in 0..8 {
                let program = program(sockets, byte);
                let expected = u32::from(id[byte as usize]) % sockets;
                assert_eq!(run(&program, &short), expected);
                assert_eq!(run(&program, &long), expected);
            }
        }
    }

    #[test]
    fn datagrams_too_short_go_to_the_first_socket() {
        for datagram in [&[][..], &[0x40; 8], &[0xc0; 13]] {
            assert_eq!(run(&program(64, 7), datagram), 0);
        }
    }
}
