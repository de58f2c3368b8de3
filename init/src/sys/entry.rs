//! How the kernel starts a program: argc, argv, the environment and the auxiliary
//! vector lie on the stack, and that is where they are used and changed.

use core::arch::global_asm;
use core::ffi::{CStr, c_char};

#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start: xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {entry}", entry = sym entry);

#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start: mov x29, xzr", "mov x0, sp", "bl {entry}", entry = sym entry);

unsafe extern "C" fn entry(sp: *mut usize) -> ! {
    // First of all: from here on no signal is lost, whenever it was sent.
    let mask = super::block_signals();
    crate::run(Stack { sp }, mask)
}

/// The words at the top of the stack: argc, argv, NULL, the environment, NULL, the
/// auxiliary vector, which nothing here needs and so is room for two more variables.
///
/// Indices are not checked against argc by the type: `arg` does it.
#[derive(Clone, Copy)]
pub struct Stack {
    sp: *mut usize,
}

impl Stack {
    pub fn argc(self) -> usize {
        // SAFETY: the kernel puts argc where sp points.
        unsafe { *self.sp }
    }

    pub fn arg(self, index: usize) -> Option<&'static CStr> {
        if index >= self.argc() {
            return None;
        }
        // SAFETY: an argument below argc; the kernel's strings live as long as the process.
        Some(unsafe { CStr::from_ptr(*self.argv(index)) })
    }

    /// The arguments from `index` on, as execve wants them.
    pub fn argv(self, index: usize) -> *const *const c_char {
        // SAFETY: argv follows argc.
        unsafe { self.sp.add(1 + index) as *const *const c_char }
    }

    /// Replaces the argument before `index`: an option already read, or argv[0].
    pub fn set_before(self, index: usize, text: *const c_char) {
        // SAFETY: index >= 1, as argv[0] is this program's name.
        unsafe { *self.sp.add(index) = text as usize };
    }

    pub fn set_arg(self, index: usize, text: *const c_char) {
        self.set_before(index + 1, text);
    }

    pub fn envp(self) -> *const *const c_char {
        let mut end = 0;
        // By pointer, not by argc: the list ends at its NULL.
        // SAFETY: argv ends with a NULL.
        while unsafe { !(*self.argv(end)).is_null() } {
            end += 1;
        }
        self.argv(end + 1)
    }

    /// Calls `found` with each variable until it returns true; the index where it did
    /// or, not found, that of the NULL at the end.
    fn find(self, name: &[u8]) -> (*mut *const c_char, Option<&'static CStr>) {
        let mut slot = self.envp() as *mut *const c_char;
        // SAFETY: the environment ends with a NULL, and its strings with a NUL.
        unsafe {
            while !(*slot).is_null() {
                let text = CStr::from_ptr(*slot);
                if text.to_bytes().starts_with(name) {
                    return (slot, Some(text));
                }
                slot = slot.add(1);
            }
        }
        (slot, None)
    }

    /// The value of the variable; `name` ends with its `=`.
    pub fn env(self, name: &[u8]) -> Option<&'static CStr> {
        let text = self.find(name).1?;
        CStr::from_bytes_with_nul(text.to_bytes_with_nul().get(name.len()..)?).ok()
    }

    /// Sets the variable to `text`, which is `name` (with its `=`) and the value.
    pub fn set_env(self, name: &[u8], text: *const c_char) {
        let (slot, found) = self.find(name);
        // SAFETY: slot is in the environment or its NULL; the auxiliary vector behind
        // that is some forty words long.
        unsafe {
            if found.is_none() {
                *slot.add(1) = core::ptr::null();
            }
            *slot = text;
        }
    }
}
