//! Containers, end to end: the launcher as a user calls it, a rootfs made for the test,
//! and a look at the host afterwards. One module per noun.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "common/mod.rs"]
mod common;

#[path = "containers/devices.rs"]
mod devices;
#[path = "containers/env.rs"]
mod env;
#[path = "containers/hostile.rs"]
mod hostile;
#[path = "containers/inject.rs"]
mod inject;
#[path = "containers/namespaces.rs"]
mod namespaces;
#[path = "containers/process.rs"]
mod process;
#[path = "containers/rootfs.rs"]
mod rootfs;
#[path = "containers/status.rs"]
mod status;
#[path = "containers/streams.rs"]
mod streams;
#[path = "containers/volumes.rs"]
mod volumes;
