//! The option table: one row per option. The parser, the help and the suggestions are
//! all made from it; an option is added here and nowhere else.

use crate::cli::given::Given;
use crate::cli::{docker, limits, mount, mounts, net, process, rights, userns};
use crate::error::{Error, Result};
use crate::spec::{Net, Spec, Tty};

/// What the options have said so far.
pub struct Draft {
    pub spec: Spec,
    /// Every `--net` as given.
    pub nets: Vec<Net>,
    pub explain: bool,
    pub trace: bool,
    pub json: bool,
    /// --rm=false or --rm.
    pub keep: Option<bool>,
    /// --log-opt max-size
    pub log_size: Option<u64>,
    /// --cpu-quota and --cpu-period, microseconds.
    pub quota: Option<u64>,
    pub period: Option<u64>,
}

impl Draft {
    pub fn new() -> Draft {
        Draft {
            spec: Spec::new(),
            nets: Vec::new(),
            explain: false,
            trace: false,
            json: false,
            keep: None,
            log_size: None,
            quota: None,
            period: None,
        }
    }
}

pub struct Flag {
    /// All spellings, short ones first.
    pub names: &'static str,
    pub arg: Arg,
    pub group: Group,
    /// One line of the overview.
    pub help: &'static str,
    /// What `launch help OPTION` adds.
    pub doc: &'static str,
}

pub enum Arg {
    /// Metavariable and parser.
    Value(&'static str, fn(&mut Draft, Given) -> Result<()>),
    /// Also written `--option=true` and `--option=false`.
    Switch(fn(&mut Draft, bool) -> Result<()>),
    Help,
    Version,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Limits,
    Files,
    Process,
    Isolation,
    Look,
    /// In the longer help only.
    Images,
    /// Named in the overview; what they do is in the longer help.
    Further,
    /// Not in the overview: `launch help network` has them.
    More,
    /// Taken for the sake of docker's users: already so.
    Accepted,
    /// For our own tests.
    Hidden,
}

use Arg::{Switch, Value};
use Group::*;

/// All rows, of this file and of others.
pub fn all() -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().chain(rights::FLAGS).chain(docker::FLAGS)
}

/// The row that has this spelling, dashes included.
pub fn find(name: &str) -> Option<&'static Flag> {
    all().find(|flag| flag.names.split(' ').any(|n| n == name))
}

/// Every spelling a user may mean.
pub fn spellings() -> impl Iterator<Item = &'static str> {
    all().filter(|f| f.group != Hidden).flat_map(|f| f.names.split(' '))
}

