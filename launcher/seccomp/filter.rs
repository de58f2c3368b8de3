//! Rules to a program: a search tree over the numbers of system calls, with trees over
//! arguments below it.
//!
//! Attaching a filter costs by its length, as the kernel translates it, and by its depth, as
//! the kernel tries every system call once to know which are allowed whatever the arguments:
//! a list, as others make it, costs ten times as much.

use super::bpf::{self, Assembler, Insn, Label};
use super::profile::{Action, Condition, Op, Profile, Rule};
use super::table::{Arch, Table};
use std::collections::BTreeMap;

const ENOSYS: u16 = 38;

/// What a system call meets, strictest rule first.
type Rules<'a> = Vec<&'a Rule>;

/// What a stretch of numbers, or of arguments' values, leads to.
#[derive(Clone, PartialEq)]
enum Leaf<'a> {
    Action(Action),
    Rules(Rules<'a>),
}

/// From `start` to the next one's start.
type Range<'a> = (u32, Leaf<'a>);

/// The filter for a profile, to be loaded on a machine that speaks `native`.
pub fn assemble(profile: &Profile, native: Arch, table: &Table) -> Vec<Insn> {
    let mut out = Assembler::default();
    // Whatever speaks another language would mean other calls by the same numbers.
    let mut next = out.ret(value(Action::KillProcess));
    for arch in profile.foreign.iter().rev().chain([&native]) {
        let calls = ranges(profile, *arch, table);
        let tree = tree(&mut out, profile.default, &calls);
        let load = out.load(bpf::NUMBER, tree);
        next = out.branch(bpf::EQUAL, arch.audit(), load, next);
    }
    let first = out.load(bpf::ARCH, next);
    out.finish(first)
}

/// SECCOMP_RET_*
pub fn value(action: Action) -> u32 {
    match action {
        Action::KillProcess => 0x8000_0000,
        Action::KillThread => 0,
        Action::Trap => 0x0003_0000,
        Action::Errno(e) => 0x0005_0000 | u32::from(e),
        Action::Trace(data) => 0x7ff0_0000 | u32::from(data),
        Action::Log => 0x7ffc_0000,
        Action::Allow => 0x7fff_0000,
    }
}

/// All numbers of one machine, from 0 up.
fn ranges<'a>(profile: &'a Profile, arch: Arch, table: &Table) -> Vec<Range<'a>> {
    let mut calls: BTreeMap<u32, Rules> = BTreeMap::new();
    for rule in &profile.rules {
        for number in rule.names.iter().filter_map(|name| table.number(arch, name)) {
            calls.entry(number).or_default().push(rule);
        }
    }
    let default = Leaf::Action(profile.default);
    let beyond = match (profile.default, calls.last_key_value()) {
        // Newer than the profile: a program that could do without must not be told that it
        // is forbidden. x32's numbers are up there, too.
        (Action::Allow | Action::Log | Action::Trace(_), _) | (_, None) => None,
        (_, Some((last, _))) => last.checked_add(1),
    };
    let mut out = vec![(0, default.clone())];
    for (number, rules) in calls {
        push(&mut out, number, leaf(rules));
        push(&mut out, number + 1, default.clone());
    }
    if let Some(start) = beyond {
        out.retain(|(at, _)| *at < start);
        push(&mut out, start, Leaf::Action(Action::Errno(ENOSYS)));
    }
    out
}

/// Adds a range, or lets the one before it go on.
fn push<'a>(ranges: &mut Vec<Range<'a>>, start: u32, leaf: Leaf<'a>) {
    if ranges.last().is_some_and(|(at, _)| *at == start) {
        ranges.pop();
    }
    if ranges.last().is_none_or(|(_, before)| *before != leaf) {
        ranges.push((start, leaf));
    }
}

