//! The threads that a client sees at a position.

use super::View;
use crate::linux::{Task, TaskState};
use crate::session::{DebugSession, ThreadView};
use reprise_core::types::{CpuId, Icount};
use std::collections::{BTreeMap, BTreeSet};

/// Number of the process that stands for the machine. Linux gives out no number as large.
pub(crate) const MACHINE_PID: u32 = (1 << 22) + 1;

/// A thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Thread {
    /// Its process.
    pub(crate) pid: u32,
    /// Its number, unique among all processes.
    pub(crate) tid: u32,
    /// What it is called.
    pub(crate) name: String,
    /// How to look at it.
    pub(crate) view: ThreadView,
}

/// The threads at one position.
#[derive(Clone, Debug, Default)]
pub(crate) struct Threads {
    at: Option<Icount>,
    threads: Vec<Thread>,
    /// The processes that were shown somewhere, with their names. gdb keeps a thread of each until it is told that the
    /// process has ended, which nothing has for good here: they are shown as being elsewhere.
    shown: BTreeMap<u32, String>,
    /// Processes of two threads each that are shown where there is no Linux.
    #[cfg(feature = "testing")]
    pub(crate) pretended: u32,
}

impl Threads {
    /// Looks anew when the position is another.
    pub(crate) fn update(&mut self, session: &DebugSession, view: View) {
        let here = session.timeline().position();
        if self.at == Some(here) {
            return;
        }
        self.at = Some(here);
        self.threads = match view {
            View::Machine => Vec::new(),
            View::Processes => processes(session),
        };
        #[cfg(feature = "testing")]
        for pid in (1..=self.pretended).map(|number| number * 16) {
            self.threads.extend([pid, pid + 1].map(|tid| Thread {
                pid,
                tid,
                ..machine()
            }));
        }
        // There is always something to look at: before the first program it is the machine.
        if self.threads.is_empty() {
            self.threads.push(machine());
        }
        for thread in &self.threads {
            self.shown.insert(thread.pid, thread.name.clone());
        }
        let here: BTreeSet<u32> = self.threads.iter().map(|thread| thread.pid).collect();
        let elsewhere = self.shown.iter().filter(|(pid, _)| !here.contains(pid));
        self.threads.extend(elsewhere.map(|(pid, name)| Thread {
            pid: *pid,
            tid: *pid,
            name: name.clone(),
            view: ThreadView::Elsewhere,
        }));
    }

    /// Numbers of the processes that were shown somewhere.
    pub(crate) fn shown(&self) -> BTreeSet<u64> {
        self.shown.keys().map(|pid| u64::from(*pid)).collect()
    }

    /// Forgets everything, for another client.
    pub(crate) fn clear(&mut self) {
        *self = Self {
            #[cfg(feature = "testing")]
            pretended: self.pretended,
            ..Self::default()
        };
    }

    /// Forgets what was seen, since it has been written to.
    pub(crate) fn forget(&mut self) {
        self.at = None;
    }

    pub(crate) fn all(&self) -> &[Thread] {
        &self.threads
    }

    pub(crate) fn get(&self, tid: u32) -> Option<&Thread> {
        self.threads.iter().find(|thread| thread.tid == tid)
    }
}

/// The first CPU as a thread.
fn machine() -> Thread {
    Thread {
        pid: MACHINE_PID,
        tid: MACHINE_PID,
        name: "CPU 0".to_owned(),
        view: ThreadView::Cpu(CpuId(0)),
    }
}

fn processes(session: &DebugSession) -> Vec<Thread> {
    let Some(view) = session.linux() else {
        return Vec::new();
    };
    let mut tasks: Vec<Task> = view.tasks();
    // What has no memory of its own runs no program: kernel threads, and what has ended. What is new does not run yet.
    tasks.retain(|task| {
        !task.is_kernel_thread && task.space.is_some() && task.state != TaskState::New
    });
    tasks.sort_by_key(|task| (task.tgid, task.tid));
    tasks
        .into_iter()
        .map(|task| Thread {
            pid: task.tgid,
            tid: task.tid,
            name: task.name.clone(),
            view: ThreadView::Task(task),
        })
        .collect()
}
