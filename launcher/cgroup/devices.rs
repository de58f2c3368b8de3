//! Which devices may be used: written into a hierarchy of version 1, or a program that the
//! kernel asks, on version 2, which has no controller for it.

use super::limits::{Value, Want};
use super::{Cgroups, Layout, Unmet, absent, v1, v2};
use crate::error::Result;
use crate::spec::{DeviceKind, DeviceRule};

const MAKE: u8 = DeviceRule::MAKE;
const ALL: u8 = DeviceRule::MAKE | DeviceRule::READ | DeviceRule::WRITE;

/// docker's: any node may be made; used may be the usual ones and the container's terminals.
pub const USUAL: [DeviceRule; 10] = [
    rule(DeviceKind::Char, None, None, MAKE),
    rule(DeviceKind::Block, None, None, MAKE),
    rule(DeviceKind::Char, Some(1), Some(3), ALL),
    rule(DeviceKind::Char, Some(1), Some(5), ALL),
    rule(DeviceKind::Char, Some(1), Some(7), ALL),
    rule(DeviceKind::Char, Some(1), Some(8), ALL),
    rule(DeviceKind::Char, Some(1), Some(9), ALL),
    rule(DeviceKind::Char, Some(5), Some(0), ALL),
    rule(DeviceKind::Char, Some(5), Some(2), ALL),
    rule(DeviceKind::Char, Some(136), None, ALL),
];

const fn rule(kind: DeviceKind, major: Option<u32>, minor: Option<u32>, access: u8) -> DeviceRule {
    DeviceRule { kind, major, minor, access }
}

/// What is to be allowed, and the option that asks for a filter.
pub struct Filter {
    pub rules: Vec<DeviceRule>,
    pub option: &'static str,
    /// `--cap-add MKNOD`, for messages.
    pub asked: String,
}

/// Adds what the filter needs; None or a reason.
pub(super) fn plan(
    layout: &Layout,
    filter: &Filter,
    name: &str,
    out: &mut Cgroups,
) -> Result<Option<Unmet>> {
    let want = Want {
        controller: "devices",
        option: filter.option,
        asked: filter.asked.clone(),
        value: Value::Devices(filter.rules.clone()),
    };
    if let Some(hierarchy) = layout.v1_of("devices") {
        return v1::plan(&hierarchy, &want, name, out);
    }
    let Some(unified) = layout.unified() else { return Ok(Some(absent(&want))) };
    if let Err((reason, hint)) = v2::place(&unified, name, out) {
        return Ok(Some(Unmet { asked: want.asked, reason, hint }));
    }
    out.devices = Some(program(&filter.rules));
    Ok(None)
}

/// One line of devices.allow.
pub(super) fn line(rule: &DeviceRule) -> String {
    let number = |n: Option<u32>| n.map_or("*".to_owned(), |n| n.to_string());
    let kind = match rule.kind {
        DeviceKind::Any => return "a".to_owned(),
        DeviceKind::Block => 'b',
        DeviceKind::Char => 'c',
    };
    let access = [(DeviceRule::READ, 'r'), (DeviceRule::WRITE, 'w'), (DeviceRule::MAKE, 'm')];
    let access: String =
        access.iter().filter(|(bit, _)| rule.access & bit != 0).map(|(_, c)| c).collect();
    format!("{kind} {}:{} {access}", number(rule.major), number(rule.minor))
}

/// One eBPF instruction: code, registers, jump, constant.
const fn insn(code: u8, to: u8, from: u8, jump: i16, k: u32) -> u64 {
    code as u64 | ((from << 4 | to) as u64) << 8 | (jump as u16 as u64) << 16 | (k as u64) << 32
}

const LOAD: u8 = 0x61;
const MOVE: u8 = 0xbf;
const SET: u8 = 0xb7;
const AND: u8 = 0x57;
const SHIFT: u8 = 0x77;
const UNLESS: u8 = 0x55;
const EXIT: u8 = 0x95;

