//! What a program says about the libraries it needs (elf(5)).

use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::read::{ReadCache, ReadRef, StringTable};
use object::{Endianness, elf};
use std::fs::File;

/// One ELF file, as far as its loader needs to know.
#[derive(Debug, Default, PartialEq)]
pub struct Object {
    /// ELFCLASS32 or ELFCLASS64.
    pub class: u8,
    /// EM_*.
    pub machine: u16,
    /// The loader, where it is a program that has one.
    pub interpreter: Option<Vec<u8>>,
    pub soname: Option<Vec<u8>>,
    /// DT_NEEDED, in order.
    pub needed: Vec<Vec<u8>>,
    /// Lists with `:`, not expanded.
    pub rpath: Option<Vec<u8>>,
    pub runpath: Option<Vec<u8>>,
}

impl Object {
    pub fn same_machine(&self, other: &Object) -> bool {
        (self.class, self.machine) == (other.class, other.machine)
    }
}

/// None for what is no ELF file. Only the pages that are needed are read.
pub fn read(file: &File) -> Result<Option<Object>, String> {
    let data = ReadCache::new(file);
    let Ok(ident) = (&data).read_bytes_at(0, 5) else { return Ok(None) };
    let read = match ident {
        b"\x7fELF\x01" => parse::<elf::FileHeader32<Endianness>>(&data),
        b"\x7fELF\x02" => parse::<elf::FileHeader64<Endianness>>(&data),
        _ => return Ok(None),
    };
    read.map(Some).map_err(|e| format!("broken ELF file: {e}"))
}

fn parse<H>(data: &ReadCache<&File>) -> object::Result<Object>
where
    H: FileHeader<Endian = Endianness>,
{
    let header = H::parse(data)?;
    let endian = header.endian()?;
    let mut object = Object {
        class: header.e_ident().class.0,
        machine: header.e_machine(endian).0,
        ..Object::default()
    };
    let segments = header.program_headers(endian, data)?;
    let mut dynamic = None;
    for segment in segments {
        if let Some(name) = segment.interpreter(endian, data)? {
            object.interpreter = Some(name.to_vec());
        }
        if let Some(table) = segment.dynamic(endian, data)? {
            dynamic = Some(table);
        }
    }
    let Some(dynamic) = dynamic else { return Ok(object) };
    let value = |tag| dynamic.iter().find(|d| d.tag(endian) == tag).map(|d| d.val(endian));
    let (Some(at), Some(size)) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) else {
        return Ok(object);
    };
    let Some(start) = file_offset(segments, endian, at) else { return Ok(object) };
    let strings = StringTable::new(data, start, start.saturating_add(size));
    for entry in dynamic {
        let text = || entry.string(endian, strings).map(<[u8]>::to_vec);
        match entry.tag(endian) {
            elf::DT_NULL => break,
            elf::DT_NEEDED => object.needed.push(text()?),
            elf::DT_SONAME => object.soname = Some(text()?),
            elf::DT_RPATH => object.rpath = Some(text()?),
            elf::DT_RUNPATH => object.runpath = Some(text()?),
            _ => {}
        }
    }
    Ok(object)
}

/// Where an address of the loaded program lies in the file.
fn file_offset<P: ProgramHeader>(segments: &[P], endian: P::Endian, address: u64) -> Option<u64> {
    segments.iter().filter(|s| s.p_type(endian) == elf::PT_LOAD).find_map(|s| {
        let start: u64 = s.p_vaddr(endian).into();
        let size: u64 = s.p_filesz(endian).into();
        let inside = address.checked_sub(start).filter(|d| *d < size)?;
        Into::<u64>::into(s.p_offset(endian)).checked_add(inside)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn any_file() {
        // A dynamic program, where there is one.
        let dynamic = std::fs::read("/usr/bin/env").unwrap_or_default();
        let own = std::fs::read("/proc/self/exe").expect("our own program");
        let examples =
            [&dynamic[..dynamic.len().min(60_000)], &own[..8192], b"\x7fELF\x02\x01\x01"];
        crate::fuzz::fuzz(&examples, |bytes| {
            let file = rustix::fs::memfd_create("elf", rustix::fs::MemfdFlags::CLOEXEC);
            let mut file = File::from(file.expect("memory"));
            file.write_all(bytes).expect("written");
            if let Ok(Some(object)) = read(&file) {
                assert!(object.needed.len() <= bytes.len());
            }
        });
    }
}
