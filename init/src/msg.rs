//! What init says: `init: <operation> <object>: <errno text> (<ENAME>)`, and perhaps a
//! second line with a hint, in one write.

use crate::pack::t;
use crate::state::Init;
use crate::sys::{self, Str, Text, z};
use crate::text;

/// Number, text and name of the errors that do happen here; others are given by number.
fn errors() -> Str<'static> {
    t!(
        "1=Operation not permitted (EPERM)\n2=No such file or directory (ENOENT)\n5=Input/output error (EIO)\n7=Argument list too long (E2BIG)\n8=Exec format error (ENOEXEC)\n11=Resource temporarily unavailable (EAGAIN)\n12=Out of memory (ENOMEM)\n13=Permission denied (EACCES)\n16=Device or resource busy (EBUSY)\n19=No such device (ENODEV)\n20=Not a directory (ENOTDIR)\n22=Invalid argument (EINVAL)\n26=Text file busy (ETXTBSY)\n30=Read-only file system (EROFS)\n40=Too many levels of symbolic links (ELOOP)\n"
    )
}

/// Adds the error's text; `error` is what a system call returned, -errno.
#[inline(never)]
pub fn error(line: &mut Text, error: usize) {
    let wanted = (error as u32).wrapping_neg();
    let found = text::numbered(errors(), wanted);
    let found = if found.is_empty() { t!("error #") } else { found };
    line.format(found, b'\n', [found; 2], wanted as usize);
}

impl Init {
    /// One message; `format` is for `Text::format`.
    #[inline(never)]
    pub fn say(&self, format: Str, a: Str, b: Str, number: usize) {
        let mut line = Text::new();
        // Started by the launcher, the user knows of no init.
        line.push(if self.launched { z(c"launch: ") } else { z(c"init: ") });
        line.format(format, 0, [a, b], number).byte(b'\n');
        sys::write(2, line.bytes());
    }

    #[inline(always)]
    pub fn say_number(&self, format: Str, number: usize) {
        self.say(format, format, format, number);
    }
}
