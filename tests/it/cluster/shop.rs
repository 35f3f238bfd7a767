//! The example application in front of a real cluster, also behind nginx: orders through failovers, and reads of what
//! was just written.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use haa_core::units::Address;
use haa_example_shop::database::Databases;
use haa_example_shop::orders::{NoOrder, Orders, SCHEMA, Wish};
use haa_example_shop::routes::Routes;
use haa_example_shop::web;
use http_body_util::BodyExt;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::fixture::{Cluster, LONG};
use super::pooled::free;
use super::proxies::{Proxy, with};

const NGINX: &str = include_str!("../../../deploy/nginx/haa.http.conf");

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

/// How a client tells of each order, and is told to stop.
type Ways = (mpsc::UnboundedSender<()>, watch::Receiver<bool>);

/// Clients at work: each says in the end what it placed, and something of its own.
struct Crowd<T> {
    told: mpsc::UnboundedReceiver<()>,
    stop: watch::Sender<bool>,
    clients: JoinSet<(Vec<String>, T)>,
}

impl<T: Send + 'static> Crowd<T> {
    fn start<F>(client: impl Fn(usize, Ways) -> F) -> Self
    where
        F: Future<Output = (Vec<String>, T)> + Send + 'static,
    {
        let (tell, told) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            clients.spawn(client(number, (tell.clone(), stopped.clone())));
        }
        Self { told, stop, clients }
    }

    /// Until they have placed some more.
    async fn places_some(&mut self) {
        for _ in 0..50 {
            self.told.recv().await.expect("clients that order");
        }
    }

    /// All that was placed.
    async fn end(mut self) -> (Vec<String>, Vec<T>) {
        self.stop.send_replace(true);
        let (mut placed, mut said) = (Vec::new(), Vec::new());
        while let Some(done) = self.clients.join_next().await {
            let (keys, own) = done.expect("a client that ends");
            placed.extend(keys);
            said.push(own);
        }
        (placed, said)
    }
}

/// Whose primary died between COMMIT and the question how far it is, that client is promised nothing for its next read:
/// once for each primary that goes, for it has one order under way.
const UNPROMISED: usize = 2;

/// Orders and reads each back at once, until told to stop: the keys of what was placed, and the longest wait.
async fn client(shop: Arc<Orders>, number: usize, (tell, stop): Ways) -> (Vec<String>, Duration) {
    let (mut placed, mut longest, mut unread) = (Vec::new(), Duration::ZERO, 0);
    while !*stop.borrow() {
        let key = format!("{number}-{}", placed.len());
        let began = Instant::now();
        // On a busy machine it may take longer than the application waits: the same is asked for again.
        let order = loop {
            match shop.place(&key, &Wish { item: key.clone() }).await {
                Ok(order) => break order,
                Err(NoOrder::Refused(why)) => panic!("{key}: {why}"),
                Err(why) => assert!(began.elapsed() < LONG, "{key} is not placed: {why:?}"),
            }
        };
        longest = longest.max(began.elapsed());
        if let Some(seen) = order.seen.as_deref() {
            let asked = Instant::now();
            let read = loop {
                match shop.show(order.id, Some(seen)).await {
                    Ok(read) => break read,
                    Err(NoOrder::Refused(why)) => panic!("{key}: {why}"),
                    Err(why) => assert!(asked.elapsed() < LONG, "nobody can be read: {why:?}"),
                }
            };
            let read = read.unwrap_or_else(|| panic!("{key} is not there, read at {seen}"));
            assert_eq!(read.item, key);
        } else {
            unread += 1;
        }
        placed.push(key);
        tell.send(()).expect("the test listens");
    }
    assert!(unread <= UNPROMISED, "{unread} orders came without a position to read at");
    (placed, longest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_places_each_order_once_through_failovers() {
    let (cluster, first, _) = Cluster::start_voting().await;
    let shop = shop(&cluster);
    cluster.execute(SCHEMA).await;
    let mut clients = Crowd::start(|number, ways| client(Arc::clone(&shop), number, ways));
    clients.places_some().await;
    cluster.playground.kill_postgres(&first).expect("it ran");
    clients.places_some().await;
    cluster.all_vote().await;
    let (code, said) = cluster.haactl(&["switchover", "--yes"]);
    assert_eq!(code, 0, "{said}");
    clients.places_some().await;
    let (placed, waits) = clients.end().await;
    let longest = waits.into_iter().max().expect("clients");
    println!("{} orders through a crash and a switchover; one took {longest:?}", placed.len());
    each_is_there_once(&cluster, placed).await;
}

async fn each_is_there_once(cluster: &Cluster, mut placed: Vec<String>) {
    let primary = cluster.primary().await;
    let client = cluster.connect(&cluster.playground.postgres(&primary)).await;
    let rows = client.expect("it accepts").query("SELECT key FROM orders", &[]).await;
    let rows = rows.expect("it answers");
    let mut there: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    there.sort();
    placed.sort();
    assert_eq!(there, placed, "each was acknowledged, and is there once");
}

/// An application that can be killed: all of it runs in here.
struct Instance {
    runtime: Runtime,
    at: SocketAddr,
}

impl Instance {
    async fn start(cluster: &Cluster) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("bound");
        let listener = listener.into_std().expect("a listener");
        let shop = {
            let _inside = runtime.enter();
            shop(cluster)
        };
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, web::router(shop)).await
        });
        Self { runtime, at }
    }

    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

