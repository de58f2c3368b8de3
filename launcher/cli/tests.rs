//! Command lines, good and bad, and what becomes of them.

mod docker;
mod network;
mod refused;

use super::*;
use crate::spec::{
    EnvItem, Fault, Id, MapLine, MountOp, Net, Owners, Spec, Swap, TmpfsFlags, Tty, UserNs,
    UserSpec,
};
use std::ffi::OsStr;

fn words(line: &[&str]) -> Vec<OsString> {
    line.iter().map(OsString::from).collect()
}

/// The Spec of `launch OPTIONS ./r /app`.
fn spec(options: &[&str]) -> Spec {
    match parse(words(&[options, &["./r", "/app"]].concat())) {
        Ok(Command::Run { spec, .. }) => *spec,
        other => panic!("{options:?}: {other:?}"),
    }
}

#[test]
fn the_main_job() {
    let line = ["--mem", "200M", "./rootfs", "/app", "-x", "--mem", "--", "--help", ""];
    let Ok(Command::Run { spec, mode: Mode::Run, json: false, .. }) = parse(words(&line)) else {
        panic!()
    };
    let mut want = Spec::new();
    want.rootfs = "./rootfs".into();
    want.command = words(&line[3..]);
    want.limits.memory = Some(200 << 20);
    assert_eq!(*spec, want);
}

#[test]
fn defaults() {
    let spec = spec(&[]);
    assert_eq!(spec.stop_timeout, 10);
    assert!(!spec.new_privileges && !spec.caps.privileged && !spec.limits.any());
    assert_eq!((spec.net, spec.tty), (Net::None, Tty::Auto));
}

#[test]
fn equal_spellings() {
    for same in [
        "--mem 200M|--memory 200m|-m 200M|-m200M|-m=200M|--mem=200MiB|--memory=209715200|--mem 1G --mem 200M",
        "-m2G --memory-swap -1|--memory-swap=-1 -m 2g",
        "--cpus .5|--cpus=0.5|--cpus 0.5004|--cpus 0.50",
        "-c 512|-c512|--cpu-shares=512",
        "|--pids-limit -1|--rm|-i|--init|--pids-limit 5 --pids-limit=-1|--read-only=false|--net=none|--no-init --init",
        "|--security-opt no-new-privileges|--no-tty=false|--stop-timeout 10|--rm=true|--privileged --privileged=false",
        "-it|-ti|-i -t|--interactive --tty|-T -t|--tty=true",
        "-T|--no-tty|--tty=false|-t -T",
        "--no-init|--init=false|--no-init=true",
        "-itm200M|-i -t --mem=200M|-itm 200M",
        "--net host|--network=host|--net=host --net=host",
        "-u 0:5|--user=0:5|-u00:05|-u www-data -u 0:5",
        "--cap-add net_admin,BPF|--cap-add=CAP_BPF --cap-add CAP_NET_ADMIN",
        "--security-opt no-new-privileges=false|--security-opt=no-new-privileges:false",
        "--device /dev/fuse|--device /dev/fuse:/dev/fuse|--device /dev/fuse:rwm|--device=/dev/fuse:/dev/fuse:mrw",
        "--ulimit nofile=100:100|--ulimit nofile=100|--ulimit=nofile=7000 --ulimit nofile=100",
        "--ulimit core=-1|--ulimit core=unlimited:-1",
        "--oom-score-adj -5|--oom-score-adj=-5|--oom-score-adj 7 --oom-score-adj -5",
        "--sysctl net.ipv4.ip_forward=1|--sysctl net/ipv4/ip_forward=1|--sysctl net.ipv4.ip_forward=0 --sysctl=net.ipv4.ip_forward=1",
        "--group-add 5,audio|--group-add 5 --group-add audio",
        "--security-opt unmask=ALL|--security-opt=systempaths=unconfined|--security-opt unmask=all",
        "--security-opt mask=/a:/b|--security-opt mask=/a --security-opt mask=/b",
        "|--security-opt seccomp=default|--security-opt seccomp=/x --security-opt seccomp=builtin",
        "--tmpfs /t:size=1m|--tmpfs=/t:size=1024k,noexec,rw",
        "--userns=host|--userns host|--userns=auto --userns host",
        "--userns auto:size=5|--userns=auto:size=7,size=05",
        "--userns keep-id:uid=1,gid=2|--userns=keep-id:gid=2,uid=1",
        "--uidmap 0:1|--uidmap=0:1:1|--uidmap 00:01:01",
        "-v ./a:/b:ro,noidmap|-v./a:/b:noidmap,ro",
        "-v ./a:/b|--volume=./a:/b:rw|-v./a:/b",
        "--ephemeral --read-only|--read-only=true --ephemeral",
    ] {
        let specs = same.split('|').map(|line| spec(&line.split_whitespace().collect::<Vec<_>>()));
        let specs: Vec<Spec> = specs.collect();
        for (one, line) in specs.iter().zip(same.split('|')) {
            assert_eq!(*one, specs[0], "{line}");
        }
    }
}

