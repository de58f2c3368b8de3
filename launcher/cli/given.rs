//! One option with its value as the user wrote them, and the wording of its refusal.

use crate::error::{Error, Result};
use crate::quote::quote;
use crate::size;
use std::ffi::OsStr;
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Linux's PATH_MAX, which counts the final NUL.
const PATH_MAX: usize = 4096;

#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// With its dashes, as written: `-m`, `--memory`.
    pub name: &'a str,
    pub value: &'a OsStr,
}

impl<'a> Given<'a> {
    /// `--mem '200X': why`
    pub fn bad(&self, why: impl Display) -> Error {
        Error::new(format!("{} {}: {why}", self.name, quote(self.value)))
    }

    pub fn text(&self) -> Result<&'a str> {
        self.value.to_str().ok_or_else(|| self.bad("not valid UTF-8"))
    }

    pub fn size(&self) -> Result<u64> {
        size::parse(self.text()?).map_err(|why| self.bad(why))
    }

    /// Digits alone: no sign, no space, no other base.
    pub fn number(&self, least: u64, most: u64) -> Result<u64> {
        let text = self.text()?;
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<u64>() {
            Ok(n) if digits && (least..=most).contains(&n) => Ok(n),
            _ => Err(self.bad(format!("not a whole number from {least} to {most}"))),
        }
    }

    /// A path on the host.
    pub fn path(&self) -> Result<PathBuf> {
        self.check_path(self.value.as_bytes(), "the path")?;
        Ok(PathBuf::from(self.value))
    }

    /// A path inside the container.
    pub fn inside(&self, path: &'a OsStr, what: &str) -> Result<PathBuf> {
        self.check_path(path.as_bytes(), what)?;
        if !path.as_bytes().starts_with(b"/") {
            return Err(self.bad(format!("{what} must begin with / (it is inside the container)")));
        }
        Ok(PathBuf::from(path))
    }

    pub fn check_path(&self, path: &[u8], what: &str) -> Result<()> {
        if path.is_empty() {
            return Err(self.bad(format!("{what} is empty")));
        }
        if path.len() >= PATH_MAX {
            return Err(self.bad(format!("{what} is longer than {} bytes", PATH_MAX - 1)));
        }
        Ok(())
    }
}