/// A BPF_PROG_TYPE_CGROUP_DEVICE program: 1 where a rule covers what is wanted, else 0.
pub fn program(rules: &[DeviceRule]) -> Vec<u64> {
    // struct bpf_cgroup_dev_ctx: access << 16 | kind, major, minor.
    let mut out = vec![
        insn(LOAD, 2, 1, 0, 0),
        insn(MOVE, 3, 2, 0, 0),
        insn(AND, 2, 0, 0, 0xffff),
        insn(SHIFT, 3, 0, 0, 16),
        insn(LOAD, 4, 1, 4, 0),
        insn(LOAD, 5, 1, 8, 0),
    ];
    for rule in merged(rules) {
        let mut tests = Vec::new();
        let kind = match rule.kind {
            DeviceKind::Any => None,
            DeviceKind::Block => Some(1),
            DeviceKind::Char => Some(2),
        };
        tests.extend(kind.map(|k| (2, k)));
        tests.extend(rule.major.map(|n| (4, n)));
        tests.extend(rule.minor.map(|n| (5, n)));
        let limited = rule.access != ALL;
        // To the instruction behind this rule's two last ones.
        let mut rest = tests.len() as i16 + 2 + if limited { 3 } else { 0 };
        if limited {
            out.push(insn(MOVE, 1, 3, 0, 0));
            out.push(insn(AND, 1, 0, 0, u32::from(!rule.access & ALL)));
            rest -= 3;
            out.push(insn(UNLESS, 1, 0, rest, 0));
        }
        for (register, value) in tests {
            rest -= 1;
            out.push(insn(UNLESS, register, 0, rest, value));
        }
        out.extend([insn(SET, 0, 0, 0, 1), insn(EXIT, 0, 0, 0, 0)]);
    }
    out.extend([insn(SET, 0, 0, 0, 0), insn(EXIT, 0, 0, 0, 0)]);
    out
}

/// Read by one rule and written by another is read and written.
fn merged(rules: &[DeviceRule]) -> Vec<DeviceRule> {
    let mut out: Vec<DeviceRule> = Vec::new();
    for rule in rules {
        let same =
            |r: &&mut DeviceRule| (r.kind, r.major, r.minor) == (rule.kind, rule.major, rule.minor);
        match out.iter_mut().find(same) {
            Some(known) => known.access |= rule.access,
            None => out.push(*rule),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program says.
    fn allows(program: &[u64], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let mut r = [0u64; 6];
        let mut at = 0;
        loop {
            let i = program[at];
            let (code, to, from) = (i as u8, (i >> 8 & 15) as usize, (i >> 12 & 15) as usize);
            let (jump, k) = ((i >> 16) as i16, (i >> 32) as i32 as i64 as u64);
            at += 1;
            match code {
                LOAD => r[to] = u64::from([access << 16 | kind, major, minor][jump as usize / 4]),
                MOVE => r[to] = r[from],
                SET => r[to] = k,
                AND => r[to] &= k,
                SHIFT => r[to] >>= k,
                UNLESS => at += if r[to] != k { jump as usize } else { 0 },
                EXIT => return r[0] == 1,
                other => panic!("{other:x}"),
            }
        }
    }

    #[test]
    fn the_program_is_what_the_rules_say() {
        let more = [
            rule(DeviceKind::Char, Some(10), Some(229), DeviceRule::READ),
            rule(DeviceKind::Char, Some(10), Some(229), DeviceRule::WRITE),
            rule(DeviceKind::Block, Some(7), None, DeviceRule::READ | MAKE),
        ];
        for rules in [
            USUAL.to_vec(),
            [&USUAL[..], &more].concat(),
            vec![rule(DeviceKind::Any, None, None, ALL)],
            vec![],
        ] {
            let program = program(&rules);
            for kind in [1, 2] {
                for access in 1..8 {
                    for major in [0, 1, 5, 7, 10, 136, 254] {
                        for minor in [0, 1, 2, 3, 5, 7, 8, 9, 229, 255] {
                            let covers = |r: &DeviceRule| {
                                (match r.kind {
                                    DeviceKind::Any => true,
                                    DeviceKind::Block => kind == 1,
                                    DeviceKind::Char => kind == 2,
                                }) && r.major.is_none_or(|n| n == major)
                                    && r.minor.is_none_or(|n| n == minor)
                                    && u32::from(r.access) & access == access
                            };
                            let want = merged(&rules).iter().any(covers);
                            let got = allows(&program, kind, access, major, minor);
                            assert_eq!(got, want, "{kind} {access} {major}:{minor}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn lines_of_version_1() {
        let lines: Vec<String> = USUAL.iter().map(line).collect();
        assert_eq!(lines[0], "c *:* m");
        assert_eq!(lines[2], "c 1:3 rwm");
        assert_eq!(lines[9], "c 136:* rwm");
    }

    #[test]
    fn instructions_are_the_kernels() {
        // r2 = *(u32 *)(r1 + 8); if r5 != 229 skip 3
        assert_eq!(insn(LOAD, 2, 1, 8, 0), 0x0000_0000_0008_1261);
        assert_eq!(insn(UNLESS, 5, 0, 3, 229), 0x0000_00e5_0003_0555);
    }
}
