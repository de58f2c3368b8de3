//! The kernel's own process 1: what the machine needs before the first program, and
//! how it ends. It never exits, as that is a kernel panic.

use crate::mount;
use crate::pack::t;
use crate::state::Init;
use crate::sys::{self, Memory, Scratch, Str, Text, z};
use crate::text::{self, next_line};

/// What to do with the machine when there is nothing left to do, by its place here; 0 is
/// the first, too.
pub const ENDS: Str = z(c"poweroff reboot halt");
pub const POWER_OFF: u8 = 1;
pub const REBOOT: u8 = 2;
pub const HALT: u8 = 3;

impl Init {
    /// Makes the machine usable. Returns where in argv our own arguments begin.
    pub fn boot(&mut self) -> usize {
        mount::missing(true);
        // What the kernel opened, if it could, is the node of a /dev now hidden.
        if sys::exists(z(c"/dev/console")) {
            sys::close_from(0);
        }
        if !sys::open_standard(z(c"/dev/console")) {
            sys::open_standard(z(c"/dev/null"));
        }
        let hostname = Scratch::read(z(c"/etc/hostname"));
        let len = hostname.text().distance(hostname.text().find(b'\n'));
        if len > 0 {
            sys::sethostname(hostname.text(), len);
        }
        sys::loopback_up();
        self.first_argument()
    }

    fn first_argument(&mut self) -> usize {
        let line = Scratch::read(z(c"/proc/cmdline"));
        let end = &mut self.end;
        text::kernel_line(line.text(), self.stack.arg(1), self.stack.argc(), |name| {
            *end = text::place(ENDS, name);
        })
    }

    /// Ends the machine.
    pub fn end_machine(&mut self, code: i32) -> ! {
        self.end_leftovers();
        self.say_number(t!("exit status #"), code as usize);
        sys::sync();
        unmount_all();
        // From a child: some of these calls end who makes them.
        sys::clone(Memory::Copied, end_now, self);
        loop {
            self.poll.wait(-1);
        }
    }
}

extern "C" fn end_now(init: &mut Init) -> ! {
    sys::reboot(match init.end {
        HALT => libc::LINUX_REBOOT_CMD_HALT,
        REBOOT => libc::LINUX_REBOOT_CMD_RESTART,
        _ => libc::LINUX_REBOOT_CMD_POWER_OFF,
    });
    sys::exit(0)
}

/// Unmounts what can be, inner ones before outer ones, and makes the rest read-only.
fn unmount_all() {
    let mounts = Scratch::read(z(c"/proc/self/mounts"));
    let mut again = true;
    while again {
        again = false;
        let mut line = mounts.text();
        while !line.is_empty() {
            let mut target = Text::new();
            target.until(line.find(b' ').rest(), b' ');
            let gone = sys::umount(target.as_str(), 0) == 0;
            // Of `/` that only means read-only, however often it is asked for.
            again |= gone && !target.as_str().is(z(c"/"));
            sys::mount(Str::EMPTY, target.as_str(), Str::EMPTY, REMOUNT_READ_ONLY, Str::EMPTY);
            line = next_line(line);
        }
    }
}

const REMOUNT_READ_ONLY: u32 = (libc::MS_REMOUNT | libc::MS_RDONLY) as u32;
