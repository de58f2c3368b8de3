//! `launch inspect`: what was asked for, and the facts of the moment, as JSON.

use crate::cgroup::Usage;
use crate::error::Result;
use crate::format::{self, Format};
use crate::list;
use crate::net;
use crate::record::{self, Found, Life};
use crate::spec::{Id, Limits, MountOp, Net, Spec, Swap, Tty};
use rustix::process::Pid;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::path::Path;

pub fn inspect(names: &[String], format: Option<&Format>) -> Result<String> {
    let list: Result<Vec<Found>> = names.iter().map(|n| record::find(n.as_ref())).collect();
    let list = list?;
    match format {
        None | Some(Format::Json) => Ok(format!("{:#}\n", list.iter().map(one).collect::<Value>())),
        Some(format) => {
            format::show(format, &list.iter().map(|f| with_dockers(f, one(f))).collect::<Vec<_>>())
        }
    }
}

/// What docker's users ask for, where docker has it.
fn with_dockers(f: &Found, mut all: Value) -> Value {
    let null = Value::Null;
    let spec = |key: &str| all.get("spec").and_then(|s| s.get(key)).unwrap_or(&null);
    let words = spec("command").as_array().cloned().unwrap_or_default();
    let running = f.life == Life::Running;
    let mut leases = net::Leases::default();
    let leases = leases.of(&f.entry.items);
    let networks =
        leases.iter().map(|l| (l.bridge.clone(), json!({"IPAddress": l.ip.to_string()})));
    let image = all.get("image").unwrap_or(&all["rootfs"]);
    let more = json!({
        "Id": f.name,
        "Created": all["started"],
        "Path": words.first(),
        "Args": words.get(1..),
        "Image": image,
        "RestartCount": all["restarts"],
        "State": {
            "Status": all["status"],
            "Running": running,
            "Paused": all["status"] == "paused",
            "Pid": all["pid"].as_i64().unwrap_or(0),
            "ExitCode": all["exit_code"].as_i64().unwrap_or(0),
            "OOMKilled": all["out_of_memory"] == true,
            "StartedAt": all["started"],
            "FinishedAt": all["ended"],
        },
        "Config": {
            "Image": all["rootfs"],
            "Cmd": words,
            "Env": all["environment"],
            "Hostname": spec("hostname").as_str().unwrap_or(&f.name),
            "User": spec("user"),
            "WorkingDir": spec("workdir"),
            "Tty": spec("tty") == "always",
            "StopSignal": spec("stop_signal"),
            "Labels": all["labels"],
        },
        "HostConfig": {
            "Memory": spec("limits")["memory"].as_u64().unwrap_or(0),
            "PidsLimit": spec("limits")["pids"],
            "NetworkMode": spec("net"),
            "Privileged": spec("privileged"),
            "ReadonlyRootfs": spec("read_only"),
        },
        "NetworkSettings": {
            "IPAddress": leases.first().map(|l| l.ip.to_string()),
            "Networks": networks.collect::<Value>(),
            "Ports": all["ports"],
        },
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
        all.extend(more);
    }
    all
}

fn one(f: &Found) -> Value {
    let mut value = list::facts(f);
    let mut add = |key: &str, what: Value| {
        if let Value::Object(map) = &mut value {
            map.insert(key.to_owned(), what);
        }
    };
    add("record", text(f.place.join(&f.name).as_os_str()));
    add("argv", f.entry.facts.argv.iter().map(|w| text(w)).collect());
    add("directory", text(f.entry.facts.cwd.as_os_str()));
    add("environment", f.entry.facts.env.iter().map(|w| text(w)).collect());
    add("cgroups", f.cgroups().map(|d| text(d.as_os_str())).collect());
    if !f.entry.facts.image_id.is_empty() {
        add("image", f.entry.facts.image_id.as_str().into());
    }
    if let Ok(spec) = f.settled_spec() {
        add("spec", self::spec(&spec));
    }
    if let (Life::Running, Ok((pid, _))) = (f.life, f.process()) {
        add("namespaces", namespaces(pid));
        let usage = Usage::of(f.cgroups());
        add(
            "usage",
            json!({
                "memory": usage.memory,
                "memory_limit": usage.memory_limit,
                "cpu_microseconds": usage.cpu,
                "processes": usage.pids,
                "processes_limit": usage.pids_limit,
            }),
        );
    }
    value
}

fn text(bytes: &OsStr) -> Value {
    bytes.to_string_lossy().into()
}

/// Kind and inode, as /proc/PID/ns shows them.
fn namespaces(pid: Pid) -> Value {
    let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];
    let inode = |kind: &str| {
        let path = format!("/proc/{}/ns/{kind}", pid.as_raw_pid());
        rustix::fs::stat(Path::new(&path)).ok().map(|s| s.st_ino)
    };
    kinds.iter().map(|kind| ((*kind).to_owned(), Value::from(inode(kind)))).collect::<Value>()
}

