//! A container on bridges: addresses, ports and names, made before it runs and given
//! back after. The kernel is spoken to by netlink alone; no other program is run.
//!
//! Everything is done under the lock of `state`. What a start has made is in its state
//! file before it is there, so that `release` finds it, whoever calls it.

pub mod bridge;
mod conntrack;
mod helper;
pub mod hosts;
pub mod lease;
pub mod link;
mod netlink;
mod nft;
pub mod place;
pub mod port;
pub mod state;
pub mod step;
mod sysctl;
pub mod usermode;

use crate::cgroup::RETRIES;
use crate::error::{Error, Result};
use crate::record::RecordItem;
use crate::spec::{NetOptions, Port};
use crate::sys;
use netlink::Socket;
use place::Locked;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use state::{Lease, Published, State};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What one container is to have: part of the plan.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The container's name, as in its record.
    pub id: String,
    /// Its names for its neighbours; the first is its host name.
    pub names: Vec<String>,
    pub bridges: Vec<String>,
    pub options: NetOptions,
    /// Has a hosts file of its own: it is on several bridges, or has names of its own.
    pub own_hosts: bool,
}

/// How long a bridge without containers stays after the last one's end.
const LINGER: Duration = Duration::from_millis(100);

/// A start under way: the sockets of the host's network namespace, which the launcher
/// leaves for a while.
pub struct Session {
    wanted: Wanted,
    home: OwnedFd,
    route: Socket,
    dir: PathBuf,
    locked: Option<Locked>,
    /// Keeps the published ports from other programs' use.
    held: Vec<OwnedFd>,
    plugs: Vec<link::Plug>,
}

impl Session {
    /// Takes the lock.
    pub fn begin(wanted: &Wanted) -> Result<Session> {
        let dir = place::here()?;
        let mut locked = again(|| Locked::open(dir.clone()))?;
        let open = || {
            let route = Socket::route().map_err(|e| Error::os("open a netlink socket", e))?;
            let home = open_namespace(Path::new("/proc/self/ns/net"))?;
            // What is made from here could be left, but not cleared.
            enter(&home)?;
            Ok((route, home))
        };
        match lease::forget_dead(&mut locked).and_then(|()| open()) {
            Ok((route, home)) => {
                let (wanted, held, plugs) = (wanted.clone(), Vec::new(), Vec::new());
                Ok(Session { wanted, home, route, dir, locked: Some(locked), held, plugs })
            }
            Err(e) => {
                // The place for notes may be new.
                let _ = finish(&mut locked, &wanted.id, &bridge::Unused::Go);
                Err(e)
            }
        }
    }

    /// The bridge of this name is there afterwards.
    pub fn bridge(&mut self, name: &str) -> Result<()> {
        let Some(locked) = &mut self.locked else { return Err(unlocked()) };
        bridge::ensure(&self.route, locked, name, &self.wanted.options)
    }

    /// An address on each bridge, and the names known to the neighbours.
    pub fn lease(&mut self) -> Result<()> {
        let Some(locked) = &mut self.locked else { return Err(unlocked()) };
        self.plugs = lease::take(&self.route, locked, &self.wanted)?;
        hosts::write(locked)
    }

    /// Ports of the host lead to the container.
    pub fn publish(&mut self) -> Result<()> {
        let Some(locked) = &mut self.locked else { return Err(unlocked()) };
        self.held = port::publish(locked, &self.wanted)?;
        Ok(())
    }

    /// From here on others may take and give back, too.
    pub fn unlock(&mut self) {
        self.locked = None;
    }

    /// Pairs of links, one end on the bridge, one in the network namespace that this
    /// process is in, there with address and routes.
    pub fn plug(&self) -> std::result::Result<(), Errno> {
        let inside = Socket::route()?;
        self.plugs.iter().try_for_each(|plug| plug.connect(&self.route, &inside))
    }

