//! Options with values that cannot be meant: refused before anything is made.

use crate::common::*;
use std::process::Command;

/// Options in front of ROOTFS, and what the refusal says.
type Row = (&'static [&'static str], &'static str);

const SIZES: &[Row] = &[
    (&["--mem", "200X"], "--mem '200X': "),
    (&["--mem", ""], "--mem '': "),
    (&["--mem", " "], "--mem ' ': "),
    (&["--mem", "-1"], "--mem '-1': not a limit\nhint: leave --mem away for no limit"),
    (&["--mem", "max"], "--mem 'max': not a limit"),
    (&["--mem", "unlimited"], "not a limit"),
    (&["--mem", "1e999"], "--mem '1e999': "),
    (&["--mem", "0x100"], "--mem '0x100': "),
    (&["--mem", "m"], "--mem 'm': "),
    (&["--mem", "200mm"], "--mem '200mm': "),
    (&["--mem", "20 0m"], "--mem '20 0m': "),
    (&["--mem", "-5m"], "--mem '-5m': "),
    (&["--mem", "+5m"], "--mem '+5m': "),
    (&["--mem", "\u{ff11}\u{ff10}m"], "--mem '\u{ff11}\u{ff10}m': "),
    (&["--mem", "inf"], "--mem 'inf': "),
    (&["--mem", "nan"], "--mem 'nan': "),
    (&["--mem", "200M,5"], "--mem '200M,5': "),
    (&["--mem", "9223372036854775808"], "--mem '9223372036854775808': "),
    (&["--mem", "18446744073709551616"], "--mem '18446744073709551616': "),
    (&["--mem", "99999999999g"], "--mem '99999999999g': "),
    (&["--mem", "0"], "--mem '0': 0 is not a limit"),
    (&["--mem", "1"], "--mem '1': too little for any program to start, the least is 512K"),
    (&["--mem", "4k"], "too little for any program to start"),
    (&["--mem", "1.5"], "--mem '1.5': "),
    (&["-m", "5 M"], "-m '5 M': "),
    (&["--memory", "2Z"], "--memory '2Z': "),
    (&["--memory-swap", "1G"], "--memory-swap needs --mem"),
    (&["--mem", "1G", "--memory-swap", "500M"], "--memory-swap 500M is less than --mem 1G"),
    (&["--mem", "1G", "--memory-swap", "-2"], "--memory-swap '-2': "),
    (&["--cpus", "-1"], "--cpus '-1': not a number of processors"),
    (&["--cpus", "0"], "--cpus '0': 0 is not a limit"),
    (&["--cpus", "1e9"], "--cpus '1e9': "),
    (&["--cpus", "0.001"], "--cpus '0.001': less than 0.01"),
    (&["--cpus", "99999"], "--cpus '99999': more than 8192"),
    (&["--cpus", ""], "--cpus '': "),
    (&["--cpus", "1,5"], "--cpus '1,5': "),
    (&["--cpuset-cpus", "2-1"], "--cpuset-cpus '2-1': the range '2-1' runs backwards"),
    (&["--cpuset-cpus", "a"], "--cpuset-cpus 'a': not a list of processors"),
    (&["--cpuset-cpus", ""], "not a list of processors"),
    (&["--cpuset-cpus", "0,"], "not a list of processors"),
    (&["--cpu-shares", "1"], "--cpu-shares '1': not a whole number from 2 to 262144"),
    (&["-c", "262145"], "-c '262145': not a whole number"),
    (&["--cpu-weight", "0"], "--cpu-weight '0': not a whole number from 1 to 10000"),
    (
        &["--cpu-weight", "5", "--cpu-shares", "5"],
        "--cpu-shares and --cpu-weight set the same thing",
    ),
    (&["--pids-limit", "-7"], "--pids-limit '-7': "),
    (&["--pids-limit", "0"], "--pids-limit '0': 0 is not a limit"),
    (&["--pids-limit", "1"], "--pids-limit '1': the init and the command are 2 processes\nhint: "),
    (&["--pids-limit", "4194305"], "--pids-limit '4194305': not a whole number"),
    (&["--stop-timeout", "-1"], "--stop-timeout '-1': not a whole number"),
    (&["--stop-timeout", "1s"], "--stop-timeout '1s': "),
];

