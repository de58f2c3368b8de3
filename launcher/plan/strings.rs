//! Paths and words as the child passes them to the kernel.

use crate::error::{Error, Result};
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The child moves about; a path must not depend on where it stands.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::os("find the current directory", e))
}

pub fn c_path(path: &Path) -> Result<&'static CStr> {
    c_str(path.as_os_str().as_bytes())
}

/// Part of a plan, which lives as long as the process.
pub fn c_str(text: impl Into<Vec<u8>>) -> Result<&'static CStr> {
    Ok(Box::leak(c_string(text)?.into_boxed_c_str()))
}

pub fn c_string(text: impl Into<Vec<u8>>) -> Result<CString> {
    CString::new(text).map_err(|e| {
        let shown = String::from_utf8_lossy(&e.into_vec()).replace('\0', "\\0");
        Error::new(format!("{shown:?}: contains a NUL byte"))
    })
}
