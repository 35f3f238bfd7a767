//! What a look makes of a Postgres without a place for haad, and of data that cannot be read: nothing follows from it.

use haa_core::effect::Job;
use haa_core::observe::{DataDir, Server, Shutdown};
use tokio_postgres::Client;

use super::member::Member;
use super::root;

/// Takes every place that is left, haad's too once its session is ended.
async fn fill(member: &Member, crowd: &mut Vec<Client>) {
    let config = member.client_config();
    loop {
        while let Ok((client, connection)) = config.connect(tokio_postgres::NoTls).await {
            tokio::spawn(connection);
            crowd.push(client);
        }
        let ours = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'haad'";
        let ended = crowd[0].query(ours, &[]).await.expect("a superuser may");
        if ended.is_empty() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_without_a_free_connection_is_not_taken_for_dead() {
    let root = root();
    let mut a = Member::new("a", root.path());
    a.config.parameters.insert("max_connections".to_owned(), "8".to_owned());
    a.again().await;
    a.become_primary(2, &[]).await;
    let mut crowd = Vec::new();
    // A session of haad's that is just beginning has a place, and is not seen yet.
    let why = loop {
        fill(&a, &mut crowd).await;
        if let Server::Refusing(why) = a.facts(|_| true).await.server {
            break why;
        }
    };
    assert!(why.contains("too many clients") || why.contains("connection slots"), "{why}");
    drop(crowd);
    a.primary(|_| true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_that_cannot_be_read_are_not_taken_for_anothers() {
    let root = root();
    let mut a = Member::new("a", root.path());
    a.done(Job::InitDb).await;
    let before = a.stopped().await.data;
    let control = a.config.data_directory.join("global/pg_control");
    let away = a.config.data_directory.join("global/pg_control.away");
    std::fs::rename(&control, &away).expect("it is there");
    std::fs::create_dir(&control).expect("the place is free");
    let facts = a.facts(|facts| matches!(facts.data, DataDir::Unreadable(_))).await;
    let DataDir::Unreadable(why) = &facts.data else { panic!("{:?}", facts.data) };
    assert!(why.contains("cannot read"), "{why}");
    std::fs::remove_dir(&control).expect("it is empty");
    std::fs::rename(&away, &control).expect("it was there");
    let after = a.facts(|facts| matches!(facts.data, DataDir::Present { .. })).await;
    assert_eq!(after.data, before);
    assert!(matches!(after.server, Server::Stopped(Shutdown::Primary(_))), "{:?}", after.server);
}
