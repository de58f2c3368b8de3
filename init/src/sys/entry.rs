//! How the kernel starts a program: argc, argv, the environment and the auxiliary
//! vector lie on the stack, and that is where they are used and changed.

use super::Str;
use core::arch::global_asm;

#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start: xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {entry}", entry = sym entry);

#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start: mov x29, xzr", "mov x0, sp", "bl {entry}", entry = sym entry);

unsafe extern "C" fn entry(sp: *mut usize) -> ! {
    // First of all: from here on no signal is lost, whenever it was sent.
    let mask = super::block_signals();
    // Here and not in `run`, which then has its address in a register.
    let mut init = super::zeroed_init();
    (init.stack, init.mask) = (Stack { sp }, mask);
    crate::run(&mut init)
}

/// A list of strings that ends with a null pointer, as execve wants it.
#[derive(Clone, Copy)]
pub struct Vector(*mut *const u8);

impl Vector {
    pub fn as_ptr(self) -> *const *const u8 {
        self.0
    }

    /// Of pointers that stay where they are until the exec; the last must be null.
    pub fn new(strings: &mut [*const u8]) -> Vector {
        Vector(strings.as_mut_ptr())
    }

    /// The same, with the first replaced and one more before it: an option already
    /// read, argv[0] or argc, or what a caller of `new` left there.
    pub fn behind(self, before: Str, first: Str) -> Vector {
        let start = self.0.wrapping_sub(1);
        // SAFETY: there is such a word, see above.
        unsafe {
            *start = before.as_ptr();
            *self.0 = first.as_ptr();
        }
        Vector(start)
    }

    /// The string at `index`, which may be that of the end.
    pub fn get(self, index: usize) -> Option<Str<'static>> {
        // SAFETY: no caller goes beyond the end, and the kernel's strings end with a
        // NUL and live as long as the process.
        unsafe { Str::from_ptr(*self.0.add(index)) }
    }
}

/// The words at the top of the stack: argc, argv, NULL, the environment, NULL, the
/// auxiliary vector, which nothing here needs and so is room for two more variables.
#[derive(Clone, Copy)]
pub struct Stack {
    sp: *mut usize,
}

impl Stack {
    pub fn argc(self) -> usize {
        // SAFETY: the kernel puts argc where sp points.
        unsafe { *self.sp }
    }

    /// Empty from argc on.
    #[inline(never)]
    pub fn arg(self, index: usize) -> Str<'static> {
        let found = if index < self.argc() { self.argv(0).get(index) } else { None };
        found.unwrap_or(Str::EMPTY)
    }

    /// The arguments from `index` on.
    #[inline(always)]
    pub fn argv(self, index: usize) -> Vector {
        Vector(self.sp.wrapping_add(1 + index) as *mut *const u8)
    }

    pub fn envp(self) -> Vector {
        // By its NULL, as argc may be overwritten.
        let mut end = 0;
        while self.argv(1).get(end).is_some() {
            end += 1;
        }
        self.argv(end + 2)
    }

    /// The variable's place, or that of the NULL at the end; `name` ends with its `=`.
    fn find(self, name: Str) -> (usize, Option<Str<'static>>) {
        let (envp, mut index) = (self.envp(), 0);
        while let Some(text) = envp.get(index) {
            if let Some(value) = text.after(name) {
                return (index, Some(value));
            }
            index += 1;
        }
        (index, None)
    }

    pub fn env(self, name: Str) -> Option<Str<'static>> {
        self.find(name).1
    }

    /// Sets the variable to `text`, which is `name` and the value and must stay.
    pub fn set_env(self, name: Str, text: Str) {
        let (index, found) = self.find(name);
        let envp = self.envp().0;
        // SAFETY: index is in the environment or its NULL; the auxiliary vector behind
        // that is some forty words long.
        unsafe {
            *envp.add(index) = text.as_ptr();
            if found.is_none() {
                *envp.add(index + 1) = core::ptr::null();
            }
        }
    }
}
