//! What Postgres, its tools and its files say, and what they would never say: every reader of it, tried with both.

use std::path::Path;

use haa_core::effect::Source;
use haa_core::units::{Address, Lsn, MemberName};

use super::control::Control;
use super::segment::Segment;
use super::timeline::{is_segment, parse_history, segment};
use super::{binaries, conninfo, door, list, waldump};

#[test]
fn fuzz_connection_strings() {
    let address: Address = "10.0.0.1:5433".parse().expect("an address");
    let member = "n1".parse().expect("a name");
    let own = Source { member, address, site: None };
    let own = conninfo::to(&own, "o'brien\\", Path::new("/a b/pass"), &[("sslmode", "prefer")]);
    crate::fuzz::text(&[&own, "host=a  port = 1 user='b c'", "host=h hostaddr=::1"], |text| {
        let Some(parts) = conninfo::parse(text) else { return };
        let borrowed: Vec<(&str, &str)> =
            parts.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(conninfo::parse(&conninfo::write(&borrowed)).as_ref(), Some(&parts));
        drop(conninfo::address(text));
    });
}

#[test]
fn fuzz_names_that_postgres_shows() {
    let examples = ["haa_n1_ab12", "haa_node-2_ffffffffff", "haa_a_ffffffffffffffff", "open 1f"];
    crate::fuzz::text(&examples, |text| {
        if let Some((member, incarnation)) = conninfo::parse_application_name(text) {
            let name = conninfo::application_name(&member, incarnation);
            assert_eq!(conninfo::parse_application_name(&name), Some((member, incarnation)));
        }
        let _ = door::parse(text);
    });
}

#[test]
fn fuzz_lists_of_voters() {
    let examples = [
        r#"ANY 1 ("haa_n1_ab12", "haa_node-2_7")"#,
        r#"FIRST 2 (haa_pad, "haa_n1_ab12", "haa_node-2_7")"#,
        "",
    ];
    crate::fuzz::text(&examples, |shown| {
        let Some(read) = list::parse(shown) else { return };
        assert_eq!(list::text(&read), shown, "only our own is taken for ours");
    });
}

#[test]
fn fuzz_timeline_histories() {
    let examples =
        ["1\t0/3000060\tno recovery target specified\n2\t0/5000148\tx\n", "# reserved by haa\n"];
    crate::fuzz::text(&examples, |text| {
        let forks = parse_history(text);
        assert!(forks.len() <= text.lines().count());
        let again: String =
            forks.iter().map(|fork| format!("{}\t{}\n", fork.timeline, fork.lsn)).collect();
        assert_eq!(parse_history(&again), forks);
    });
}

#[test]
fn fuzz_names_of_segments() {
    let examples = [
        "000000010000000000000003",
        "0000000A000000FF000000FF",
        "00000003.history",
        "FFFFFFFFFFFFFFFFFFFFFFFF",
    ];
    crate::fuzz::text(&examples, |name| {
        for size in [1 << 20, 16 << 20, 1 << 30] {
            let Some(read) = Segment::named(name, size) else { continue };
            assert!(is_segment(name) && read.begin < read.end());
            assert_eq!(read.name(), name.to_ascii_uppercase());
            assert_eq!(segment(size, (read.timeline, read.begin)), read.name());
        }
    });
}

#[test]
fn fuzz_pg_control() {
    let mut whole = vec![0_u8; 8192];
    whole[..8].copy_from_slice(&7_300_000_000_000_000_001_u64.to_ne_bytes());
    for (at, number) in [(8, 1300_u32), (16, 5), (48, 3), (224, 8192), (228, 16 << 20), (180, 100)]
    {
        whole[at..at + 4].copy_from_slice(&number.to_ne_bytes());
    }
    assert!(Control::parse(&whole).is_some(), "the example is good");
    crate::fuzz::bytes(&[&whole[..300], &whole], |bytes| {
        let Some(control) = Control::parse(bytes) else { return };
        assert!(control.segment_size.is_power_of_two());
    });
}

#[test]
fn fuzz_what_pg_waldump_prints() {
    let lines = waldump::tests::LINES;
    let ends = "pg_waldump: error: error in WAL record at 0/1516D80: invalid record length at 0/1516F58: wanted 24";
    crate::fuzz::text(&[lines, ends], |text| {
        let mut found = waldump::Found::default();
        let said: Vec<Lsn> = text.lines().filter_map(|line| found.line(line)).collect();
        assert!(said.len() <= text.lines().count());
        assert!(found.transactions <= text.lines().count() as u64);
    });
}

#[test]
fn fuzz_versions() {
    let examples = [
        "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
        "postgres (PostgreSQL) 18beta1",
        "postgres (PostgreSQL) 429497.1",
    ];
    crate::fuzz::text(&examples, |said| {
        let shown = binaries::version_number(said).map(binaries::shown_version);
        assert!(shown.is_none_or(|shown| !shown.is_empty()));
    });
}

#[test]
fn fuzz_words_of_the_core() {
    let examples = [
        "0/3000060",
        "FFFFFFFF/FFFFFFFF",
        "10.0.0.1:5432",
        "[::1]:5432",
        "node-1.internal:1",
        "n1",
    ];
    crate::fuzz::text(&examples, |text| {
        if let Ok(lsn) = text.parse::<Lsn>() {
            assert_eq!(lsn.to_string().parse(), Ok(lsn));
        }
        if let Ok(address) = text.parse::<Address>() {
            assert_eq!(address.to_string().parse(), Ok(address));
        }
        if let Ok(name) = text.parse::<MemberName>() {
            assert_eq!(name.as_str(), text);
            assert!(name.slot().len() <= 63 && (1..=48).contains(&text.len()));
        }
    });
}
