use super::bpf::evaluate;
use super::filter::{assemble, value};
use super::profile::{Action, Circumstances, Condition, Op, Profile, Rule, parse};
use super::table::{Arch, Table};
use super::{CONDITIONS, MODERN, PREBUILT, PROFILE, compile};
use crate::caps::names;

const EPERM: Action = Action::Errno(1);
const ENOSYS: Action = Action::Errno(38);

fn here(arch: Arch, capabilities: u64) -> Circumstances {
    Circumstances { arch, capabilities, kernel: (6, 1) }
}

fn read(text: &str) -> Result<Profile, String> {
    parse(text.as_bytes(), here(Arch::X86_64, names::DEFAULT), &Table::new())
}

fn default_profile(arch: Arch, capabilities: u64) -> Profile {
    parse(PROFILE, here(arch, capabilities), &Table::new()).expect("moby's profile")
}

/// By the letter: which of these rules match, and of those the strictest.
fn by_hand(rules: &[&Rule], args: [u64; 6]) -> Option<Action> {
    let holds = |action: Action, c: &Condition| {
        let arg = args[usize::from(c.index)];
        let forbids = !matches!(action, Action::Allow | Action::Log);
        let small = u32::try_from(c.value).is_ok();
        let cut = if small { u64::from(arg as u32) } else { arg };
        match c.op {
            Op::Eq => (if forbids { cut } else { arg }) == c.value,
            Op::Ne => (if forbids { arg } else { cut }) != c.value,
            Op::Lt => arg < c.value,
            Op::Le => arg <= c.value,
            Op::Ge => arg >= c.value,
            Op::Gt => arg > c.value,
            Op::MaskedEq => arg & c.value == c.second,
        }
    };
    let matching = rules.iter().filter(|r| r.conditions.iter().all(|c| holds(r.action, c)));
    matching.map(|r| r.action).min()
}

fn else_by_hand(profile: &Profile, number: u32, newest: u32) -> Action {
    match profile.default {
        Action::Allow | Action::Log | Action::Trace(_) => profile.default,
        other => {
            if number > newest {
                ENOSYS
            } else {
                other
            }
        }
    }
}

/// The program says of every call what the rules say.
pub fn agrees(profile: &Profile, native: Arch) -> usize {
    let table = Table::new();
    let program = assemble(profile, native, &table);
    let mut values = vec![0, 1, u64::MAX, u64::from(u32::MAX), 1 << 32, 1 << 63];
    for c in profile.rules.iter().flat_map(|r| &r.conditions) {
        for v in [c.value, c.second] {
            let near = [v, v.wrapping_sub(1), v.wrapping_add(1), v | 1 << 32, v ^ 1 << 31, !v];
            values.extend(near);
        }
    }
    values.sort_unstable();
    values.dedup();
    for arch in profile.foreign.iter().chain([&native]) {
        let mut rules: std::collections::BTreeMap<u32, Vec<&Rule>> = Default::default();
        for rule in &profile.rules {
            for number in rule.names.iter().filter_map(|n| table.number(*arch, n)) {
                rules.entry(number).or_default().push(rule);
            }
        }
        let newest = *rules.last_key_value().expect("a rule").0;
        let numbers =
            (0..520).chain([983_041, 983_042, 983_045, 0x4000_0000, 0x4000_0027, u32::MAX]);
        for number in numbers {
            let rules = rules.get(&number).map_or(&[][..], Vec::as_slice);
            let conditional = rules.iter().any(|r| !r.conditions.is_empty());
            for v in if conditional { &values[..] } else { &[5] } {
                for args in [[*v, 0, 0, 0, 0, 0], [*v; 6], [0, *v, 1, *v, 0, 0]] {
                    let want = by_hand(rules, args)
                        .unwrap_or_else(|| else_by_hand(profile, number, newest));
                    let got = evaluate(&program, arch.audit(), number, args);
                    assert_eq!(got, Some(value(want)), "{arch:?} {number} {args:x?}");
                }
            }
        }
    }
    program.len()
}

#[test]
fn dockers_profile_is_what_the_program_does() {
    let all = names::ALL;
    for arch in [Arch::X86_64, Arch::Aarch64, Arch::Riscv64] {
        for capabilities in [names::DEFAULT, 0, all, names::DEFAULT | 1 << 21, all & !(1 << 21)] {
            let profile = default_profile(arch, capabilities);
            let length = agrees(&profile, arch);
            assert!(length < 256, "{length}");
        }
    }
}

