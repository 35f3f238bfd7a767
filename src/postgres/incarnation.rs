//! The incarnation: a random number in the data directory that ends with the data. Never copied from another member.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use haa_core::units::Incarnation;

const NAME: &str = "haa.incarnation";

/// `haa_<48 letters>_<10 hex digits>` are the 63 bytes that Postgres keeps of an `application_name`;
/// hence 40 bits.
const BITS: u32 = 40;

fn path(data: &Path) -> PathBuf {
    data.join(NAME)
}

/// The number that is there; a new one, written durably, when there is none.
pub(super) fn read_or_make(data: &Path) -> io::Result<Incarnation> {
    match std::fs::read_to_string(path(data)) {
        Ok(text) => u64::from_str_radix(text.trim(), 16).map(Incarnation).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{NAME} is not a number"))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(data),
        Err(error) => Err(error),
    }
}

/// A new number, durably: whatever is in `data` now is not what it was.
pub(super) fn make(data: &Path) -> io::Result<Incarnation> {
    let number = rand::random::<u64>() >> (64 - BITS);
    let new = data.join("haa.incarnation.new");
    let mut file = File::create(&new)?;
    writeln!(file, "{number:x}")?;
    file.sync_all()?;
    std::fs::rename(&new, path(data))?;
    File::open(data)?.sync_all()?;
    Ok(Incarnation(number))
}
