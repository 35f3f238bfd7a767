//! Work beside the one job slot: the newest wish of its kind wins, and whoever comes after work waits for its end. Does
//! none of the work.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::error::{JobError, sentence};

/// Work beside the job slot: the newest wish of its kind wins, and one that is at work already goes on. A look follows.
pub(super) fn aside<W: PartialEq>(
    before: Option<(W, JoinHandle<()>)>,
    wish: W,
    nudge: &Arc<Notify>,
    work: impl Future<Output = Result<(), JobError>> + Send + 'static,
) -> Option<(W, JoinHandle<()>)> {
    let before = match before {
        Some((known, handle)) if known == wish && !handle.is_finished() => {
            return Some((known, handle));
        }
        before => before.map(|(_, handle)| handle),
    };
    let nudge = nudge.clone();
    let handle = tokio::spawn(async move {
        end(before).await;
        if let Err(error) = work.await {
            tracing::warn!("Postgres' settings are not as they should be: {}", sentence(&error));
        }
        nudge.notify_one();
    });
    Some((wish, handle))
}

/// Gives work up and waits for its end: amid a write it goes on to its next wait, and whoever comes after it writes the
/// same files.
pub(super) async fn end(work: Option<JoinHandle<()>>) {
    if let Some(work) = work {
        work.abort();
        ended(vec![work]).await;
    }
}

pub(super) async fn ended(retired: Vec<JoinHandle<()>>) {
    for work in retired {
        // It was given up, or is done; how, was said by itself.
        drop(work.await);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_comes_after_work_amid_a_write_waits_for_it() {
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let (begins, began) = tokio::sync::oneshot::channel();
        let written = Arc::new(AtomicBool::new(false));
        let writes = Arc::clone(&written);
        // As a write to a slow disk: it knows nothing of being given up.
        let before = tokio::spawn(async move {
            begins.send(()).expect("somebody waits");
            wait.recv().expect("it goes on");
            writes.store(true, Ordering::SeqCst);
        });
        began.await.expect("it begins");
        let mut after = std::pin::pin!(end(Some(before)));
        tokio::select! {
            biased;
            () = &mut after => panic!("the write is not over"),
            () = std::future::ready(()) => {}
        }
        go_on.send(()).expect("it waits");
        after.await;
        assert!(written.load(Ordering::SeqCst), "the write was over");
    }
}