#[test]
fn the_prebuilt_programs_are_what_would_be_built() {
    assert_eq!(PREBUILT.len(), 2);
    for (capabilities, program) in PREBUILT {
        let built = compile(PROFILE, *capabilities, MODERN, false).expect("compiles");
        assert_eq!(&*built.program, *program);
        assert!(program.len() <= 100, "{}", program.len());
        // Capabilities that the profile does not ask for make no difference.
        let others = capabilities | names::ALL & !CONDITIONS;
        let built = compile(PROFILE, others, MODERN, false).expect("compiles");
        assert_eq!(&*built.program, *program);
    }
}

/// A name that a table has wrong is a call that nothing inside can make.
#[test]
fn every_machine_has_its_stat() {
    let table = Table::new();
    for arch in [Arch::X86_64, Arch::Aarch64, Arch::Riscv64] {
        let mut profile = default_profile(arch, names::DEFAULT);
        profile.foreign.clear();
        let program = assemble(&profile, arch, &table);
        for name in
            ["newfstatat", "fstat", "statx", "openat", "getdents64", "mmap", "execve", "clone"]
        {
            let number = table.number(arch, name).unwrap_or_else(|| panic!("{name} of {arch:?}"));
            let said = evaluate(&program, arch.audit(), number, [0; 6]);
            assert_eq!(said, Some(value(Action::Allow)), "{name} of {arch:?}");
        }
    }
}

#[test]
fn what_docker_promises() {
    let table = Table::new();
    let program = |capabilities| {
        let mut profile = default_profile(Arch::X86_64, capabilities);
        profile.foreign.clear();
        assemble(&profile, Arch::X86_64, &table)
    };
    let usual = program(names::DEFAULT);
    let ask = |program: &[u64], name: &str, first: u64| {
        let number = table.number(Arch::X86_64, name).expect(name);
        evaluate(program, Arch::X86_64.audit(), number, [first, 0, 0, 0, 0, 0])
    };
    for name in ["read", "execveat", "ptrace", "chroot", "fork", "removexattrat", "rseq", "mknod"] {
        assert_eq!(ask(&usual, name, 0), Some(value(Action::Allow)), "{name}");
    }
    for name in [
        "mount",
        "unshare",
        "setns",
        "bpf",
        "keyctl",
        "add_key",
        "io_uring_setup",
        "userfaultfd",
        "reboot",
        "syslog",
        "swapon",
        "init_module",
        "open_by_handle_at",
    ] {
        assert_eq!(ask(&usual, name, 0), Some(value(EPERM)), "{name}");
    }
    let ids = 0x1000_0000;
    assert_eq!(ask(&usual, "clone3", 0), Some(value(ENOSYS)));
    assert_eq!(ask(&usual, "clone", 0x11), Some(value(Action::Allow)));
    assert_eq!(ask(&usual, "clone", 0x11 | ids), Some(value(EPERM)));
    assert_eq!(ask(&usual, "personality", 0x40000), Some(value(EPERM)));
    for (family, allowed) in
        [(1, true), (2, true), (16, true), (38, false), (40, false), (46, false)]
    {
        let want = if allowed { Action::Allow } else { EPERM };
        assert_eq!(ask(&usual, "socket", family), Some(value(want)), "{family}");
        assert_eq!(ask(&usual, "socket", family | 1 << 32), Some(value(EPERM)), "{family}");
    }
    let admin = program(names::DEFAULT | 1 << 21);
    for (name, first) in [("mount", 0), ("unshare", ids), ("clone", ids), ("clone3", 0)] {
        assert_eq!(ask(&admin, name, first), Some(value(Action::Allow)), "{name}");
    }
    // Other languages: i386, x32, and one that the machine does not even speak.
    let kill = Some(value(Action::KillProcess));
    assert_eq!(evaluate(&usual, Arch::X86.audit(), 20, [0; 6]), kill);
    assert_eq!(evaluate(&usual, Arch::Arm.audit(), 20, [0; 6]), kill);
    let x32 = evaluate(&usual, Arch::X86_64.audit(), 0x4000_0027, [0; 6]);
    assert_eq!(x32, Some(value(ENOSYS)));
}

#[test]
fn a_profile_may_let_32_bit_programs_in() {
    let profile = default_profile(Arch::X86_64, names::DEFAULT);
    assert_eq!(profile.foreign, [Arch::X86]);
    let program = assemble(&profile, Arch::X86_64, &Table::new());
    assert_eq!(evaluate(&program, Arch::X86.audit(), 20, [0; 6]), Some(value(Action::Allow)));
    assert_eq!(evaluate(&program, Arch::X86.audit(), 21, [0; 6]), Some(value(EPERM)));
}

