//! Longer help that belongs to no single option.

pub static TOPICS: &[(&str, &str)] = &[
    ("limits", LIMITS),
    ("volumes", VOLUMES),
    ("users", USERS),
    ("security", SECURITY),
    ("network", NETWORK),
    ("exit-codes", EXIT_CODES),
    ("rootless", ROOTLESS),
];

const LIMITS: &str = "\
Limits hold for all processes of the container together. They are set in a
cgroup that exists only as long as the container.

  --mem 200M              memory, page cache included; no swap beyond it
  --memory-swap 300M      memory and swap together: here 100M of swap
  --cpus 0.5              processor time, here 50 ms of each 100 ms
  --cpu-shares 512        weight against others while processors are short
  --cpuset-cpus 0,2-3     only these processors
  --pids-limit 64         processes and threads, launch's init counted
  --device-write-bps /dev/sda:10M   bytes a second to a disk; also -read-, -iops

Sizes are whole bytes, or have K, M, G or T in either case: powers of 1024, also
1.5G. As root, a limit that was asked for and cannot be set is an error and
nothing runs; as an ordinary user without a cgroup of one's own it is a warning
(see: launch help rootless). When the kernel kills for memory, launch says so
with the limit and the peak.
";

const VOLUMES: &str = "\
  -v SRC:DST[:ro]   the host's SRC, a file or directory, appears as DST inside
                    (:O: writes go to memory and vanish, SRC stays as it is;
                    :idmap and :noidmap: see launch help rootless)

SRC is taken from where you are: /srv/data, ./data, or . for this directory. A
bare word is a volume of that name, kept below /var/lib/launch/volumes, or an
ordinary user's ~/.local/share/launch/volumes; it stays until launch volume rm.
While it is empty, and no other container has it, a start copies into it what
ROOTFS has at DST, with owners, modes and links; :nocopy does without. Of the
host's own / and of a file system image below --layer nothing is copied. Any
other SRC must exist. DST begins with /; what is missing on the way is made.

  --tmpfs DST[:size=64m,mode=1777]   an empty directory in memory

Mounts are made in the order given. Two with the same DST are refused. Symbolic
links in DST are followed inside ROOTFS only. What an image calls a volume is
writable with --read-only, too, and vanishes at the end.
";

const NETWORK: &str = "\
  --net none          nothing but loopback (the default)
  --net host          the host's own network
  --net bridge        an address on bridge launch0, made for its first container
                      and gone with its last; others: --net bridge:NAME. Given
                      many times: many interfaces, eth0, eth1, ...
  --net container:NAME   a running container's, with its host name and resolver
  --net ns:PATH       a namespace that exists: ns:/run/netns/NAME
  --net pasta, --net slirp4netns   an ordinary user's: the program of that name
                      carries what the container sends, and -p; install it first

On a bridge, containers reach each other, by address and by name (the host name,
or the container's), those that come later, too; the outside sees the host's
address. Containers of different bridges do not reach each other, nor does the
outside reach them, but for published ports:

  -p 8080:80          its port 80 is port 8080 of the host, by any address of
                      the host's ([::1] with --ipv6, where no br_netfilter is;
                      when it is loaded later, the next -p is what knows of it),
                      for others, neighbours and the host itself
  -p 127.0.0.1:8080:80/udp, -p 8000-8009:80-89, -p 80 (a free port of the host)

  --ip 10.213.0.9                 this address on the (first) bridge
  --mac, --mac-address 02:...     hardware address of eth0
  --subnet 10.1.2.0/24            for a bridge that is made: its range
  --ipv6                          ... IPv6, too, with a range below fd00::/8
  --internal                      ... no way to the outside, and none in
  --dns IP, --dns-search DOMAIN   in place of what the host's resolv.conf says
  --dns-option, --dns-opt OPTION  beside it: ndots:2
  --network-alias NAME            one more name, for others on its bridges
  --add-host NAME:IP              in /etc/hosts

/etc/hosts, /etc/hostname and /etc/resolv.conf are mounted over those of ROOTFS.
The rules are in a table of their own, inet launch (nft list table inet launch);
others are left alone. Where another firewall drops what is forwarded, it has to
let the bridge through. A host that did not forward does so for containers only.
A bridge needs root, and an ordinary user pasta.
";

const USERS: &str = "\
  -u USER[:GROUP]   each a name or a number

