//! gzip, zstd and xz, told by what a file begins with.

use crate::archive::input::Input;
use std::io::{BufReader, Error, Read, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
    Xz,
}

/// What fits several of the decoders' blocks, and the processor's cache.
const BUFFER: usize = 256 << 10;

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
}

/// The contents of a compressed file; several that were put behind each other are one.
pub fn decompress<'a, I: Input + 'a>(
    compression: Compression,
    input: I,
) -> Result<Box<dyn Input + 'a>> {
    Ok(match compression {
        Compression::None => Box::new(input),
        Compression::Gzip => {
            let decoder = flate2::bufread::MultiGzDecoder::new(input);
            Box::new(BufReader::with_capacity(BUFFER, decoder))
        }
        Compression::Zstd => Box::new(BufReader::with_capacity(BUFFER, Zstd::new(input))),
        Compression::Xz => {
            let decoder = lzma_rust2::XzReader::new_mem_limit(input, true, XZ_MEMORY_KIB);
            Box::new(BufReader::with_capacity(BUFFER, decoder))
        }
    })
}

/// All frames of a zstd file, one after the other.
struct Zstd<I> {
    input: I,
    decoder: ruzstd::decoding::FrameDecoder,
    in_frame: bool,
}

impl<I: Input> Zstd<I> {
    fn new(input: I) -> Zstd<I> {
        Zstd { input, decoder: ruzstd::decoding::FrameDecoder::new(), in_frame: false }
    }

    /// False at the end of the file.
    fn next_frame(&mut self) -> Result<bool> {
        use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
        while !self.input.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.input) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => self.input.skip(length.into())?,
                Err(e) => return Err(Error::other(format!("not a zstd frame: {e}"))),
            }
        }
        Ok(false)
    }
}

impl<I: Input> Read for Zstd<I> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        use ruzstd::decoding::BlockDecodingStrategy::UptoBytes;
        loop {
            if !self.in_frame {
                self.in_frame = self.next_frame()?;
                if !self.in_frame {
                    return Ok(0);
                }
            }
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(out);
            }
            if self.decoder.is_finished() {
                let stored = self.decoder.get_checksum_from_data();
                if stored.is_some() && stored != self.decoder.get_calculated_checksum() {
                    return Err(Error::other("a zstd frame's checksum is wrong"));
                }
                self.in_frame = false;
                continue;
            }
            let decoded = self.decoder.decode_blocks(&mut self.input, UptoBytes(BUFFER));
            decoded.map_err(|e| Error::other(format!("broken zstd data: {e}")))?;
        }
    }
}
