//! How many sessions a proxy has with a server, as the kernel knows it. Never takes part in them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use haa_core::units::Address;

/// How many sessions a proxy has with one server, looked at again and again.
pub(super) struct Watch {
    seen: Arc<Mutex<Vec<(Instant, usize)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Watch {
    /// Of a process, with its children, that has some.
    pub(super) fn begin(pid: u32, server: &Address) -> Self {
        let (port, began) = (server.port, Instant::now());
        let seen = Arc::new(Mutex::new(vec![(began, sessions(pid, port))]));
        assert!(seen.lock().expect("no panic")[0].1 > 0, "it has no session with the primary");
        let all = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                all.lock().expect("no panic").push((Instant::now(), sessions(pid, port)));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        Self { seen, task }
    }

    pub(super) fn now(&self) -> usize {
        self.seen.lock().expect("no panic").last().map_or(0, |seen| seen.1)
    }

    /// So many there were at an instant that is over, and since when there is none.
    pub(super) fn end(self, at: Instant) -> (usize, Instant) {
        let seen = self.seen.lock().expect("no panic");
        let then = seen.iter().take_while(|seen| seen.0 <= at).last();
        let last = seen.iter().rev().take_while(|seen| seen.1 == 0).last();
        (then.expect("it began before").1, last.expect("there is none now").0)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Established connections of a process and its children to a port of this machine.
fn sessions(pid: u32, port: u16) -> usize {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.expect("it runs, and Linux tells of children");
    let mut own = BTreeSet::new();
    for pid in children.split_whitespace().chain([pid.to_string().as_str()]) {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd"));
        let links = files.into_iter().flatten().flatten().map(|file| file.path());
        own.extend(links.filter_map(|file| std::fs::read_link(file).ok()));
    }
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let remote = format!("0100007F:{port:04X}");
    let theirs = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let socket = words.get(9).map(|inode| PathBuf::from(format!("socket:[{inode}]")));
        words.get(2..4) == Some(&[&remote, "01"]) && socket.is_some_and(|one| own.contains(&one))
    };
    table.lines().filter(theirs).count()
}
