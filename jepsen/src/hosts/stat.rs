//! What the kernel says of a process: its name, and the letter of its state. Signals nobody.

/// It stands still by a signal.
pub(crate) const STOPPED: char = 'T';
/// It waits for a disk, and no signal reaches it.
pub(crate) const WAITS_FOR_A_DISK: char = 'D';

/// A process, as `/proc/PID/stat` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// The first letters of its program's name.
    pub(crate) name: String,
    /// The letter.
    pub(crate) state: char,
}

impl Stat {
    /// Of that number; nothing if there is none.
    pub(crate) fn of(pid: impl Into<i64>) -> Option<Self> {
        let pid: i64 = pid.into();
        Self::read(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// A name may have parentheses and spaces: the last one ends it.
    fn read(text: &str) -> Option<Self> {
        let (before, rest) = text.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        Some(Self { name: name.to_owned(), state: rest.trim_start().chars().next()? })
    }
}

/// Whether it stands still by a signal.
pub(crate) fn stands_still(pid: impl Into<i64>) -> bool {
    Stat::of(pid).is_some_and(|stat| stat.state == STOPPED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_is_no_state() {
        let stat = Stat::read("12 (a (T) b) S 1 12").unwrap();
        assert_eq!((stat.name.as_str(), stat.state), ("a (T) b", 'S'));
        assert_eq!(Stat::read("12"), None);
        let own = Stat::of(std::process::id()).unwrap();
        assert!(!own.name.is_empty() && own.state != STOPPED, "{own:?}");
    }
}
