//! `haactl watch` on a real terminal: it shows a failover as it happens, and leaves the terminal as it was.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use haa::playground::Part;
use haa_core::units::MemberName;
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{Termios, tcgetattr};
use nix::unistd::Pid;

use super::fixture::{Cluster, LONG};
use crate::support;

const ROWS: u16 = 24;

/// A terminal with a haactl on it.
struct Watched {
    child: Child,
    keys: File,
    screen: Arc<Mutex<vt100::Parser>>,
    terminal: OwnedFd,
    before: Termios,
}

impl Watched {
    fn start(cluster: &Cluster, columns: u16) -> Self {
        let size = Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&size, None).expect("a terminal");
        let before = tcgetattr(&pair.slave).expect("it has its modes");
        let end = || pair.slave.try_clone().expect("one more");
        let child = Command::new(support::programs().join("haactl"))
            .arg("--client-file")
            .arg(cluster.playground.client_file())
            .arg("watch")
            .env("TERM", "xterm-256color")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("haactl can be run");
        let keys = File::from(pair.master);
        let mut output = keys.try_clone().expect("one more");
        let screen = Arc::new(Mutex::new(vt100::Parser::new(ROWS, columns, 0)));
        let seen = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                seen.lock().expect("not poisoned").process(&bytes[..count]);
            }
        });
        Self { child, keys, screen, terminal: pair.slave, before }
    }

    fn shown(&self) -> String {
        self.screen.lock().expect("not poisoned").screen().contents()
    }

    /// Waits until the screen is so.
    async fn until(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let shown = self.shown();
            if is(&shown) {
                return shown;
            }
            assert!(began.elapsed() < LONG, "the screen never shows {what}:\n{shown}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_primary(&self, name: &MemberName) -> String {
        let first = format!("{name} accepts writes");
        let route = format!("write  {name} ");
        let led = |shown: &str| {
            shown.lines().next().is_some_and(|line| line.contains(&first)) && shown.contains(&route)
        };
        self.until(&first, led).await
    }

    /// The terminal is larger now. Nobody's terminal it is, so that the kernel tells nobody.
    fn grow(&self, columns: u16) {
        self.screen.lock().expect("not poisoned").screen_mut().set_size(ROWS, columns);
        let size =
            rustix::termios::Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&self.terminal, size).expect("it takes a size");
        self.signal(Signal::SIGWINCH);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("it is our child");
    }

    /// Waits for its end: with this code, and the terminal as it was.
    async fn ends(mut self, code: i32) {
        let began = Instant::now();
        let ended = loop {
            if let Some(ended) = self.child.try_wait().expect("it is our child") {
                break ended;
            }
            assert!(began.elapsed() < LONG, "it does not end:\n{}", self.shown());
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        assert_eq!(ended.code(), Some(code), "{}", self.shown());
        assert!(tcgetattr(&self.terminal).expect("modes") == self.before, "raw mode stayed");
        loop {
            let (alternate, hidden) = {
                let parser = self.screen.lock().expect("not poisoned");
                (parser.screen().alternate_screen(), parser.screen().hide_cursor())
            };
            if !alternate && !hidden {
                return;
            }
            assert!(began.elapsed() < LONG, "the screen or the cursor was not given back");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_shows_a_failover_and_gives_the_terminal_back() {
    let (cluster, primary, _) = Cluster::start_voting().await;
    let mut watch = Watched::start(&cluster, 80);
    let shown = watch.until_primary(&primary).await;
    for name in cluster.playground.names() {
        assert!(shown.contains(name.as_str()), "{name} is missing:\n{shown}");
    }
    let first = format!("{primary} leads");
    watch.until("how it came to lead", |shown| shown.contains(&first)).await;
    assert!(!watch.shown().contains("address"), "there is no room:\n{}", watch.shown());
    watch.grow(140);
    let address = cluster.playground.postgres(&primary).to_string();
    let wide = |shown: &str| {
        shown.lines().any(|line| line.contains("address"))
            && shown.lines().any(|line| line.contains("primary") && line.contains(&address))
    };
    watch.until("addresses, where there is room", wide).await;

    cluster.playground.kill(&primary, Part::Host).expect("the primary's host is gone");
    let second = loop {
        let leads = cluster.primary().await;
        if leads != primary {
            break leads;
        }
    };
    watch.until_primary(&second).await;
    let leads = format!("{second} leads: ");
    watch.until("why it leads", |shown| shown.contains(&leads)).await;
    watch.keys.write_all(b"q").expect("a key");
    watch.ends(0).await;

    let watch = Watched::start(&cluster, 80);
    watch.until_primary(&second).await;
    watch.signal(Signal::SIGTERM);
    watch.ends(0).await;

    let (code, said) = cluster.haactl(&["watch"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("this is no terminal") && said.contains("haactl list --watch"), "{said}");
}
