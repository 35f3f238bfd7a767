//! `global/pg_control`, read as a file. Never written. Offsets are the same in PostgreSQL 13 to 18.

use std::io;
use std::path::Path;

use haa_core::units::{Lsn, Position, SystemId, Timeline};

/// `ControlFileData.state`, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    ShutDown,
    ShutDownInRecovery,
    InRecovery,
    Other,
}

/// What we need of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) system_id: SystemId,
    pub(super) state: State,
    /// Where the latest checkpoint record begins, and its timeline.
    pub(super) checkpoint: Position,
    /// Where recovery begins.
    pub(super) redo: Lsn,
    /// How far recovery has got at least, with what is on disk; zero for a primary.
    pub(super) recovered: Lsn,
    /// The timeline of that; zero for a primary.
    pub(super) recovered_on: Timeline,
    /// A backup was begun to be recovered and its end was not reached.
    pub(super) in_backup: bool,
    pub(super) segment_size: u64,
    /// Of the WAL.
    pub(super) page_size: u64,
    /// What a standby must not have less of, see [`super::limits::LIMITS`].
    pub(super) limits: [u32; 5],
}

impl Control {
    pub(super) fn read(data: &Path) -> io::Result<Self> {
        let bytes = std::fs::read(data.join("global/pg_control"))?;
        Self::parse(&bytes).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "global/pg_control is not readable")
        })
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let u32_at = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let u64_at = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let version = u32_at(8)?;
        let (page_size, segment_size) = (u64::from(u32_at(224)?), u64::from(u32_at(228)?));
        let powers = segment_size.is_power_of_two() && page_size.is_power_of_two();
        let plausible = (1300..=1900).contains(&version) && powers;
        if !plausible || !((1 << 20)..=(1 << 30)).contains(&segment_size) {
            return None;
        }
        Some(Self {
            system_id: SystemId(u64_at(0)?),
            state: match u32_at(16)? {
                1 => State::ShutDown,
                2 => State::ShutDownInRecovery,
                5 => State::InRecovery,
                _ => State::Other,
            },
            checkpoint: Position { timeline: Timeline(u32_at(48)?), lsn: Lsn(u64_at(32)?) },
            redo: Lsn(u64_at(40)?),
            recovered: Lsn(u64_at(136)?),
            recovered_on: Timeline(u32_at(144)?),
            in_backup: u64_at(152)? != 0 || *bytes.get(168)? != 0,
            segment_size,
            page_size,
            limits: [u32_at(180)?, u32_at(184)?, u32_at(188)?, u32_at(192)?, u32_at(196)?],
        })
    }
}
