//! Threads of ours that live on a host: whatever socket a task of theirs opens is that host's. Never leaves it.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use nix::sched::{CloneFlags, setns};
use tokio::runtime::{Builder, Runtime};

use super::host::Host;

/// A runtime whose threads all live in a host's network namespace. What blocks on it lives there only [`within`].
///
/// # Errors
/// When the namespace is gone or there are no threads to be had.
pub(super) fn room(host: &Host, threads: usize) -> anyhow::Result<Runtime> {
    let space = Arc::new(host.namespace()?);
    // Tried first, on a thread that ends, because a thread of the runtime could only panic.
    within(host, || ())?;
    let enter = move || {
        setns(space.as_ref(), CloneFlags::CLONE_NEWNET).expect("the namespace was entered before");
    };
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads).thread_name(&host.name).enable_all().on_thread_start(enter);
    builder.build().with_context(|| format!("no threads to live on {}", host.name))
}

/// Does this on a thread of its own that lives on a host.
///
/// # Errors
/// When the namespace is gone.
pub(super) fn within<T: Send>(host: &Host, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    let space = host.namespace()?;
    let tell = || format!("cannot enter the network namespace of {}", host.name);
    let entered = || setns(&space, CloneFlags::CLONE_NEWNET).map(|()| work());
    let ended = std::thread::scope(|scope| scope.spawn(entered).join());
    ended.map_err(|_| anyhow!("a thread on {} panicked", host.name))?.with_context(tell)
}
