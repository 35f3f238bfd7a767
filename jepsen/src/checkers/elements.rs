//! Sets and lists alike, as places that elements are put into and read from. Never says what should be there.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::calls::Call;
use super::options::Options;
use crate::history::{Op, Step};

/// Where elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    Set,
    List(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set => write!(f, "the set"),
            Self::List(key) => write!(f, "list {key}"),
        }
    }
}

/// A read that was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read<'c, 'h> {
    pub(crate) call: &'c Call<'h>,
    pub(crate) elements: &'h [u64],
}

/// Everything that was put into one place, or read from it, in the order in which it began.
#[derive(Debug, Default)]
pub(crate) struct Elements<'c, 'h> {
    pub(crate) adds: Vec<(u64, &'c Call<'h>)>,
    pub(crate) reads: Vec<Read<'c, 'h>>,
}

impl<'c, 'h> Elements<'c, 'h> {
    /// Who put an element there; the first, if several did.
    pub(crate) fn writers(&self) -> HashMap<u64, &'c Call<'h>> {
        let mut writers = HashMap::with_capacity(self.adds.len());
        for (element, call) in &self.adds {
            writers.entry(*element).or_insert(*call);
        }
        writers
    }

    /// What was there in the end, by the last read on a primary.
    pub(crate) fn last(&self, options: &Options) -> Option<Read<'c, 'h>> {
        let from = options.final_reads_from.unwrap_or(0);
        let on_primary =
            |read: &&Read<'_, '_>| !read.call.on_replica() && read.call.began_at >= from;
        self.reads.iter().rev().find(on_primary).copied()
    }
}

/// Sorts all operations by the places that they touch.
pub(crate) fn places<'c, 'h>(calls: &'c [Call<'h>]) -> BTreeMap<Place, Elements<'c, 'h>> {
    let mut places: BTreeMap<Place, Elements<'c, 'h>> = BTreeMap::new();
    for call in calls {
        let op: &'h Op = call.op;
        match op {
            Op::Add(element) => {
                places.entry(Place::Set).or_default().adds.push((*element, call));
            }
            Op::All(Some(elements)) if call.ok() => {
                places.entry(Place::Set).or_default().reads.push(Read { call, elements });
            }
            Op::Txn(steps) => steps.iter().for_each(|step| touch(&mut places, call, step)),
            Op::All(_)
            | Op::Get { .. }
            | Op::Put { .. }
            | Op::Cas { .. }
            | Op::Transfer { .. }
            | Op::Balances(_) => {}
        }
    }
    places
}

fn touch<'c, 'h>(
    places: &mut BTreeMap<Place, Elements<'c, 'h>>,
    call: &'c Call<'h>,
    step: &'h Step,
) {
    match step {
        Step::Append { key, value } => {
            places.entry(Place::List(*key)).or_default().adds.push((*value, call));
        }
        Step::Read { key, list: Some(elements) } if call.ok() => {
            places.entry(Place::List(*key)).or_default().reads.push(Read { call, elements });
        }
        Step::Read { .. } => {}
    }
}

/// A set of elements of one place, small and quick to ask.
#[derive(Debug)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    /// Those of `read` that `numbers` knows.
    pub(crate) fn of(read: &[u64], numbers: &HashMap<u64, usize>) -> Self {
        let mut bits = vec![0; numbers.len() / 64 + 1];
        for number in read.iter().filter_map(|element| numbers.get(element)) {
            bits[number / 64] |= 1 << (number % 64);
        }
        Self(bits)
    }

    pub(crate) fn has(&self, number: usize) -> bool {
        self.0[number / 64] >> (number % 64) & 1 == 1
    }
}
