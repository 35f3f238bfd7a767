//! A Postgres that does not take what is new comes back with what it had, and says why.

use haa_core::effect::Job;
use haa_core::observe::Door;
use haa_core::units::Millis;

use super::member::Member;
use super::root;

async fn restart(member: &mut Member) {
    member.again().await;
    member.done(Job::Stop(Millis(5000))).await;
    member.done(Job::Start(None, Door::Open)).await;
    member.standby(|standby| standby.detached).await;
    member.sql("SELECT 1").await;
}

/// Why what is wished is not in force.
async fn objection(member: &mut Member) -> String {
    let seen = member.facts(|facts| facts.parameters.objection.is_some()).await;
    seen.parameters.objection.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_fails_by_what_is_new_goes_back_to_what_was() {
    let root = root();
    let mut a = Member::new("a", root.path());
    a.done(Job::InitDb).await;
    a.done(Job::Start(None, Door::Open)).await;
    let good = a.config.clone();

    let library = ("shared_preload_libraries".to_owned(), "nothing_such".to_owned());
    a.config.parameters.extend([library]);
    restart(&mut a).await;
    let why = objection(&mut a).await;
    assert!(why.contains("nothing_such") && why.contains("what it had before"), "{why}");
    // The next agent knows it too, and does not write it for a server that runs.
    a.again().await;
    a.hands().share(haa_core::units::Revision(7), std::collections::BTreeMap::new());
    assert_eq!(objection(&mut a).await, why);

    a.config.hba = vec!["host all all nonsense".to_owned()];
    a.config.parameters = good.parameters.clone();
    restart(&mut a).await;
    let why = objection(&mut a).await;
    assert!(why.contains("pg_hba.conf"), "{why}");

    a.config = good;
    restart(&mut a).await;
    a.facts(|facts| facts.parameters.objection.is_none()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_fails_anyway_says_why() {
    let root = root();
    let mut a = Member::new("a", root.path());
    a.done(Job::InitDb).await;
    a.config.parameters.insert("shared_preload_libraries".to_owned(), "nothing_such".to_owned());
    a.again().await;
    let why = a.failed(Job::Start(None, Door::Open)).await;
    assert!(why.contains("nothing_such"), "nothing else is known: {why}");
}
