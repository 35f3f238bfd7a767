//! What follows from what the archiver said of itself. Judges facts; never asks.

use crate::postgres::NotArchived;

use super::Finding;

/// The operator's archive does not take WAL.
pub(super) fn finding(NotArchived { segment, times, last }: &NotArchived) -> Finding {
    let often = if *times == 1 { "once".to_owned() } else { format!("{times} times") };
    Finding::problem(
        format!("archiving fails: WAL was not taken {often}, last {segment} at {last}"),
        "the archive ends there, for a restore to a point in time and for members that need old WAL; what was not \
         archived stays in pg_wal, and the disk fills",
        "Postgres' log has the words of archive_command; mend what it complains of: it is tried again by itself",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_taken_is_named() {
        let failed = NotArchived {
            segment: "000000030000000000000007".to_owned(),
            times: 3,
            last: "2027-01-31 12:00:00 UTC".to_owned(),
        };
        let what = "archiving fails: WAL was not taken 3 times, last 000000030000000000000007 at 2027-01-31 12:00:00 \
                    UTC";
        assert_eq!(finding(&failed).what, what);
        assert!(finding(&NotArchived { times: 1, ..failed }).what.contains("not taken once, last"));
    }
}
