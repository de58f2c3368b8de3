//! Builds `init` for the same target (`INIT_ELF`), for the launcher to embed. A nested
//! cargo, because init needs its own flags; its target directory is below OUT_DIR, as
//! sharing the outer one would wait for a lock this build holds.

use std::{env, error::Error, path::PathBuf, process::Command};

#[path = "launcher/seccomp/bpf.rs"]
mod bpf;
#[path = "launcher/seccomp/filter.rs"]
mod filter;
#[path = "launcher/caps/names.rs"]
#[allow(dead_code)]
mod names;
#[path = "launcher/seccomp/profile.rs"]
mod profile;
#[path = "launcher/seccomp/table.rs"]
mod table;

/// Settings of the outer build that must not reach the init's.
fn is_outer(name: &str) -> bool {
    let prefixes =
        ["CARGO_PROFILE_", "CARGO_FEATURE_", "CARGO_CFG_", "CARGO_TARGET_", "CARGO_BUILD_"];
    prefixes.iter().any(|p| name.starts_with(p))
        || matches!(
            name,
            "CARGO_ENCODED_RUSTFLAGS"
                | "RUSTFLAGS"
                | "RUSTC_WRAPPER"
                | "RUSTC_WORKSPACE_WRAPPER"
                | "TARGET"
                | "HOST"
                | "OUT_DIR"
                | "PROFILE"
                | "DEBUG"
                | "OPT_LEVEL"
                | "NUM_JOBS"
        )
}

/// A distribution's rustc comes without: then the C compiler links.
fn has_lld() -> Result<bool, Box<dyn Error>> {
    let rustc = Command::new(env::var("RUSTC")?).args(["--print", "target-libdir"]).output()?;
    let lib = PathBuf::from(String::from_utf8(rustc.stdout)?.trim());
    Ok(lib.with_file_name("bin").join("rust-lld").exists())
}

fn main() -> Result<(), Box<dyn Error>> {
    for input in [
        "build.rs",
        "Cargo.toml",
        "Cargo.lock",
        "init/Cargo.toml",
        "init/build.rs",
        "init/init.ld",
        "init/pairs.in",
        "init/src",
        "launcher/caps/names.rs",
        "launcher/launch.ld",
        "launcher/seccomp",
        "launcher/start.order",
    ] {
        println!("cargo:rerun-if-changed={input}");
    }
    linked()?;
    seccomp()?;
    init()
}

/// A release aborts when it panics; unit tests, which are built otherwise, unwind.
fn linked() -> Result<(), Box<dyn Error>> {
    if env::var("PROFILE")? == "release" {
        let script = format!("-T{}", linker_script()?.display());
        let mut arguments = vec!["--no-eh-frame-hdr", &script];
        if knows_relr()? {
            // A twentieth of the file would be the addresses that the start corrects.
            arguments.extend(["-z", "pack-relative-relocs"]);
        }
        let bare = env::var("RUSTC_LINKER").is_ok_and(|linker| linker.ends_with("lld"));
        let prefix = if bare { "" } else { "-Wl," };
        for argument in arguments {
            println!("cargo:rustc-link-arg-bins={prefix}{argument}");
        }
    }
    Ok(())
}

/// launch.ld, with the functions of launcher/start.order where it has room for them.
fn linker_script() -> Result<PathBuf, Box<dyn Error>> {
    let order = std::fs::read_to_string("launcher/start.order")?;
    let names = order.lines().filter(|line| !line.starts_with('#'));
    let names: String =
        names.map(|name| format!("*(.text.{name} .text.unlikely.{name})\n")).collect();
    let script =
        std::fs::read_to_string("launcher/launch.ld")?.replace("/* start.order */", &names);
    let path = PathBuf::from(env::var("OUT_DIR")?).join("launch.ld");
    std::fs::write(&path, script)?;
    Ok(path)
}

/// musl's start does from 1.2.4 on, which comes with Rust 1.93.
fn knows_relr() -> Result<bool, Box<dyn Error>> {
    let version = Command::new(env::var("RUSTC")?).arg("--version").output()?;
    let version = String::from_utf8(version.stdout)?;
    let minor = version.split('.').nth(1).and_then(|minor| minor.parse().ok());
    Ok(env::var("CARGO_CFG_TARGET_ENV")? == "musl" && minor.is_some_and(|minor: u32| minor >= 93))
}

/// docker's profile as programs for the usual capabilities and for none, so that a start
/// need not read it. The launcher assembles what it has for other ones from the same files.
fn seccomp() -> Result<(), Box<dyn Error>> {
    let text = std::fs::read("launcher/seccomp/default.json")?;
    let mut prebuilt = String::new();
    if let Some(arch) = table::Arch::named(&env::var("CARGO_CFG_TARGET_ARCH")?) {
        let table = table::Table::new();
        for capabilities in [names::DEFAULT, 0] {
            let here = profile::Circumstances { arch, capabilities, kernel: (u32::MAX, 0) };
            let mut profile = profile::parse(&text, here, &table)?;
            // The machine's own language only.
            profile.foreign.clear();
            let program = filter::assemble(&profile, arch, &table);
            prebuilt += &format!("({capabilities}, &{program:?}), ");
        }
    }
    let conditions = profile::capabilities(&serde_json::from_slice(&text)?);
    let source = format!(
        "static PREBUILT: &[(u64, &[Insn])] = &[{prebuilt}];\n\
         const CONDITIONS: u64 = {conditions};\n"
    );
    std::fs::write(PathBuf::from(env::var("OUT_DIR")?).join("seccomp.rs"), source)?;
    Ok(())
}

/// Once as it stands alone, and once for a container that nobody watches.
fn init() -> Result<(), Box<dyn Error>> {
    build_init("init-target", &[], "INIT_ELF")?;
    build_init("init-log-target", &["--features", "log"], "INIT_LOG_ELF")
}

fn build_init(dir: &str, words: &[&str], variable: &str) -> Result<(), Box<dyn Error>> {
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml");
    let target = env::var("TARGET")?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut cargo = Command::new(env::var("CARGO")?);
    for (name, _) in env::vars() {
        if is_outer(&name) {
            cargo.env_remove(name);
        }
    }
    // Without the red zone, which init has no use for, prologues are a little shorter.
    let mut flags = vec![
        "-Crelocation-model=static",
        "-Cforce-unwind-tables=no",
        "-Cno-redzone=yes",
        "-Cllvm-args=-enable-ipra",
    ];
    if target.contains("musl") {
        // rustc would add its own crt1.o, whose _start clashes with ours.
        flags.push("-Clink-self-contained=no");
    }
    if has_lld()? {
        // rustup's own linker for every target: init needs nothing of a C compiler.
        flags.extend(["-Clinker=rust-lld", "-Clinker-flavor=ld.lld"]);
    }
    cargo
        .args(["build", "--release", "--locked", "-p", "init", "--target", &target])
        .args(words)
        .arg("--target-dir")
        .arg(out.join(dir))
        .arg("--manifest-path")
        .arg(manifest)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    if !cargo.status()?.success() {
        return Err("building init failed".into());
    }
    let built = out.join(dir).join(&target).join("release/init");
    println!("cargo:rustc-env={variable}={}", built.display());
    Ok(())
}
