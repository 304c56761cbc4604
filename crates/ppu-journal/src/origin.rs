//! When and where a record is written. Labels for people and for comparing with the ledgers; no decision uses them.

/// The 16 bytes of the computer's boot id; empty where the kernel does not tell.
pub(crate) fn boot_id(text: &str) -> Vec<u8> {
    parse_hex(text).unwrap_or_default()
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().filter(|c| *c != '-').map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    (digits.len() == 32).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_id_has_sixteen_bytes_or_none() {
        let id = parse_hex("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0").unwrap();
        assert_eq!((id.len(), id[0], id[15]), (16, 0x0f, 0xf0));
        assert_eq!(parse_hex("0f1e"), None);
        assert_eq!(parse_hex(""), None);
        assert!(boot_id("not told").is_empty());
    }
}
