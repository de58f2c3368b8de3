//! The link: no libc, no start files, no interpreter, and a layout with nothing in
//! it that is not used (init.ld).

use std::{env, error::Error, fs, path::PathBuf};

/// What rustc and the `libc` crate ask for although nothing of it is used.
const UNWANTED: [&str; 9] = ["c", "m", "rt", "pthread", "util", "dl", "gcc_s", "gcc", "gcc_eh"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=init.ld");
    // Empty archives in front of the real ones: with those, one call of strlen would
    // silently make a dynamic executable; with these it is a link error.
    let fence = PathBuf::from(env::var("OUT_DIR")?).join("no-libc");
    fs::create_dir_all(&fence)?;
    for name in UNWANTED {
        fs::write(fence.join(format!("lib{name}.a")), "!<arch>\n")?;
    }
    let script = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("init.ld");
    // A bare linker takes the same words without the compiler driver's wrapping.
    let asked = |name, word| env::var(name).is_ok_and(|v| v.contains(word));
    let bare = asked("RUSTC_LINKER", "lld") || asked("CARGO_ENCODED_RUSTFLAGS", "ld.lld");
    let mut args = vec![format!("-L{}", fence.display()), "-nostdlib".into(), "-static".into()];
    if bare {
        // Only lld can leave out the section headers, which nobody loads, and let strings
        // share their ends.
        args.extend(["--no-pie".into(), "-znosectionheader".into(), "-O2".into()]);
    } else {
        args.extend(["-no-pie".into(), "-nostartfiles".into()]);
    }
    for word in
        ["--build-id=none", "--no-eh-frame-hdr", "-znorelro", &format!("-T{}", script.display())]
    {
        args.push(if bare { word.into() } else { format!("-Wl,{word}") });
    }
    for arg in args {
        println!("cargo:rustc-link-arg-bins={arg}");
    }
    Ok(())
}
