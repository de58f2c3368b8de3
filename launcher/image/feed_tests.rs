//! What the process may do, and what it may say.

use super::process::filter;
use super::*;
use crate::seccomp::bpf;
use crate::seccomp::table::Arch;

#[test]
fn the_process_may_do_little() {
    let Some(arch) = Arch::named(std::env::consts::ARCH) else { return };
    let program = filter();
    let says = |arch: Arch, number: libc::c_long, args: [u64; 6]| {
        bpf::evaluate(&program, arch.audit(), number as u32, args)
    };
    let allowed = |number, args| says(arch, number, args) == Some(0x7fff_0000);
    assert!(allowed(libc::SYS_pread64, [3; 6]) && allowed(libc::SYS_brk, [0; 6]));
    assert!(allowed(libc::SYS_mmap, [0, 4096, 3, 0, 0, 0]));
    assert!(!allowed(libc::SYS_mmap, [0, 4096, 7, 0, 0, 0]), "to be executed");
    for number in [libc::SYS_openat, libc::SYS_execve, libc::SYS_socket, libc::SYS_ioctl] {
        assert_eq!(says(arch, number, [0; 6]), Some(0x8000_0000), "{number}");
    }
    assert_eq!(says(Arch::Riscv64, libc::SYS_read, [0; 6]), Some(0x8000_0000), "foreign");
}

#[test]
fn messages() {
    assert!(Said::parse(b"").is_none() && Said::parse(b"p\0\0").is_none());
    let piece = |length: u32| [&b"p"[..], &length.to_le_bytes(), &[0; 8]].concat();
    assert!(matches!(Said::parse(&piece(7)), Some(Said::Piece { length: 7, done: 0 })));
    assert!(Said::parse(&piece(PIECE as u32 + 1)).is_none(), "no more than there is");
    let cut = [&b"b"[..], &(-1i32).to_le_bytes(), b"cut off"].concat();
    let Some(Said::Broken(e)) = Said::parse(&cut) else { panic!("{cut:?}") };
    assert_eq!((e.kind(), e.to_string()), (ErrorKind::UnexpectedEof, "cut off".into()));
}
