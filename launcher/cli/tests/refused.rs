//! What is refused, and with which words.

use super::{spec, words};
use crate::cli::parse;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

fn refused(line: &[&str]) -> String {
    match parse(words(line)) {
        Ok(command) => panic!("{line:?} was taken as {command:?}"),
        Err(e) => {
            assert_eq!(e.code as i32, 125, "{line:?}");
            e.to_string()
        }
    }
}

/// Options, and a part of what is said about them; each before `./r /app`.
#[rustfmt::skip]
const BAD_OPTIONS: &[(&[&str], &str)] = &[
    (&["--mem", "200X"], "--mem '200X': unknown unit 'X' (use K, M, G or T)"),
    (&["-m", "200X"], "-m '200X': unknown unit"),
    (&["-m200X"], "-m '200X': unknown unit"),
    (&["--memory=200X"], "--memory '200X': unknown unit"),
    (&["--mem", ""], "--mem '': a size is missing"),
    (&["--mem="], "--mem '': a size is missing"),
    (&["--mem", " "], "no space in it"),
    (&["--mem", "-1"], "hint: leave --mem away for no limit"),
    (&["--mem", "max"], "leave --mem away"),
    (&["-m", "unlimited"], "leave -m away"),
    (&["--mem", "1e999"], "unknown unit 'e999'"),
    (&["--mem", "0x100"], "unknown unit 'x100'"),
    (&["--mem", "m"], "begins with a number"),
    (&["--mem", "200mm"], "unknown unit 'mm'"),
    (&["--mem", "20 0m"], "no space"),
    (&["--mem", "-5m"], "no sign"),
    (&["--mem", "+5m"], "no sign"),
    (&["--mem", "\u{ff12}m"], "begins with a number"),
    (&["--mem", "inf"], "begins with a number"),
    (&["--mem", "nan"], "begins with a number"),
    (&["--mem", "200M,5"], "unknown unit 'M,5'"),
    (&["--mem", "200M\x1b[2J"], "unknown unit 'M\\u{1b}[2J'"),
    (&["--mem", "9223372036854775807"], "more than any machine has"),
    (&["--mem", "9223372036854775808"], "more than any machine has"),
    (&["--mem", "18446744073709551616"], "more than any machine has"),
    (&["--mem", "99999999999g"], "more than any machine has"),
    (&["--mem", "0"], "0 is not a limit\nhint: leave --mem away for no limit"),
    (&["--mem", "0g"], "0 is not a limit"),
    (&["--mem", "1"], "the least is 512K"),
    (&["--mem", "4k"], "the least is 512K"),
    (&["--mem", "1.5"], "part of a byte"),
    (&["--memory-swap", "200M"], "--memory-swap needs --mem"),
    (&["--memory-swap", "-1"], "--memory-swap needs --mem"),
    (&["-m200M", "--memory-swap", "100M"], "--memory-swap 100M is less than --mem 200M"),
    (&["-m200M", "--memory-swap", "-2"], "no sign"),
    (&["-m200M", "--memory-swap", "0"], "0 is not a limit"),
    (&["--cpus", "-1"], "not a number of processors"),
    (&["--cpus", ""], "not a number of processors"),
    (&["--cpus", "x"], "not a number of processors"),
    (&["--cpus", "1e9"], "not a number of processors"),
    (&["--cpus", "inf"], "not a number of processors"),
    (&["--cpus", "1,5"], "not a number of processors"),
    (&["--cpus", "."], "'.' is not a number"),
    (&["--cpus", "1.2.3"], "'1.2.3' is not a number"),
    (&["--cpus", "1000000000"], "more than 8192"),
    (&["--cpus", "99999999999999999999999999"], "far too large"),
    (&["--cpus", "0"], "leave --cpus away"),
    (&["--cpus", "0.00"], "leave --cpus away"),
    (&["--cpus", "0.009"], "less than 0.01"),
    (&["--cpu-shares", "1"], "2 to 262144"),
    (&["-c", "262145"], "2 to 262144"),
    (&["-c", "+5"], "2 to 262144"),
    (&["--cpu-weight", "0"], "1 to 10000"),
    (&["--cpu-weight", "10001"], "1 to 10000"),
    (&["-c5", "--cpu-weight", "5"], "give one of them"),
    (&["--cpuset-cpus", ""], "not a list of processors"),
    (&["--cpuset-cpus", "a"], "not a list of processors"),
    (&["--cpuset-cpus", "0,"], "not a list of processors"),
    (&["--cpuset-cpus", "0 1"], "not a list of processors"),
    (&["--cpuset-cpus", "0-"], "not a list of processors"),
    (&["--cpuset-cpus", "-1"], "not a list of processors"),
    (&["--cpuset-cpus", "0-1-2"], "not a list of processors"),
    (&["--cpuset-cpus", "0\n"], "not a list of processors"),
    (&["--cpuset-cpus", "99999"], "not a list of processors"),
    (&["--cpuset-cpus", "3-1"], "runs backwards"),
    (&["--pids-limit", "-7"], "1 to 4194304"),
    (&["--pids-limit", "4194305"], "1 to 4194304"),
    (&["--pids-limit", "1.5"], "1 to 4194304"),
    (&["--pids-limit", "64k"], "1 to 4194304"),
    (&["--pids-limit", "18446744073709551616"], "1 to 4194304"),
    (&["--pids-limit", "0"], "0 is not a limit\nhint: -1 is no limit"),
    (&["--pids-limit", "1"], "at least 2, or --no-init"),
    (&["-e", ""], "the name is empty"),
    (&["-e", "=x"], "the name before = is empty"),
    (&["--env-file", ""], "the path is empty"),
    (&["-u", ""], "the user is empty"),
    (&["-u", ":5"], "the user is empty"),
    (&["-u", "5:"], "the group is empty"),
    (&["-u", "1:2:3"], "not a group name or number"),
    (&["-u", "-1"], "not a user name or number"),
    (&["-u", "+1"], "not a user name or number"),
    (&["-u", "a b"], "not a user name or number"),
    (&["-u", "200M,5"], "not a user name or number"),
    (&["-u", "../x"], "not a user name or number"),
    (&["-u", "root\n"], "not a user name or number"),
    (&["-u", "4294967295"], "user numbers are 0 to 4294967294"),
    (&["-u", "4294967296"], "user numbers are 0 to 4294967294"),
    (&["-u", "0:4294967295"], "group numbers are 0 to 4294967294"),
    (&["-u", "99999999999999999999999"], "user numbers are"),
    (&["-w", ""], "the directory is empty"),
    (&["-w", "srv"], "must begin with /"),
    (&["-w", "./srv"], "must begin with /"),
    (&["--hostname", ""], "the name is empty"),
    (&["--hostname", "a/b"], "only letters, digits"),
    (&["--hostname", "."], "begins with a letter"),
    (&["--hostname", ".."], "begins with a letter"),
    (&["--hostname", "-x"], "begins with a letter"),
    (&["--hostname", "a b"], "only letters, digits"),
    (&["--hostname", "a\n"], "--hostname 'a\\n': a host name has only letters"),
    (&["--ulimit", "nofile"], "not NAME=SOFT or NAME=SOFT:HARD"),
    (&["--ulimit", "nofiles=5"], "no limit is called 'nofiles'\nhint: did you mean nofile?"),
    (&["--ulimit", "NOFILE=50"], "no limit is called 'NOFILE'"),
    (&["--ulimit", "nofile=30:20"], "the soft limit is above the hard one"),
    (&["--ulimit", "core=unlimited:0"], "the soft limit is above the hard one"),
    (&["--ulimit", "nofile=3"], "at least 16 are needed"),
    (&["--ulimit", "nofile="], "'' is neither a number nor unlimited"),
    (&["--ulimit", "core=1:"], "'' is neither a number nor unlimited"),
    (&["--ulimit", "core=-2"], "'-2' is neither a number"),
    (&["--ulimit", "core=1k"], "'1k' is neither a number"),
    (&["--ulimit", "core=18446744073709551616"], "is neither a number"),
    (&["--oom-score-adj", "1001"], "not a whole number from -1000 to 1000"),
    (&["--oom-score-adj", "-1001"], "not a whole number from -1000 to 1000"),
    (&["--oom-score-adj", "+5"], "not a whole number"),
    (&["--oom-score-adj", ""], "not a whole number"),
    (&["--sysctl", "kernel.core_pattern=x"], "belongs to no namespace, so it is the host's\nhint: "),
    (&["--sysctl", "vm.swappiness=1"], "belongs to no namespace"),
    (&["--sysctl", "kernel.shm=1"], "belongs to no namespace"),
    (&["--sysctl", "net"], "not NAME=VALUE"),
    (&["--sysctl", "net=1"], "belongs to no namespace"),
    (&["--sysctl", "net/../kernel/core_pattern=x"], "the name is not one of a setting"),
    (&["--sysctl", "net..ipv4=1"], "the name is not one of a setting"),
    (&["--sysctl", "/net/ipv4/ip_forward=1"], "the name is not one of a setting"),
    (&["--sysctl", "net.a+b=1"], "the name is not one of a setting"),
    (&["--sysctl", "net.ipv4.ip_forward\n=1"], "the name is not one of a setting"),
    (&["--sysctl", "net.ipv4.ip_forward=1\n2"], "the value is not one line"),
    (&["--net", "host", "--sysctl", "net.ipv4.ip_forward=1"], "--sysctl net.ipv4.ip_forward: with --net host it is the host's"),
    (&["--group-add", ""], "the group is empty"),
    (&["--group-add", "1,"], "the group is empty"),
    (&["--group-add", "4294967295"], "group numbers are 0 to 4294967294"),
    (&["--net", "tunnel"], "none, host, bridge"),
    (&["--net", ""], "none, host, bridge"),
    (&["--userns", "x"], "--userns 'x': unknown (auto, auto:size=N, host, keep-id"),
    (&["--userns", ""], "--userns '': unknown"),
    (&["--userns", "host:size=1"], "host has no option 'size' (it has none)"),
    (&["--userns", "host:"], "'' has no ="),
    (&["--userns", "auto:size=0"], "size 0: not one id"),
    (&["--userns", "auto:size=x"], "size 'x': not a number from 0 to 4294967294"),
    (&["--userns", "auto:size=4294967295"], "not a number from 0"),
    (&["--userns", "auto:uid=5"], "auto has no option 'uid' (size)"),
    (&["--userns", "keep-id:uid=-1"], "uid '-1': not a number"),
    (&["--userns", "auto", "--uidmap", "0:1:1"], "--userns and --uidmap exclude each other"),
    (&["--gidmap", "0:1:1", "--userns=keep-id"], "--userns and --gidmap exclude each other"),
    (&["--uidmap", ""], "not of the form INSIDE:OUTSIDE:COUNT"),
    (&["--uidmap", "0"], "not of the form"),
    (&["--uidmap", "0:1:1:1"], "not of the form"),
    (&["--uidmap", "::"], "inside '': not a number"),
    (&["--uidmap", "0:1:0"], "--uidmap '0:1:0': count 0: not one id"),
    (&["--uidmap", "0:-1:1"], "outside '-1': not a number"),
    (&["--uidmap", "0:1:+1"], "count '+1': not a number"),
    (&["--uidmap", "0:4294967295:1"], "the last id would be more than 4294967294"),
    (&["--gidmap", "4294967290:1:6"], "the last id would be more than 4294967294"),
    (&["--uidmap", "0:1:4294967295"], "the last id would be more"),
    (&["--uidmap", "0:1:18446744073709551616"], "not a number"),
    (&["--uidmap", "0:1:10", "--uidmap", "9:100:10"], "--uidmap '9:100:10': overlaps 0:1:10 inside"),
    (&["--gidmap", "0:1:10", "--gidmap", "20:10:5"], "--gidmap '20:10:5': overlaps 0:1:10 outside"),
    (&["-v", "./a:/b:ro,x"], "after the second ':' comes ro or rw, idmap or noidmap"),
    (&["-v", "./a:/b:"], "after the second ':' comes"),
    (&["--cap-add", "FROB"], "no capability is called 'FROB'"),
    (&["--cap-add", "SYS_ADMN"], "did you mean SYS_ADMIN?"),
    (&["--cap-add", ""], "no capability is called ''"),
    (&["--cap-drop", "CHOWN,,KILL"], "no capability is called ''"),
    (&["--cap-add", "BPF", "--cap-drop", "cap_bpf"], "BPF is both in --cap-add and in --cap-drop"),
    (&["--security-opt", "apparmor=unconfined"], "unknown (seccomp=FILE"),
    (&["--security-opt", "no-new-privileges=maybe"], "unknown (seccomp=FILE"),
    (&["--security-opt", "seccomp"], "unknown (seccomp=FILE"),
    (&["--security-opt", "seccomp="], "the profile's path is empty"),
    (&["--security-opt", "mask=proc/x"], "a path must begin with /"),
    (&["--security-opt", "mask=/proc/x:"], "a path is empty"),
    (&["--security-opt", "unmask="], "a path is empty"),
    (&["--security-opt", "systempaths=confined"], "unknown (seccomp=FILE"),
    (&["--stop-timeout", "-1"], "0 to 1000000"),
    (&["--stop-timeout", "10s"], "0 to 1000000"),
    (&["-v", ""], "not of the form SRC:DST"),
    (&["-v", "/tmp"], "not of the form SRC:DST"),
    (&["-v", ":/x"], "the source is empty"),
    (&["-v", "/tmp:"], "the target is empty"),
    (&["-v", "/tmp:rel"], "the target must begin with /"),
    (&["-v", "/tmp:../../x"], "the target must begin with /"),
    (&["-v", "/tmp:/../../x"], "must not contain .."),
    (&["-v", "/tmp:/x:bogus"], "ro or rw"),
    (&["-v", "/tmp:/x:"], "ro or rw"),
    (&["-v", "/tmp:/x:ro,rw"], "ro and rw, idmap and noidmap exclude each other"),
    (&["-v", "/tmp:/x:ro:y"], "not of the form"),
    (&["-v", "-data:/x"], "a volume's name has only letters"),
    (&["-v", "da,ta:/x"], "a volume's name has only letters"),
    (&["--mount", "type=bind,source=data,target=/x"], "the source of a bind is a path: ./data"),
    (&["--mount", "type=volume,source=./d,target=/x"], "the source of a volume is a name"),
    (&["--mount", "type=tmpfs,source=./d,target=/x"], "a tmpfs has no source"),
    (&["--mount", "type=nfs,source=./d,target=/x"], "unknown type 'nfs'"),
    (&["--mount", "source=./d"], "target=PATH is missing"),
    (&["--mount", "type=bind,target=/x"], "source=PATH is missing"),
    (&["--mount", "type=bind,src=./d,dst=/x,ro=maybe"], "ro=maybe: true or false"),
    (&["--mount", "type=bind,src=./d,dst=/x,what"], "unknown or impossible here: 'what'"),
    (&["--mount", "type=bind,src=./d,dst=x"], "the target must begin with /"),
    (&["-v", "/tmp:/"], "would hide the whole root"),
    (&["-v", "/tmp://./"], "would hide the whole root"),
    (&["-v", "/tmp:/proc"], "over /proc"),
    (&["-v", "/tmp:/./proc//self"], "over /proc"),
    (&["-v", "/a:/x", "-v", "/b:/x/"], "two mounts have the same target '/x'"),
    (&["-v", "/a:/x", "--tmpfs", "/./x"], "two mounts have the same target '/x'"),
    (&["--tmpfs", ""], "the target is empty"),
    (&["--tmpfs", "t"], "must begin with /"),
    (&["--tmpfs", "/t:"], "unknown tmpfs option ''"),
    (&["--tmpfs", "/t:bogus"], "unknown tmpfs option 'bogus'"),
    (&["--tmpfs", "/t:huge=always"], "unknown tmpfs option 'huge=always'"),
    (&["--tmpfs", "/t:size=1X"], "size '1X': unknown unit 'X'"),
    (&["--tmpfs", "/t:size=0"], "size '0': not more than 0"),
    (&["--tmpfs", "/t:size=101%"], "not 1% to 100%"),
    (&["--tmpfs", "/t:size=0%"], "not 1% to 100%"),
    (&["--tmpfs", "/t:size=+5%"], "not 1% to 100%"),
    (&["--tmpfs", "/t:size=%"], "not 1% to 100%"),
    (&["--tmpfs", "/t:mode=999"], "not an octal mode"),
    (&["--tmpfs", "/t:mode=+7"], "not an octal mode"),
    (&["--tmpfs", "/t:mode=17777"], "not an octal mode"),
    (&["--tmpfs", "/t:mode="], "not an octal mode"),
    (&["--tmpfs", "/t:uid=-1"], "not an id"),
    (&["--tmpfs", "/t:uid=4294967295"], "not an id"),
    (&["--tmpfs", "/t:uid=bob"], "not an id"),
    (&["--explain", "--trace"], "give one of them"),
    (&["--json"], "--json needs --explain or --trace"),
    (&["--rm=false"], "only of a detached container something is kept"),
    (&["--read-only=1"], "--read-only '1': true or false"),
    (&["--read-only="], "--read-only '': true or false"),
    (&["-t=yes"], "-t takes no value, but has 'yes'"),
    (&["--fault", "fail"], "not fail:N, kill:N or skip:N"),
    (&["--fault", "fail:0"], "not fail:N, kill:N or skip:N"),
    (&["--fault", "stop:1"], "not fail:N, kill:N or skip:N"),
    (&["--memry", "200M"], "unknown option '--memry'\nhint: did you mean --memory?"),
    (&["--cpu", "2"], "did you mean --cpus?"),
    (&["--voulme", "x"], "did you mean --volume?"),
    (&["--MEM", "200M"], "unknown option '--MEM'"),
    (&["--frobnicate"], "unknown option '--frobnicate'\nhint: launch --help"),
    (&["-x"], "unknown option '-x'"),
    (&["-ix"], "unknown option '-x'"),
    (&["-mem", "200M"], "unknown option '-mem'\nhint: did you mean --mem?"),
    (&["-env", "A=1"], "unknown option '-env'\nhint: did you mean --env?"),
    (&["--\n"], "unknown option '--\\n'"),
    (&["--=x"], "unknown option '--'"),
    (&["--mem", "--cpus", "1"], "--mem needs a value: --mem SIZE\nhint: --cpus follows"),
    (&["-e", "--mem"], "-e needs a value"),
];