fn spec(s: &Spec) -> Value {
    let path = |p: &Path| text(p.as_os_str());
    let id = |id: &Id| match id {
        Id::Number(n) => Value::from(*n),
        Id::Name(name) => Value::from(name.as_str()),
    };
    json!({
        "rootfs": path(&s.rootfs),
        "command": s.command.iter().map(|w| text(w)).collect::<Value>(),
        "user": s.user.as_ref().map(|u| id(&u.user)),
        "group": s.user.as_ref().and_then(|u| u.group.as_ref()).map(id),
        "workdir": s.workdir.as_deref().map(path),
        "hostname": s.hostname,
        "read_only": s.read_only,
        "ephemeral": s.ephemeral,
        "mounts": s.mounts.iter().map(mount).collect::<Value>(),
        "volumes": s.volumes.iter().map(|v| path(v)).collect::<Value>(),
        "limits": limits(&s.limits),
        "net": net_of(&s.net),
        "ports": s.net_options.ports.len(),
        "init": !s.no_init,
        "tty": match s.tty {
            Tty::Auto => "auto",
            Tty::Always => "always",
            Tty::Never => "never",
        },
        "capabilities_added": names(s.caps.add),
        "capabilities_dropped": names(s.caps.drop),
        "privileged": s.caps.privileged,
        "new_privileges": s.new_privileges,
        "stop_timeout": s.stop_timeout,
        "stop_signal": s.stop_signal.unwrap_or(libc::SIGTERM),
    })
}

fn net_of(net: &Net) -> Value {
    match net {
        Net::None => "none".into(),
        Net::Host => "host".into(),
        Net::UserMode(program) => program.name().into(),
        Net::Container(name) => format!("container:{name}").into(),
        Net::Namespace(path) => format!("ns:{}", path.display()).into(),
        Net::ForPorts => Value::Null,
        Net::Bridge(names) => names.iter().map(|n| format!("bridge:{n}")).collect(),
    }
}

fn names(set: u64) -> Value {
    (0..64).filter(|n| set & (1 << n) != 0).filter_map(crate::cli::caps::name).collect()
}

fn mount(m: &MountOp) -> Value {
    match m {
        MountOp::Bind { source, target, read_only, throw_away, .. } => json!({
            "type": if *throw_away { "overlay" } else { "bind" },
            "source": text(source.as_os_str()),
            "target": text(target.as_os_str()),
            "read_only": read_only,
        }),
        MountOp::Tmpfs { target, flags, data } => json!({
            "type": "tmpfs",
            "target": text(target.as_os_str()),
            "read_only": flags.read_only,
            "options": data,
        }),
    }
}

fn limits(l: &Limits) -> Value {
    json!({
        "memory": l.memory,
        "memory_swap": l.memory_swap.map(|s| match s {
            Swap::Total(bytes) => bytes as i64,
            Swap::Unlimited => -1,
        }),
        "cpus": l.cpus_milli.map(|m| m as f64 / 1000.0),
        "cpu_shares": l.cpu_shares,
        "cpu_weight": l.cpu_weight,
        "pids": l.pids,
        "cpuset_cpus": l.cpuset_cpus,
        "memory_reservation": l.memory_reservation,
        "io": l.io.iter().map(|io| json!({
            "device": io.device.to_string_lossy(),
            "kind": format!("{:?}", io.kind),
            "rate": io.rate,
        })).collect::<Vec<_>>(),
    })
}
