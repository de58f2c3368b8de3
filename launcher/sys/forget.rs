//! Memory that the start needed and the long wait does not.

use super::{call, clone};

/// Deep enough for what may still be below the caller: a page and the red zone.
const SPARE: usize = 2 * 4096;
/// What a start uses of the stack, and more.
const STACK: usize = 64 << 10;

/// As `forget_code`, and the stacks that the start has used: for the launcher itself, whose
/// child is another program by now.
#[cfg(target_pointer_width = "64")]
#[inline(always)]
pub fn forget_start() {
    let here = 0u8;
    let below = ((&raw const here) as usize - SPARE) & !4095;
    // The code last: this function's own comes back at once.
    for (at, size) in [(below - STACK, STACK), clone::child_stack()] {
        // SAFETY: nobody has anything below this frame, nor on the stack of a child that has
        // been executed.
        unsafe { forget(at, size) };
    }
    forget_code();
}

/// # Safety
/// The pages are read-only ones of a file, or what they hold is not needed.
#[inline(always)]
unsafe fn forget(at: usize, size: usize) {
    // SAFETY: the caller's promise. Failing, it frees less.
    let _ = unsafe { call(libc::SYS_madvise, [at, size, libc::MADV_DONTNEED as usize, 0, 0]) };
}

/// Gives back the memory of this program's own code and constants; what is needed again
/// comes back from the page cache. For a long wait. Inlined: the way back to another page
/// would bring 64 kB around it back.
#[cfg(target_pointer_width = "64")]
#[inline(always)]
pub fn forget_code() {
    // SAFETY: getauxval(3) only reads what the kernel left at start.
    let (headers, count) =
        unsafe { (libc::getauxval(libc::AT_PHDR), libc::getauxval(libc::AT_PHNUM)) };
    if headers == 0 {
        return;
    }
    // SAFETY: the kernel says that `count` program headers lie there.
    let headers =
        unsafe { std::slice::from_raw_parts(headers as *const libc::Elf64_Phdr, count as usize) };
    let loads = || headers.iter().filter(|h| h.p_type == libc::PT_LOAD);
    let Some(first) = loads().next() else { return };
    // The first segment begins with the file, so with the ELF header before this table.
    let start = headers.as_ptr() as u64 & !4095;
    let mut ranges = [(0, 0); 6];
    for (range, h) in ranges.iter_mut().zip(loads().filter(|h| h.p_flags & libc::PF_W == 0)) {
        let at = (start - first.p_vaddr + h.p_vaddr) & !4095;
        let end = start - first.p_vaddr + h.p_vaddr + h.p_filesz;
        *range = (at as usize, (end - at) as usize);
    }
    // Nothing is called here, or it would be back.
    let mut next = 0;
    while next < ranges.len() {
        // SAFETY: read-only pages of a file: nothing in them can be lost.
        unsafe { forget(ranges[next].0, ranges[next].1) };
        next += 1;
    }
}

#[cfg(not(target_pointer_width = "64"))]
pub fn forget_code() {}

#[cfg(not(target_pointer_width = "64"))]
pub fn forget_start() {}
