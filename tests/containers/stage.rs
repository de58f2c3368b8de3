//! `launch stage`: root file systems made from the host's own programs.

use crate::common::*;
use std::path::Path;
use std::process::Command;

/// Skips where the host lacks one of the programs, as in a virtual machine of busybox alone.
fn sandbox(programs: &[&str]) -> Option<Sandbox> {
    let dirs = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let there = |p: &&&str| dirs.iter().any(|d| Path::new(d).join(p).exists());
    let missing = programs.iter().find(|p| !there(p));
    need(
        missing.is_none().then_some(()),
        &format!("needs {} on the host", missing.unwrap_or(&"")),
    )?;
    Some(Sandbox::empty())
}

/// Not below /tmp, which every container has afresh.
struct Elsewhere(std::path::PathBuf);

impl Elsewhere {
    fn new(name: &str) -> Elsewhere {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("stage-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Elsewhere(dir)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn stage(s: &Sandbox, words: &[&str]) -> Run {
    let mut c = Command::new(launch());
    c.arg("stage").args(words).current_dir(&s.dir);
    Run::of(c)
}

fn run(s: &Sandbox, options: &[&str], script: &str) -> Run {
    let mut c = Command::new(launch());
    c.args(options).args(["./root", "bash", "-c", script]).current_dir(&s.dir);
    Run::of(c)
}

#[test]
fn programs_of_debian_run() {
    let all =
        ["bash", "ls", "ps", "nc", "ip", "python3", "redis-server", "nginx", "sleep", "redis-cli"];
    let Some(s) = sandbox(&all) else { return };
    let said = stage(&s, &[&["./root"][..], &all].concat()).ok();
    for line in
        ["  /usr/bin/bash\n", "/libc.so.6\n", "/lib/python3.", "  /sbin/init\n", "below ./root"]
    {
        assert!(said.contains(line), "{line}: {said}");
    }
    let script = "ls -d /etc; ps -o comm= 1; ip -o addr show lo | grep -q 127.0.0.1; echo $?
        python3 -c 'import ssl, json, sqlite3, ctypes; print(json.dumps([1]))'
        redis-server --save '' >/tmp/redis & nginx -g 'daemon off;' 2>/tmp/nginx &
        for n in 1 2 3 4 5 6 7 8 9; do sleep 0.2; redis-cli ping && break; done 2>/dev/null
        printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -N 127.0.0.1 80 | { read -r a b c; echo $b; }";
    let script = script.replace(
        "grep -q 127.0.0.1; echo $?",
        "{ read -r line; [[ $line == *127.0.0.1* ]]; echo $?; }",
    );
    assert_eq!(run(&s, &["--ephemeral"], &script).ok(), "/etc\ninit\n0\n[1]\nPONG\n200");
}

#[test]
fn links_are_kept_and_what_is_there_stays() {
    let Some(s) = sandbox(&["bash", "ls", "sh"]) else { return };
    stage(&s, &["./root", "sh"]).ok();
    let root = s.dir.join("root");
    let same = |name: &str| {
        let host = std::fs::read_link(Path::new("/").join(name)).ok();
        assert_eq!(std::fs::read_link(root.join(name)).ok(), host, "{name}");
    };
    ["bin", "lib", "bin/sh"].iter().for_each(|name| same(name));
    std::fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\nme:x:7:7::/:/bin/sh\n")
        .unwrap();
    let before = snapshot(&root.join("etc"));
    stage(&s, &["./root", "bash", "ls"]).ok();
    stage(&s, &["./root", "bash", "ls"]).ok();
    assert!(before == snapshot(&root.join("etc")));
    let out =
        run(&s, &["-u", "me"], "id 2>/dev/null; echo $UID; ls -d /bin/ls; /bin/sh -c 'echo sh'")
            .ok();
    assert_eq!(out, "7\n/bin/ls\nsh");
}

/// A directory where the host has a link gets the files itself.
#[test]
fn into_a_root_with_directories_of_its_own() {
    let Some(s) = sandbox(&["bash"]) else { return };
    for dir in ["root/bin", "root/lib", "root/lib64", "root/usr/bin"] {
        std::fs::create_dir_all(s.dir.join(dir)).unwrap();
    }
    stage(&s, &["./root", "/bin/bash"]).ok();
    assert!(s.dir.join("root/bin/bash").is_file());
    assert_eq!(run(&s, &[], "echo $BASH").ok(), "/bin/bash");
}

/// No link of the tree leads anything out of it.
#[test]
fn a_hostile_tree_is_not_followed() {
    let Some(s) = sandbox(&["bash"]) else { return };
    let canary = s.canary();
    for link in ["bin", "lib", "lib64", "usr", "etc", "sbin", "usr/bin", "etc/passwd"] {
        let root = s.dir.join("root");
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(root.join(link).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(canary.path(), root.join(link)).unwrap();
        stage(&s, &["./root", "bash", "--user", "app"]);
        canary.check();
    }
}

#[test]
fn scripts_bring_their_interpreters() {
    let Some(s) = sandbox(&["env", "bash", "dash"]) else { return };
    let elsewhere = Elsewhere::new("scripts");
    for (name, first) in [("one", "#!/bin/sh -e"), ("two", "#!/usr/bin/env bash")] {
        let path = elsewhere.0.join(name);
        std::fs::write(&path, format!("{first}\necho {name}\n")).unwrap();
        set_mode(&path, 0o755);
        stage(&s, &["./root", path.to_str().unwrap()]).ok();
        let mut c = Command::new(launch());
        c.arg("./root").arg(&path).current_dir(&s.dir);
        assert_eq!(Run::of(c).ok(), name);
    }
    let bad = s.dir.join("bad");
    std::fs::write(&bad, "#!/no/such/interpreter\n").unwrap();
    stage(&s, &["./new", "./bad"]).fails(125, &["bad: its interpreter: ", "/no/such/interpreter"]);
}

#[test]
fn libraries_by_rpath_and_cache() {
    let Some(s) = sandbox(&["cc", "bash"]) else { return };
    let elsewhere = Elsewhere::new("libraries");
    let dir = &elsewhere.0;
    let lib = dir.join("opt/lib");
    std::fs::create_dir_all(&lib).unwrap();
    std::fs::create_dir_all(dir.join("opt/bin")).unwrap();
    let cc = |args: &[&str], source: &str| {
        std::fs::write(dir.join("x.c"), source).unwrap();
        let status = Command::new("cc").args(args).arg("x.c").current_dir(dir).status();
        assert!(status.unwrap().success());
    };
    // libb is asked for by liba only, and found by what the program says (DT_RPATH).
    cc(
        &["-shared", "-fPIC", "-o", "opt/lib/libb.so.2", "-Wl,-soname,libb.so.2", "-xc"],
        "int b(void) { return 7; }",
    );
    std::os::unix::fs::symlink("libb.so.2", lib.join("libb.so")).unwrap();
    cc(
        &["-shared", "-fPIC", "-o", "opt/lib/liba.so", "-Wl,-soname,liba.so", "-xc"],
        "int b(void); int a(void) { return b(); }",
    );
    let flags = ["-o", "opt/bin/app", "-Lopt/lib", "-Wl,--disable-new-dtags,-rpath,$ORIGIN/../lib"];
    std::fs::write(dir.join("x.c"), "int a(void); int main(void) { return a(); }").unwrap();
    let status = Command::new("cc")
        .args(flags)
        .args(["x.c", "opt/lib/liba.so", "-Wl,-rpath-link,opt/lib", "opt/lib/libb.so.2"])
        .current_dir(dir)
        .status();
    assert!(status.unwrap().success());
    let app = dir.join("opt/bin/app");
    stage(&s, &["./root", app.to_str().unwrap()]).ok();
    let mut c = Command::new(launch());
    c.arg("./root").arg(&app).current_dir(&s.dir);
    Run::of(c).expect(7);
    // Without the library it is refused, by name.
    std::fs::remove_file(lib.join("libb.so.2")).unwrap();
    stage(&s, &["./other", app.to_str().unwrap()])
        .fails(125, &["opt/bin/app: needs 'libb.so.2', which is not where its loader looks"]);
}

#[test]
fn an_archive_and_a_user() {
    let Some(s) = sandbox(&["bash", "ls", "tar"]) else { return };
    let said = stage(&s, &["--tar", "app.tar", "--user", "app:2000", "bash", "ls"]).ok();
    assert!(said.contains("in app.tar"), "{said}");
    std::fs::create_dir(s.dir.join("root")).unwrap();
    let tar =
        Command::new("tar").args(["xpf", "app.tar", "-C", "root"]).current_dir(&s.dir).status();
    assert!(tar.unwrap().success());
    if is_root() {
        let out = run(&s, &["-u", "app"], "echo $UID $HOME; cd; echo >x; ls").ok();
        assert_eq!(out, "2000 /home/app\nx");
    }
    let mut c = Command::new("sh");
    c.args([
        "-c",
        &format!("{} stage --tar - bash 2>/dev/null | tar tf - | grep -c bash", launch().display()),
    ]);
    assert_eq!(Run::of(c).ok(), "1");
    stage(&s, &["./root", "bash", "--user", "app:2001"])
        .fails(125, &["--user app: /etc/passwd has it as 'app:x:2000"]);
}

#[test]
fn as_an_ordinary_user() {
    let Some(()) = need_root() else { return };
    let Some(s) = sandbox(&["bash", "ls", "su"]) else { return };
    std::fs::copy(launch(), s.dir.join("launch")).unwrap();
    s.give_to(USER, USER);
    let mut c = Command::new("./launch");
    c.args(["stage", "./root", "bash", "su"]).current_dir(&s.dir);
    as_user(&mut c, USER, USER);
    Run::of(c).ok();
    let mut c = Command::new("./launch");
    c.args(["./root", "bash", "-c", "echo $UID"]).current_dir(&s.dir);
    as_user(&mut c, USER, USER);
    assert_eq!(Run::of(c).ok(), "0");
    // No set-user-ID programs of an ordinary user's.
    let mode = std::fs::metadata(s.dir.join("root/bin/su")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o7777, 0o755);
}

#[test]
fn refusals() {
    let Some(s) = sandbox(&["bash"]) else { return };
    let script = s.dir.join("script");
    std::fs::write(&script, "#!/bin/none\n").unwrap();
    for (words, said) in [
        (&["./root"][..], "PROGRAM is missing"),
        (&[], "DIR is missing"),
        (&["./root", "no-such-program"], "'no-such-program': no such program on this host"),
        (&["./root", "/etc/none"], "/etc/none: No such file or directory (ENOENT)"),
        (&["/", "bash"], "own root"),
        (&["./root", "--user", "A b", "bash"], "no user name"),
        (&["./root", "--user", "a:0", "bash"], "ids are 1 to"),
        (&["./root", "--usr", "a", "bash"], "there is no option '--usr'"),
        (&["./root", "/etc"], "not a program"),
        (&["./root", "./script"], "its interpreter: /bin/none: No such file"),
    ] {
        stage(&s, words).fails(125, &[said]);
        assert!(!s.dir.join("root").exists(), "{words:?}");
    }
}
