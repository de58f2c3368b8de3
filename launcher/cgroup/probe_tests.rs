use super::*;

/// This hybrid: version 1 for nearly all, an empty version 2 beside it.
const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpuacct,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 master:2 - cgroup cgroup rw,memory
36 31 0:36 / /sys/fs/cgroup/pids ro,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
";
const HYBRID_OWN: &str = "\
8:pids:/
4:memory:/user.slice/a:b
3:cpuset:/
1:cpu,cpuacct:/x
5:name=systemd:/init.scope
0::/init.scope
";

fn own(mount: &Mount) -> &str {
    mount.own.as_deref().and_then(Path::to_str).unwrap_or("none")
}

#[test]
fn a_hybrid_host() {
    let layout = Layout::of(HYBRID, HYBRID_OWN);
    let memory = layout.v1_of("memory").expect("mounted");
    assert_eq!(memory.controllers, "memory");
    assert_eq!(own(&memory.mounts[0]), "/sys/fs/cgroup/memory/user.slice/a:b");
    assert_eq!(memory.mounts[0].device, Some((0, 32)));
    assert!(memory.mounts[0].whole && !memory.mounts[0].read_only && !memory.mounts[0].v2);

    // Mounted together, and named in another order by the mount.
    let cpu = layout.v1_of("cpu").expect("mounted");
    assert_eq!(cpu.controllers, "cpu,cpuacct");
    assert_eq!(own(&cpu.mounts[0]), "/sys/fs/cgroup/cpu,cpuacct/x");
    assert_eq!(layout.v1_of("cpuacct"), Some(cpu));

    assert!(layout.v1_of("pids").is_some_and(|h| h.mounts[0].read_only));
    assert_eq!(layout.v1_of("cpuset"), None, "known, but not mounted");
    assert_eq!(layout.v1_of("name=systemd"), None);
    assert_eq!(layout.v1_of(""), None);
    let unified = layout.unified().expect("mounted");
    assert_eq!(own(&unified.mounts[0]), "/sys/fs/cgroup/unified/init.scope");
}

#[test]
fn a_container_without_a_cgroup_namespace() {
    let mountinfo = "9 8 0:32 /docker/1f /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
    let find = |path: &str| {
        let layout = Layout::of(mountinfo, &format!("4:memory:{path}\n"));
        layout.v1_of("memory").map(|h| own(&h.mounts[0]).to_owned())
    };
    assert_eq!(find("/docker/1f").as_deref(), Some("/sys/fs/cgroup/memory"));
    assert_eq!(find("/docker/1f/in/it").as_deref(), Some("/sys/fs/cgroup/memory/in/it"));
    for outside in ["/docker/1", "/docker/1f0", "/", "/docker/1f/../2", "/../x", "", "x"] {
        assert_eq!(find(outside).as_deref(), Some("none"), "{outside}");
    }
}

#[test]
fn a_mount_from_outside_of_our_cgroup_namespace() {
    let mountinfo = "9 8 0:32 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    let unified = Layout::of(mountinfo, "0::/\n").unified().expect("mounted");
    assert_eq!(own(&unified.mounts[0]), "none");
    assert!(!unified.mounts[0].whole);
}

#[test]
fn several_mounts_and_covered_ones() {
    let mountinfo = "\
1 0 0:5 / /a rw - cgroup2 cgroup2 rw
2 0 0:9 / /b rw - cgroup cgroup rw,memory
3 0 0:5 /sub /b rw - cgroup2 none rw
4 0 0:5 /sub /c\\040d\\134e rw - cgroup2 none ro
";
    let layout = Layout::of(mountinfo, "7:memory:/\n0::/sub/x\n");
    assert_eq!(layout.v1_of("memory"), None, "/b is another mount now");
    let unified = layout.unified().expect("mounted");
    let dirs: Vec<&str> = unified.mounts.iter().map(own).collect();
    assert_eq!(dirs, ["/a/sub/x", "/b/x", "/c d\\e/x"]);
    assert_eq!(
        unified.mounts.iter().map(|m| m.read_only).collect::<Vec<_>>(),
        [false, false, true]
    );
}