static FLAGS: &[Flag] = &[
    Flag {
        names: "-m --mem --memory",
        arg: Value("SIZE", limits::memory),
        group: Limits,
        help: "at most this much memory, and no swap: 200M, 1.5G",
        doc: "Memory of all processes together, page cache included. Units are K, M, G and T,\n\
              powers of 1024 in either case. When it is used up, the kernel kills a process\n\
              inside, launch says so, and the status is 137 if it was the command.\n\
              There is no swap unless --memory-swap allows it.",
    },
    Flag {
        names: "--memory-swap",
        arg: Value("SIZE", limits::memory_swap),
        group: Limits,
        help: "memory and swap together; -1: unlimited swap",
        doc: "Docker's meaning: with --mem 200M --memory-swap 300M the container has 200M of\n\
              memory and 100M of swap. Equal to --mem, or left away: no swap.",
    },
    Flag {
        names: "--cpus",
        arg: Value("N", limits::cpus),
        group: Limits,
        help: "processor time of at most N processors: 0.5, 2",
        doc: "A ceiling, also when the machine is idle: --cpus 0.5 is 50 ms in each 100 ms.",
    },
    Flag {
        names: "-c --cpu-shares",
        arg: Value("N", limits::cpu_shares),
        group: Limits,
        help: "share of a busy machine, 2 to 262144, normal 1024",
        doc: "Counts only while processors are short. The same as --cpu-weight on docker's scale.",
    },
    Flag {
        names: "--cpu-weight",
        arg: Value("N", limits::cpu_weight),
        group: Further,
        help: "the same as 1 to 10000, normal 100",
        doc: "Counts only while processors are short. The scale of cgroup v2.",
    },
    Flag {
        names: "--cpuset-cpus",
        arg: Value("LIST", limits::cpuset),
        group: Limits,
        help: "run only on these processors: 0-2,7",
        doc: "Numbers as in /proc/cpuinfo.",
    },
    Flag {
        names: "--pids-limit",
        arg: Value("N", limits::pids),
        group: Limits,
        help: "at most N processes and threads; -1: any number",
        doc: "The init counts as one. What would be one too many is refused\n\
              with EAGAIN, so a fork bomb stays inside.",
    },
    Flag {
        names: "--memory-reservation",
        arg: Value("SIZE", limits::memory_reservation),
        group: Further,
        help: "memory that is taken from others first",
        doc: "When the machine is short of memory; not more than --mem.",
    },
    Flag {
        names: "--device-read-bps",
        arg: Value("DEV:N", limits::read_bps),
        group: Further,
        help: "at most N bytes a second from this disk: /dev/sda:10M",
        doc: "DEV is a whole disk, of the host. What memory has of it is not counted. Repeat for more.",
    },
    Flag {
        names: "--device-write-bps",
        arg: Value("DEV:N", limits::write_bps),
        group: Further,
        help: "at most N bytes a second to this disk",
        doc: "With cgroup v1 only what passes by the page cache (O_DIRECT) is held back.",
    },
    Flag {
        names: "--device-read-iops",
        arg: Value("DEV:N", limits::read_iops),
        group: Further,
        help: "at most N reads a second from this disk",
        doc: "See --device-read-bps.",
    },
    Flag {
        names: "--device-write-iops",
        arg: Value("DEV:N", limits::write_iops),
        group: Further,
        help: "at most N writes a second to this disk",
        doc: "See --device-write-bps.",
    },
    Flag {
        names: "-v --volume",
        arg: Value("SRC:DST", mounts::volume),
        group: Files,
        help: "the host's SRC appears inside as DST; :ro read only",
        doc: "With :O what the container writes there goes to memory and vanishes, SRC stays as it is.\n\
              SRC is a file or directory, relative to where you are: ./data, /srv, or . for\n\
              this directory. It must exist. DST is absolute; it is made where it is missing.\n\
              A bare word is a volume of that name, which is kept (launch help volumes).\n\
              May be given many times; mounted in the order given.",
    },
    Flag {
        names: "--mount",
        arg: Value("OPTS", mount::mount),
        group: Files,
        help: "the same in docker's form: type=bind,src=./d,dst=/d,ro",
        doc: "type is bind, overlay (-v SRC:DST:O), volume or tmpfs; source (src), target (dst, destination), readonly (ro),\n\
              volume-nocopy, tmpfs-size, tmpfs-mode;\n\
              bind-recursive and bind-propagation as they are: enabled, with readonly for all below; private.",
    },
    Flag {
        names: "--tmpfs",
        arg: Value("DST[:OPTS]", mounts::tmpfs),
        group: Files,
        help: "an empty directory in memory: /cache:size=64m",
        doc: "OPTS, with commas: size=SIZE or size=N%, mode=OCTAL, uid=N, gid=N, nr_inodes=N, and\n\
              ro, exec, suid, dev. Without them programs in it cannot be executed, as in docker.",
    },
    Flag {
        names: "--shm-size",
        arg: Value("SIZE", mounts::shm_size),
        group: Files,
        help: "the most that /dev/shm may hold, as in 64m",
        doc: "Without it as much as half of the host's memory, and no more than --mem.",
    },
    Flag {
        names: "--read-only",
        arg: Switch(|d, on| set(&mut d.spec.read_only, on)),
        group: Files,
        help: "no writes into ROOTFS (volumes are as given)",
        doc: "/dev, /dev/shm, /tmp and /run stay writable, in memory.",
    },
    Flag {
        names: "--ephemeral",
        arg: Switch(|d, on| set(&mut d.spec.ephemeral, on)),
        group: Files,
        help: "writes go to memory and vanish at the end",
        doc: "ROOTFS itself is not changed, so one directory serves many containers at a time,\n\
              and / can be used as ROOTFS.",
    },
    Flag {
        names: "--layer",
        arg: Value("DIR", mounts::layer),
        group: Files,
        help: "DIR lies over ROOTFS, read only; repeat for more",
        doc: "Each DIR covers ROOTFS and those before it; where two have the same file, the last\n\
              one counts. Writes go to memory and vanish, or where --keep says. With scratch as\n\
              ROOTFS there is nothing below them.",
    },
    Flag {
        names: "--keep",
        arg: Value("DIR", mounts::keep),
        group: Files,
        help: "writes go to DIR, to be seen by the next start",
        doc: "ROOTFS, a directory or an image, is not changed; what differs is in DIR/upper, and\n\
              the next start with the same DIR goes on from there. One container at a time.\n\
              launch commit DIR NAME makes an image of it.",
    },
    Flag {
        names: "--platform",
        arg: Value("OS/ARCH", mounts::platform),
        group: Images,
        help: "which image of several: linux/arm64",
        doc: "Without it, the one for this machine; none for this machine is an error. Of\n\
              several variants (linux/arm/v6, v7) the highest that OS/ARCH/VARIANT runs.",
    },
    Flag {
        names: "--max-size",
        arg: Value("SIZE", mounts::max_size),
        group: Images,
        help: "an archive may unpack to this much",
        doc: "Without it, to a hundred times its own size, 1G at least and 64G at most.\n\
              --max-entries N (2000000) and --max-depth N (256) are for files and directories.",
    },
    Flag {
        names: "--max-entries",
        arg: Value("N", mounts::max_entries),
        group: Images,
        help: "and have so many files in it",
        doc: "See --max-size.",
    },
    Flag {
        names: "--max-depth",
        arg: Value("N", mounts::max_depth),
        group: Images,
        help: "and directories so deep",
        doc: "See --max-size.",
    },
    Flag {
        names: "-w --workdir",
        arg: Value("DIR", process::workdir),
        group: Files,
        help: "directory to start in (/ where not given)",
        doc: "Absolute, inside the container.",
    },
    Flag {
        names: "-e --env",
        arg: Value("NAME[=VALUE]", process::env),
        group: Process,
        help: "environment variable; NAME alone: with your value",
        doc: "Nothing else of your environment gets in: the command has PATH, HOME, HOSTNAME,\n\
              on a terminal TERM, and what -e and --env-file say, a later one replacing an\n\
              earlier one. NAME alone does nothing where you have no such variable.",
    },
    Flag {
        names: "--env-file",
        arg: Value("FILE", process::env_file),
        group: Process,
        help: "the same from FILE, one on a line, # comments",
        doc: "Nothing is unquoted or expanded: all after the first = is the value.",
    },
    Flag {
        names: "-u --user",
        arg: Value("USER[:GRP]", process::user),
        group: Process,
        help: "run as this user of ROOTFS, by name or number",
        doc: "Names are looked up in the etc/passwd and etc/group of ROOTFS, never in the host's.\n\
              See: launch help users",
    },
    Flag {
        names: "--entrypoint",
        arg: Value("WORD", process::entrypoint),
        group: Process,
        help: "in place of an image's own; '' for none",
        doc: "An image's Entrypoint stands before COMMAND, and its Cmd in place of COMMAND where\n\
              there is none. This option replaces the first and leaves the second away.",
    },
    Flag {
        names: "-t --tty",
        arg: Switch(|d, on| set(&mut d.spec.tty, if on { Tty::Always } else { Tty::Never })),
        group: Process,
        help: "a terminal of its own, even when launch has none",
        doc: "Without -t and -T it gets one when both standard input and output are terminals.",
    },
    Flag {
        names: "-T --no-tty",
        arg: Switch(|d, on| set(&mut d.spec.tty, if on { Tty::Never } else { Tty::Auto })),
        group: Process,
        help: "no terminal of its own, even when launch has one",
        doc: "The command then gets your descriptors 0, 1 and 2 as they are.",
    },
    Flag {
        names: "-d --detach",
        arg: Switch(|d, on| set(&mut d.spec.detach, on)),
        group: Process,
        help: "let it run on its own, print its name",
        doc: "Returns when the command runs, or with the reason why it does not. Nothing of\n\
              launch stays behind. Its input is /dev/null, its output goes to a log (launch\n\
              logs NAME); launch ps, exec, stop and wait find it by its name. How it ended is\n\
              kept for a day, unless --rm says otherwise. It can have no terminal (-t), as no\n\
              process is there to read it: launch exec -t NAME sh makes one.",
    },
    Flag {
        names: "--restart",
        arg: Value("POLICY", process::restart),
        group: Further,
        help: "no, on-failure[:N] or always: start it again",
        doc: "Done by the init inside, after 0.1 seconds at first, twice as long each time, up\n\
              to a minute; from 0.1 again when it has run for ten seconds. launch stop ends it\n\
              for good. unless-stopped is the same as always.",
    },
    Flag {
        names: "--log-driver",
        arg: Value("KIND", process::log_driver),
        group: Further,
        help: "with -d, output to: file, journald or none",
        doc: "file: beside the container's record, see launch help logs. journald: to the journal\n\
              of systemd, under the container's name (journalctl -t NAME). none: to /dev/null.",
    },
    Flag {
        names: "--log-opt",
        arg: Value("max-size=N", process::log_opt),
        group: Further,
        help: "the log's size from which its beginning is cut off",
        doc: "1M where not given; launch help logs says when that happens. The log is where the\n\
              record is, in /run, which is memory, and counts for the container's --mem.",
    },
    Flag {
        names: "--pidfile",
        arg: Value("FILE", process::pidfile),
        group: Further,
        help: "write the number of its process 1 to FILE",
        doc: "As the host has it, and a newline. FILE is replaced.",
    },
    Flag {
        names: "--cidfile",
        arg: Value("FILE", process::cidfile),
        group: Further,
        help: "write its name to FILE, which must not exist",
        doc: "For those who let launch make up the name.",
    },
    Flag {
        names: "--name",
        arg: Value("NAME", process::name),
        group: Process,
        help: "what other commands call it: launch stop NAME",
        doc: "At most 64 letters, digits, '.', '-' and '_', a letter or digit first. No two\n\
              containers have one name at a time. Without --name launch makes one up, and\n\
              launch ps shows it. The host name inside is the same, unless --hostname is given.",
    },
    Flag {
        names: "--no-init",
        arg: Switch(|d, on| set(&mut d.spec.no_init, on)),
        group: Process,
        help: "the command itself is process 1 and must act like it",
        doc: "Without an init nobody reaps orphans, and signals whose default is to kill have\n\
              no effect on a command that does not handle them.",
    },
    Flag {
        names: "--stop-signal",
        arg: Value("SIG", process::stop_signal),
        group: Further,
        help: "what ends the command: QUIT, RTMIN+3 (TERM)",
        doc: "For programs that end by another signal than SIGTERM. launch stop sends it, and a\n\
              SIGTERM to launch reaches the command as it; launch kill sends what it is told.\n\
              Without it, an image's own (StopSignal) counts.",
    },
    Flag {
        names: "--stop-timeout",
        arg: Value("SECS", process::stop_timeout),
        group: Process,
        help: "time from SIGTERM to SIGKILL (10 where not given)",
        doc: "How long what is inside may take to end after launch was told to stop.",
    },
    Flag {
        names: "--net --network",
        arg: Value("NET", net::net),
        group: Isolation,
        help: "none (the default), host, bridge[:NAME], pasta, ...",
        doc: "none: nothing but loopback. host: every interface and listening socket of the\n\
              host, abstract unix sockets included. bridge: an interface eth0 with an address\n\
              of its own, see: launch help network. Also ns:PATH, container:NAME,\n\
              pasta and slirp4netns.",
    },
    Flag {
        names: "-p --publish",
        arg: Value("PORTS", net::publish),
        group: Isolation,
        help: "its PORT is reached by the host's HOST: 8080:80",
        doc: "[IP:]HOST:PORT[/tcp|udp]; with IP only by that address of the host. Ranges are\n\
              written 8000-8009:80-89, PORT alone takes a free one of the host. Means --net\n\
              bridge where no --net is given, and the kernel translates; an ordinary user's\n\
              means --net pasta.",
    },
    Flag {
        names: "--dns",
        arg: Value("IP", net::dns),
        group: More,
        help: "name server, in place of the host's",
        doc: "May be given many times. Without it /etc/resolv.conf is the host's less what\n\
              only the host itself can reach.",
    },
    Flag {
        names: "--dns-search",
        arg: Value("DOMAIN", net::search),
        group: More,
        help: "domain that short names are looked up in",
        doc: "May be given many times.",
    },
    Flag {
        names: "--add-host",
        arg: Value("NAME:IP", net::add_host),
        group: More,
        help: "a name of its own in /etc/hosts",
        doc: "IP may be host-gateway: the host, as seen from the bridge.",
    },
    Flag {
        names: "--ip",
        arg: Value("IP", net::ip),
        group: More,
        help: "this address, on its (first) bridge",
        doc: "It must be of the bridge's range and nobody else's.",
    },
    Flag {
        names: "--mac --mac-address",
        arg: Value("MAC", net::mac),
        group: More,
        help: "hardware address of eth0",
        doc: "Without it the address is made from the container's name.",
    },
    Flag {
        names: "--subnet",
        arg: Value("NET/BITS", net::subnet),
        group: More,
        help: "range of a bridge that is not there yet",
        doc: "Such as 10.1.2.0/24. Without it the first free one from 10.213.0.0/22 on.",
    },
    Flag {
        names: "--ipv6",
        arg: Switch(|d, on| set(&mut d.spec.net_options.ipv6, on)),
        group: More,
        help: "the bridge has IPv6, too",
        doc: "A range of its own below fd00::/8, translated on the way out.",
    },
    Flag {
        names: "--internal",
        arg: Switch(|d, on| set(&mut d.spec.net_options.internal, on)),
        group: More,
        help: "the bridge leads nowhere but to its containers",
        doc: "They and the host reach each other; there is no way to the outside.",
    },
    Flag {
        names: "--hostname",
        arg: Value("NAME", process::hostname),
        group: Isolation,
        help: "the host name it sees",
        doc: "At most 64 letters, digits, '.', '-' and '_'.",
    },
    Flag {
        names: "--userns",
        arg: Value("MODE", userns::mode),
        group: Isolation,
        help: "auto: root inside is an unprivileged id outside",
        doc: "auto[:size=N]: N ids (65536) that nobody else has. Files keep the owners they have on\n\
              disk, by idmapped mounts (Linux 5.12).\n\
              host: no user namespace; for root, who has none by default.\n\
              keep-id[:uid=N,gid=N]: an ordinary user has his own ids inside, too, or these.\n\
              See: launch help rootless",
    },
    Flag {
        names: "--uidmap",
        arg: Value("IN:OUT:N", userns::uid_map),
        group: Further,
        help: "users IN to IN+N-1 inside are OUT and up outside",
        doc: "Many times for several ranges; N is 1 where not given. Run by root, OUT is an id of the\n\
              host, any but 0. Run by an ordinary user it counts as podman does: 0 is you, 1 your\n\
              first subordinate id (/etc/subuid), and @100000 is the host's 100000.\n\
              Without --gidmap it holds for groups, too.",
    },
    Flag {
        names: "--gidmap",
        arg: Value("IN:OUT:N", userns::gid_map),
        group: Further,
        help: "the same for groups",
        doc: "Without --uidmap it holds for users, too. An ordinary user's are in /etc/subgid.",
    },
    Flag {
        names: "--explain",
        arg: Switch(|d, on| set(&mut d.explain, on)),
        group: Look,
        help: "print what would be done, step by step, and do nothing",
        doc: "Each step in words and as the shell command that does the same. An archive is read, not\n\
              unpacked.",
    },
    Flag {
        names: "--trace",
        arg: Switch(|d, on| set(&mut d.trace, on)),
        group: Look,
        help: "run, then print the microseconds of each step",
        doc: "The table goes to standard error.",
    },
    Flag {
        names: "--json",
        arg: Switch(|d, on| set(&mut d.json, on)),
        group: Look,
        help: "--explain or --trace as JSON",
        doc: "One object per step.",
    },
    Flag {
        names: "-h --help",
        arg: Arg::Help,
        group: Look,
        help: "this text",
        doc: "launch help OPTION says more about one option.",
    },
    Flag {
        names: "-V --version",
        arg: Arg::Version,
        group: Look,
        help: "the version",
        doc: "Also: launch version",
    },
    Flag {
        names: "-i --interactive",
        arg: Switch(|_, on| always(on, "standard input is always passed through")),
        group: Accepted,
        help: "standard input is always passed through",
        doc: "To give it none: launch ... </dev/null. In the background of a shell it has none,\n\
              or it would take what is typed there; with -t, launch stops as any job does.",
    },
    Flag {
        names: "--init",
        arg: Switch(|d, on| set(&mut d.spec.no_init, !on)),
        group: Accepted,
        help: "there is an init unless --no-init says otherwise",
        doc: "The init is part of launch; nothing is written into ROOTFS.",
    },
    Flag {
        names: "--rm",
        arg: Switch(|d, on| set(&mut d.keep, Some(!on))),
        group: Further,
        help: "with -d: do not keep how it ended, nor its log",
        doc: "Without -d nothing is ever kept. What it wrote into ROOTFS is: see --ephemeral.",
    },
    Flag {
        names: "--fault",
        arg: Value("fail:N|kill:N|skip:N", process::fault),
        group: Hidden,
        help: "fail, be killed, or leave out what is to be done, at step N",
        doc: "For tests: at the Nth step of --explain, counted from 1.",
    },
];

fn set<T>(place: &mut T, value: T) -> Result<()> {
    *place = value;
    Ok(())
}

pub fn always(on: bool, why: &str) -> Result<()> {
    if on { Ok(()) } else { Err(Error::new(why)) }
}