    /// Back to the network namespace where the session began.
    pub fn return_home(&self) -> Result<()> {
        enter(&self.home)
    }

    /// Gives everything back.
    pub fn end(mut self) -> Result<()> {
        self.unlock();
        self.return_home()?;
        let open = again(|| Locked::open_existing(self.dir.clone()))?;
        let Some(mut locked) = open else { return Ok(()) };
        let id = self.wanted.id;
        if !lease::takes_long(&locked.state, &id) {
            return finish(&mut locked, &id, &bridge::Unused::Go);
        }
        // Nobody need wait for the kernel. The lock is the helper's, too: whoever starts now
        // waits, and finds ports and addresses free.
        let keep = vec![locked.lock_fd()];
        let later = || {
            helper::close_standard();
            // What fails is in the state still, and told by the next start.
            let _ = linger(&mut locked, &id);
        };
        match helper::start(keep, later) {
            Ok(_) => Ok(()),
            Err(_) => finish(&mut locked, &id, &bridge::Unused::Go),
        }
    }
}

fn enter(home: &OwnedFd) -> Result<()> {
    again(|| {
        sys::join(home.as_raw_fd(), sys::ns::NEWNET)
            .map_err(|e| Error::os("enter the host's network namespace", e))
    })
}

fn unlocked() -> Error {
    Error::new("the network's state is not locked")
}

/// Undoes what container `id` had, in the network namespace of this process: leases,
/// ports, names; and the bridges that nobody uses any more. What is gone already is fine.
pub fn release(dir: &Path, id: &str) -> Result<()> {
    let open = again(|| Locked::open_existing(dir.to_owned()))?;
    open.map_or(Ok(()), |mut locked| finish(&mut locked, id, &bridge::Unused::Go))
}

/// The container's things at once, and a bridge that nobody uses a little later, if nobody
/// has used it meanwhile: one start after the other finds it there.
fn linger(locked: &mut Locked, id: &str) -> Result<()> {
    let first = finish(locked, id, &bridge::Unused::Stay);
    let then: Vec<_> = locked.state.bridges.iter().map(|b| (b.name.clone(), b.last)).collect();
    match locked.let_others(LINGER)? {
        true => finish(locked, id, &bridge::Unused::GoIfStill(then)),
        false => first,
    }
}

/// What fails is tried again from what is noted: it may have failed once only.
fn finish(locked: &mut Locked, id: &str, unused: &bridge::Unused) -> Result<()> {
    let mut tries = RETRIES;
    loop {
        match finish_once(locked, id, unused) {
            Err(_) if tries > 0 => tries -= 1,
            done => return done,
        }
        again(|| locked.read_again())?;
    }
}

fn finish_once(locked: &mut Locked, id: &str, unused: &bridge::Unused) -> Result<()> {
    lease::give_back(locked, id, unused)?;
    if locked.state.bridges.is_empty() {
        return locked.remove();
    }
    locked.save()?;
    hosts::write(locked)
}

/// Where the kernel cannot, it is shorter.
fn sleep(time: Duration) {
    if let Ok(time) = Timespec::try_from(time) {
        let _ = rustix::thread::nanosleep(&time);
    }
}

/// For what has no effect where it fails.
fn again<T>(mut work: impl FnMut() -> Result<T>) -> Result<T> {
    let mut tries = RETRIES;
    loop {
        match work() {
            Err(_) if tries > 0 => tries -= 1,
            done => return done,
        }
    }
}

/// The same for one that a dead launcher left behind in network namespace `namespace`
/// (an inode). False: that is another one than ours, which lives, and may have links of it.
pub fn clear(namespace: u64, id: &str) -> Result<bool> {
    let dir = place::of(namespace);
    match place::namespace() {
        Ok(own) if own == namespace => return release(&dir, id).map(|()| true),
        // Without /proc nothing is known.
        Err(_) => return Ok(false),
        Ok(_) => {}
    }
    let Some(mut locked) = Locked::open_existing(dir)? else { return Ok(true) };
    // Nothing there: of an earlier start of the kernel, and the number is another's now.
    let nothing = locked.state.bridges.is_empty() && locked.state.leases.is_empty();
    if !nothing && place::lives(namespace) {
        return Ok(false);
    }
    // Links and rules went with their namespace.
    locked.state.leases.retain(|l| l.id != id);
    if locked.state.leases.is_empty() {
        locked.remove()?
    } else {
        locked.save()?
    }
    Ok(true)
}

