//! nf_tables messages: sets, chains and rules, and the expressions that rules are made of
//! (linux/netfilter/nf_tables.h).

use super::TYPE_IFNAME;
use crate::net::link::Prefix;
use crate::net::netlink::{ACK, APPEND, Batch, CREATE, Refused, Socket};
use core::net::IpAddr;

const TABLE: &str = "launch";
/// 128-bit register 1, and the same memory as 32-bit ones.
pub const REG: u32 = 1;
pub const R32: u32 = 8;

pub const EQ: u32 = 0;
pub const NEQ: u32 = 1;
pub const DROP: i32 = 0;
pub const ACCEPT: i32 = 1;
pub const JUMP: i32 = -3;

#[derive(Clone, Copy)]
pub enum Meta {
    IifName = 6,
    OifName = 7,
    Family = 15,
    Protocol = 16,
}

/// A transaction in the making: all of it happens, or nothing.
pub struct Transaction(Batch);

fn kind(message: u16) -> u16 {
    10 << 8 | message
}

/// struct nfgenmsg of the family inet.
const HEAD: [u8; 4] = [1, 0, 0, 0];
const FRAME: [u8; 4] = [0, 0, 0, 10];

impl Transaction {
    pub fn new() -> Transaction {
        let mut b = Batch::default();
        b.message(0x10, 0, &FRAME);
        Transaction(b)
    }

    pub fn commit(mut self, socket: &Socket) -> Result<(), Refused> {
        self.0.message(0x11, 0, &FRAME);
        socket.call(&self.0)
    }

    pub fn make_table(&mut self, more: u16) {
        self.0.message(kind(0), ACK | CREATE | more, &HEAD).name(1, TABLE);
    }

    pub fn drop_table(&mut self) {
        self.0.message(kind(2), ACK, &HEAD).name(1, TABLE);
    }

    /// A set, or with `data` (its type and length) a map.
    pub fn set(&mut self, id: u32, name: &str, key: (u32, u32), data: Option<(u32, u32)>) {
        let map = 8;
        let b = self.0.message(kind(9), ACK | CREATE, &HEAD);
        b.name(1, TABLE).name(2, name).be32(3, if data.is_some() { map } else { 0 });
        b.be32(4, key.0).be32(5, key.1);
        if let Some((kind, length)) = data {
            b.be32(6, kind).be32(7, length);
        }
        b.be32(10, id);
        if key.0 == TYPE_IFNAME {
            // For nft(8), which prints names only of sets that say what order their bytes have.
            b.attr(13, &[&[0, 4][..], &1u32.to_ne_bytes()].concat());
        }
    }

    /// A chain; `hook` is its type, number and priority.
    pub fn chain(&mut self, name: &str, hook: Option<(&str, u32, i32)>) {
        let b = self.0.message(kind(3), ACK | CREATE, &HEAD);
        b.name(1, TABLE).name(3, name);
        if let Some((kind, number, priority)) = hook {
            b.nest(4, |b| {
                b.be32(1, number).be32(2, priority as u32);
            });
            b.name(7, kind);
        }
    }

    pub fn rule(&mut self, chain: &str, expressions: impl FnOnce(&mut Rule)) {
        let b = self.0.message(kind(6), ACK | CREATE | APPEND, &HEAD);
        b.name(1, TABLE).name(2, chain).nest(4, |b| expressions(&mut Rule(b)));
    }

    /// Adds or deletes elements (key and, for maps, data); few enough for one attribute each.
    pub fn elements(&mut self, add: bool, set: &str, elements: &[(Vec<u8>, Vec<u8>)]) {
        // An attribute's length has 16 bits; an element needs at most 76 bytes.
        for some in elements.chunks(500) {
            let message = if add { kind(12) } else { kind(14) };
            let flags = if add { ACK | CREATE } else { ACK };
            let b = self.0.message(message, flags, &HEAD);
            b.name(1, TABLE).name(2, set).nest(3, |b| {
                for (key, data) in some {
                    b.nest(1, |b| {
                        value(b, 1, key);
                        if add && !data.is_empty() {
                            value(b, 2, data);
                        }
                    });
                }
            });
        }
    }
}

/// The expressions of one rule, each on what the one before left in the registers.
pub struct Rule<'a>(&'a mut Batch);

