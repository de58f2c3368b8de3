//! What init says: `init: <operation> <object>: <errno text> (<ENAME>)`, each line in
//! one write, and perhaps a second line with a hint.

use crate::pack::t;
use crate::sys::{self, Str, Text, z};
use crate::text;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Started by the launcher, whose user knows of no init.
static LAUNCHED: AtomicBool = AtomicBool::new(false);

pub fn speak_as_launch() {
    LAUNCHED.store(true, Relaxed);
}

/// Number, name and text of the errors that do happen here; others are given by number.
fn errors() -> Str<'static> {
    t!(
        "1=EPERM=Operation not permitted\n2=ENOENT=No such file or directory\n5=EIO=Input/output error\n7=E2BIG=Argument list too long\n8=ENOEXEC=Exec format error\n11=EAGAIN=Resource temporarily unavailable\n12=ENOMEM=Out of memory\n13=EACCES=Permission denied\n16=EBUSY=Device or resource busy\n19=ENODEV=No such device\n20=ENOTDIR=Not a directory\n22=EINVAL=Invalid argument\n26=ETXTBSY=Text file busy\n30=EROFS=Read-only file system\n40=ELOOP=Too many levels of symbolic links\n"
    )
}

#[inline(never)]
fn prefixed() -> Text {
    let mut line = Text::new();
    line.push(if LAUNCHED.load(Relaxed) { z(c"launch: ") } else { z(c"init: ") });
    line
}

/// One line; each `%` in `format` stands for the next of the texts.
#[inline(never)]
pub fn say(format: Str, a: Str, b: Str, c: Str) {
    let (mut line, mut format, mut texts) = (prefixed(), format, [a, b, c, z(c"")].into_iter());
    while !format.is_empty() {
        match format.first() {
            b'%' => line.push(texts.next().unwrap_or(z(c""))),
            byte => line.unpack(byte),
        };
        format = format.rest();
    }
    finish(&mut line);
}

fn finish(line: &mut Text) {
    line.byte(b'\n');
    sys::write(2, line.bytes());
}

pub fn say1(format: Str, a: Str) {
    say(format, a, a, a);
}

#[inline(never)]
pub fn hint(text: Str) {
    let mut line = Text::new();
    line.push(z(c"hint: ")).message(text, 0);
    finish(&mut line);
}

/// `error` is what a system call returned, -errno; `operation` ends with the space
/// before its object.
#[inline(never)]
pub fn fail(operation: Str, object: Str, error: isize) {
    let mut line = prefixed();
    line.push(operation).push(object).push(z(c": "));
    let wanted = error.unsigned_abs() as u32;
    let name = text::numbered(errors(), wanted);
    if name.is_empty() {
        line.push(z(c"error ")).number(wanted, 10);
    } else {
        line.message(name.find(b'=').rest(), b'\n').push(z(c" (")).message(name, b'=').byte(b')');
    }
    finish(&mut line);
}