#[test]
fn values_arrive() {
    let s = spec(&[
        "-m",
        "1g",
        "--memory-swap",
        "1.5g",
        "--cpus",
        "1.5",
        "--cpuset-cpus",
        "0-2,7",
        "--pids-limit",
        "64",
        "--cpu-weight",
        "50",
    ]);
    assert_eq!(s.limits.memory_swap, Some(Swap::Total(3 << 29)));
    assert_eq!(
        (s.limits.cpus_milli, s.limits.cpu_weight, s.limits.pids),
        (Some(1500), Some(50), Some(64))
    );
    assert_eq!(s.limits.cpuset_cpus.as_deref(), Some("0-2,7"));
    let s = spec(&[
        "-u",
        "www-data:adm",
        "-w",
        "/srv",
        "--hostname",
        "web-1.example",
        "--stop-timeout",
        "0",
        "--fault",
        "kill:3",
    ]);
    assert_eq!(
        s.user,
        Some(UserSpec { user: Id::Name("www-data".into()), group: Some(Id::Name("adm".into())) })
    );
    assert_eq!((s.workdir, s.hostname.as_deref()), (Some("/srv".into()), Some("web-1.example")));
    assert_eq!((s.stop_timeout, s.fault), (0, Some(Fault::Kill(3))));
    assert!(spec(&["--privileged"]).caps.privileged);
    assert_eq!(spec(&["--pids-limit", "1", "--no-init"]).limits.pids, Some(1));
}

#[test]
fn capabilities() {
    let base = caps::DEFAULT;
    let (admin, kill) = (1 << 21, 1 << 5);
    for (options, want) in [
        (&[][..], base),
        (&["--cap-add", "sys_admin"], base | admin),
        (&["--cap-drop", "kill"], base & !kill),
        (&["--cap-drop", "ALL"], 0),
        (&["--cap-drop", "ALL", "--cap-add", "kill"], kill),
        (&["--cap-add", "kill", "--cap-drop", "ALL"], kill),
        (&["--cap-add", "ALL"], caps::ALL),
        (&["--cap-add", "ALL", "--cap-drop", "sys_admin"], caps::ALL & !admin),
        (&["--cap-drop", "sys_admin,kill", "--cap-add=ALL"], caps::ALL & !admin & !kill),
        (&["--cap-add", "ALL", "--cap-drop", "ALL"], 0),
    ] {
        let got = spec(options).caps;
        assert_eq!((base & !got.drop) | got.add, want, "{options:?}");
    }
}

#[test]
fn environment_in_order() {
    let got = spec(&["-e", "A=1", "--env-file", "f", "-eB", "--env=A=x=y", "-e", "C="]).env;
    let set = |k: &str, v: &str| EnvItem::Set(k.into(), v.into());
    let want = [
        set("A", "1"),
        EnvItem::File("f".into()),
        EnvItem::FromCaller("B".into()),
        set("A", "x=y"),
        set("C", ""),
    ];
    assert_eq!(got, want);
}

#[test]
fn mounts() {
    let got = spec(&[
        "-v",
        ".:/src:ro",
        "--tmpfs",
        "/t:exec,mode=0700,uid=7,size=50%,ro",
        "-v",
        "/a b:/c/./e/",
    ])
    .mounts;
    let flags = TmpfsFlags { exec: true, read_only: true, ..TmpfsFlags::default() };
    let want = [
        MountOp::Bind {
            source: ".".into(),
            target: "/src".into(),
            read_only: true,
            throw_away: false,
            owners: Owners::Natural,
        },
        MountOp::Tmpfs { target: "/t".into(), flags, data: "mode=700,uid=7,size=50%".into() },
        MountOp::Bind {
            source: "/a b".into(),
            target: "/c/./e/".into(),
            read_only: false,
            throw_away: false,
            owners: Owners::Natural,
        },
    ];
    assert_eq!(got, want);
}

#[test]
fn bytes_pass_unchanged() {
    let raw = |b: &[u8]| OsStr::from_bytes(b).to_os_string();
    let line = [
        raw(b"-e"),
        raw(b"K\xff=\xfe"),
        raw(b"-v/\xfd:/\xfc"),
        raw(b"-w"),
        raw(b"/\xfb"),
        raw(b"r\xfa"),
        raw(b"\xf9"),
        raw(b"\xf8"),
    ];
    let Ok(Command::Run { spec, .. }) = parse(line) else { panic!() };
    assert_eq!(spec.env, [EnvItem::Set(raw(b"K\xff"), raw(b"\xfe"))]);
    assert_eq!(
        spec.mounts,
        [MountOp::Bind {
            source: raw(b"/\xfd").into(),
            target: raw(b"/\xfc").into(),
            read_only: false,
            throw_away: false,
            owners: Owners::Natural,
        }]
    );
    assert_eq!(spec.workdir, Some(raw(b"/\xfb").into()));
    assert_eq!(spec.rootfs, PathBuf::from(raw(b"r\xfa")));
    assert_eq!(spec.command, [raw(b"\xf9"), raw(b"\xf8")]);
}

