//! The words and shell commands of what the parent does.

use super::{flag_names, ids, limit_words, quote, quote_path, unshare_options};
use crate::record::File;
use crate::step::HostStep;

pub fn host_words(step: &HostStep) -> String {
    match step {
        HostStep::Record { id, .. } => {
            format!("record container {id}, so that others find it and can clear up")
        }
        HostStep::Enter { name, kinds, .. } => {
            format!("enter the namespaces ({}) of container {name}", flag_names(*kinds))
        }
        HostStep::MakeFile { file: File::Log, .. } => "make a log for its output".into(),
        HostStep::MakeFile { file: File::Report, .. } => {
            "make a file for its init's reports".into()
        }
        HostStep::ToJournal { .. } => "open a stream to the journal for its output".into(),
        HostStep::WriteFile { option, path, .. } => format!("{option} {}: write", path.display()),
        HostStep::OomScore(score) => format!("set oom_score_adj to {score}"),
        HostStep::NoteProcess => "note its process 1 in the record".into(),
        HostStep::MakeCgroup(dir) => format!("make cgroup {}", dir.display()),
        HostStep::WriteCgroup(w) => limit_words(w),
        HostStep::Sweep => "clear up what launchers that died have left".into(),
        HostStep::NewNetwork => "make a network namespace for it".into(),
        HostStep::LoopbackUp => "bring loopback up in it".into(),
        HostStep::Net(step) => step.words(),
        HostStep::FilterDevices { program, .. } => {
            format!("let a program decide about devices (eBPF, {} steps)", program.len())
        }
        HostStep::Clone { flags, cgroup } => match cgroup {
            Some(dir) => format!(
                "clone into new namespaces ({}) and cgroup {}",
                flag_names(*flags),
                dir.display()
            ),
            None if *flags == 0 => "clone".into(),
            None => format!("clone into new namespaces ({})", flag_names(*flags)),
        },
        HostStep::MapIds(map) => ids::words(map),
        HostStep::SendTree(tree) => ids::tree_words(tree),
        HostStep::Spread => "put the child on another processor than ours".into(),
        HostStep::Go => "let the child go on".into(),
    }
}

pub fn host_shell(step: &HostStep) -> Vec<String> {
    match step {
        HostStep::MakeCgroup(dir) => vec![format!("mkdir {}", quote_path(dir))],
        HostStep::WriteCgroup(w) => {
            vec![format!("echo {} > {}", quote(w.value.as_bytes()), quote_path(&w.file))]
        }
        HostStep::Enter { pid, kinds, .. } => {
            vec![format!("nsenter --target {} {}...", pid.as_raw_pid(), unshare_options(*kinds))]
        }
        HostStep::Clone { flags: 0, .. } | HostStep::Sweep => Vec::new(),
        HostStep::Clone { flags, cgroup } => {
            let mut out = vec![format!("unshare {}--fork ...", unshare_options(*flags))];
            if let Some(dir) = cgroup {
                out.insert(0, format!("echo $$ > {}", quote_path(&dir.join("cgroup.procs"))));
            }
            out
        }
        HostStep::Net(step) => step.shell(),
        HostStep::FilterDevices { dir, .. } => {
            vec![format!("bpftool cgroup attach {} cgroup_device ...", quote_path(dir))]
        }
        HostStep::OomScore(score) => vec![format!("choom -n {score} -p $$")],
        HostStep::Spread => vec!["taskset --pid $OTHERS $CHILD".into()],
        HostStep::NewNetwork => vec!["unshare --net ...".into()],
        HostStep::LoopbackUp => vec!["ip link set lo up".into()],
        HostStep::MapIds(map) => ids::shell(map),
        HostStep::SendTree(tree) => ids::tree_shell(tree),
        HostStep::Record { .. }
        | HostStep::MakeFile { .. }
        | HostStep::ToJournal { .. }
        | HostStep::WriteFile { .. }
        | HostStep::NoteProcess
        | HostStep::Go => Vec::new(),
    }
}
