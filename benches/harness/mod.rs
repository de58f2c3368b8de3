//! The benchmark's own tools.

pub mod bench;
pub mod latency;
pub mod living;
pub mod load;
pub mod memory;
pub mod network;
pub mod peers;
pub mod rate;
pub mod stats;
pub mod sys;
pub mod throughput;

pub type Error = Box<dyn std::error::Error>;
pub type Result<T> = std::result::Result<T, Error>;

pub const LIMIT: u64 = 200 << 20;
/// The build that is measured.
pub const LAUNCH: &str = env!("CARGO_BIN_EXE_launch");

#[derive(Clone, Copy)]
pub enum Section {
    Latency,
    Rate,
    Memory,
    Smallest,
    Load,
    Living,
    Network,
    Throughput,
}

impl Section {
    pub fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "latency" => Self::Latency,
            "rate" => Self::Rate,
            "memory" => Self::Memory,
            "smallest" => Self::Smallest,
            "load" => Self::Load,
            "living" => Self::Living,
            "network" => Self::Network,
            "throughput" => Self::Throughput,
            _ => return Err(format!("unknown section {name}").into()),
        })
    }
}

pub struct Options {
    pub rounds: usize,
    pub rate_rounds: usize,
    pub gap_ms: u64,
    /// What the containers of the latency table run.
    pub payload: String,
    /// Another build of launch to measure beside this one.
    pub also: Option<std::path::PathBuf>,
    /// Names; empty means all.
    pub only: Vec<String>,
    pub sections: Vec<Section>,
}

impl Default for Options {
    fn default() -> Self {
        let sections = vec![
            Section::Latency,
            Section::Rate,
            Section::Memory,
            Section::Smallest,
            Section::Living,
            Section::Throughput,
        ];
        let payload = "/bin/true".into();
        Self {
            payload,
            rounds: 60,
            rate_rounds: 30,
            gap_ms: 50,
            also: None,
            only: Vec::new(),
            sections,
        }
    }
}