impl Rule<'_> {
    pub fn expression(&mut self, name: &str, data: impl FnOnce(&mut Batch)) -> &mut Self {
        self.0.nest(1, |b| {
            b.name(1, name).nest(2, data);
        });
        self
    }

    pub fn meta(&mut self, key: Meta, register: u32) -> &mut Self {
        self.expression("meta", |b| {
            b.be32(1, register).be32(2, key as u32);
        })
    }

    pub fn compare(&mut self, how: u32, with: &[u8]) -> &mut Self {
        self.expression("cmp", |b| {
            b.be32(1, REG).be32(2, how);
            value(b, 3, with);
        })
    }

    pub fn link(&mut self, key: Meta, how: u32, name: &str) -> &mut Self {
        self.meta(key, REG).compare(how, &link_name(name))
    }

    pub fn link_in(&mut self, key: Meta, set: &str) -> &mut Self {
        self.meta(key, REG).lookup(set, REG, None)
    }

    /// Bytes of the network header (1) or the transport header (2).
    pub fn load(&mut self, base: u32, offset: u32, length: u32, register: u32) -> &mut Self {
        self.expression("payload", |b| {
            b.be32(1, register).be32(2, base).be32(3, offset).be32(4, length);
        })
    }

    pub fn masked(&mut self, mask: &[u8]) -> &mut Self {
        self.expression("bitwise", |b| {
            b.be32(1, REG).be32(2, REG).be32(3, mask.len() as u32);
            value(b, 4, mask);
            value(b, 5, &vec![0; mask.len()]);
        })
    }

    /// The source (or destination) address is in this network.
    pub fn address(&mut self, source: bool, net: Prefix) -> &mut Self {
        let (family, offset, bytes) = match net.ip {
            IpAddr::V4(ip) => (2u8, if source { 12 } else { 16 }, ip.octets().to_vec()),
            IpAddr::V6(ip) => (10, if source { 8 } else { 24 }, ip.octets().to_vec()),
        };
        let mask: Vec<u8> = (0..bytes.len())
            .map(|i| {
                0xffu16
                    .checked_shl(8 - u32::from(net.bits).saturating_sub(8 * i as u32).min(8))
                    .unwrap_or(0) as u8
            })
            .collect();
        let wanted: Vec<u8> = bytes.iter().zip(&mask).map(|(b, m)| b & m).collect();
        self.meta(Meta::Family, REG).compare(EQ, &[family]);
        self.load(1, offset, bytes.len() as u32, REG).masked(&mask).compare(EQ, &wanted)
    }

    /// One of these bits of conntrack's `key` (0 state, 2 status) is set.
    pub fn tracked(&mut self, key: u32, bits: u32) -> &mut Self {
        self.expression("ct", |b| {
            b.be32(1, REG).be32(2, key);
        });
        self.masked(&bits.to_ne_bytes()).compare(NEQ, &[0; 4])
    }

    /// The destination is an address of this host's own.
    pub fn ends_here(&mut self) -> &mut Self {
        let (kind_of_address, destination) = (3, 2);
        self.expression("fib", |b| {
            b.be32(1, REG).be32(2, kind_of_address).be32(3, destination);
        });
        self.compare(EQ, &2u32.to_ne_bytes())
    }

    pub fn lookup(&mut self, set: &str, from: u32, to: Option<u32>) -> &mut Self {
        self.expression("lookup", |b| {
            b.name(1, set).be32(2, from);
            if let Some(to) = to {
                b.be32(3, to);
            }
        })
    }

    /// To the address and port in the registers that begin at R32.
    pub fn translate(&mut self, family: u32) -> &mut Self {
        let port = if family == 2 { R32 + 1 } else { R32 + 4 };
        self.expression("nat", |b| {
            b.be32(1, 1).be32(2, family).be32(3, R32).be32(5, port);
        })
    }

    pub fn masquerade(&mut self) {
        self.expression("masq", |_| {});
    }

    pub fn verdict(&mut self, code: i32, chain: Option<&str>) {
        self.expression("immediate", |b| {
            b.be32(1, 0).nest(2, |b| {
                b.nest(2, |b| {
                    b.be32(1, code as u32);
                    if let Some(chain) = chain {
                        b.name(2, chain);
                    }
                });
            });
        });
    }
}

/// Data, wrapped as nf_tables has it (NFTA_DATA_VALUE).
fn value(b: &mut Batch, kind: u16, bytes: &[u8]) {
    b.nest(kind, |b| {
        b.attr(1, bytes);
    });
}

pub fn link_name(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}
