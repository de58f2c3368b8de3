//! Networks: what a bridge and a published port add to a start, beside podman; and how fast
//! what goes over them is, beside a bare pair of links.

use super::{
    LAUNCH, Options, Result,
    bench::Bench,
    peers::as_logged_in,
    stats::{Random, median, ms, quantile},
    sys,
};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The first arguments that make this program one side of a connection.
pub const SERVER: &str = "--answer";
pub const CLIENT: &str = "--ask";
const PORT: u16 = 9000;
const PUBLISHED: u16 = 19000;
const ASKED: u32 = 4000;
const LASTS: Duration = Duration::from_millis(400);

/// Each connection begins with `p`, and every byte goes back, or `s`, and nothing does.
pub fn server() -> Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", PORT))?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        stream.set_nodelay(true)?;
        let mut buffer = vec![0; 128 << 10];
        stream.read_exact(&mut buffer[..1])?;
        let echoes = buffer[0] == b'p';
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            if echoes {
                stream.write_all(&buffer[..n])?;
            }
        }
    }
    Ok(())
}

/// Prints microseconds there and back, and megabits a second.
pub fn client(to: &str) -> Result<()> {
    let connect = |kind: &[u8]| -> Result<TcpStream> {
        let mut stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.write_all(kind)?;
        Ok(stream)
    };
    let mut stream = connect(b"p")?;
    let mut byte = [0];
    let mut begun = Instant::now();
    for n in 0..ASKED + ASKED / 10 {
        if n == ASKED / 10 {
            begun = Instant::now();
        }
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte)?;
    }
    let there_and_back = begun.elapsed().as_secs_f64() * 1e6 / f64::from(ASKED);
    // The server has one after the other.
    drop(stream);
    let mut stream = connect(b"s")?;
    let block = vec![0; 128 << 10];
    let (begun, mut sent) = (Instant::now(), 0);
    while begun.elapsed() < LASTS {
        stream.write_all(&block)?;
        sent += block.len();
    }
    let rate = sent as f64 * 8.0 / 1e6 / begun.elapsed().as_secs_f64();
    println!("{there_and_back} {rate}");
    Ok(())
}

