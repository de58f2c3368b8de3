//! `launch stage --tar FILE`: the same as an archive.

use super::{Order, Staged, stage};
use crate::archive::pack::{self, Owners, Style};
use crate::error::{Error, Result};
use crate::image::export::whole;
use rustix::fd::AsFd;
use rustix::fs::Mode;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A directory that goes when this value does.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // Nobody is told: what matters has been written, or its failure has been told.
        let (dir, name) = (self.0.parent(), self.0.file_name().unwrap_or_default());
        if let Some(Ok(dir)) =
            dir.map(|d| rustix::fs::open(d, crate::tree::DIRECTORY, Mode::empty()))
        {
            let _ = crate::tree::remove(dir.as_fd(), name.as_bytes());
        }
    }
}

/// Stages into a directory of its own, packs that, and puts the archive in its place when it
/// is whole. `-` is standard output.
pub fn archive(mut order: Order, init: &[u8], file: &Path) -> Result<Staged> {
    let name = format!("launch-stage-{}", crate::record::name::invent());
    let temporary = Temporary(std::env::temp_dir().join(name));
    let failed = |e| Error::os(format!("make {}", temporary.0.display()), e);
    rustix::fs::mkdir(&temporary.0, Mode::RWXU).map_err(failed)?;
    order.dir = temporary.0.join("root");
    rustix::fs::mkdir(&order.dir, Mode::from_raw_mode(0o755)).map_err(failed)?;
    rustix::fs::chmod(&order.dir, Mode::from_raw_mode(0o755)).map_err(failed)?;
    let mut staged = stage(&order, init)?;
    let root = rustix::fs::open(&order.dir, crate::tree::DIRECTORY, Mode::empty());
    let root = root.map_err(failed)?;
    let own = rustix::process::geteuid();
    let owners = if own.is_root() { Owners::AsTheyAre } else { Owners::CallerIsRoot };
    let style = Style { owners, layer: false };
    let shown =
        if file == Path::new("-") { "standard output".into() } else { file.display().to_string() };
    let write = |to: File| {
        pack::pack(root.as_fd(), std::io::BufWriter::with_capacity(256 << 10, to), style).map_err(
            |f| {
                let at = OsStr::from_bytes(&f.path).display().to_string();
                Error::os(format!("write {shown} (at {at})"), f.errno)
            },
        )
    };
    if file == Path::new("-") {
        let out = rustix::io::dup(rustix::stdio::stdout());
        write(File::from(out.map_err(|e| Error::os("write standard output", e))?))?;
    } else {
        whole(file, |out| write(File::from(out)))?;
    }
    if let Some(last) = staged.lines.last_mut() {
        *last = last.replace(&format!("below {}", order.dir.display()), &format!("in {shown}"));
    }
    Ok(staged)
}
