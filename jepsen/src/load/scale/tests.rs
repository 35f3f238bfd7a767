//! The stand-in for Postgres and the arithmetic of a size, without etcd.

use std::collections::BTreeMap;

use haa_core::effect::{Job, Source};
use haa_core::input::JobResult;
use haa_core::list::List;
use haa_core::observe::{DataDir, Server, Shutdown, SyncState};
use haa_core::units::{Incarnation, MemberName, Millis};

use super::postgres::Servers;
use super::*;

fn members() -> Vec<(MemberName, Address)> {
    let member =
        |name: &str| (name.parse().unwrap(), Address { host: name.to_owned(), port: 5432 });
    agent::MEMBERS.map(member).into()
}

#[test]
fn cost_is_shared_by_the_agents() {
    let size = size(2, (12.0, 600), Etcd::default(), Counted::default(), CALM);
    assert_eq!(size.agents, 6);
    assert!((size.cpu_percent_per_agent - 2.0).abs() < 1e-9);
    assert!((size.rss_kb_per_agent - 100.0).abs() < 1e-9);
}

#[test]
fn a_stand_in_is_cloned_streams_and_is_counted() {
    let all = members();
    let source = Source { member: all[0].0.clone(), address: all[0].1.clone(), site: None };
    let mut servers = Servers::new(&all, 7);
    let works = |servers: &mut Servers, member: usize, job: &Job| {
        assert_eq!(servers.work(member, job), JobResult::Done, "{job:?}");
    };
    works(&mut servers, 0, &Job::InitDb);
    works(&mut servers, 0, &Job::Start(None, haa_core::observe::Door::Open));
    works(&mut servers, 1, &Job::Clone(source.clone()));
    let cloned = servers.look(1, Millis(1)).data;
    let DataDir::Present { needs_source: true, incarnation, .. } = cloned else {
        panic!("a clone needs its source: {cloned:?}")
    };
    works(&mut servers, 1, &Job::Start(Some(source), haa_core::observe::Door::Open));
    let Server::Standby(standby) = servers.look(1, Millis(2)).server else {
        panic!("it is a standby")
    };
    assert!(standby.streaming && !standby.detached);
    assert_eq!(standby.source, Some(all[0].1.clone()));
    let names: BTreeMap<MemberName, Incarnation> = [(all[1].0.clone(), incarnation)].into();
    servers.list(0, List::Any { k: 1, names });
    let Server::Standby(first) = servers.look(0, Millis(3)).server else {
        panic!("nobody has promoted it")
    };
    assert!(first.detached);
    servers.stop(0);
    let facts = servers.look(0, Millis(4));
    assert_eq!(facts.server, Server::Stopped(Shutdown::Standby));
    let Server::Standby(standby) = servers.look(1, Millis(5)).server else {
        panic!("it is a standby still")
    };
    assert!(!standby.streaming, "its source has stopped");
}

#[test]
fn a_walsender_has_its_place_on_the_list() {
    let all = members();
    let place = |list: &List, own| postgres::place(Some(list), &all[2].0, Incarnation(own));
    let names: BTreeMap<MemberName, Incarnation> =
        [(all[1].0.clone(), Incarnation(2)), (all[2].0.clone(), Incarnation(3))].into();
    let (any, first) =
        (List::Any { k: 1, names: names.clone() }, List::FirstPadded { k: 1, names });
    assert_eq!(place(&any, 3), (1, SyncState::Quorum));
    assert_eq!(place(&any, 9), (0, SyncState::Async), "other data do not count");
    assert_eq!(place(&first, 3), (3, SyncState::Potential));
    assert_eq!(place(&List::Nothing, 3), (0, SyncState::Async));
}