fn nginx(instances: [SocketAddr; 2], directory: &Path) -> Proxy {
    let at = free();
    let [one, other] = instances.map(|at| at.to_string());
    let text = with(
        NGINX,
        &[
            ("10.0.0.21:3000", one),
            ("10.0.0.22:3000", other),
            ("listen 80;", format!("listen {at};")),
        ],
    );
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let paths = paths.map(|of| format!("{of}_temp_path {}/{of};\n", directory.display())).concat();
    let serves = format!("http {{\naccess_log off;\n{paths}{text}}}\n");
    Proxy::start_nginx(directory, ("", &serves), (at, None))
}

/// Over a connection of its own; nothing where that broke.
async fn ask(at: &Address, request: Request<Body>) -> Option<Response<String>> {
    let stream = TcpStream::connect(at.to_string()).await.ok()?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await.ok()?.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    Some(Response::from_parts(head, String::from_utf8_lossy(&body).into_owned()))
}

/// As [`client`], over HTTP: asks again with the same key where it is not known, and is told how often.
async fn customer(at: Address, number: usize, (tell, stop): Ways) -> (Vec<String>, usize) {
    let (mut placed, mut again, mut unread) = (Vec::new(), 0, 0);
    while !*stop.borrow() {
        let key = format!("{number}-{}", placed.len());
        let order = Request::post("/orders").header("host", "shop").header("idempotency-key", &key);
        let order = order.header("content-type", "application/json");
        let order = order.body(Body::from(format!(r#"{{"item": "{key}"}}"#))).expect("a request");
        let answer = ask(&at, order).await;
        let Some(answer) = answer.filter(|answer| answer.status() == StatusCode::CREATED) else {
            again += 1;
            continue;
        };
        let order: serde_json::Value = serde_json::from_str(answer.body()).expect("an order");
        let seen = answer.headers()["x-seen"].clone();
        if seen.is_empty() {
            unread += 1;
        } else {
            let read = Request::get(format!("/orders/{}", order["id"])).header("host", "shop");
            let read = read.header("x-seen", seen).body(Body::empty()).expect("a request");
            let read = ask(&at, read).await.expect("an answer");
            assert_eq!(read.status(), StatusCode::OK, "{}", read.body());
            assert!(read.body().contains(&format!("\"{key}\"")), "{}", read.body());
        }
        placed.push(key);
        tell.send(()).expect("the test listens");
    }
    assert!(unread <= UNPROMISED, "{unread} orders came without a position to read at");
    (placed, again)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_behind_nginx_places_each_order_once() {
    let (cluster, first, _) = Cluster::start_voting().await;
    cluster.execute(SCHEMA).await;
    let (one, other) = (Instance::start(&cluster).await, Instance::start(&cluster).await);
    let directory = tempfile::tempdir().expect("a directory");
    let nginx = nginx([one.at, other.at], directory.path());
    let began = Instant::now();
    while TcpStream::connect(nginx.write.to_string()).await.is_err() {
        assert!(began.elapsed() < LONG, "nginx does not open its port:\n{}", nginx.log());
        tokio::task::yield_now().await;
    }
    let mut customers = Crowd::start(|number, ways| customer(nginx.write.clone(), number, ways));
    customers.places_some().await;
    one.kill();
    customers.places_some().await;
    cluster.playground.kill_postgres(&first).expect("it ran");
    customers.places_some().await;
    let (placed, repeated) = customers.end().await;
    let repeated: usize = repeated.into_iter().sum();
    println!("{} orders through nginx; {repeated} times asked again", placed.len());
    each_is_there_once(&cluster, placed).await;
    other.kill();
}
