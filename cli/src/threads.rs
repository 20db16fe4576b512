//! Threads for searches.

use reprise_recorder::timeline::{Executor, Job};
use std::num::NonZero;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Time between two looks at what asks a search to stop.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// One thread for each processor that this process may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Threads(NonZero<usize>);

impl Threads {
    /// As many as there are processors.
    pub(crate) fn available() -> Self {
        Self(thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN))
    }
}

impl Executor for Threads {
    fn width(&self) -> usize {
        self.0.get()
    }

    fn run(&self, jobs: Vec<Job<'_>>) {
        self.run_polling(jobs, &mut || {});
    }

    fn run_polling(&self, jobs: Vec<Job<'_>>, poll: &mut dyn FnMut()) {
        thread::scope(|scope| {
            // Nothing is sent: the channel closes when the last job has ended, by a panic, too.
            let (running, all) = mpsc::channel::<()>();
            for job in jobs {
                let running = running.clone();
                scope.spawn(move || {
                    let _running = running;
                    job();
                });
            }
            drop(running);
            while all.recv_timeout(POLL_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                poll();
            }
        });
    }
}