#[test]
fn controllers_that_only_look_alike() {
    let layout = Layout::of(HYBRID, "1:cpu:/\n2:mem:/\n0:memory:/\nx::/\n3:\n\n4\n:::\n");
    assert!(layout.v1_of("cpu").is_some());
    assert!(layout.v1_of("mem").is_none());
    assert!(layout.unified().is_none());
}

#[test]
fn lines_that_are_not_understood_are_skipped() {
    for bad in [
        "1 0 0:5 / /a rw - cgroup2",
        "1 0 0:5 / /a rw - cgroup2 x",
        "1 0 0:5 / /a rw cgroup2 x rw - cgroup",
        "1 0 05 / /a rw - cgroup2 x rw",
        "1 0 a:b / /a rw - cgroup2 x rw",
        "1 0 0:5 / /a\\04 rw - cgroup2 x rw",
        "1 0 0:5 / /a\\999 rw - cgroup2 x rw",
        "1 0 0:5 / /a\\777 rw - cgroup2 x rw",
        "1 0 0:5 / /a\\377 rw - cgroup2 x rw",
        "1 0 0:5 / /a\\+12 rw - cgroup2 x rw",
        "1 0 0:5 / /a rw - cgroupfs x rw",
        "1 0 0:5 / /a rw - fuse - cgroup2 x rw",
        " - cgroup2 x rw",
    ] {
        assert!(mount_line(bad).is_none(), "{bad}");
    }
    assert!(mount_line("1 0 0:5 / /a rw - cgroup cgroup rw,noprefix,cpuset").is_none());
    // Any cut of a good file: no panic.
    for end in 0..HYBRID.len() {
        let _ = Layout::of(&HYBRID[..end], HYBRID_OWN).v1_of("memory");
        let _ = Layout::of(HYBRID, &HYBRID_OWN[..end.min(HYBRID_OWN.len())]).v1_of("cpu");
    }
}

#[test]
fn octal_escapes() {
    assert_eq!(unescape("a\\040b\\011\\012\\134040").as_deref(), Some("a b\t\n\\040"));
    assert_eq!(unescape("\\303\\251").as_deref(), Some("\u{e9}"));
    assert_eq!(unescape("a\\"), None);
    assert_eq!(unescape("\\04\u{e9}"), None);
}

#[test]
fn a_plain_directory_is_not_a_cgroup() {
    assert_eq!(is_cgroup(Path::new("/")), None);
    assert_eq!(is_cgroup(Path::new("/no/such")), None);
    let mount = Mount { device: Some((0, 0)), ..Mount::default() };
    assert!(mount.verify(Path::new("/")).is_err_and(|e| e.contains("not a cgroup directory")));
    assert!(mount.verify(Path::new("/no")).is_err_and(|e| e.contains("ENOENT")));
}

#[test]
fn any_mountinfo_and_cgroup_file() {
    let text = format!("{HYBRID}\0{HYBRID_OWN}");
    crate::fuzz::fuzz_text(&[&text, "1 2 0:3 /\\040x /y rw - cgroup2 c rw\x000::/../x"], |text| {
        let (mounts, own) = text.split_once('\0').unwrap_or((text, HYBRID_OWN));
        let layout = Layout::of(mounts, own);
        for name in ["memory", "cpu", "pids", "cpuset"] {
            // Nothing is ever found above the place where it is mounted.
            let all = layout.v1_of(name).into_iter().chain(layout.unified());
            for mount in all.flat_map(|h| h.mounts) {
                let below = |own: &PathBuf| own.starts_with(&mount.point);
                assert!(mount.own.as_ref().is_none_or(below), "{mount:?}");
            }
        }
    });
}