#[test]
fn bad_options() {
    for (options, why) in BAD_OPTIONS {
        let said = refused(&[*options, &["./r", "/app"]].concat());
        assert!(said.contains(why), "{options:?}: {said}");
        assert!(said.lines().count() <= 3 && !said.contains('\x1b'), "{said:?}");
    }
}

#[test]
fn bad_lines() {
    for (line, why) in [
        (&[][..], "ROOTFS and COMMAND are missing"),
        (&["--rm"], "ROOTFS and COMMAND are missing"),
        (&["--"], "ROOTFS and COMMAND are missing"),
        (&["run"], "ROOTFS and COMMAND are missing"),
        (&["--mem"], "--mem needs a value: --mem SIZE"),
        (&["-e"], "-e needs a value"),
        (&["./r", ""], "COMMAND is empty"),
        (&["./r", "--", "", "x"], "COMMAND is empty"),
        (&["", "/app"], "ROOTFS is empty"),
        (
            &["./r", "--mem", "200M", "/app"],
            "'--mem' stands after ROOTFS, where COMMAND should be\nhint: options go before ROOTFS",
        ),
        (&["./r", "--mem=200M", "/app"], "hint: options go before ROOTFS"),
        (&["./r", "-m200M", "/app"], "hint: options go before ROOTFS"),
        (&["./r", "-x"], "hint: a COMMAND that begins with - is written after --"),
        (&["--bind", "/a", "/b", "./r", "/app"], "'--bind'\nhint: here it is -v SRC:DST"),
        (
            &["--rm", "run", "./r", "/app"],
            "'run' must be the first word after launch\nhint: a directory of that name is written ./run",
        ),
        (&["run", "run", "/app"], "'run' must be the first word"),
        (&["inject"], "inject: ROOTFS is missing"),
        (&["inject", ""], "inject: ROOTFS is missing"),
        (&["inject", "a", "b"], "one word too many: 'b'"),
        (&["inject", "--mem", "1"], "inject: there is no option '--mem'"),
        (&["inject", "-f", "r"], "inject: there is no option '-f'"),
        (&["help", "a", "b"], "one word too many: 'b'"),
        (&["help", "volum"], "did you mean: launch help volume"),
        (&["help", "qqqqqq"], "no command, option or topic is called 'qqqqqq'"),
        (&["version", "x"], "one word too many: 'x'"),
    ] {
        let said = refused(line);
        assert!(said.contains(why), "{line:?}: {said}");
    }
}

