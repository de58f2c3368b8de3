//! `launch inject ROOTFS`.

use crate::common::*;
use std::process::Command;

fn inject(path: &std::path::Path) -> Run {
    let mut c = Command::new(launch());
    c.arg("inject").arg(path);
    Run::of(c)
}

#[test]
fn puts_init_there_keeps_the_old_one_and_says_so() {
    let Some(s) = Sandbox::new() else { return };
    s.file("/sbin/init", "#!/bin/sh\necho old", 0o755);
    let init = s.rootfs().join("sbin/init").display().to_string();
    let out = inject(&s.rootfs()).ok();
    let size = std::fs::metadata(&init).unwrap().len();
    let want = format!(
        "{init}: was a file of 18 bytes, kept as /sbin/init.orig\n{init}: launch's init, {size} bytes"
    );
    assert_eq!(out, want);
    assert_eq!(
        std::fs::read_to_string(s.rootfs().join("sbin/init.orig")).unwrap(),
        "#!/bin/sh\necho old"
    );
    assert_eq!(inject(&s.rootfs()).ok(), format!("{init}: already launch's init, nothing changed"));
    let names = std::fs::read_dir(s.rootfs().join("sbin")).unwrap().count();
    assert_eq!(names, 2);
}

#[test]
fn the_injected_init_works_as_process_one_by_hand() {
    let Some(s) = Sandbox::new() else { return };
    inject(&s.rootfs()).expect(0);
    // As the launcher's own payload it is process 1.
    assert_eq!(
        s.run(&["--no-init"], &["/sbin/init", "sh", "-c", "echo $$ $PPID; exit 9"]).expect(9).out,
        "2 1\n"
    );
    // And below another init.
    assert_eq!(
        s.run(&[] as &[&str], &["/sbin/init", "--", "sh", "-c", "exit 8"]).expect(8).err,
        ""
    );
}

#[test]
fn makes_sbin_and_follows_a_link_that_stays_inside() {
    let s = Sandbox::empty();
    inject(&s.rootfs()).expect(0);
    assert!(s.rootfs().join("sbin/init").is_file());
    std::fs::remove_dir_all(s.rootfs().join("sbin")).unwrap();
    std::fs::create_dir_all(s.rootfs().join("usr/sbin")).unwrap();
    s.link("/sbin", "usr/sbin");
    inject(&s.rootfs()).expect(0);
    assert!(s.rootfs().join("usr/sbin/init").is_file());
}

#[test]
fn never_writes_outside() {
    let s = Sandbox::empty();
    let canary = s.canary();
    s.link("/sbin", "../../x");
    inject(&s.rootfs())
        .fails(125, &["/sbin: a symbolic link there leads out of the rootfs\nhint: "]);
    for target in [canary.path().to_owned(), "../canary".into()] {
        s.link("/sbin", &target);
        inject(&s.rootfs()).fails(125, &["/sbin", "symbolic link"]);
        canary.check();
    }
    // A link at init itself is replaced, not followed.
    let _ = std::fs::remove_file(s.rootfs().join("sbin"));
    s.link("/sbin/init", canary.path().join("init"));
    inject(&s.rootfs()).expect(0);
    canary.check();
    assert!(s.rootfs().join("sbin/init").symlink_metadata().unwrap().is_file());
}

#[test]
fn refuses_what_is_no_rootfs() {
    let s = Sandbox::empty();
    let file = s.file("/file", "", 0o644);
    inject(&file).fails(125, &["launch: rootfs ", "Not a directory (ENOTDIR)"]);
    inject(&s.dir.join("none")).fails(125, &["No such file or directory (ENOENT)"]);
    inject("/".as_ref()).fails(125, &["refusing to replace the init of this machine"]);
    s.link("/sbin", "nowhere");
    inject(&s.rootfs()).fails(125, &["/sbin, a symbolic link to nowhere"]);
}
