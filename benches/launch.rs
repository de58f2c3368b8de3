//! How fast and how small `launch` is, beside its peers and beside the floor: a program
//! with the fewest system calls that do the same work. Ratios are what counts: they
//! are taken within a round, so that a busy machine troubles both sides alike.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod harness;

use harness::{
    Error, Options, Result, Section, bench::Bench, latency, living, load, memory, network, peers,
    rate, throughput,
};
use std::process::ExitCode;

const HELP: &str = "\
Usage: benches/launch [OPTIONS]      (as root)

  --rounds N     rounds of the latency table (60)
  --gap MS       pause before each launch (50); the back to back figures have none
  --payload P    run this in the latency table: /bin/true, or /payload, which only exits
  --also PATH    measure another build of launch, too (also, also-free)
  --only A,B     only these: floor-full floor-same floor-free launch launch-free
                 launch-no-init launch-unfiltered launch-unmasked crun runc bwrap unshare
                 unshare-chroot unshare-dev nspawn true (and the floor)
  --section S,T  only these: latency, rate, memory, smallest, living, throughput; and, not done
                 without asking, network (needs iproute2; podman and netavark are its peers), load
                 (1,000 starts in a row and 1,008 sixteen at a time)
  --quick        few rounds: a look, not a result
";

fn main() -> ExitCode {
    // One side of a connection: this program again, where it is measured from or to.
    let args: Vec<String> = std::env::args().collect();
    let side = match args.get(1).map(String::as_str) {
        Some(network::SERVER) => Some(network::server()),
        Some(network::CLIENT) => args.get(2).map(|to| network::client(to)),
        _ => None,
    };
    if let Some(result) = side {
        return result.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    match options().and_then(|o| o.map_or(Ok(()), |o| run(&o))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// None when all that was asked for is the help.
fn options() -> Result<Option<Options>> {
    let mut options = Options::default();
    let mut args = std::env::args().skip(1);
    let list = |text: String| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| Error::from(format!("{arg} needs a value")));
        match arg.as_str() {
            "--bench" => {} // cargo's own
            "--rounds" => options.rounds = value()?.parse()?,
            "--gap" => options.gap_ms = value()?.parse()?,
            "--payload" => options.payload = value()?,
            "--also" => options.also = Some(std::fs::canonicalize(value()?)?),
            "--only" => options.only = list(value()?),
            "--section" => {
                options.sections =
                    list(value()?).iter().map(|s| Section::named(s)).collect::<Result<_>>()?;
            }
            "--quick" => options = Options { rounds: 10, rate_rounds: 2, ..options },
            "--help" | "-h" => {
                print!("{HELP}");
                return Ok(None);
            }
            other => return Err(format!("unknown option {other}\n{HELP}").into()),
        }
    }
    match options.only.iter().find(|n| !peers::ALL.iter().any(|p| p.name == **n)) {
        Some(name) => Err(format!("unknown launcher {name}\n{HELP}").into()),
        None => Ok(Some(options)),
    }
}

fn run(options: &Options) -> Result<()> {
    let bench = Bench::new()?;
    let ready = peers::ready(&bench, options)?;
    for section in &options.sections {
        match section {
            Section::Latency => latency::run(&bench, &ready, options)?,
            Section::Rate => rate::run(&bench, &ready, options)?,
            Section::Memory => memory::while_running(&bench, &ready)?,
            Section::Load => load::run(&bench, &ready, options)?,
            Section::Smallest => memory::smallest_limit(&bench, &ready)?,
            Section::Living => living::run(&bench, options)?,
            Section::Network => network::run(&bench, options)?,
            Section::Throughput => throughput::run(&bench, options)?,
        }
    }
    Ok(())
}
