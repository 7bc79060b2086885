//! A process that forks does not draw what its parent draws.

#![cfg(unix)]

use std::io::Read as _;
use std::os::fd::AsRawFd as _;

use protoquic_core::RandomGenerator as _;
use protoquic_readers::BufferedRandom;

#[test]
fn a_child_draws_other_bytes_than_its_parent() {
    let first = BufferedRandom.next_u64(); // more is fetched than this
    let (mut from_child, to_parent) = std::io::pipe().unwrap();
    let child = fork_and_write(&to_parent);
    drop(to_parent);
    let (mut ours, mut theirs) = ([0; 32], Vec::new());
    BufferedRandom.fill(&mut ours);
    from_child.read_to_end(&mut theirs).unwrap();
    reap(child);
    assert_eq!(theirs.len(), ours.len(), "the child has drawn");
    assert_ne!(theirs, ours, "after {first:x}");
}

/// Forks. The child draws, says what it drew, and is gone.
#[expect(unsafe_code, reason = "forking is what this is about")]
fn fork_and_write(to_parent: &std::io::PipeWriter) -> libc::pid_t {
    let out = to_parent.as_raw_fd();
    let mut bytes = [0_u8; 32];
    // SAFETY: the child of a threaded process may only do what a signal handler may. It draws, which
    // takes no lock and no memory but its own thread's, writes 32 bytes that live on its stack, and ends
    // without cleaning up.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            BufferedRandom.fill(&mut bytes);
            libc::write(out, bytes.as_ptr().cast(), bytes.len());
            libc::_exit(0);
        }
        assert!(child > 0, "fork: {}", std::io::Error::last_os_error());
        child
    }
}

#[expect(unsafe_code, reason = "who forks has to wait")]
fn reap(child: libc::pid_t) {
    // SAFETY: no status is asked for, and the child is ours.
    let reaped = unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    assert_eq!(reaped, child);
}
