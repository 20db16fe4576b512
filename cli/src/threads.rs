//! Threads for searches.

use reprise_recorder::timeline::{Executor, Job};
use std::num::NonZero;
use std::thread;

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
        thread::scope(|scope| {
            for job in jobs {
                scope.spawn(job);
            }
        });
    }
}
