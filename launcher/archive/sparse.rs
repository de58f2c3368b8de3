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

/// `COUNT\nOFFSET\nLENGTH\n...`; None while there must be more of it.
pub fn in_data(text: &[u8]) -> Result<Option<Vec<(u64, u64)>>, &'static str> {
    let wrong = "a sparse file's list is broken";
    let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let lines = text[..whole].split(|b| *b == b'\n');
    let mut numbers = lines.filter(|l| !l.is_empty());
    let Some(count) = numbers.next() else { return Ok(None) };
    let count = decimal(count).and_then(|n| usize::try_from(n).ok());
    let count = count.filter(|n| *n <= PIECES_MOST).ok_or(wrong)?;
    let mut pieces = Vec::new();
    while pieces.len() < count {
        let (Some(offset), Some(length)) = (numbers.next(), numbers.next()) else {
            return Ok(None);
        };
        pieces.push((decimal(offset).ok_or(wrong)?, decimal(length).ok_or(wrong)?));
    }
    Ok(Some(pieces))
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
        assert_eq!(in_data(b"2\n0\n5\n100\n7\n\0\0"), Ok(Some(vec![(0, 5), (100, 7)])));
        assert_eq!(in_data(b"2\n0\n5\n100\n"), Ok(None));
        assert_eq!(in_data(b"2\n0\n5\n10"), Ok(None));
        assert_eq!(in_data(b"0\n\0"), Ok(Some(Vec::new())));
        assert!(in_data(b"9999999999\n").is_err() && in_data(b"x\n").is_err());
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
