//! Ceilings on what passes to and from a disk: blkio.throttle of version 1, io.max of
//! version 2 (Documentation/admin-guide/cgroup-v1/blkio-controller.rst, cgroup-v2.rst).

use super::limits::{Value, Want};
use crate::error::{Error, Result};
use crate::spec::{IoLimit, IoRate};
use rustix::fs::FileType;

/// Docker's option, the file of version 1 and the key of version 2.
fn names(kind: IoRate) -> (&'static str, &'static str, &'static str) {
    match kind {
        IoRate::ReadBytes => ("--device-read-bps", "blkio.throttle.read_bps_device", "rbps"),
        IoRate::WriteBytes => ("--device-write-bps", "blkio.throttle.write_bps_device", "wbps"),
        IoRate::ReadOperations => {
            ("--device-read-iops", "blkio.throttle.read_iops_device", "riops")
        }
        IoRate::WriteOperations => {
            ("--device-write-iops", "blkio.throttle.write_iops_device", "wiops")
        }
    }
}

pub(super) fn want(limit: &IoLimit) -> Want {
    let option = names(limit.kind).0;
    let rate = match limit.kind {
        IoRate::ReadBytes | IoRate::WriteBytes => super::limits::size(limit.rate),
        IoRate::ReadOperations | IoRate::WriteOperations => limit.rate.to_string(),
    };
    let asked = format!("{option} {}:{rate}", limit.device.display());
    Want { controller: "io", option, asked, value: Value::Io(limit.clone()) }
}

/// File and value of version 1.
pub(super) fn throttle(want: &Want, limit: &IoLimit) -> Result<(&'static str, String)> {
    let (_, file, _) = names(limit.kind);
    Ok((file, format!("{} {}", number(want, limit)?, limit.rate)))
}

/// What goes to io.max; of other rates of the device nothing is said.
pub(super) fn max(want: &Want, limit: &IoLimit) -> Result<String> {
    let (_, _, key) = names(limit.kind);
    Ok(format!("{} {key}={}", number(want, limit)?, limit.rate))
}

/// `254:0`, of a whole disk: nothing else has a queue to hold back.
fn number(want: &Want, limit: &IoLimit) -> Result<String> {
    let error = |what: &str| Error::new(format!("{}: {what}", want.asked));
    let stat = rustix::fs::stat(&limit.device).map_err(|e| Error::os(&want.asked, e))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::BlockDevice {
        return Err(error("not a block device")
            .hint("lsblk shows disks; findmnt -T FILE, which one FILE is on"));
    }
    let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    let partition = format!("/sys/dev/block/{major}:{minor}/partition");
    if super::exists(partition.as_ref())? {
        return Err(error("a partition; only whole disks can be held back")
            .hint("its disk has the same name without the number at the end"));
    }
    Ok(format!("{major}:{minor}"))
}
