//! C strings by their address alone. A `&CStr` carries a length that has to be counted
//! first and passed along; with this the whole program is a third smaller.

use core::ffi::CStr;
use core::marker::PhantomData;
use core::ptr::NonNull;

/// Some text that ends with a NUL.
#[derive(Clone, Copy)]
pub struct Str<'a>(NonNull<u8>, PhantomData<&'a u8>);

impl<'a> Str<'a> {
    pub const EMPTY: Str<'static> = z(c"");

    pub fn as_ptr(self) -> *const u8 {
        self.0.as_ptr()
    }

    /// # Safety
    /// There must be a NUL, and the text must not change or go away during 'a.
    pub unsafe fn from_ptr(text: *const u8) -> Option<Str<'a>> {
        Some(Str(NonNull::new(text as *mut u8)?, PhantomData))
    }

    /// The text up to the NUL that the bytes must end with, at the latest.
    pub fn from_buffer(bytes: &'a [u8]) -> Str<'a> {
        if bytes.last() != Some(&0) {
            return Str::EMPTY;
        }
        // The last byte is a NUL, and the borrow lasts for 'a.
        Str(NonNull::from(bytes).cast(), PhantomData)
    }

    /// The same, where its maker vouches for the NUL.
    pub(super) fn trusted(bytes: &'a [u8]) -> Str<'a> {
        Str(NonNull::from(bytes).cast(), PhantomData)
    }

    /// For `t!`, which puts the NUL there.
    pub fn packed(bytes: &'static [u8]) -> Str<'static> {
        Str::trusted(bytes)
    }

    /// 0 at the end.
    #[inline(always)]
    pub fn first(self) -> u8 {
        // SAFETY: it points to the text or to its NUL.
        unsafe { *self.0.as_ptr() }
    }

    /// Without the first byte; the end stays the end.
    #[inline(always)]
    pub fn rest(self) -> Str<'a> {
        if self.first() == 0 {
            return self;
        }
        // SAFETY: not at the NUL, so there is one more byte.
        Str(unsafe { self.0.add(1) }, PhantomData)
    }

    pub fn is_empty(self) -> bool {
        self.first() == 0
    }

    /// From the first such byte on, or the end.
    #[inline(never)]
    pub fn find(self, byte: u8) -> Str<'a> {
        let mut text = self;
        while text.first() != byte && !text.is_empty() {
            text = text.rest();
        }
        text
    }

    pub fn is(self, other: Str) -> bool {
        self.after(other).is_some_and(Str::is_empty)
    }

    pub fn contains(self, byte: u8) -> bool {
        byte != 0 && !self.find(byte).is_empty()
    }

    /// What follows the prefix, if it is there.
    #[inline(never)]
    pub fn after(self, prefix: Str) -> Option<Str<'a>> {
        let (mut text, mut prefix) = (self, prefix);
        while !prefix.is_empty() {
            if text.first() != prefix.first() {
                return None;
            }
            (text, prefix) = (text.rest(), prefix.rest());
        }
        Some(text)
    }

    /// How many bytes lie before `end`, which is a later part of the same text.
    pub fn distance(self, end: Str) -> usize {
        end.as_ptr() as usize - self.as_ptr() as usize
    }
}

impl<'a> From<&'a CStr> for Str<'a> {
    fn from(text: &'a CStr) -> Str<'a> {
        z(text)
    }
}

/// For literals.
#[inline(always)]
pub const fn z(text: &CStr) -> Str<'_> {
    // SAFETY: a CStr's address is never null.
    Str(unsafe { NonNull::new_unchecked(text.as_ptr() as *mut u8) }, PhantomData)
}

/// Strings that lie one behind the other, each with its NUL.
pub struct Strings(Str<'static>);

impl Strings {
    /// They must end with an empty one, at which the caller stops.
    pub fn new(strings: &'static [u8]) -> Strings {
        Strings(Str::trusted(strings))
    }

    #[inline(never)]
    pub fn next(&mut self) -> Str<'static> {
        let text = self.0;
        // SAFETY: not the last, so behind its NUL is the next.
        self.0 = Str(unsafe { text.find(0).0.add(1) }, PhantomData);
        text
    }
}
