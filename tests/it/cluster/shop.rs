//! The example application in front of a real cluster: orders through failovers, and reads of what was just written.

use std::sync::Arc;
use std::time::{Duration, Instant};

use haa_example_shop::database::Databases;
use haa_example_shop::orders::{Orders, SCHEMA, Wish};
use haa_example_shop::routes::Routes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::fixture::Cluster;

/// Clients that order one thing after another.
const CLIENTS: usize = 4;

fn shop(cluster: &Cluster) -> Arc<Orders> {
    let names = cluster.playground.names();
    let agents = names.iter().map(|name| format!("http://{}", cluster.playground.api(name)));
    let routes = Routes::watch(agents.collect()).expect("a client");
    let anywhere = cluster.playground.postgres(&names[0]);
    let mut login = tokio_postgres::Config::new();
    let known = cluster.playground.superuser(&anywhere).expect("the password is there");
    login.user(known.get_user().expect("a user"));
    login.password(known.get_password().expect("a password"));
    login.dbname(known.get_dbname().unwrap_or("postgres"));
    Arc::new(Orders { routes, databases: Databases::new(login) })
}

/// Orders and reads each back at once, until told to stop: the keys of what was placed, and the longest wait.
async fn client(
    shop: Arc<Orders>,
    number: usize,
    (tell, stop): (mpsc::UnboundedSender<()>, watch::Receiver<bool>),
) -> (Vec<String>, Duration) {
    let (mut placed, mut longest) = (Vec::new(), Duration::ZERO);
    while !*stop.borrow() {
        let key = format!("{number}-{}", placed.len());
        let began = Instant::now();
        let order = shop.place(&key, &Wish { item: key.clone() }).await.expect("it is placed");
        longest = longest.max(began.elapsed());
        let seen = order.seen.as_deref();
        let read = shop.show(order.id, seen).await.expect("somebody can be read");
        let read = read.unwrap_or_else(|| panic!("{key} is not there, read at {seen:?}"));
        assert_eq!(read.item, key);
        placed.push(key);
        tell.send(()).expect("the test listens");
    }
    (placed, longest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_places_each_order_once_through_failovers() {
    let (cluster, first, _) = Cluster::start_voting().await;
    let shop = shop(&cluster);
    cluster.execute(SCHEMA).await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let (stop, stopped) = watch::channel(false);
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(client(Arc::clone(&shop), number, (tell.clone(), stopped.clone())));
    }
    let mut some = async || {
        for _ in 0..50 {
            told.recv().await.expect("clients that order");
        }
    };
    some().await;
    cluster.playground.kill_postgres(&first).expect("it ran");
    some().await;
    let (code, said) = cluster.haactl(&["switchover", "--yes"]);
    assert_eq!(code, 0, "{said}");
    some().await;
    stop.send_replace(true);

    let (mut placed, mut longest) = (Vec::new(), Duration::ZERO);
    while let Some(done) = clients.join_next().await {
        let (keys, wait) = done.expect("a client that ends");
        placed.extend(keys);
        longest = longest.max(wait);
    }
    println!("{} orders through a crash and a switchover; one took {longest:?}", placed.len());
    let primary = cluster.primary().await;
    let client = cluster.connect(&cluster.playground.postgres(&primary)).await;
    let rows = client.expect("it accepts").query("SELECT key FROM orders", &[]).await;
    let rows = rows.expect("it answers");
    let mut there: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    there.sort();
    placed.sort();
    assert_eq!(there, placed, "each was acknowledged, and is there once");
}