/// Of several rules that match, the strictest counts, in whatever order they stand: no
/// profile is looser here than elsewhere.
fn leaf(mut rules: Rules<'_>) -> Leaf<'_> {
    rules.sort_by_key(|rule| rule.action);
    let end = rules.iter().position(|rule| rule.conditions.is_empty());
    if end == Some(0) {
        return Leaf::Action(rules[0].action);
    }
    rules.truncate(end.map_or(rules.len(), |at| at + 1));
    Leaf::Rules(rules)
}

fn tree(out: &mut Assembler, default: Action, ranges: &[Range]) -> Label {
    match ranges {
        [] => out.ret(value(default)),
        [(_, leaf)] => emit(out, default, leaf),
        // One number, or two, out of a range: one comparison each.
        [a, (p, leaf), b] if a.1 == b.1 && b.0 == p + 1 => {
            let no = emit(out, default, &a.1);
            let yes = emit(out, default, leaf);
            out.branch(bpf::EQUAL, *p, yes, no)
        }
        [a, (p, first), b, (q, second), c]
            if a.1 == b.1 && b.1 == c.1 && b.0 == p + 1 && c.0 == q + 1 =>
        {
            let no = emit(out, default, &a.1);
            let second = emit(out, default, second);
            let rest = out.branch(bpf::EQUAL, *q, second, no);
            let first = emit(out, default, first);
            out.branch(bpf::EQUAL, *p, first, rest)
        }
        _ => {
            let middle = split(ranges);
            let high = tree(out, default, &ranges[middle..]);
            let low = tree(out, default, &ranges[..middle]);
            out.branch(bpf::AT_LEAST, ranges[middle].0, high, low)
        }
    }
}

/// The middle, but not between a single number and what surrounds it.
fn split(ranges: &[Range]) -> usize {
    let middle = ranges.len() / 2;
    let single = |at: usize| {
        at > 0
            && at + 1 < ranges.len()
            && ranges[at + 1].0 == ranges[at].0 + 1
            && ranges[at + 1].1 == ranges[at - 1].1
    };
    // Behind it, if the middle is one or comes right after one.
    (middle..ranges.len()).find(|at| !single(*at) && !single(at - 1)).unwrap_or(middle)
}

fn emit(out: &mut Assembler, default: Action, leaf: &Leaf) -> Label {
    match leaf {
        Leaf::Action(action) => out.ret(value(*action)),
        Leaf::Rules(rules) => match by_value(rules, default) {
            Some(label) => label.emit(out, default),
            None => chain(out, default, rules),
        },
    }
}

/// One rule after the other.
fn chain(out: &mut Assembler, default: Action, rules: &[&Rule]) -> Label {
    let mut next = out.ret(value(default));
    for rule in rules.iter().rev() {
        let mut label = out.ret(value(rule.action));
        for condition in rule.conditions.iter().rev() {
            label = test(out, condition, strict(rule.action), label, next);
        }
        next = label;
    }
    next
}

/// Whether a rule forbids. The kernel looks at no more than 32 bits of most arguments, so
/// what forbids a small value must not be got round by bits above it.
fn strict(action: Action) -> bool {
    !matches!(action, Action::Allow | Action::Log)
}

fn test(out: &mut Assembler, c: &Condition, strict: bool, yes: Label, no: Label) -> Label {
    let (low, high) = bpf::argument(c.index);
    let (value_low, value_high) = (c.value as u32, (c.value >> 32) as u32);
    match c.op {
        Op::Eq if strict && value_high == 0 => low_is(out, low, value_low, yes, no),
        Op::Ne if !strict && value_high == 0 => low_is(out, low, value_low, no, yes),
        Op::Eq | Op::Ne => {
            let (yes, no) = if c.op == Op::Eq { (yes, no) } else { (no, yes) };
            let label = low_is(out, low, value_low, yes, no);
            let label = out.branch(bpf::EQUAL, value_high, label, no);
            out.load(high, label)
        }
        Op::Ge => order(out, c, bpf::AT_LEAST, yes, no),
        Op::Lt => order(out, c, bpf::AT_LEAST, no, yes),
        Op::Gt => order(out, c, bpf::GREATER, yes, no),
        Op::Le => order(out, c, bpf::GREATER, no, yes),
        Op::MaskedEq => {
            let label = out.branch(bpf::EQUAL, c.second as u32, yes, no);
            let label = out.mask(value_low, label);
            let label = out.load(low, label);
            if value_high == 0 {
                return if c.second >> 32 == 0 { label } else { no };
            }
            let label = out.branch(bpf::EQUAL, (c.second >> 32) as u32, label, no);
            let label = out.mask(value_high, label);
            out.load(high, label)
        }
    }
}

fn low_is(out: &mut Assembler, low: u32, value: u32, yes: Label, no: Label) -> Label {
    let label = out.branch(bpf::EQUAL, value, yes, no);
    out.load(low, label)
}

/// `yes` where the argument is above the value (or equal, by `how`).
fn order(out: &mut Assembler, c: &Condition, how: u16, yes: Label, no: Label) -> Label {
    let (low, high) = bpf::argument(c.index);
    let value_high = (c.value >> 32) as u32;
    let label = out.branch(how, c.value as u32, yes, no);
    let label = out.load(low, label);
    let label = out.branch(bpf::EQUAL, value_high, label, no);
    let label = out.branch(bpf::GREATER, value_high, yes, label);
    out.load(high, label)
}

/// Rules that are all about the small values of one argument: which values meet what. Any
/// that has bits above the lower 32 meets the default.
struct ByValue {
    index: u8,
    ranges: Vec<Range<'static>>,
}

impl ByValue {
    fn emit(&self, out: &mut Assembler, default: Action) -> Label {
        let (low, high) = bpf::argument(self.index);
        let label = tree(out, default, &self.ranges);
        let label = out.load(low, label);
        let above = out.ret(value(default));
        let label = out.branch(bpf::EQUAL, 0, label, above);
        out.load(high, label)
    }
}

/// None where a condition is of another kind.
fn by_value(rules: &[&Rule], default: Action) -> Option<ByValue> {
    let index = rules.first()?.conditions.first()?.index;
    let mut edges = vec![0];
    let mut spans = Vec::new();
    for rule in rules {
        let [c] = rule.conditions.as_slice() else { return None };
        let value = u32::try_from(c.value).ok()?;
        let (first, last) = match c.op {
            Op::Eq if !strict(rule.action) => (value, value),
            Op::Lt if value > 0 => (0, value - 1),
            Op::Le => (0, value),
            _ => return None,
        };
        if c.index != index {
            return None;
        }
        spans.push((first, last, rule.action));
        edges.extend([Some(first), last.checked_add(1)].into_iter().flatten());
    }
    edges.sort_unstable();
    edges.dedup();
    let mut ranges = Vec::new();
    for edge in edges {
        // The strictest comes first.
        let found = spans.iter().find(|(first, last, _)| (*first..=*last).contains(&edge));
        push(&mut ranges, edge, Leaf::Action(found.map_or(default, |(_, _, action)| *action)));
    }
    Some(ByValue { index, ranges })
}