#[test]
fn long_values() {
    let long = "x".repeat(5000);
    let path = format!("/{long}");
    for (options, why) in [
        (["--hostname", &"h".repeat(65)], "65 bytes, at most 64"),
        (["--hostname", &long], "5000 bytes, at most 64"),
        (["-w", &path], "longer than 4095"),
        (["-u", &long], "not a user name"),
        (["--env-file", &path], "longer than 4095"),
        (["-v", &format!("{path}:/x")], "the source is longer than 4095"),
        (["-v", &format!("/x:{path}")], "the target is longer than 4095"),
        (["--mem", &long], "begins with a number"),
        (["--cap-add", &long], "no capability"),
    ] {
        let said = refused(&[&options[..], &["./r", "/app"]].concat());
        assert!(said.contains(why), "{said}");
        assert!(said.len() < 400, "{} bytes", said.len());
    }
    assert!(refused(&[&path, "/app"]).contains("ROOTFS"));
    assert_eq!(spec(&["--hostname", &"h".repeat(64)]).hostname.map(|h| h.len()), Some(64));
}

#[test]
fn not_utf8() {
    for option in [
        "--mem",
        "--cpus",
        "--pids-limit",
        "--cpuset-cpus",
        "-u",
        "--hostname",
        "--net",
        "--cap-add",
        "--security-opt",
        "--fault",
    ] {
        let line = [
            OsString::from(option),
            OsStr::from_bytes(b"\xff").to_os_string(),
            "./r".into(),
            "/app".into(),
        ];
        let said = parse(line).expect_err(option).to_string();
        assert!(said.starts_with(&format!("{option} '\\xff': ")), "{said}");
    }
}

/// The kernel's own limit is met before the kernel is.
#[test]
fn too_many_ranges() {
    let lines: Vec<String> = (0..341).map(|n| format!("{n}:{}:1", n + 1000)).collect();
    let mut line: Vec<&str> = lines.iter().flat_map(|l| ["--uidmap", l.as_str()]).collect();
    line.extend(["./r", "/app"]);
    let said = refused(&line);
    assert_eq!(said, "--uidmap '340:1340:1': more than 340 ranges, which is what the kernel takes");
    assert!(parse(words(&line[2..])).is_ok());
}
