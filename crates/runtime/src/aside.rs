//! A thread with an executor of its own, for what must neither hold up traffic nor wait for it: the admin port and the
//! health checks.

use std::io;

use tokio::runtime::{Builder, EnterGuard, Handle};
use tokio::sync::oneshot;

/// Enough for requests to the admin port and for the drivers of databases.
const STACK_BYTES: usize = 1024 * 1024;

/// The thread; it ends when this is dropped, with all that runs there.
#[derive(Debug)]
pub(crate) struct Aside {
    executor: Handle,
    /// Never sent: dropping it is the word.
    _end: oneshot::Sender<()>,
}

impl Aside {
    /// # Errors
    /// When there can't be another thread, or the executor refuses.
    pub(crate) fn start() -> io::Result<Self> {
        let (end, ended) = oneshot::channel::<()>();
        let (started, starting) = std::sync::mpsc::channel();
        // Made there, and dropped there: on the thread of another executor its end would be a panic.
        let run = move || match Builder::new_current_thread().enable_all().build() {
            Ok(executor) => {
                let _ = started.send(Ok(executor.handle().clone()));
                let _ = executor.block_on(ended);
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        };
        std::thread::Builder::new().name("aside".to_owned()).stack_size(STACK_BYTES).spawn(run)?;
        let executor = starting.recv().map_err(io::Error::other)??;
        Ok(Self { executor, _end: end })
    }

    /// Runs `task` there.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.executor.spawn(task);
    }

    /// While the guard is there, what this thread spawns runs aside.
    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.executor.enter()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_works_while_this_thread_does_not_and_ends_with_its_owner() {
        let aside = Aside::start().unwrap();
        let (said, heard) = mpsc::channel();
        aside.spawn(async move {
            let _ = said.send("spawned");
            // Nobody else has this end: the channel closes when the task is gone.
            std::future::pending::<()>().await;
            drop(said);
        });
        // Blocks the executor of this test.
        assert_eq!(heard.recv_timeout(Duration::from_secs(10)), Ok("spawned"));
        drop(aside);
        assert_eq!(heard.recv_timeout(Duration::from_secs(10)), Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
