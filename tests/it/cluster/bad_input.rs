//! What operators get wrong: each is told in a sentence, and nothing is lost by it.

use std::process::Command;

use super::fixture::{Cluster, LONG, haad, name};
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_of_another_cluster_and_data_that_are_no_postgres_are_refused_and_left_alone() {
    let mut cluster = Cluster::prepare(|options| options);
    let (foreign, strange) = (name("n2"), name("n3"));
    let initdb = cluster.postgres_program("initdb");
    let made = Command::new(initdb).arg("-D").arg(cluster.playground.data(&foreign)).output();
    assert!(made.expect("initdb runs").status.success());
    std::fs::create_dir_all(cluster.playground.data(&strange)).expect("a directory");
    let letter = cluster.playground.data(&strange).join("letter.txt");
    std::fs::write(&letter, "dear operator").expect("a file");

    cluster.playground.start_etcd().await.expect("etcd starts");
    cluster.playground.start_member(&name("n1")).expect("it starts");
    cluster.primary().await;
    let (code, said) = haad("run", &cluster.playground.config(&foreign));
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("belongs to the database system"), "{said}");
    assert!(cluster.playground.data(&foreign).join("PG_VERSION").exists());
    let (code, said) = haad("run", &cluster.playground.config(&strange));
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("not empty"), "{said}");
    assert_eq!(std::fs::read_to_string(letter).expect("it is there"), "dear operator");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namesake_is_refused_and_the_first_goes_on() {
    let mut cluster = Cluster::prepare(|options| options);
    let (first, second) = (name("n1"), name("n2"));
    cluster.edit(&second, |text| text.replace("name = \"n2\"", "name = \"n1\""));
    cluster.playground.start_etcd().await.expect("etcd starts");
    cluster.playground.start_member(&first).expect("it starts");
    assert_eq!(cluster.primary().await, first);
    let (code, said) = haad("run", &cluster.playground.config(&second));
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("uses the name n1"), "{said}");
    assert_eq!(cluster.primary().await, first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_wait_for_an_etcd_that_is_not_there_yet() {
    let mut cluster = Cluster::prepare(|options| options);
    for member in cluster.playground.names() {
        cluster.playground.start_member(&member).expect("it starts");
    }
    for member in cluster.playground.names() {
        cluster.says(&member, "etcd").await;
    }
    cluster.playground.start_etcd().await.expect("etcd starts");
    cluster.all_stream().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_occupied_port_is_named_and_taken_once_it_is_free() {
    let mut cluster = Cluster::prepare(|options| options);
    let member = name("n1");
    let api = std::net::TcpListener::bind(cluster.playground.api(&member).to_string());
    let (code, said) = haad("run", &cluster.playground.config(&member));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(&cluster.playground.api(&member).to_string()), "{said}");
    drop(api);
    let port = std::net::TcpListener::bind(cluster.playground.postgres(&member).to_string());
    cluster.playground.start_all().await.expect("they start");
    let number = cluster.playground.postgres(&member).port.to_string();
    cluster.says(&member, &number).await;
    drop(port);
    cluster.all_stream().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_replication_password_is_told_and_mended_without_a_new_start() {
    let mut cluster = Cluster::prepare(|options| options);
    let member = name("n2");
    let right = cluster.password_file(&member, "replication");
    let wrong = cluster.playground.directory().join("wrong-password");
    std::fs::copy(&right, &wrong).expect("a copy keeps its mode");
    std::fs::write(&wrong, "wrong\n").expect("a file");
    cluster.edit(&member, |text| {
        text.replace(&right.display().to_string(), &wrong.display().to_string())
    });
    cluster.playground.start_etcd().await.expect("etcd starts");
    cluster.playground.start_member(&name("n1")).expect("it starts");
    cluster.primary().await;
    cluster.playground.start_member(&member).expect("it starts");
    cluster.says(&member, "password authentication failed").await;
    cluster.playground.terminate_agent(&member).expect("it runs");
    cluster.agent_is_gone(&member).await;
    cluster.edit(&member, |text| {
        text.replace(&wrong.display().to_string(), &right.display().to_string())
    });
    cluster.playground.start_member(&member).expect("it starts");
    cluster.playground.wait_member_streams(&member, LONG).await.expect("it is cloned");
}

#[test]
fn what_is_missing_is_said_before_anything_starts() {
    let cluster = Cluster::prepare(|options| options);
    let member = name("n1");
    let config = cluster.playground.config(&member);
    let programs = cluster.postgres_program("").display().to_string();
    let programs = programs.trim_end_matches('/');
    cluster.edit(&member, |text| text.replace(programs, "/nowhere"));
    let (code, said) = haad("check", &config);
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("/nowhere"), "{said}");
    cluster.edit(&member, |text| text.replace("[postgres]", "[postgress]"));
    let (code, said) = haad("run", &config);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("haad.toml") && said.contains("postgress"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_need_a_token_that_is_there_and_valid() {
    let mut cluster = Cluster::prepare(|options| options);
    cluster.playground.start_etcd().await.expect("etcd starts");
    cluster.playground.start_member(&name("n1")).expect("it starts");
    cluster.primary().await;
    let tokens = cluster.playground.token_file();
    let whole = std::fs::read_to_string(&tokens).expect("there is one");
    let member = name("n1");
    let ask = async || {
        let answer =
            cluster.playground.http_post(&member, "/switchover", &serde_json::json!({})).await;
        answer.expect("the agent answers")
    };
    let token = whole.split_whitespace().next().expect("a token").to_owned();
    std::fs::write(&tokens, format!("{token} expires=2020-01-01T00:00:00Z\n")).expect("written");
    let (status, text) = ask().await;
    assert_eq!(status, 401, "{text}");
    std::fs::write(&tokens, whole).expect("written");
    let (status, text) = ask().await;
    assert_eq!(status, 412, "no replica to go to, but the token is good: {text}");
}