const PROCESS: &[Row] = &[
    (&["-u", "-1"], "-u '-1': "),
    (&["-u", "4294967295"], "-u '4294967295': user numbers are 0 to 4294967294"),
    (&["-u", "4294967296"], "user numbers are 0 to 4294967294"),
    (&["-u", "1x y"], "not a user name or number"),
    (&["-u", "1:"], "-u '1:': the group is empty"),
    (&["-u", ":1"], "-u ':1': the user is empty"),
    (&["-u", ""], "-u '': the user is empty"),
    (&["-u", "1:2:3"], "-u '1:2:3': not a group name"),
    (
        &["-u", "nobody"],
        "user 'nobody': the rootfs has no /etc/passwd\nhint: numbers need no such file",
    ),
    (&["-u", "0:adm"], "group 'adm': the rootfs has no /etc/group"),
    (&["-e", "=x"], "-e '=x': the name before = is empty"),
    (&["-e", ""], "-e '': the name is empty"),
    (&["--env-file", "/none"], "--env-file /none: No such file or directory (ENOENT)"),
    (&["--env-file", "/"], "--env-file /: Is a directory (EISDIR)"),
    (&["--env-file", "/dev/zero"], "--env-file /dev/zero: larger than 6M"),
    (&["--env-file", ""], "--env-file '': the path is empty"),
    (&["-w", "rel"], "-w 'rel': the directory must begin with /"),
    (&["-w", ""], "-w '': the directory is empty"),
    (&["--workdir", "../x"], "must begin with /"),
    (&["--hostname", ""], "--hostname '': the name is empty"),
    (&["--hostname", "a b"], "--hostname 'a b': a host name has only letters"),
    (&["--hostname", "a/b"], "a host name has only letters"),
    (&["--hostname", "-x"], "a host name has only letters"),
    (&["--hostname", "a\nb"], "--hostname 'a\\nb': "),
    (
        &["--net", "tunnel"],
        "--net 'tunnel': unknown network (none, host, bridge, bridge:NAME, container:NAME, ns:PATH, pasta or slirp4netns)",
    ),
    (
        &["--cap-add", "NET_ADMN"],
        "--cap-add 'NET_ADMN': no capability is called 'NET_ADMN'\nhint: did you mean NET_ADMIN?",
    ),
    (&["--cap-drop", ""], "--cap-drop '': no capability is called ''"),
    (
        &["--cap-add", "CHOWN", "--cap-drop", "CHOWN"],
        "CHOWN is both in --cap-add and in --cap-drop",
    ),
    (&["--security-opt", "label=x"], "--security-opt 'label=x': unknown"),
    (
        &["--security-opt", "seccomp=/none"],
        "seccomp profile /none: No such file or directory (ENOENT)",
    ),
    (&["--security-opt", "seccomp=/"], "seccomp profile /: Is a directory (EISDIR)"),
    (
        &["--security-opt", "seccomp=/proc/self/cmdline"],
        "seccomp profile /proc/self/cmdline: expected value at line 1",
    ),
    (&["--tmpfs", "rel"], "--tmpfs 'rel': the target must begin with /"),
    (&["--tmpfs", "/x:size=lots"], "--tmpfs '/x:size=lots': size 'lots': "),
    (&["--tmpfs", "/x:size=0"], "size '0': not more than 0"),
    (&["--tmpfs", "/x:mode=999"], "mode '999': not an octal mode"),
    (&["--tmpfs", "/x:bogus"], "unknown tmpfs option 'bogus'"),
    (&["--tmpfs", "/"], "would hide the whole root file system"),
    (&["--tmpfs", "/proc/x"], "nothing can be mounted over /proc"),
    (&["--tmpfs", "/x", "--tmpfs", "/x/."], "two mounts have the same target '/x'"),
];

const FORMS: &[Row] = &[
    (&["--mme", "5M"], "unknown option '--mme'\nhint: did you mean --mem?"),
    (&["--memroy=5M"], "unknown option '--memroy'"),
    (&["-mem", "200M"], "unknown option '-mem'\nhint: did you mean --mem?"),
    (&["-Z"], "unknown option '-Z'"),
    (&["--"], "unknown option"),
    (&["--read-only=maybe"], "--read-only 'maybe': true or false, or nothing"),
    (
        &["--mem", "--read-only"],
        "--mem needs a value: --mem SIZE\nhint: --read-only follows where the value should be",
    ),
    (&["--rm=false"], "only of a detached container something is kept"),
    (&["--fault", "fail:0"], "--fault 'fail:0': not fail:N, kill:N or skip:N, N from 1"),
    (&["--fault", "explode:1"], "--fault 'explode:1': "),
];

