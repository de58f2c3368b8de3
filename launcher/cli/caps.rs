//! `--cap-add`, `--cap-drop`: names to a mask.

pub use crate::caps::names::{ALL, DEFAULT, name};

use crate::caps::names::{NAMES, number};
use crate::cli::given::Given;
use crate::cli::suggest;
use crate::error::Result;
use crate::quote::quote;

/// `NET_ADMIN,cap_sys_time`, `ALL`.
pub fn parse(given: Given) -> Result<u64> {
    let mut mask = 0;
    for word in given.text()?.split(',') {
        let upper = word.to_ascii_uppercase();
        let plain = upper.strip_prefix("CAP_").unwrap_or(&upper);
        mask |= match number(plain) {
            Some(number) => 1 << number,
            None if upper == "ALL" => ALL,
            None => {
                let error = given.bad(format!("no capability is called {}", quote(word)));
                return Err(match suggest::nearest(plain, NAMES) {
                    Some(near) => error.hint(format!("did you mean {near}?")),
                    None => error.hint("names are those of capabilities(7), for example NET_ADMIN"),
                });
            }
        };
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    fn mask(value: &str) -> Result<u64> {
        parse(Given { name: "--cap-add", value: OsStr::new(value) })
    }

    #[test]
    fn docker_default() {
        let names: Vec<_> = (0..64).filter(|n| DEFAULT >> n & 1 == 1).filter_map(name).collect();
        assert_eq!(
            names.join(" "),
            "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP"
        );
    }

    #[test]
    fn spellings() {
        for same in
            ["net_admin", "NET_ADMIN", "CAP_NET_ADMIN", "cap_Net_Admin", "NET_ADMIN,NET_ADMIN"]
        {
            assert_eq!(mask(same).expect(same), 1 << 12, "{same}");
        }
        assert_eq!(mask("chown,CHECKPOINT_RESTORE").expect("list"), 1 | 1 << 40);
        assert_eq!(mask("all").expect("all"), ALL);
        assert_eq!(name(40), Some("CHECKPOINT_RESTORE"));
        assert_eq!(name(41), None);
    }

    #[test]
    fn numbers_are_the_kernels() {
        // linux/capability.h
        for (n, number) in [("SETFCAP", 31), ("SYS_ADMIN", 21), ("BPF", 39), ("AUDIT_READ", 37)] {
            assert_eq!(name(number), Some(n));
        }
    }

    #[test]
    fn refused() {
        for (word, hint) in
            [("NET_ADMN", "NET_ADMIN"), ("", "capabilities(7)"), ("12", "capabilities(7)")]
        {
            let said = mask(word).expect_err(word).to_string();
            assert!(said.contains("no capability") && said.contains(hint), "{said}");
        }
        assert!(mask("CHOWN,").is_err());
        assert!(mask("CAP_ALL").is_err());
    }
}