/// Hundreds of separate ranges and long chains: jumps that do not reach.
#[test]
fn long_programs_jump_far() {
    let table = Table::new();
    let text = include_str!("syscalls.in");
    let names: Vec<&str> = text.lines().skip(3).filter_map(|l| l.split(' ').next()).collect();
    assert!(names.iter().all(|n| table.knows(n)) && names.len() > 500);
    let rules: Vec<String> = names
        .iter()
        .enumerate()
        .filter(|(at, _)| at % 3 != 0)
        .map(|(at, name)| {
            let action = ["ALLOW", "ERRNO", "LOG", "TRACE"][at % 4];
            let args = match at % 5 {
                0 => r#"{"index":1,"value":7,"op":"SCMP_CMP_GE"},{"index":3,"value":5000000000,"op":"SCMP_CMP_LT"}"#,
                1 => r#"{"index":0,"value":4294967303,"valueTwo":4294967297,"op":"SCMP_CMP_MASKED_EQ"}"#,
                _ => "",
            };
            format!(r#"{{"names":["{name}"],"action":"SCMP_ACT_{action}","errnoRet":{at},"args":[{args}]}}"#)
        })
        .collect();
    let text = format!(
        r#"{{"defaultAction":"SCMP_ACT_KILL_PROCESS","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],"syscalls":[{}]}}"#,
        rules.join(",")
    );
    let length = agrees(&read(&text).expect("profile"), Arch::X86_64);
    assert!(length > 1500, "{length}");
}

#[test]
fn every_comparison() {
    for op in ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"] {
        for v in [0u64, 7, 0x7e02_0000, u64::from(u32::MAX), 1 << 32, 0x1_0000_0007, u64::MAX] {
            for action in ["ALLOW", "ERRNO", "KILL", "TRAP"] {
                for default in ["ERRNO", "ALLOW"] {
                    let text = format!(
                        r#"{{"defaultAction":"SCMP_ACT_{default}","syscalls":[{{"name":"ioctl",
                        "action":"SCMP_ACT_{action}","args":[{{"index":1,"value":{v},"valueTwo":{v},"op":"SCMP_CMP_{op}"}}]}}]}}"#
                    );
                    agrees(&read(&text).expect(&text), Arch::X86_64);
                }
            }
        }
    }
}

/// TIOCSTI with a bit that the kernel does not look at (CVE-2019-10063).
#[test]
fn bits_that_the_kernel_ignores_get_round_nothing() {
    let forbid = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["ioctl"],"action":"SCMP_ACT_ERRNO",
        "args":[{"index":1,"value":21522,"op":"SCMP_CMP_EQ"}]}]}"#;
    let except = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["ioctl"],"action":"SCMP_ACT_ALLOW",
        "args":[{"index":1,"value":21522,"op":"SCMP_CMP_NE"}]}]}"#;
    for text in [forbid, except] {
        let program = assemble(&read(text).expect("profile"), Arch::X86_64, &Table::new());
        for (request, want) in [(21522, EPERM), (21522 | 1 << 32, EPERM), (21523, Action::Allow)] {
            let got = evaluate(&program, Arch::X86_64.audit(), 16, [0, request, 0, 0, 0, 0]);
            assert_eq!(got, Some(value(want)), "{request:x}");
        }
    }
}

/// Whatever their order; two conditions on one argument are alternatives.
#[test]
fn of_several_rules_the_strictest_counts() {
    let rules = [
        r#"{"names":["close"],"action":"SCMP_ACT_ALLOW"}"#,
        r#"{"names":["close"],"action":"SCMP_ACT_ERRNO","errnoRet":9,"args":[{"index":0,"value":3,"op":"SCMP_CMP_EQ"},{"index":0,"value":4,"op":"SCMP_CMP_EQ"}]}"#,
    ];
    for (a, b) in [(0, 1), (1, 0)] {
        let text = format!(
            r#"{{"defaultAction":"SCMP_ACT_KILL","syscalls":[{},{}]}}"#,
            rules[a], rules[b]
        );
        let profile = read(&text).expect("profile");
        agrees(&profile, Arch::X86_64);
        let program = assemble(&profile, Arch::X86_64, &Table::new());
        for (fd, want) in [(2, Action::Allow), (3, Action::Errno(9)), (4, Action::Errno(9))] {
            let got = evaluate(&program, Arch::X86_64.audit(), 3, [fd, 0, 0, 0, 0, 0]);
            assert_eq!(got, Some(value(want)));
        }
    }
}