Names are those of ROOTFS's own etc/passwd and etc/group. Numbers need no such
files. Without GROUP: the user's own group and all groups that list the user;
for a number that etc/passwd does not have, group 0. With GROUP: that alone.
Without -u the command runs as user 0 with reduced capabilities.
";

const SECURITY: &str = "\
What holds without any option, and how to loosen or tighten it:

  capabilities            docker's less MKNOD: --cap-add, --cap-drop NAME or ALL
  devices                 the usual only. With --cap-add MKNOD or SYS_ADMIN a
                          filter sees to it; more by --device SRC[:DST[:rwm]],
                          --device-cgroup-rule 'c 10:229 rwm'
  system calls            docker's seccomp profile; 32-bit programs, which speak
                          another language, end with SIGSYS:
                          --security-opt seccomp=unconfined
                          --security-opt seccomp=FILE   docker's JSON; of many
                          rules that match, the strictest counts
  new privileges          none by set-user-ID programs or file capabilities:
                          --security-opt no-new-privileges=false
  hidden                  /proc/kcore, keys, timer_list, ..., /sys/firmware, ...
  read-only               /sys, /proc/bus, fs, irq, sys, sysrq-trigger:
                          --security-opt unmask=PATH[:PATH], PATH may end in /*
                          --security-opt unmask=ALL, or systempaths=unconfined
                          --security-opt mask=PATH[:PATH]   hides more
  all of it               --privileged

  paths                   owners and modes alone; in addition by landlock (Linux
                          5.13), for root inside, too:
                          --landlock system --landlock /app:rx
                          --landlock /data:rw

With --landlock, what no rule names can be neither read nor written, executed,
made nor removed: COMMAND and its interpreter (x) and its libraries (r) need a
rule, too. Files that are open already, as standard output, stay so. Links are
followed inside, before COMMAND runs, and a path that is not there is an error.
Writing includes making, removing and renaming, below a directory. A kernel
without landlock, or where it is switched off, is an error.

The profile's rules by capability follow --cap-add: with SYS_ADMIN mount(2) is
allowed. A profile must allow what launch's init needs to start and to wait.
";

const EXIT_CODES: &str = "\
  0-124   of COMMAND itself (it may use 125 and above, too)
  125     launch could not start it: bad option, missing right, limit not set
  126     COMMAND was found but cannot be executed
  127     COMMAND was not found in ROOTFS
  128+N   COMMAND was killed by signal N: 130 Ctrl-C, 137 SIGKILL, 143 SIGTERM

137 is also what the kernel's out-of-memory killer leaves; launch then says so.
Every message of launch's own begins with 'launch: ' and goes to standard error.
";

const ROOTLESS: &str = "\
Run by an ordinary user, launch makes a user namespace in which that user is
root. No option is needed, and nothing has to be configured.

Files written into ROOTFS and volumes belong to you; what belongs to other users
of the host belongs to nobody (65534) inside. Users besides root inside need
ranges for you in /etc/subuid and /etc/subgid (all of your lines count) and the
programs newuidmap and newgidmap (Debian: package uidmap).

  --userns keep-id          you are yourself inside, too: what the command
                            writes and reads in a volume is yours on both sides
  --uidmap 0:0:1 --uidmap 1:1:1000
                            podman's count: 0 is you, 1 and up are your
                            subordinate ids; @100000 is the host's 100000

A root file system gets the owners of its archive when it is unpacked inside:

  launch --ephemeral -v .:/mnt / tar -C /mnt/rootfs -xpf /mnt/rootfs.tar

Limits need a cgroup that is yours: with systemd, in a login session or below
'systemd-run --user --scope -p Delegate=yes'. Without one launch warns and the
command runs without the limit.

Run by root there is no user namespace unless asked for:

  --userns auto             root inside is an id outside that nobody else has,
                            from the lines of 'containers' or 'root' in
                            /etc/subuid and /etc/subgid, or 1879048192 and up
  --uidmap 0:100000:65536   ids of your choice; the host's 0 is never among them

ROOTFS and volumes then show the owners they have on disk, and nothing is
chowned, by idmapped mounts: Linux 5.12 and ext4, xfs, btrfs and others, tmpfs
since 6.3; with --ephemeral Linux 5.19. A directory that belongs to the ids
outside already is taken as it is; -v SRC:DST:noidmap leaves a volume's owners
as they are.
";
