//! The workloads that a run carries, as they are asked for, and what they are called. Does none of them.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::checkers::Isolation;
use crate::matrix::word;

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sort {
    /// A set that grows
    Set,
    /// Transactions over lists
    Append,
    /// Registers: read, write, compare and set
    Register,
    /// A bank: transfers, and all balances
    Bank,
}

/// One of the workloads of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// What its clients do.
    pub sort: Sort,
    /// What their transactions ask for, if they are over lists.
    pub isolation: Isolation,
}

/// Each sort once; but one of transactions over lists for each level.
#[must_use]
pub fn works(sorts: &[Sort], levels: &[Isolation]) -> Vec<Work> {
    let mut works = Vec::new();
    for sort in sorts {
        let levels = match sort {
            Sort::Append => levels,
            Sort::Set | Sort::Register | Sort::Bank => levels.get(..1).unwrap_or_default(),
        };
        for isolation in levels {
            let work = Work { sort: *sort, isolation: *isolation };
            if !works.contains(&work) {
                works.push(work);
            }
        }
    }
    works
}

/// What they are called: by their sort, and where there are several of one, by their level too.
#[must_use]
pub fn names(works: &[Work]) -> Vec<String> {
    let name = |work: &Work| {
        let sort = word(work.sort);
        match works.iter().filter(|other| other.sort == work.sort).count() {
            1 => sort,
            _ => format!("{sort}-{}", word(work.isolation)),
        }
    };
    works.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_once_and_two_of_one_sort_are_told_apart() {
        use Isolation::{ReadCommitted, Serializable};
        let called = |sorts: &[Sort], levels: &[Isolation]| names(&works(sorts, levels));
        let twice = [Sort::Append, Sort::Bank, Sort::Append];
        assert_eq!(called(&twice, &[ReadCommitted]), ["append", "bank"]);
        assert_eq!(
            called(&twice, &[Serializable, ReadCommitted]),
            ["append-serializable", "append-read-committed", "bank"]
        );
        assert_eq!(works(&[Sort::Append], &[ReadCommitted])[0].isolation, ReadCommitted);
    }
}
