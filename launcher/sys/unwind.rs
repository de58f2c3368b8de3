//! What walks the stack after a panic, left out: a release has no tables for it (launch.ld),
//! and all that std would say of the frames goes with it, an eighth of the file.
//!
//! The names are those that std links; see the Itanium C++ ABI on exception handling.

use core::ffi::{c_int, c_void};

/// `_URC_END_OF_STACK`
const END_OF_STACK: c_int = 5;

// SAFETY: no frame, so `trace` is not called; std takes that for an empty stack.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_trace: *const c_void, _argument: *mut c_void) -> c_int {
    END_OF_STACK
}

macro_rules! never_called {
    ($($name:ident)*) => {$(
        // SAFETY: only for a frame of `_Unwind_Backtrace`, or while a panic unwinds: none does.
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> ! {
            super::exit_now(125)
        }
    )*};
}

never_called!(
    _Unwind_GetIP _Unwind_GetIPInfo _Unwind_GetDataRelBase _Unwind_GetTextRelBase
    _Unwind_GetLanguageSpecificData _Unwind_GetRegionStart _Unwind_SetGR _Unwind_SetIP
    _Unwind_Resume
    // Other versions of std; one that is missing brings the real ones, all of them twice.
    _Unwind_GetCFA _Unwind_GetGR _Unwind_FindEnclosingFunction _Unwind_RaiseException
    _Unwind_DeleteException
);