fn quiet(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    as_logged_in(command.args(args));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn must(program: &str, args: &[&str]) -> Result<()> {
    match quiet(program, args).status()?.success() {
        true => Ok(()),
        false => Err(format!("failed: {program} {}", args.join(" ")).into()),
    }
}

/// Ends when the benchmark does.
struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn run(bench: &Bench, options: &Options) -> Result<()> {
    sys::private_network()?;
    must("ip", &["link", "set", "lo", "up"])?;
    fs::copy(std::env::current_exe()?, bench.root.join("bin/peer"))?;
    starts(bench, options)?;
    paths(bench, options)
}

/// podman with a store of its own below the benchmark's directory.
fn podman(bench: &Bench) -> Result<Option<Vec<String>>> {
    let dir = bench.root.with_file_name("podman");
    fs::create_dir_all(dir.join("net"))?;
    let limits = "[containers]\ndefault_ulimits=[\"nofile=1024:1024\",\"nproc=1024:1024\"]\n";
    let engine =
        "[engine]\ncgroup_manager=\"cgroupfs\"\nevents_logger=\"file\"\nruntime=\"crun\"\n";
    let network = "[network]\nnetwork_backend=\"netavark\"\n";
    fs::write(dir.join("containers.conf"), [limits, engine, network].concat())?;
    let mut words = vec!["podman".to_owned(), "--storage-driver=vfs".into()];
    let places = [("root", "root"), ("runroot", "run"), ("tmpdir", "tmp")];
    for (option, place) in [&places[..], &[("network-config-dir", "net")]].concat() {
        words.push(format!("--{option}={}", dir.join(place).display()));
    }
    words.extend(["run", "--rm"].map(str::to_owned));
    let mut first = podman_run(bench, &words, &["--network", "bridge", "-p", "18080:80"]);
    let out = first.stderr(Stdio::piped()).output();
    match out {
        Ok(out) if out.status.success() => Ok(Some(words)),
        Ok(out) => {
            println!("podman does not run here: {}\n", String::from_utf8_lossy(&out.stderr).trim());
            Ok(None)
        }
        Err(e) => {
            println!("no podman: {e}\n");
            Ok(None)
        }
    }
}

fn podman_run(bench: &Bench, words: &[String], options: &[&str]) -> Command {
    let mut command = quiet(&words[0], &[]);
    let dir = bench.root.with_file_name("podman");
    command.env("CONTAINERS_CONF", dir.join("containers.conf")).env("HOME", &dir);
    command.args(&words[1..]).args(options).arg("--rootfs").arg(&bench.root).arg("/bin/true");
    command
}

fn starts(bench: &Bench, options: &Options) -> Result<()> {
    let root = bench.root.display().to_string();
    let ours = |options: &[&str]| quiet(LAUNCH, &[options, &[&root, "/bin/true"]].concat());
    let published = ["--net", "bridge", "-p", "18080:80"];
    let theirs = podman(bench)?;
    let names = ["launch", "launch, bridge", "launch, bridge and port", "podman, no network"];
    let names = [&names[..], &["podman, bridge and port"]].concat();
    // A bridge that others are on, as usual.
    must(LAUNCH, &["-d", "--net", "bridge", "--name", &bench.name, &root, "/bin/sleep", "1000"])?;
    let mut times = vec![Vec::new(); if theirs.is_some() { 5 } else { 3 }];
    let mut order: Vec<usize> = (0..times.len()).collect();
    let mut random = Random::new();
    let rounds = (options.rounds / 3).max(5);
    for _ in 0..rounds {
        random.shuffle(&mut order);
        for &i in &order {
            sys::interrupted()?;
            let mut command = match (i, &theirs) {
                (3, Some(words)) => podman_run(bench, words, &["--network", "none"]),
                (4, Some(words)) => {
                    podman_run(bench, words, &[&["--network"], &published[1..]].concat())
                }
                (1, _) => ours(&published[..2]),
                (2, _) => ours(&published),
                _ => ours(&[]),
            };
            let run = sys::time(&mut command)?;
            times[i].push(if run.status == 0 { ms(run.wall) } else { f64::NAN });
        }
    }
    must(LAUNCH, &["rm", "-f", &bench.name])?;
    println!("### Start to exit of /bin/true on a network, {rounds} rounds\n");
    println!("| | median ms | × launch | × launch, bridge and port |\n|---|---|---|---|");
    for (name, mine) in names.iter().zip(&times) {
        let by =
            |of: &[f64]| median(&mut mine.iter().zip(of).map(|(a, b)| a / b).collect::<Vec<_>>());
        let (plain, port) = (by(&times[0]), by(&times[2]));
        println!("| {name} | {:.2} | {plain:.2} | **{port:.2}** |", median(&mut mine.clone()));
    }
    println!();
    Ok(())
}

/// A process in a network namespace of its own.
fn namespace() -> Result<(Held, String)> {
    let own = fs::read_link("/proc/self/ns/net")?;
    let child = quiet("unshare", &["--net", "sleep", "1000"]).spawn()?;
    let pid = child.id().to_string();
    let held = Held(child);
    for _ in 0..500 {
        if fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|ns| ns != own) {
            return Ok((held, pid));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err("no network namespace".into())
}

fn within<'a>(pid: &'a str, words: &[&'a str]) -> Vec<&'a str> {
    [&["nsenter", "-n", "-t", pid], words].concat()
}

fn in_namespace(pid: &str, words: &[&str]) -> Result<()> {
    let words = within(pid, words);
    must(words[0], &words[1..])
}

/// From the host to `pid` by a pair of links, without anything in between.
fn connect(pid: &str, name: &str, net: &str) -> Result<()> {
    must("ip", &["link", "add", name, "type", "veth", "peer", "name", "far", "netns", pid])?;
    must("ip", &["addr", "add", &format!("{net}.1/24"), "dev", name])?;
    must("ip", &["link", "set", name, "up"])?;
    in_namespace(pid, &["ip", "addr", "add", &format!("{net}.2/24"), "dev", "far"])?;
    in_namespace(pid, &["ip", "link", "set", "far", "up"])
}

/// Two namespaces on a bridge, with no rules.
fn bare_bridge(first: &str, second: &str) -> Result<()> {
    must("ip", &["link", "add", "bare", "type", "bridge"])?;
    must("ip", &["link", "set", "bare", "up"])?;
    for (pid, name, ip) in [(first, "b1", "10.99.3.1/24"), (second, "b2", "10.99.3.2/24")] {
        must("ip", &["link", "add", name, "type", "veth", "peer", "name", "on", "netns", pid])?;
        must("ip", &["link", "set", name, "master", "bare", "up"])?;
        in_namespace(pid, &["ip", "addr", "add", ip, "dev", "on"])?;
        in_namespace(pid, &["ip", "link", "set", "on", "up"])?;
    }
    Ok(())
}

fn paths(bench: &Bench, options: &Options) -> Result<()> {
    let (_far, far) = namespace()?;
    let (_near, near) = namespace()?;
    connect(&far, "pair", "10.99.1")?;
    bare_bridge(&near, &far)?;
    let root = bench.root.display().to_string();
    let peer = bench.root.join("bin/peer").display().to_string();
    let words = within(&far, &[&peer, SERVER]);
    let _server = Held(quiet(words[0], &words[1..]).spawn()?);
    let (name, other) = (bench.name.as_str(), format!("{}-b", bench.name));
    let port = format!("{PUBLISHED}:{PORT}");
    let run = ["--rm", "-d", "--net", "bridge", "--name"];
    let serve = ["-p", &port, &root, "/bin/peer", SERVER];
    must(LAUNCH, &[&run[..], &[name], &serve].concat())?;
    must(LAUNCH, &[&run[..], &[&other, &root, "/bin/sleep", "1000"]].concat())?;
    std::thread::sleep(Duration::from_millis(300));
    let by_name = format!("{name}:{PORT}");
    let published = format!("10.99.1.1:{PUBLISHED}");
    let local = format!("127.0.0.1:{PUBLISHED}");
    let bare = [format!("10.99.1.2:{PORT}"), format!("10.99.3.2:{PORT}")];
    let who: Vec<(&str, Vec<&str>)> = vec![
        ("bare pair of links", vec![&peer, CLIENT, &bare[0]]),
        ("published port, from the host itself", vec![&peer, CLIENT, &local]),
        ("two pairs and a bridge, bare", within(&near, &[&peer, CLIENT, &bare[1]])),
        (
            "container to container, by name",
            vec![LAUNCH, "exec", &other, "/bin/peer", CLIENT, &by_name],
        ),
        ("published port, from another host", within(&far, &[&peer, CLIENT, &published])),
    ];
    let mut all = vec![(Vec::new(), Vec::new()); who.len()];
    let mut order: Vec<usize> = (0..who.len()).collect();
    let (mut random, rounds) = (Random::new(), (options.rounds / 5).max(3));
    for _ in 0..rounds {
        random.shuffle(&mut order);
        for &i in &order {
            sys::interrupted()?;
            let words = &who[i].1;
            let mut command = quiet(words[0], &words[1..]);
            let out = command.stdout(Stdio::piped()).output()?;
            let text = String::from_utf8(out.stdout)?;
            let mut numbers = text.split_whitespace().map(str::parse::<f64>);
            let mut next =
                || numbers.next().and_then(|n| n.ok()).ok_or(format!("{words:?} failed"));
            all[i].0.push(next()?);
            all[i].1.push(next()?);
        }
    }
    must(LAUNCH, &["rm", "-f", name, &other])?;
    let names: Vec<&str> = who.iter().map(|(name, _)| *name).collect();
    report(&names, &all, rounds);
    Ok(())
}

fn report(names: &[&str], all: &[(Vec<f64>, Vec<f64>)], rounds: usize) {
    println!(
        "### One TCP connection, {rounds} rounds: a byte there and back, and as much as goes\n"
    );
    println!(
        "| | µs | × one bare pair | × two and a bridge | p25–p75 | Mbit/s | × one bare pair | × two and a bridge |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (name, mine) in names.iter().zip(all) {
        let ratio = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a / b).collect::<Vec<_>>();
        let mut times = ratio(&mine.0, &all[2].0);
        println!(
            "| {name} | {:.1} | {:.2} | **{:.2}** | {:.2}–{:.2} | {:.0} | {:.2} | **{:.2}** |",
            median(&mut mine.0.clone()),
            median(&mut ratio(&mine.0, &all[0].0)),
            median(&mut times),
            quantile(&mut times, 0.25),
            quantile(&mut times, 0.75),
            median(&mut mine.1.clone()),
            median(&mut ratio(&mine.1, &all[0].1)),
            median(&mut ratio(&mine.1, &all[2].1)),
        );
    }
    println!();
}
