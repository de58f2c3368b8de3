use super::*;
use crate::spec::Swap;

#[test]
fn without_limits_nothing_is_planned() {
    let out = plan(&Layout::default(), &Limits::default(), None, "a", false).expect("planned");
    assert_eq!(out, Cgroups::default());
    assert!(container_view(&out).is_empty());
}

fn limits() -> Limits {
    Limits { memory: Some(200 << 20), pids: Some(64), ..Limits::default() }
}

/// A host whose mounts are all somewhere else.
fn nowhere() -> Layout {
    let mountinfo = "1 0 0:5 / /no/mem rw - cgroup cgroup rw,memory\n\
                     2 0 0:6 / /no/pids rw - cgroup cgroup rw,pids\n";
    Layout::of(mountinfo, "2:memory:/\n1:pids:/\n")
}

#[test]
fn what_cannot_be_had_is_an_error_for_root_and_a_warning_for_others() {
    let e = plan(&nowhere(), &limits(), None, "a", false).expect_err("refused");
    assert_eq!(
        e.to_string().lines().next(),
        Some("--mem 200M: /no/mem: No such file or directory (ENOENT)")
    );
    assert_eq!(e.code as i32, 125);
    let out = plan(&nowhere(), &limits(), None, "a", true).expect("planned");
    assert!(out.dirs.is_empty() && out.writes.is_empty() && out.join == Join::default());
    assert_eq!(out.warnings.len(), 2);
    assert!(out.warnings[0].starts_with("--mem 200M is not enforced: "), "{}", out.warnings[0]);
    assert!(memory_report(&out).is_none());
}

#[test]
fn one_warning_for_one_reason() {
    let layout = Layout::of("", "");
    let unmet: Vec<Unmet> = ["--mem 1G", "--cpus 2"]
        .map(|asked| Unmet { asked: asked.into(), reason: "no".into(), hint: "do".into() })
        .into();
    let mut warnings = Vec::new();
    warn(&unmet, &mut warnings);
    assert_eq!(warnings, ["--mem 1G, --cpus 2 are not enforced: no\nhint: do"]);
    assert!(plan(&layout, &limits(), None, "a", true).is_ok_and(|c| !c.warnings.is_empty()));
}

#[test]
fn values_are_checked_before_the_host_is() {
    let bad = Limits { memory_swap: Some(Swap::Total(1)), ..limits() };
    for rootless in [false, true] {
        let e = plan(&nowhere(), &bad, None, "a", rootless).expect_err("refused");
        assert!(e.to_string().starts_with("--memory-swap 1: less than --mem 200M"));
    }
}

#[test]
fn plain_files_are_never_made_or_written() {
    let dir = std::env::temp_dir().join(format!("launch-test-plain-{}", std::process::id()));
    std::fs::create_dir(&dir).expect("made");
    let file = dir.join("memory.max");
    let w = Write {
        file: file.clone(),
        value: "1".into(),
        option: "--mem",
        asked: "--mem 1".into(),
        undo: None,
    };
    let e = write(&w).expect_err("refused");
    assert!(e.to_string().starts_with(&format!("--mem 1: write 1 to {}: No such", file.display())));
    assert!(!file.exists());
    // A left-over record may name what is no cgroup any more.
    assert_eq!(clear_left_over(&dir).ok(), Some(false));
    assert!(dir.exists());
    std::fs::remove_dir(&dir).expect("removed");
    assert!(remove(&dir).is_ok(), "not being there is fine");
}

#[test]
fn the_view_shows_only_what_carries_a_limit() {
    let joined = |unified: Option<&str>, carried: &[&str]| {
        let join = Join { tasks: Vec::new(), unified: unified.map(PathBuf::from) };
        let carried = carried.iter().map(|c| (*c).to_owned()).collect();
        let groups = Cgroups { join, carried, ..Cgroups::default() };
        let view = container_view(&groups);
        view.into_iter()
            .map(|m| format!("{} {} {}", m.fstype, m.target, m.data))
            .collect::<Vec<_>>()
    };
    assert_eq!(joined(None, &[]), Vec::<String>::new());
    assert_eq!(joined(Some("/x"), &[]), ["cgroup2  "]);
    assert_eq!(
        joined(None, &["cpu,cpuacct"]),
        ["tmpfs  mode=755,size=64k", "cgroup cpu,cpuacct cpu,cpuacct"]
    );
    assert_eq!(joined(Some("/x"), &["pids"]).last().map(String::as_str), Some("cgroup2 unified "));
}