#[test]
fn dashes() {
    let command = |line: &[&str]| match parse(words(line)) {
        Ok(Command::Run { spec, .. }) => (spec.rootfs, spec.command),
        other => panic!("{line:?}: {other:?}"),
    };
    let want = (PathBuf::from("r"), words(&["a", "-b"]));
    for line in [
        &["r", "a", "-b"][..],
        &["r", "--", "a", "-b"],
        &["--", "r", "a", "-b"],
        &["--", "r", "--", "a", "-b"],
        &["run", "r", "a", "-b"],
        &["run", "--rm", "--", "r", "a", "-b"],
    ] {
        assert_eq!(command(line), want, "{line:?}");
    }
    assert_eq!(command(&["r", "--", "--mem"]).1, words(&["--mem"]));
    assert_eq!(command(&["r", "--", "--"]).1, words(&["--"]));
    assert_eq!(command(&["--", "-r", "a"]).0, PathBuf::from("-r"));
    assert_eq!(command(&["./run", "a"]).0, PathBuf::from("./run"));
    assert_eq!(command(&["r", "run"]).1, words(&["run"]));
}

#[test]
fn verbs() {
    assert_eq!(
        parse(words(&["inject", "./r"])).ok(),
        Some(Command::Inject { rootfs: "./r".into() })
    );
    assert_eq!(
        parse(words(&["inject", "--", "-r"])).ok(),
        Some(Command::Inject { rootfs: "-r".into() })
    );
    for line in
        [&["version"][..], &["-V"], &["--version"], &["run", "--version"], &["--mem", "1g", "-V"]]
    {
        assert_eq!(parse(words(line)).ok(), Some(Command::Print(version_text())));
    }
    for line in
        [&["help"][..], &["-h"], &["--help"], &["--mem", "1g", "--help", "--bogus"], &["run", "-h"]]
    {
        assert_eq!(parse(words(line)).ok(), Some(Command::Print(help::overview())));
    }
    for line in [&["help", "--mem"][..], &["help", "mem"], &["help", "-m"]] {
        let Ok(Command::Print(text)) = parse(words(line)) else { panic!("{line:?}") };
        assert!(text.starts_with("-m, --mem, --memory SIZE\n"), "{text}");
    }
}

#[test]
fn what_is_not_there_yet() {
    for (verb, instead) in suggest::ABSENT {
        let error = parse(words(&[verb, "x", "sh"])).expect_err("refused").to_string();
        let said = format!("there is no 'launch {verb}', and a directory is written ./{verb}");
        assert!(error.contains(&said) && error.ends_with(instead), "{error}");
        assert!(verbs::VERBS.iter().all(|v| v.name != verb), "{verb} is there");
    }
    assert!(parse(words(&["./ps", "sh"])).is_ok());
}

#[test]
fn modes() {
    let mode = |options: &[&str]| match parse(words(&[options, &["r", "a"]].concat())) {
        Ok(Command::Run { mode, json, .. }) => (mode, json),
        other => panic!("{other:?}"),
    };
    assert_eq!(mode(&["--explain"]), (Mode::Explain, false));
    assert_eq!(mode(&["--trace", "--json"]), (Mode::Trace, true));
    assert_eq!(mode(&["--explain", "--explain=false"]), (Mode::Run, false));
}

#[test]
fn user_namespaces() {
    let userns = |text: &str| spec(&["--userns", text]).userns;
    assert_eq!(userns("auto"), UserNs::Auto { size: None });
    assert_eq!(userns("auto:size=1000"), UserNs::Auto { size: Some(1000) });
    assert_eq!(userns("host"), UserNs::Host);
    assert_eq!(userns("keep-id:gid=5"), UserNs::KeepId { uid: None, gid: Some(5) });
    let map = spec(&["--uidmap", "0:@5:10", "--uidmap", "10:15", "--gidmap", "0:4294967294:1"]);
    let line = |inside, outside, absolute, count| MapLine { inside, outside, absolute, count };
    assert_eq!(map.uid_map, [line(0, 5, true, 10), line(10, 15, false, 1)]);
    assert_eq!(map.gid_map, [line(0, 4_294_967_294, false, 1)]);
}

#[test]
fn every_command_has_its_line() {
    let mut names: Vec<&str> = VERBS.iter().map(|(name, _)| *name).collect();
    let mut told: Vec<&str> = SIMPLE.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    told.sort_unstable();
    assert_eq!(names, told);
}