#[track_caller]
fn refused(rows: &[Row]) {
    let Some(s) = Sandbox::new() else { return };
    for (options, words) in rows {
        let run = s.run(options, &["sh", "-c", "echo ran"]);
        assert!(run.code == 125 && run.out.is_empty(), "{options:?}: {run:#?}");
        assert!(
            run.err.starts_with("launch: ") && run.err.contains(words),
            "{options:?}: no {words:?} in {run:#?}"
        );
        let first = run.err.lines().next().unwrap();
        assert!(
            run.err.lines().skip(1).all(|l| l.starts_with("hint: ") || l.starts_with("      ")),
            "{run:#?}"
        );
        assert!(first.len() < 300 && !first.contains('\u{1b}'), "{run:#?}");
        assert_eq!(std::fs::read_dir(s.rootfs()).unwrap().count(), 1, "{options:?} made something");
    }
}

#[test]
fn sizes_and_numbers() {
    refused(SIZES);
}

#[test]
fn what_the_process_is_to_be() {
    refused(PROCESS);
}

#[test]
fn the_form_of_the_command_line() {
    refused(&FORMS.iter().copied().filter(|(o, _)| *o != ["--"]).collect::<Vec<_>>());
}

#[test]
fn words_in_the_wrong_place() {
    let Some(s) = Sandbox::new() else { return };
    let rootfs = s.rootfs().display().to_string();
    for (words, want) in [
        (vec![], "ROOTFS and COMMAND are missing\nhint: launch [OPTIONS] ROOTFS COMMAND [ARG...]"),
        (vec!["--mem", "50M"], "ROOTFS and COMMAND are missing"),
        (vec!["--mem"], "--mem needs a value: --mem SIZE"),
        (vec![&rootfs], "COMMAND is missing"),
        (vec![&rootfs, "--"], "COMMAND is missing"),
        (vec![&rootfs, ""], "COMMAND is empty"),
        (vec![&rootfs, "--", ""], "COMMAND is empty"),
        (
            vec![&rootfs, "--mem", "5M", "true"],
            "'--mem' stands after ROOTFS, where COMMAND should be\nhint: options go before ROOTFS",
        ),
        (
            vec![&rootfs, "-x", "true"],
            "'-x' stands after ROOTFS, where COMMAND should be\nhint: a COMMAND that begins with - is written after --",
        ),
        (
            vec!["--read-only", "run", &rootfs],
            "'run' must be the first word after launch\nhint: a directory of that name is written ./run",
        ),
        (vec!["inject"], "inject: ROOTFS is missing\nhint: launch inject ROOTFS"),
        (vec!["inject", "a", "b"], "inject: one word too many: 'b'"),
        (vec!["inject", "--force", "a"], "inject: there is no option '--force'"),
        (
            vec!["exec", "a", "-x"],
            "exec: '-x' stands after NAME, where COMMAND should be\nhint: a COMMAND that begins with - is written after --: launch exec NAME -- COMMAND",
        ),
        (
            vec!["exec", "a", "-u", "5", "id"],
            "hint: options go before NAME: launch exec [OPTIONS] NAME COMMAND [ARG...]",
        ),
        (vec!["exec", "a", ""], "exec: COMMAND is empty\nhint: launch exec [OPTIONS] NAME"),
        (
            vec!["help", "mme"],
            "no command, option or topic is called 'mme'\nhint: did you mean: launch help mem",
        ),
        (vec!["version", "x"], "one word too many: 'x'"),
    ] {
        let mut c = Command::new(launch());
        c.args(&words);
        let run = Run::of(c).fails(125, &[want]);
        assert!(run.out.is_empty(), "{words:?}: {run:#?}");
        assert_eq!(std::fs::read_dir(s.rootfs()).unwrap().count(), 1, "{words:?} made something");
    }
}

#[test]
fn repeated_options_and_their_other_spellings() {
    let Some(s) = Sandbox::new() else { return };
    // The last one counts; a switch can be taken back.
    let out = s
        .sh(
            &[
                "--hostname",
                "a",
                "--hostname=b",
                "--read-only",
                "--read-only=false",
                "--rm",
                "-i",
                "--init",
            ],
            "hostname; echo x >/x; cat /proc/1/comm",
        )
        .ok();
    assert_eq!(out, "b\ninit");
    let out = s.sh(&["-itw/bin", "-T"], "pwd; test -t 1 || echo no terminal").ok();
    assert_eq!(out, "/bin\nno terminal");
    assert_eq!(s.sh(&["--no-init", "--init"], "cat /proc/1/comm").ok(), "init");
}

