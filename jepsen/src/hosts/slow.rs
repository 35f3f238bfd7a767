//! A poor network: what a host sends is delayed, shuffled and lost, by a thread of ours that gives a verdict on each
//! packet. Ends when it is dropped; if we die, packets pass as before.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use nfq::{Message, Queue, Verdict};
use nix::sched::{CloneFlags, setns};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

use super::host::Host;
use super::tools::{needed, run};

/// How poor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quality {
    /// Every packet is late by so much.
    pub delay_ms: u64,
    /// And by up to so much more, each for itself: they overtake one another.
    pub jitter_ms: u64,
    /// So many of a thousand are lost.
    pub loss_permille: u32,
}

/// The number of the queue, in each host's own namespace.
const QUEUE: u16 = 7;
/// More than a host sends in the longest delay.
const LENGTH: u32 = 16_384;
/// Between two looks for packets: what a delay may be wrong by.
const LOOK: Duration = Duration::from_micros(500);

/// A host whose packets are in our hands.
#[derive(Debug)]
pub struct Slow {
    space: String,
    stop: Arc<AtomicBool>,
    handled: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Slow {
    /// Begins with this host.
    ///
    /// # Errors
    /// When the queue or the rule cannot be made.
    pub fn begin(host: &Host, quality: Quality, seed: u64) -> anyhow::Result<Self> {
        needed("iptables", "iptables")?;
        let (stop, handled) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (said, begun) = mpsc::channel();
        let space = host.namespace()?;
        let (flag, count) = (Arc::clone(&stop), Arc::clone(&handled));
        let thread = std::thread::spawn(move || {
            let entered = setns(&space, CloneFlags::CLONE_NEWNET).map_err(anyhow::Error::from);
            match entered.and_then(|()| open()) {
                Ok(queue) => {
                    let _ = said.send(Ok(()));
                    let rng = StdRng::seed_from_u64(seed);
                    Verdicts { queue, quality, rng, late: BinaryHeap::new() }.give(&flag, &count);
                }
                Err(error) => drop(said.send(Err(error))),
            }
        });
        begun.recv().map_err(|_| anyhow!("the thread for {} ended", host.name))??;
        let slow = Self { space: host.space.clone(), stop, handled, thread: Some(thread) };
        slow.rule("-A").with_context(|| format!("packets of {} cannot be queued", host.name))?;
        Ok(slow)
    }

    /// How many packets passed through our hands.
    #[must_use]
    pub fn handled(&self) -> u64 {
        self.handled.load(Ordering::Relaxed)
    }

    fn rule(&self, verb: &str) -> anyhow::Result<()> {
        let number = QUEUE.to_string();
        let table = ["iptables", "-w", "-t", "mangle", verb, "OUTPUT", "!", "-o", "lo"];
        let target = ["-j", "NFQUEUE", "--queue-num", &number, "--queue-bypass"];
        let inside = ["ip", "netns", "exec", self.space.as_str()];
        run(&[&inside[..], &table, &target].concat()).map(drop)
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        // Gone already when the host is.
        let _ = self.rule("-D");
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open() -> anyhow::Result<Queue> {
    let mut queue = Queue::open().context("no netfilter queue on this kernel")?;
    queue.bind(QUEUE)?;
    queue.set_fail_open(QUEUE, true)?;
    queue.set_recv_gso(QUEUE, true)?;
    queue.set_copy_range(QUEUE, 64)?;
    queue.set_queue_max_len(QUEUE, LENGTH)?;
    queue.set_nonblocking(true);
    Ok(queue)
}

/// A packet and when it may go.
struct Late(Instant, u32, Message);

impl Late {
    fn key(&self) -> (Instant, u32) {
        (self.0, self.1)
    }
}

impl PartialEq for Late {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}
impl Eq for Late {}
impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Late {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

struct Verdicts {
    queue: Queue,
    quality: Quality,
    rng: StdRng,
    late: BinaryHeap<Reverse<Late>>,
}

impl Verdicts {
    fn give(mut self, stop: &AtomicBool, handled: &AtomicU64) {
        while !stop.load(Ordering::Relaxed) {
            loop {
                match self.queue.recv() {
                    Ok(message) => {
                        handled.fetch_add(1, Ordering::Relaxed);
                        self.take(message);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // Packets were lost on the way to us: a poor network loses packets.
                    Err(_) => break,
                }
            }
            self.let_go(Instant::now());
            std::thread::sleep(LOOK);
        }
        self.let_go(Instant::now() + Duration::from_secs(3_600));
    }

    fn take(&mut self, mut message: Message) {
        let Quality { delay_ms, jitter_ms, loss_permille } = self.quality;
        if self.rng.random_range(0..1_000) < loss_permille {
            message.set_verdict(Verdict::Drop);
            let _ = self.queue.verdict(message);
            return;
        }
        let more = self.rng.random_range(0..=jitter_ms.saturating_mul(1_000));
        let at = Instant::now() + Duration::from_millis(delay_ms) + Duration::from_micros(more);
        message.set_verdict(Verdict::Accept);
        let number = message.get_packet_id();
        self.late.push(Reverse(Late(at, number, message)));
    }

    fn let_go(&mut self, now: Instant) {
        while self.late.peek().is_some_and(|Reverse(late)| late.0 <= now) {
            if let Some(Reverse(Late(_, _, message))) = self.late.pop() {
                let _ = self.queue.verdict(message);
            }
        }
    }
}
