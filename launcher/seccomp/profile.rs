//! Seccomp profiles as docker and podman write them (JSON), and as the OCI runtime
//! specification has them: text to rules. What cannot be understood is an error: a rule
//! that is left out would be a hole, or a mystery.

use super::names;
use super::table::{Arch, Table};
use serde_json::Value;

type Result<T> = std::result::Result<T, String>;

/// SECCOMP_RET_*; a larger one that matches gives way to a smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    KillProcess,
    KillThread,
    Trap,
    Errno(u16),
    Trace(u16),
    Log,
    Allow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Ne,
    Lt,
    Le,
    Eq,
    Ge,
    Gt,
    /// `argument & value == second`
    MaskedEq,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Of the argument, 0 to 5.
    pub index: u8,
    pub value: u64,
    pub second: u64,
    pub op: Op,
}

/// For these system calls, where all of these hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub names: Vec<String>,
    pub action: Action,
    pub conditions: Vec<Condition>,
}

#[derive(Debug)]
pub struct Profile {
    pub default: Action,
    /// Beside the machine's own.
    pub foreign: Vec<Arch>,
    pub rules: Vec<Rule>,
    /// SECCOMP_FILTER_FLAG_*
    #[allow(dead_code, reason = "build.rs does not load it")]
    pub flags: u32,
}

/// What a profile's `includes` and `excludes` ask for.
#[derive(Clone, Copy)]
pub struct Circumstances {
    pub arch: Arch,
    pub capabilities: u64,
    pub kernel: (u32, u32),
}

/// Reads a profile; `table` says which names are names of system calls.
pub fn parse(text: &[u8], here: Circumstances, table: &Table) -> Result<Profile> {
    let json: Value = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    if let Some(key) = given_twice(text) {
        return Err(format!("{key:?} stands twice in one object"));
    }
    let top = Object::new(String::new(), &json)?;
    top.only(&[
        "defaultAction",
        "defaultErrnoRet",
        "defaultErrno",
        "architectures",
        "archMap",
        "syscalls",
        "flags",
        "listenerPath",
        "listenerMetadata",
        "comment",
    ])?;
    for name in ["listenerPath", "listenerMetadata"] {
        if top.text(name)?.is_some_and(|t| !t.is_empty()) {
            return Err(format!("{name}: there is nobody here to listen"));
        }
    }
    let errno = top.errno("defaultErrnoRet")?;
    let default = action(&top.path("defaultAction"), top.need("defaultAction")?, errno)?;
    let mut rules = Vec::new();
    for (index, entry) in top.list("syscalls")?.iter().enumerate() {
        let entry = Object::new(format!("syscalls[{index}]"), entry)?;
        syscall(&entry, here, table, &mut rules)?;
    }
    Ok(Profile { default, foreign: foreign(&top, here.arch)?, rules, flags: flags(&top)? })
}