#[test]
fn long_and_odd_values() {
    let Some(s) = Sandbox::new() else { return };
    let long = "x".repeat(300);
    s.run(&["--hostname", &long], &["true"]).fails(125, &["300 bytes, at most 64 are possible"]);
    let deep = format!("/{}", "d/".repeat(2100));
    s.run(&["-w", &deep], &["true"]).fails(125, &["the directory is longer than 4095 bytes"]);
    let volume = format!("/tmp:{deep}");
    s.run(&["-v", &volume], &["true"]).fails(125, &["the target is longer than 4095 bytes"]);
    let name = "n".repeat(300);
    s.run(&["-w", &format!("/{name}")], &["true"])
        .fails(125, &["launch: enter /nnn", "(ENAMETOOLONG)"]);
    s.run(&["--mem", "\u{1b}[31m5M"], &["true"]).fails(125, &["--mem '\\u{1b}[31m5M': "]);
    let mut c = Command::new(launch());
    use std::os::unix::ffi::OsStrExt;
    c.arg("--mem").arg(std::ffi::OsStr::from_bytes(b"5\xffM")).arg(s.rootfs()).arg("true");
    Run::of(c).fails(125, &["launch: --mem '5\\xffM': not valid UTF-8"]);
}

/// Layers that are none, or that lie in one another.
#[test]
fn layers_that_cannot_be() {
    let Some(s) = Sandbox::new() else { return };
    let file = s.dir.join("file");
    std::fs::write(&file, "x").unwrap();
    let shown = file.display().to_string();
    s.run(&["--layer", &shown], &["true"])
        .fails(125, &[&format!("launch: layer {shown}: Not a directory (ENOTDIR)\n")]);
    let (root, dir) = (s.rootfs(), s.dir.join("dir"));
    std::fs::create_dir_all(dir.join("in")).unwrap();
    let before = snapshot(&s.dir);
    for kept in [root.clone(), root.join("k"), root.join("bin/k"), dir.clone(), dir.join("in/new")]
    {
        let (kept, dir) = (kept.display().to_string(), dir.display().to_string());
        let said = [format!("launch: --keep {kept}: lies in "), "\nhint: give a directory".into()];
        let run = s.run(&["--layer", &dir, "--keep", &kept], &["true"]);
        run.fails(125, &[&said[0], &said[1]]);
        assert!(before == snapshot(&s.dir), "{kept}: something was made");
    }
}

/// The kernel takes a map of less than a page, whatever the number of its lines.
#[test]
fn a_map_of_ids_that_is_too_long() {
    let Some(()) = need_root() else { return };
    let Some(s) = Sandbox::new() else { return };
    let lines: Vec<String> = (0..340).map(|n| format!("{n}:{}:1", 1_000_000_000 + n)).collect();
    let options: Vec<&str> = lines.iter().flat_map(|l| ["--uidmap", l.as_str()]).collect();
    if rustix::param::page_size() == 4096 {
        let said = "launch: --uidmap: a map of 5670 bytes, the kernel takes 4095\nhint: ";
        s.run(&options, &["true"]).fails(125, &[said]);
    }
}

/// More than execve(2) takes, by the only way it can reach the launcher: a file.
#[test]
fn an_environment_that_no_program_can_have() {
    let Some(s) = Sandbox::new() else { return };
    let file = s.dir.join("vars");
    let option = file.display().to_string();
    std::fs::write(&file, format!("BIG={}\n", "x".repeat(200_000))).unwrap();
    let words =
        "launch: environment variable 'BIG' is 200004 bytes, the kernel's limit is 131071\n";
    s.run(&["--env-file", &option], &["true"]).fails(126, &[words]);
    let lines: String = (0..40_000).map(|n| format!("V{n}={}\n", "y".repeat(90))).collect();
    std::fs::write(&file, lines).unwrap();
    s.run(&["--env-file", &option], &["true"])
        .fails(126, &["environment (", "bytes) are too long, the kernel's limit is "]);
    for (text, words) in [
        ("A=1\n=2\n", ":2: the name before = is empty"),
        ("A B=1\n", ":1: white space in the name 'A B'"),
        ("A=x\0y\n", ":1: a NUL byte"),
    ] {
        std::fs::write(&file, text).unwrap();
        s.run(&["--env-file", &option], &["true"])
            .fails(125, &[&format!("launch: {option}{words}")]);
    }
    assert_eq!(std::fs::read_dir(s.rootfs()).unwrap().count(), 1, "something was made");
}
