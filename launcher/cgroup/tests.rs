use super::*;

#[test]
fn ids_never_make_paths() {
    for bad in ["", ".", "..", "a/b", "../x", "a b", "a\n", "\u{e9}", ".hidden"] {
        assert!(check_id(bad).is_err(), "{bad:?}");
    }
    assert!(check_id(&"a".repeat(65)).is_err());
    assert!(check_id("web-1_x.y").is_ok());
}
