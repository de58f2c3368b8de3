//! The options about rights and devices: more rows of the table in flags.rs.

use crate::cli::flags::Arg::{Switch, Value};
use crate::cli::flags::Flag;
use crate::cli::flags::Group::*;
use crate::cli::{devices, landlock, process, sysctl, ulimit};

pub static FLAGS: &[Flag] = &[
    Flag {
        names: "--ulimit",
        arg: Value("NAME=N[:N]", ulimit::parse),
        group: Limits,
        help: "resource limit of each process: nofile=1024:4096",
        doc: "Soft and hard limit of setrlimit(2): as, core, cpu, data, fsize, locks, memlock,\n\
              msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending, stack. -1 or\n\
              unlimited: no limit. Without it your own limits apply.",
    },
    Flag {
        names: "--oom-score-adj",
        arg: Value("N", process::oom_score_adj),
        group: Further,
        help: "whom the kernel kills first: -1000 never, 1000 first",
        doc: "For when the whole machine is short of memory (proc(5)). Less than your own needs\n\
              CAP_SYS_RESOURCE.",
    },
    Flag {
        names: "--group-add",
        arg: Value("GROUP", process::group_add),
        group: Process,
        help: "one more supplementary group of ROOTFS's, or a number",
        doc: "Beside those that the user has. May be given many times.",
    },
    Flag {
        names: "--device",
        arg: Value("SRC[:DST]", devices::device),
        group: Files,
        help: "a device of the host's: /dev/fuse, /dev/sda:/dev/d:r",
        doc: "SRC[:DST[:ACCESS]]: SRC is a device or a directory with some; ACCESS is made of r, w\n\
              and m (mknod), all three where it is left away. What is not given cannot be used.",
    },
    Flag {
        names: "--device-cgroup-rule",
        arg: Value("RULE", devices::rule),
        group: Further,
        help: "devices it may use if it gets at them: 'c 42:* rwm'",
        doc: "c, b or a; MAJOR:MINOR, * for any; some of r, w, m. The usual ones (null, zero, full,\n\
              random, urandom, tty, terminals) and those of --device may be used anyway.",
    },
    Flag {
        names: "--preserve-fds",
        arg: Value("N", process::preserve_fds),
        group: Further,
        help: "descriptors 3 to 2+N of yours get in, too",
        doc: "All of them have to be open. Without it the command has 0, 1 and 2 and nothing else.",
    },
    Flag {
        names: "--cap-add",
        arg: Value("NAME", process::cap_add),
        group: Isolation,
        help: "give it a capability beyond the usual 13, or ALL",
        doc: "Names of capabilities(7), with or without CAP_, in either case; a list with commas\n\
              or many times. --cap-drop ALL --cap-add X leaves X alone.",
    },
    Flag {
        names: "--cap-drop",
        arg: Value("NAME", process::cap_drop),
        group: Isolation,
        help: "take one of the usual 13 away, or ALL",
        doc: "The usual 13: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP\n\
              NET_BIND_SERVICE NET_RAW SYS_CHROOT AUDIT_WRITE SETFCAP: docker's less MKNOD,\n\
              with which any disk could be opened. Names as for --cap-add.",
    },
    Flag {
        names: "--privileged",
        arg: Switch(|d, on| {
            d.spec.caps.privileged = on;
            Ok(())
        }),
        group: Isolation,
        help: "all your capabilities: as root, no protection",
        doc: "For programs that administer the host from inside. Such a program can take over\n\
              the host.",
    },
    Flag {
        names: "--security-opt",
        arg: Value("OPT", process::security_opt),
        group: Isolation,
        help: "loosen or tighten: launch help security",
        doc: "seccomp=FILE or unconfined, no-new-privileges=false, mask=PATH, unmask=PATH or ALL,\n\
              systempaths=unconfined; may be given many times. See: launch help security",
    },
    Flag {
        names: "--landlock",
        arg: Value("PATH[:ACCESS]", landlock::parse),
        group: Further,
        help: "only these paths, for this: /data:rw, /app:rx, system",
        doc: "A path inside, with all below it; ACCESS is r (the default), rw, rx or rwx. May be\n\
              given many times; what is not named is denied to everything inside, root as well.\n\
              system: programs and libraries to run (rx), /etc, /proc, /sys (r), /dev (rw).\n\
              Nothing can be mounted under it. See: launch help security",
    },
    Flag {
        names: "--sysctl",
        arg: Value("NAME=VALUE", sysctl::parse),
        group: Isolation,
        help: "a kernel setting of its own: net.ipv4.ip_forward=1",
        doc: "Only what belongs to one of the container's namespaces: net.*, fs.mqueue.*, and\n\
              kernel.msg*, kernel.sem, kernel.shm*.",
    },
];
