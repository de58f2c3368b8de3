//! Containers, end to end: the launcher as a user calls it, a rootfs made for the test,
//! and a look at the host afterwards. One module per noun.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "common/mod.rs"]
mod common;

#[path = "containers/again.rs"]
mod again;
#[path = "containers/archives.rs"]
mod archives;
#[path = "containers/bad_files.rs"]
mod bad_files;
#[path = "containers/bad_images.rs"]
mod bad_images;
#[path = "containers/bad_options.rs"]
mod bad_options;
#[path = "containers/completions.rs"]
mod completions;
#[path = "containers/damaged.rs"]
mod damaged;
#[path = "containers/detached.rs"]
mod detached;
#[path = "containers/devices.rs"]
mod devices;
#[path = "containers/ending.rs"]
mod ending;
#[path = "containers/env.rs"]
mod env;
#[path = "containers/exec.rs"]
mod exec;
#[path = "containers/explain.rs"]
mod explain;
#[path = "containers/faults.rs"]
mod faults;
#[path = "containers/hidden.rs"]
mod hidden;
#[path = "containers/hostile.rs"]
mod hostile;
#[path = "containers/hostile_forms.rs"]
mod hostile_forms;
#[path = "containers/hosts.rs"]
mod hosts;
#[path = "containers/image_config.rs"]
mod image_config;
#[path = "containers/images.rs"]
mod images;
#[path = "containers/inject.rs"]
mod inject;
#[path = "containers/landlock.rs"]
mod landlock;
#[path = "containers/limits.rs"]
mod limits;
#[path = "containers/listing.rs"]
mod listing;
#[path = "containers/living.rs"]
mod living;
#[path = "containers/load.rs"]
mod load;
#[path = "containers/logs.rs"]
mod logs;
#[path = "containers/look.rs"]
mod look;
#[path = "containers/lookback.rs"]
mod lookback;
#[path = "containers/named_volumes.rs"]
mod named_volumes;
#[path = "containers/namespaces.rs"]
mod namespaces;
#[path = "containers/net.rs"]
mod net;
#[path = "containers/net_hostile.rs"]
mod net_hostile;
#[path = "containers/net_real.rs"]
mod net_real;
#[path = "containers/old_kernels.rs"]
mod old_kernels;
#[path = "containers/process.rs"]
mod process;
#[path = "containers/real.rs"]
mod real;
#[path = "containers/rootfs.rs"]
mod rootfs;
#[path = "containers/rootless.rs"]
mod rootless;
#[path = "containers/rootless_images.rs"]
mod rootless_images;
#[path = "containers/sandboxes.rs"]
mod sandboxes;
#[path = "containers/seccomp.rs"]
mod seccomp;
#[path = "containers/signals.rs"]
mod signals;
#[path = "containers/stage.rs"]
mod stage;
#[path = "containers/status.rs"]
mod status;
#[path = "containers/streams.rs"]
mod streams;
#[path = "containers/terminal.rs"]
mod terminal;
#[path = "containers/tty.rs"]
mod tty;
#[path = "containers/tuning.rs"]
mod tuning;
#[path = "containers/update.rs"]
mod update;
#[path = "containers/userns.rs"]
mod userns;
#[path = "containers/volumes.rs"]
mod volumes;
