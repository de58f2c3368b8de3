//! The functions the compiler calls behind our back. No libc provides them here, and
//! compiler_builtins leaves them out on Linux. Small, not fast: nothing large is moved.

#![allow(unsafe_code)]

use core::ffi::{c_char, c_void};

#[cfg(target_arch = "x86_64")]
mod imp {
    use core::arch::asm;
    use core::ffi::c_void;

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut c_void, from: *const c_void, len: usize) -> *mut c_void {
        // SAFETY: the caller of memcpy vouches for both ranges.
        unsafe {
            asm!("rep movsb", inout("rcx") len => _, inout("rdi") to => _, inout("rsi") from => _, options(nostack, preserves_flags))
        };
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut c_void, byte: i32, len: usize) -> *mut c_void {
        // SAFETY: the caller of memset vouches for the range.
        unsafe {
            asm!("rep stosb", inout("rcx") len => _, inout("rdi") to => _, in("al") byte as u8, options(nostack, preserves_flags))
        };
        to
    }
}

// Volatile, or the compiler would see a memcpy in the loop and call it from itself.
#[cfg(not(target_arch = "x86_64"))]
mod imp {
    use core::ffi::c_void;

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut c_void, from: *const c_void, len: usize) -> *mut c_void {
        for i in 0..len {
            // SAFETY: the caller of memcpy vouches for both ranges.
            unsafe { to.cast::<u8>().add(i).write_volatile(*from.cast::<u8>().add(i)) };
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut c_void, byte: i32, len: usize) -> *mut c_void {
        for i in 0..len {
            // SAFETY: the caller of memset vouches for the range.
            unsafe { to.cast::<u8>().add(i).write_volatile(byte as u8) };
        }
        to
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut c_void, from: *const c_void, len: usize) -> *mut c_void {
    let forward = (to as usize) < from as usize;
    for i in 0..len {
        let i = if forward { i } else { len - 1 - i };
        // SAFETY: the caller of memmove vouches for both ranges; the order lets them overlap.
        unsafe { to.cast::<u8>().add(i).write_volatile(from.cast::<u8>().add(i).read_volatile()) };
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const c_void, b: *const c_void, len: usize) -> i32 {
    for i in 0..len {
        // SAFETY: the caller of memcmp vouches for both ranges.
        let (x, y) = unsafe {
            (a.cast::<u8>().add(i).read_volatile(), b.cast::<u8>().add(i).read_volatile())
        };
        if x != y {
            return i32::from(x) - i32::from(y);
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const c_void, b: *const c_void, len: usize) -> i32 {
    // SAFETY: the same contract.
    unsafe { memcmp(a, b, len) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const c_char) -> usize {
    let mut len = 0;
    // SAFETY: the caller of strlen vouches for a NUL at the end.
    while unsafe { text.add(len).read_volatile() } != 0 {
        len += 1;
    }
    len
}

/// The prebuilt `core` names these two in tables that the linker script drops.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    crate::sys::exit(crate::exit::OURS)
}
