//! gzip, zstd and xz, told by what a file begins with.

use crate::archive::input::Input;
use std::io::{Error, ErrorKind, Read, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
    Xz,
}

/// xz files say how much memory they need; more than `xz -9` asks for is refused.
const XZ_MEMORY_KIB: u32 = 96 << 10;

impl Compression {
    pub fn of(head: &[u8]) -> Compression {
        match head {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            // A frame to be passed over may come first.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
            _ => Compression::None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "plain",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Xz => "xz",
        }
    }
}

/// The contents of a compressed file; several that were put behind each other are one.
pub fn decompress<'a, I: Input + 'a>(compression: Compression, input: I) -> Box<dyn Read + 'a> {
    match compression {
        Compression::None => Box::new(input),
        Compression::Gzip => {
            Box::new(Gzip { member: Some(flate2::bufread::GzDecoder::new(input)) })
        }
        Compression::Zstd => {
            Box::new(Zstd { input, decoder: zstd_safe::DCtx::create(), in_frame: false })
        }
        Compression::Xz => {
            Box::new(lzma_rust2::XzReader::new_mem_limit(input, true, XZ_MEMORY_KIB))
        }
    }
}

/// All members of a gzip file. Zeros may follow, as gzip(1) has it: tapes have blocks.
struct Gzip<I> {
    /// None at the end.
    member: Option<flate2::bufread::GzDecoder<I>>,
}

impl<I: Input> Read for Gzip<I> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        while let Some(decoder) = &mut self.member {
            let n = decoder.read(out)?;
            if n > 0 || out.is_empty() {
                return Ok(n);
            }
            let Some(ended) = self.member.take() else { break };
            let mut input = ended.into_inner();
            if input.fill_buf()?.first() == Some(&0) {
                zeros(&mut input)?;
            }
            if !input.fill_buf()?.is_empty() {
                self.member = Some(flate2::bufread::GzDecoder::new(input));
            }
        }
        Ok(0)
    }
}

/// Passes over them, to the end or to what is none.
fn zeros(input: &mut impl Input) -> Result<()> {
    loop {
        let there = input.fill_buf()?;
        let n = there.iter().take_while(|b| **b == 0).count();
        if n == 0 {
            return Ok(());
        }
        input.consume(n);
    }
}

/// All frames of a zstd file, one after the other.
struct Zstd<I> {
    input: I,
    decoder: zstd_safe::DCtx<'static>,
    in_frame: bool,
}

impl<I: Input> Read for Zstd<I> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        use zstd_safe::{InBuffer, OutBuffer};
        while !out.is_empty() {
            let there = self.input.fill_buf()?;
            let end = there.is_empty();
            if end && !self.in_frame {
                break;
            }
            let (mut from, mut to) = (InBuffer::around(there), OutBuffer::around(&mut *out));
            let left = self
                .decoder
                .decompress_stream(&mut to, &mut from)
                .map_err(|code| Error::other(zstd_safe::get_error_name(code)))?;
            let (made, used) = (to.pos(), from.pos());
            self.input.consume(used);
            // 0 at the end of a frame of which everything is given out.
            self.in_frame = left != 0;
            if made > 0 {
                return Ok(made);
            }
            if end {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(0)
    }
}