/// A network namespace by its file, checked to be one.
pub fn open_namespace(path: &Path) -> Result<OwnedFd> {
    let shown = path.display();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = rustix::fs::open(path, flags, Mode::empty())
        .map_err(|e| Error::os(format!("open network namespace {shown}"), e))?;
    match sys::namespace_kind(fd.as_raw_fd()) {
        Ok(sys::ns::NEWNET) => Ok(fd),
        _ => Err(Error::new(format!("{shown}: not a network namespace"))
            .hint("ip netns add NAME makes /run/netns/NAME; a process has /proc/PID/ns/net")),
    }
}

/// The network namespace of a container that runs.
pub fn of_container(name: &str) -> Result<(PathBuf, OwnedFd)> {
    let found = crate::record::find(name.as_ref())?;
    let (pid, alive) = found.ready_process()?;
    let path = PathBuf::from(format!("/proc/{}/ns/net", pid.as_raw_nonzero()));
    let namespace = open_namespace(&path)?;
    // Its number was not another process's by then.
    let mut ended = [PollFd::new(&alive, PollFlags::IN)];
    match rustix::event::poll(&mut ended, Some(&Timespec::default())) {
        Ok(0) => Ok((path, namespace)),
        _ => Err(Error::new(format!("container {name} has ended"))),
    }
}

/// What containers have on bridges, each namespace's state read once.
#[derive(Default)]
pub struct Leases(BTreeMap<u64, Vec<Lease>>);

impl Leases {
    /// Of one container, by its record.
    pub fn of(&mut self, items: &[(RecordItem, u64)]) -> Vec<&Lease> {
        let item = items.iter().find_map(|(item, _)| match item {
            RecordItem::Network { namespace, id } => Some((*namespace, id)),
            _ => None,
        });
        let Some((namespace, id)) = item else { return Vec::new() };
        let all = self.0.entry(namespace).or_insert_with(|| {
            let text = std::fs::read_to_string(place::of(namespace).join("state"));
            State::decode(&text.unwrap_or_default()).leases
        });
        all.iter().filter(|l| l.id == *id).collect()
    }

    /// Ports of the host's that lead to it.
    pub fn ports<'a>(&'a mut self, items: &'a [(RecordItem, u64)]) -> Vec<&'a Published> {
        let carried = items.iter().filter_map(|(item, _)| match item {
            RecordItem::Port(port) => Some(port),
            _ => None,
        });
        self.of(items).into_iter().flat_map(|l| &l.ports).chain(carried).collect()
    }
}

/// `8080/tcp`, as messages have it.
fn shown(port: &Port) -> String {
    let protocol = state::protocol(port.udp);
    let ip = port.ip.map_or(String::new(), |ip| match ip.is_ipv6() {
        true => format!("[{ip}]:"),
        false => format!("{ip}:"),
    });
    match port.outside {
        None => format!("{ip}any/{protocol}"),
        Some((a, b)) if a == b => format!("{ip}{a}/{protocol}"),
        Some((a, b)) => format!("{ip}{a}-{b}/{protocol}"),
    }
}

/// A list of them, cut short where it is long.
pub fn list(ports: &[Port]) -> String {
    let mut words: Vec<String> = ports.iter().take(5).map(shown).collect();
    if ports.len() > words.len() {
        words.push(format!("and {} more", ports.len() - words.len()));
    }
    words.join(", ")
}

/// A number from text, the same every time (FNV-1a).
fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}