#[test]
fn the_kernel_and_capabilities_decide_what_is_in() {
    let text = |filter: &str| {
        format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":["ptrace"],"action":"SCMP_ACT_ALLOW",{filter}}}]}}"#
        )
    };
    for (filter, included) in [
        (r#""includes":{}"#, true),
        (r#""includes":null,"args":null,"comment":"x""#, true),
        (r#""includes":{"minKernel":"6.1"}"#, true),
        (r#""includes":{"minKernel":"6.2"}"#, false),
        (r#""excludes":{"minKernel":"4.8"}"#, false),
        (r#""includes":{"arches":["amd64","arm64"]}"#, true),
        (r#""includes":{"arches":["s390x"]}"#, false),
        (r#""excludes":{"arches":["amd64"]}"#, false),
        (r#""includes":{"caps":["CAP_CHOWN","CAP_KILL"]}"#, true),
        (r#""includes":{"caps":["CAP_CHOWN","CAP_SYS_ADMIN"]}"#, false),
        (r#""excludes":{"caps":["CAP_SYS_ADMIN","CAP_BPF"]}"#, true),
        (r#""excludes":{"caps":["CAP_SYS_ADMIN","CAP_CHOWN"]}"#, false),
        (r#""includes":{"caps":["CAP_FROM_THE_FUTURE"]}"#, false),
    ] {
        assert_eq!(
            read(&text(filter)).expect(filter).rules.len(),
            usize::from(included),
            "{filter}"
        );
    }
}

#[test]
fn refused() {
    let rule =
        |rest: &str| format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{{rest}}}]}}"#);
    for (text, words) in [
        ("", "EOF"),
        ("[]", "the profile: not an object"),
        ("{}", "defaultAction: missing"),
        (
            r#"{"defaultAction":"SCMP_ACT_PERMIT"}"#,
            "defaultAction: unknown action 'SCMP_ACT_PERMIT'",
        ),
        (r#"{"defaultAction":7}"#, "defaultAction: not a text"),
        (r#"{"defaultAction":"SCMP_ACT_ALLOW","sysCalls":[]}"#, "sysCalls: unknown"),
        (r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["X"]}"#, "unknown flag"),
        (r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["x86"]}"#, "SCMP_ARCH_"),
        (r#"{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x"}"#, "nobody here to listen"),
        (r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":5000}"#, "5000 is no error number"),
        (&rule(r#""action":"SCMP_ACT_ALLOW""#), "syscalls[0].names: empty"),
        (&rule(r#""names":["read"]"#), "syscalls[0].action: missing"),
        (&rule(r#""names":["opne"],"action":"SCMP_ACT_ALLOW""#), "no system call is called 'opne'"),
        (&rule(r#""names":["read"],"action":"SCMP_ACT_NOTIFY""#), "nobody here to be notified"),
        (
            &rule(
                r#""names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":6,"value":1,"op":"SCMP_CMP_EQ"}]"#,
            ),
            "arguments are 0 to 5",
        ),
        (
            &rule(
                r#""names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"=="}]"#,
            ),
            "unknown comparison '=='",
        ),
        (
            &rule(
                r#""names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":-1,"op":"SCMP_CMP_EQ"}]"#,
            ),
            "not a whole number",
        ),
        (
            &rule(r#""names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"five"}"#),
            "'five' is not N.M",
        ),
        (
            &rule(r#""names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"cap":[]}"#),
            "syscalls[0].includes.cap: unknown",
        ),
    ] {
        let said = read(text).err().unwrap_or_else(|| panic!("{text} was taken"));
        assert!(said.contains(words), "{text}: {said}");
    }
    // Elsewhere's names are no mistake.
    let elsewhere =
        rule(r#""names":["breakpoint","s390_sthyi","_llseek"],"action":"SCMP_ACT_ALLOW""#);
    assert!(read(&elsewhere).is_ok());
    let deep = "[".repeat(100_000);
    assert!(read(&deep).is_err());
}

/// Of two values only the last would count, and a rule would be gone.
#[test]
fn no_key_stands_twice() {
    let text = |rule: &str| format!(r#"{{"defaultAction":"SCMP_ACT_LOG","syscalls":[{rule}]}}"#);
    for (twice, key) in [
        (
            r#"{"x":[{"a":1}],"defaultAction":"A","default\u0041ction" :"B"}"#.into(),
            "defaultAction",
        ),
        (text(r#"{"names":["read"],"action":"SCMP_ACT_ALLOW","names":[]}"#), "names"),
        (text(r#"],"syscalls":["#), "syscalls"),
    ] {
        let said = read(&twice).expect_err(key);
        assert_eq!(said, format!("{key:?} stands twice in one object"));
    }
    let condition = r#"{"index":0,"value":1,"op":"SCMP_CMP_EQ"}"#;
    let rest = r#""names":["read"],"action":"SCMP_ACT_ALLOW","comment":"\"names\": {\"""#;
    assert!(read(&text(&format!(r#"{{{rest},"args":[{condition},{condition}]}}"#))).is_ok());
}
