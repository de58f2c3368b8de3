//! Files with holes: the lists of their pieces.

use super::header;
use super::pax::{PIECES_MOST, decimal};

/// Adds the pieces of one list in GNU's own form, twelve bytes each for offset and length; an
/// empty one is the end.
pub fn old(list: &[u8], pieces: &mut Vec<(u64, u64)>) -> Option<()> {
    for pair in list.chunks_exact(24) {
        if pair[0] == 0 && pair[12] == 0 {
            break;
        }
        let number = |field: &[u8]| header::number(field).and_then(|n| u64::try_from(n).ok());
        pieces.push((number(&pair[..12])?, number(&pair[12..])?));
        if pieces.len() > PIECES_MOST {
            return None;
        }
    }
    Some(())
}

/// The list before the data: `COUNT\nOFFSET\nLENGTH\n...`
#[derive(Debug, Default)]
pub struct List {
    count: Option<u64>,
    pub pieces: Vec<(u64, u64)>,
    offset: Option<u64>,
    line: Vec<u8>,
}

impl List {
    /// Takes more of it; true when that was the end, behind which nothing is looked at.
    pub fn add(&mut self, text: &[u8]) -> Result<bool, &'static str> {
        for byte in text {
            if *byte == b'\n' {
                self.number(decimal(&self.line))?;
                self.line.clear();
            } else {
                self.line.push(*byte);
            }
            if self.count == Some(self.pieces.len() as u64) {
                return Ok(true);
            }
            if self.line.len() > 20 {
                return self.number(None).map(|()| false);
            }
        }
        Ok(false)
    }

    fn number(&mut self, number: Option<u64>) -> Result<(), &'static str> {
        let number = number.ok_or("a sparse file's list is broken")?;
        if self.count.is_none() {
            if number > PIECES_MOST as u64 {
                return Err("a sparse file of too many pieces");
            }
            self.count = Some(number);
        } else if let Some(offset) = self.offset.take() {
            self.pieces.push((offset, number));
        } else {
            self.offset = Some(number);
        }
        Ok(())
    }
}

/// In order, apart, inside the file, and together as long as what is stored.
pub fn check(pieces: &[(u64, u64)], size: u64, stored: u64) -> Result<(), &'static str> {
    let mut end = 0u64;
    let mut sum = 0u64;
    for (offset, length) in pieces {
        if *offset < end {
            return Err("the pieces of a sparse file overlap");
        }
        end = offset.checked_add(*length).ok_or("a sparse file beyond all bounds")?;
        sum += length;
    }
    if end > size || size >= 1 << 63 {
        return Err("a sparse file's pieces are beyond its end");
    }
    if sum > stored {
        return Err("a sparse file's data is missing");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_in_the_data() {
        let list = |texts: &[&[u8]]| {
            let mut list = List::default();
            let mut whole = Ok(false);
            texts.iter().for_each(|text| whole = list.add(text));
            whole.map(|whole| whole.then_some(list.pieces))
        };
        assert_eq!(list(&[b"2\n0\n5\n10", b"0\n7\n\0\0"]), Ok(Some(vec![(0, 5), (100, 7)])));
        assert_eq!(list(&[b"2\n0\n5\n100\n"]), Ok(None));
        assert_eq!(list(&[b"2\n0\n5\n10"]), Ok(None));
        assert_eq!(list(&[b"0\n\0"]), Ok(Some(Vec::new())));
        for bad in [&b"9999999999\n"[..], b"x\n", b"1\n\n", &[b'0'; 21]] {
            assert!(list(&[bad]).is_err());
        }
    }

    #[test]
    fn pieces_that_are_none() {
        assert_eq!(check(&[(0, 5), (5, 5), (100, 0)], 100, 10), Ok(()));
        assert!(check(&[(0, 5), (4, 5)], 100, 10).is_err());
        assert!(check(&[(0, 5)], 4, 5).is_err());
        assert!(check(&[(0, 5)], 5, 4).is_err());
        assert!(check(&[(u64::MAX, 5)], 5, 4).is_err());
    }
}
