//! Profiles of anybody's: none makes the parser panic, and what is accepted is what the
//! program does.

use super::tests::agrees;
use super::{MODERN, PROFILE, compile, profile, table};
use crate::caps::names;
use crate::fuzz::fuzz_json;
use profile::Circumstances;
use table::{Arch, Table};

const SMALL: &[u8] = br#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
  "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "flags": ["SECCOMP_FILTER_FLAG_LOG"],
  "syscalls": [
    {"names": ["read", "write", "mkdirat"], "action": "SCMP_ACT_ALLOW"},
    {"name": "socket", "action": "SCMP_ACT_ALLOW",
      "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}]},
    {"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "args": [{"index": 1,
      "value": 2114060288, "valueTwo": 7, "op": "SCMP_CMP_MASKED_EQ"},
      {"index": 0, "value": 9, "op": "SCMP_CMP_GE"}],
      "includes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["amd64"], "minKernel": "4.8"},
      "excludes": {"caps": ["CAP_SYS_BOOT"]}}]}"#;
const MAPPED: &[u8] = br#"{"defaultAction": "SCMP_ACT_ALLOW",
  "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
  "syscalls": [{"names": ["ptrace", "kexec_load"], "action": "SCMP_ACT_KILL"},
    {"names": ["read"], "action": "SCMP_ACT_LOG", "args": [
      {"index": 2, "value": 1, "op": "SCMP_CMP_LT"}, {"index": 2, "value": 5, "op": "SCMP_CMP_GT"},
      {"index": 3, "value": 4294967296, "op": "SCMP_CMP_LE"}]}]}"#;

#[test]
fn profiles() {
    let table = Table::new();
    let here = Circumstances { arch: Arch::X86_64, capabilities: names::ALL, kernel: MODERN };
    fuzz_json(&[SMALL, MAPPED], |text| {
        let Ok(profile) = profile::parse(text, here, &table) else { return };
        assert!(profile.rules.iter().flat_map(|r| &r.names).all(|n| table.knows(n)));
        let of = |arch| {
            let mut names = profile.rules.iter().flat_map(|r| &r.names);
            names.any(|n| table.number(arch, n).is_some())
        };
        if of(Arch::X86_64) && profile.foreign.iter().all(|a| of(*a)) {
            agrees(&profile, Arch::X86_64);
        }
    });
}

#[test]
fn dockers_profile_changed() {
    fuzz_json(&[PROFILE], |text| {
        if let Ok(filter) = compile(text, names::DEFAULT, MODERN, true) {
            assert!((1..=4096).contains(&filter.program.len()));
        }
    });
}