/// A key of which only the last value would count. `text` is JSON.
fn given_twice(text: &[u8]) -> Option<String> {
    let mut open: Vec<Vec<String>> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'{' => open.push(Vec::new()),
            b'}' => drop(open.pop()),
            b'"' => {
                let start = at;
                at += 1;
                while text.get(at).is_some_and(|byte| *byte != b'"') {
                    at += if text[at] == b'\\' { 2 } else { 1 };
                }
                let mut rest = text.get(at + 1..)?.iter();
                if rest.find(|byte| !byte.is_ascii_whitespace()) == Some(&b':') {
                    let key: String = serde_json::from_slice(&text[start..=at]).ok()?;
                    let known = open.last_mut()?;
                    if known.contains(&key) {
                        return Some(key);
                    }
                    known.push(key);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// One entry of `syscalls`, unless it is for others.
fn syscall(
    entry: &Object<'_>,
    here: Circumstances,
    table: &Table,
    rules: &mut Vec<Rule>,
) -> Result<()> {
    entry.only(&[
        "name", "names", "action", "errnoRet", "errno", "args", "comment", "includes", "excludes",
        "priority",
    ])?;
    let mut names: Vec<String> = entry.text("name")?.into_iter().map(str::to_owned).collect();
    for name in entry.list("names")? {
        let name = name.as_str().ok_or_else(|| format!("{}: not a text", entry.path("names")))?;
        names.push(name.to_owned());
    }
    if names.is_empty() {
        return Err(format!("{}: empty", entry.path("names")));
    }
    if let Some(name) = names.iter().find(|name| !table.knows(name)) {
        return Err(format!("{}: no system call is called '{name}'", entry.path("names")));
    }
    let action = action(&entry.path("action"), entry.need("action")?, entry.errno("errnoRet")?)?;
    let conditions =
        entry.list("args")?.iter().enumerate().map(|(i, arg)| condition(entry, i, arg));
    let conditions: Vec<Condition> = conditions.collect::<Result<_>>()?;
    let included = matches(entry, "includes", here)?;
    let excluded = matches(entry, "excludes", here)?;
    if !included.all || excluded.any {
        return Ok(());
    }
    let indices = || conditions.iter().map(|c| c.index);
    let twice = indices().enumerate().any(|(at, i)| indices().skip(at + 1).any(|j| i == j));
    if !twice {
        rules.push(Rule { names, action, conditions });
        return Ok(());
    }
    // Two on one argument: docker and podman take them for alternatives.
    rules.extend(conditions.into_iter().map(|c| Rule {
        names: names.clone(),
        action,
        conditions: vec![c],
    }));
    Ok(())
}

fn condition(entry: &Object<'_>, at: usize, json: &Value) -> Result<Condition> {
    let arg = Object::new(format!("{}[{at}]", entry.path("args")), json)?;
    arg.only(&["index", "value", "valueTwo", "op"])?;
    let index = arg.number("index")?.ok_or_else(|| format!("{}: missing", arg.path("index")))?;
    if index > 5 {
        return Err(format!("{}: {index}, but arguments are 0 to 5", arg.path("index")));
    }
    let name = arg.need("op")?;
    let op = match name {
        "SCMP_CMP_NE" => Op::Ne,
        "SCMP_CMP_LT" => Op::Lt,
        "SCMP_CMP_LE" => Op::Le,
        "SCMP_CMP_EQ" => Op::Eq,
        "SCMP_CMP_GE" => Op::Ge,
        "SCMP_CMP_GT" => Op::Gt,
        "SCMP_CMP_MASKED_EQ" => Op::MaskedEq,
        _ => return Err(format!("{}: unknown comparison '{name}'", arg.path("op"))),
    };
    let value = arg.number("value")?.ok_or_else(|| format!("{}: missing", arg.path("value")))?;
    let second = arg.number("valueTwo")?.unwrap_or(0);
    Ok(Condition { index: index as u8, value, second, op })
}

fn action(path: &str, name: &str, errno: Option<u16>) -> Result<Action> {
    const EPERM: u16 = 1;
    Ok(match name {
        "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
        "SCMP_ACT_TRAP" => Action::Trap,
        "SCMP_ACT_ERRNO" => Action::Errno(errno.unwrap_or(EPERM)),
        "SCMP_ACT_TRACE" => Action::Trace(errno.unwrap_or(EPERM)),
        "SCMP_ACT_LOG" => Action::Log,
        "SCMP_ACT_ALLOW" => Action::Allow,
        "SCMP_ACT_NOTIFY" => {
            return Err(format!("{path}: SCMP_ACT_NOTIFY: there is nobody here to be notified"));
        }
        _ => return Err(format!("{path}: unknown action '{name}'")),
    })
}

struct Match {
    /// Every condition holds (or there is none).
    all: bool,
    /// At least one holds.
    any: bool,
}

/// `includes`, `excludes`: capabilities, machines, the kernel's version.
fn matches(entry: &Object<'_>, name: &str, here: Circumstances) -> Result<Match> {
    let mut found = Match { all: true, any: false };
    let Some(json) = entry.get(name) else { return Ok(found) };
    let filter = Object::new(entry.path(name), json)?;
    filter.only(&["caps", "arches", "minKernel"])?;
    let mut note = |holds: bool| {
        found.all &= holds;
        found.any |= holds;
    };
    for cap in filter.list("caps")? {
        let cap = cap.as_str().and_then(|c| c.strip_prefix("CAP_"));
        let cap = cap.ok_or_else(|| format!("{}: not a CAP_ name", filter.path("caps")))?;
        // One that is newer than this program nobody has.
        note(names::number(cap).is_some_and(|n| here.capabilities & 1 << n != 0));
    }
    let arches = filter.list("arches")?;
    if !arches.is_empty() {
        note(arches.iter().any(|a| a.as_str() == Some(here.arch.go_name())));
    }
    if let Some(text) = filter.text("minKernel")? {
        let version =
            text.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let version: (u32, u32) =
            version.ok_or_else(|| format!("{}: '{text}' is not N.M", filter.path("minKernel")))?;
        note(here.kernel >= version);
    }
    Ok(found)
}

/// The other machine languages that may be spoken, of those that this one understands.
fn foreign(top: &Object<'_>, own: Arch) -> Result<Vec<Arch>> {
    let mut names: Vec<&Value> = top.list("architectures")?.iter().collect();
    for (index, entry) in top.list("archMap")?.iter().enumerate() {
        let entry = Object::new(format!("archMap[{index}]"), entry)?;
        entry.only(&["architecture", "subArchitectures"])?;
        if entry.text("architecture")? == Some(own.scmp_name()) {
            names.extend(entry.list("subArchitectures")?);
        }
    }
    let mut found = Vec::new();
    for name in names {
        let text = name.as_str().filter(|n| n.starts_with("SCMP_ARCH_"));
        let text = text.ok_or_else(|| format!("architectures: {name} is no SCMP_ARCH_ name"))?;
        found.extend(own.understands().iter().filter(|a| a.scmp_name() == text));
    }
    Ok(found)
}

fn flags(top: &Object<'_>) -> Result<u32> {
    let mut flags = 0;
    for flag in top.list("flags")? {
        flags |= match flag.as_str() {
            // One thread: there is nothing to synchronize.
            Some("SECCOMP_FILTER_FLAG_TSYNC") => 0,
            Some("SECCOMP_FILTER_FLAG_LOG") => 2,
            Some("SECCOMP_FILTER_FLAG_SPEC_ALLOW") => 4,
            _ => return Err(format!("flags: unknown flag {flag}")),
        };
    }
    Ok(flags)
}

/// The capabilities that are named anywhere in a profile.
#[allow(dead_code, reason = "build.rs asks")]
pub fn capabilities(json: &Value) -> u64 {
    match json {
        Value::String(text) => {
            let number = text.strip_prefix("CAP_").and_then(names::number);
            number.map_or(0, |n| 1 << n)
        }
        Value::Array(list) => list.iter().map(capabilities).fold(0, |a, b| a | b),
        Value::Object(map) => map.values().map(capabilities).fold(0, |a, b| a | b),
        _ => 0,
    }
}

/// A JSON object, and where it stands.
struct Object<'a> {
    at: String,
    map: &'a serde_json::Map<String, Value>,
}

impl<'a> Object<'a> {
    fn new(at: String, json: &'a Value) -> Result<Object<'a>> {
        let shown = if at.is_empty() { "the profile" } else { &at };
        let map = json.as_object().ok_or_else(|| format!("{shown}: not an object {{...}}"))?;
        Ok(Object { at, map })
    }

    fn path(&self, name: &str) -> String {
        if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) }
    }

    fn only(&self, known: &[&str]) -> Result<()> {
        match self.map.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(format!("{}: unknown", self.path(key))),
            None => Ok(()),
        }
    }

    /// null is as good as absent.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|v| !v.is_null())
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>> {
        let text =
            |v: &'a Value| v.as_str().ok_or_else(|| format!("{}: not a text", self.path(name)));
        self.get(name).map(text).transpose()
    }

    fn need(&self, name: &str) -> Result<&'a str> {
        self.text(name)?.ok_or_else(|| format!("{}: missing", self.path(name)))
    }

    fn number(&self, name: &str) -> Result<Option<u64>> {
        let number = |v: &Value| {
            v.as_u64().ok_or_else(|| format!("{}: not a whole number", self.path(name)))
        };
        self.get(name).map(number).transpose()
    }

    fn errno(&self, name: &str) -> Result<Option<u16>> {
        match self.number(name)? {
            Some(n) if n > 4095 => Err(format!("{}: {n} is no error number", self.path(name))),
            n => Ok(n.map(|n| n as u16)),
        }
    }

    fn list(&self, name: &str) -> Result<&'a [Value]> {
        let list =
            |v: &'a Value| v.as_array().ok_or_else(|| format!("{}: not a list", self.path(name)));
        Ok(self.get(name).map(list).transpose()?.map_or(&[], Vec::as_slice))
    }
}
