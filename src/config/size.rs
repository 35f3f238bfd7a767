//! Amounts of bytes as Postgres' users write them: `16kB`, `10MB`, `1GB`; and as people read them. Never floating.

/// Bytes; the unit is `B` (or none), `kB`, `MB`, `GB` or `TB` in any case, each 1024 of the one before.
#[must_use]
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "kb" => 10,
        "mb" => 20,
        "gb" => 30,
        "tb" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// As people read them: `0 B`, `640.0 kB`, `1.5 MB`.
#[must_use]
pub(crate) fn readable(bytes: u64) -> String {
    let units = [(1_u64 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")];
    match units.into_iter().find(|(size, _)| bytes >= *size) {
        None => format!("{bytes} B"),
        Some((size, unit)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(size);
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
    }
}

/// As [`bytes`] reads it, in the largest unit that divides it.
#[must_use]
pub(crate) fn word(bytes: u64) -> String {
    let units = [(40, "TB"), (30, "GB"), (20, "MB"), (10, "kB")];
    let whole = |shift: u32| bytes != 0 && bytes.is_multiple_of(1 << shift);
    match units.into_iter().find(|(shift, _)| whole(*shift)) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, readable, word};

    #[test]
    fn what_is_written_is_read() {
        for size in [0, 1, 1023, 1024, 1 << 20, 3 << 30, (1 << 20) + 1] {
            assert_eq!(bytes(&word(size)), Some(size));
        }
        assert_eq!((word(1 << 20).as_str(), word(0).as_str()), ("1MB", "0"));
    }

    #[test]
    fn sizes_are_read_as_postgres_reads_them() {
        assert_eq!(bytes("0"), Some(0));
        assert_eq!(bytes("16kB"), Some(16 * 1024));
        assert_eq!(bytes("10MB"), Some(10 << 20));
        assert_eq!(bytes("1 GB"), Some(1 << 30));
        for wrong in ["", "kB", "-1", "1.5MB", "10XB", "99999999999TB", "MB10"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn bytes_read_well() {
        assert_eq!(readable(0), "0 B");
        assert_eq!(readable(1_536), "1.5 kB");
        assert_eq!(readable(16 << 20), "16.0 MB");
        assert_eq!(readable(u64::MAX), "17179869183.9 GB");
    }
}
