//! A machine that is being recorded, and its past.

use super::machine::Blueprint;
use super::network::Network;
use super::open::{Guest, named, told_of};
use super::travel::Travel;
use super::workspace::Workspace;
use super::{Next, Refusal, because, gdb, library::Library, words};
use crate::protocol::{Boot, Message, Printed, Recording, TerminalSize};
use reprise_core::event::{ConsolePort, Start, StartFile};
use reprise_core::machine::{BootKind, Machine, MachineConfig, Snapshot, StateHash};
use reprise_core::output::{Output, OutputKind};
use reprise_core::types::{Icount, TerminalSize as CoreSize};
use reprise_debugger::gdb::GdbServer;
use reprise_debugger::session::DebugSession;
use reprise_host::network::GUEST_MAC;
use reprise_host::network::tls::{AUTHORITY_PATH, Authority};
use reprise_host::workspace::workspace_facts;
use reprise_host::{FACTS_PATH, SiteContainer, WORKSPACE_PATH};
use reprise_recorder::entry::{Entry, EntryLog, TimedEvent};
use reprise_recorder::images::{ImageRef, ImageSet};
use reprise_recorder::pace::Pacing;
use reprise_recorder::record::{RecordOptions, RecordSession};
use reprise_recorder::timeline::{
    KeyframeSource, MachineSource, ReplayTimeline, StoredSnapshot, TimelineOptions,
};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Timer interrupts are put off by up to this many ticks (192 µs), as on the command line: far below the 10 ms of the
/// scheduling tick, and enough that two seeds are two schedules.
const TIMER_JITTER_TICKS_MAX: u32 = 3000;

/// Steps of a slice: some ten milliseconds in a browser.
const SLICE_STEPS: u64 = 1 << 20;

/// Steps of a slice while the guest has connections, so that what is on its way to it hardly waits: some milliseconds.
const NETWORK_SLICE_STEPS: u64 = 1 << 18;

/// Steps between two snapshots that are kept of a live machine, to begin with.
const SNAPSHOT_STEPS: u64 = 1 << 25;

/// Snapshots that are kept; when there are more, every other one goes and they are made half as often.
const SNAPSHOTS_MAX: usize = 24;

/// What has been logged, shared with who looks at the past.
#[derive(Default)]
struct Kept {
    entries: Vec<Entry>,
    snapshots: Vec<(Icount, StoredSnapshot)>,
    snapshot_steps: u64,
    /// A snapshot is wanted from here on.
    due: Icount,
}

#[derive(Clone, Default)]
struct MemoryLog(Arc<Mutex<Kept>>);

impl MemoryLog {
    fn with<T>(&self, action: impl FnOnce(&mut Kept) -> T) -> T {
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl EntryLog for MemoryLog {
    type Error = Infallible;

    fn push(&mut self, entry: &Entry) -> Result<(), Infallible> {
        self.with(|kept| kept.entries.push(entry.clone()));
        Ok(())
    }

    fn keyframe_due(&self) -> Option<Icount> {
        self.with(|kept| Some(kept.due))
    }

    fn push_keyframe(
        &mut self,
        icount: Icount,
        hash: &StateHash,
        snapshot: &Snapshot,
    ) -> Result<(), Infallible> {
        self.with(|kept| {
            if kept.snapshots.len() >= SNAPSHOTS_MAX {
                let mut number = 0;
                kept.snapshots.retain(|_| {
                    number += 1;
                    number % 2 == 1
                });
                kept.snapshot_steps = kept.snapshot_steps.saturating_mul(2);
            }
            let stored = StoredSnapshot {
                snapshot: snapshot.clone(),
                hash: *hash,
            };
            kept.snapshots.push((icount, stored));
            kept.due = icount.after(kept.snapshot_steps);
        });
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The snapshots that were kept, for going back.
struct Snapshots {
    positions: Vec<Icount>,
    stored: Vec<StoredSnapshot>,
}

impl KeyframeSource for Snapshots {
    fn positions(&self) -> &[Icount] {
        &self.positions
    }

    fn load(&mut self, index: usize) -> Option<StoredSnapshot> {
        self.stored.get(index).cloned()
    }
}

/// A machine that is being recorded.
pub(crate) struct Live {
    session: RecordSession<MemoryLog>,
    log: MemoryLog,
    pub(crate) config: MachineConfig,
    pub(crate) images: Vec<ImageRef>,
    pub(crate) clock_unix_seconds: u64,
    /// The folder that the guest works in.
    pub(crate) workspace: Option<Workspace>,
    source: Arc<dyn MachineSource>,
    network: Option<Network>,
    /// What it is looked at through; a gdb may be its client.
    past: Option<GdbServer>,
    /// Wall time while the machine stood still because its past was looked at.
    stood_still: Duration,
    paused_at: Option<Duration>,
    told_end: u64,
    has_halted: bool,
    is_stalled: bool,
}

/// What is started: the command in the default guest or in a container, or the container's own.
fn start_in(container: Option<&SiteContainer>, has_workspace: bool, command: &[String]) -> Start {
    let mut start = start_without_workspace(container, command);
    if has_workspace {
        start.files.push(workspace_facts(false));
        start.working_directory = WORKSPACE_PATH.as_bytes().to_vec();
    }
    start
}

fn start_without_workspace(container: Option<&SiteContainer>, command: &[String]) -> Start {
    let owned = |text: &String| text.clone().into_bytes();
    let mut environment = vec![(b"TERM".to_vec(), b"xterm-256color".to_vec())];
    let Some(container) = container else {
        return Start {
            command: command.iter().map(owned).collect(),
            environment,
            ..Start::default()
        };
    };
    let given = container.environment.iter();
    environment.extend(given.map(|(name, value)| (owned(name), owned(value))));
    let words = match command {
        [] => &container.command[..],
        words => words,
    };
    Start {
        command: words.iter().map(owned).collect(),
        environment,
        working_directory: owned(&container.working_directory),
        files: vec![StartFile {
            path: FACTS_PATH.as_bytes().to_vec(),
            mode: 0o600,
            bytes: owned(&container.facts),
        }],
        ..Start::default()
    }
}

impl Live {
    pub(crate) fn boot(
        boot: &Boot,
        guest: &Guest,
        container: Option<&SiteContainer>,
        workspace: Option<Workspace>,
        images: Vec<ImageRef>,
        library: &mut Library,
        wall: Duration,
    ) -> Result<Self, Refusal> {
        let terminal = core_size(boot.terminal);
        let config = MachineConfig {
            ram_bytes: u64::from(boot.ram_mebibytes) << 20,
            seed: boot.seed,
            timer_jitter_ticks_max: TIMER_JITTER_TICKS_MAX,
            boot: BootKind::Linux,
            command_line: guest.command_line.clone().into_bytes(),
            terminal,
            network: boot.network.then_some(GUEST_MAC),
            ..MachineConfig::default()
        };
        let set = ImageSet::find(&images, library)?;
        let source: Arc<dyn MachineSource> = Arc::new(Blueprint::new(config.clone(), set)?);
        let machine = source.machine()?;
        let log = MemoryLog::default();
        log.with(|kept| {
            kept.snapshot_steps = SNAPSHOT_STEPS;
            kept.due = Icount(SNAPSHOT_STEPS);
        });
        let options = RecordOptions {
            pacing: Pacing::Paced,
            ..RecordOptions::default()
        };
        let mut session = RecordSession::new(machine, log.clone(), options);
        let mut start = start_in(container, workspace.is_some(), &boot.command);
        // Of this recording alone. Without one, the guest has no port 443.
        let authority = match boot.network {
            true => Authority::new(boot.clock_unix_nanoseconds / 1_000_000_000).ok(),
            false => None,
        };
        if let Some(authority) = &authority {
            let file = StartFile {
                path: AUTHORITY_PATH.as_bytes().to_vec(),
                mode: 0o600,
                bytes: authority.certificate_pem().into_bytes(),
            };
            // Behind what says that there is a container, whose trust it then is, and before all else.
            start.files.insert(usize::from(container.is_some()), file);
        }
        session.start(Start {
            clock_unix_nanoseconds: boot.clock_unix_nanoseconds,
            // Another seed than the machine's: what the guest draws tells nothing of the schedule.
            seed: start_seed(&boot.seed),
            interactive: true,
            terminal,
            ..start
        });
        Ok(Self {
            session,
            log,
            config,
            images,
            clock_unix_seconds: boot.clock_unix_nanoseconds / 1_000_000_000,
            workspace,
            source,
            network: (boot.network).then(|| Network::new(&boot.seed, authority)),
            past: None,
            stood_still: wall,
            paused_at: None,
            told_end: 0,
            has_halted: false,
            is_stalled: false,
        })
    }

    /// What is open.
    pub(crate) fn recording(&self) -> Recording {
        let events = self.events();
        Recording {
            is_live: true,
            clock_unix_seconds: self.clock_unix_seconds,
            end: self.machine().icount().0,
            exit_status: self.machine().exit_status(),
            ram_mebibytes: (self.config.ram_bytes >> 20) as u32,
            terminal: TerminalSize {
                columns: self.config.terminal.columns,
                rows: self.config.terminal.rows,
            },
            images: named(&self.images),
            ..told_of(&events, self.machine().workspace_listing())
        }
    }

    fn events(&self) -> Vec<TimedEvent> {
        self.log.with(|kept| {
            let events = kept.entries.iter().filter_map(|entry| match entry {
                Entry::Event(event) => Some(event.clone()),
                _ => None,
            });
            events.collect()
        })
    }

    /// What has been logged.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.log.with(|kept| kept.entries.clone())
    }

    pub(crate) fn machine(&self) -> &Machine {
        self.session.machine()
    }

    pub(crate) fn past(&mut self) -> Option<&mut DebugSession> {
        self.past.as_mut().map(GdbServer::session_mut)
    }

    pub(crate) fn server(&mut self) -> Option<&mut GdbServer> {
        self.past.as_mut()
    }

    pub(crate) fn network(&mut self) -> Option<&mut Network> {
        self.network.as_mut()
    }

    /// Hands the network's bytes over after a slice; how long the machine may rest for all that the network knows.
    fn pass_frames(
        &mut self,
        outputs: Vec<Output>,
        now: Duration,
        out: &mut VecDeque<Message>,
    ) -> Option<Duration> {
        let network = self.network.as_mut()?;
        let rest = network.pass(&mut self.session, outputs, now);
        out.extend(network.take_news());
        rest
    }

    /// Frames wait for the guest, and its card takes some now.
    fn has_deliverable_frames(&self) -> bool {
        self.session.waiting_frame_count() > 0 && self.machine().takes_frame()
    }

    fn require_running(&self) -> Result<(), Refusal> {
        if self.past.is_some() {
            return Err(because("the machine stands still: resume it first"));
        }
        if self.has_halted {
            return Err(because("the machine has stopped"));
        }
        Ok(())
    }

    pub(crate) fn type_bytes(&mut self, bytes: &[u8]) {
        if self.require_running().is_ok() {
            self.session.feed_console(ConsolePort::Virtio, bytes);
        }
    }

    pub(crate) fn resize(&mut self, size: TerminalSize) {
        if self.require_running().is_ok() && size.columns > 0 && size.rows > 0 {
            self.session.feed_size(core_size(size));
        }
    }

    pub(crate) fn power_off(&mut self) {
        if self.require_running().is_ok() {
            self.session.power_off();
        }
    }

    /// Records for a slice.
    pub(crate) fn record_on(
        &mut self,
        wall: Duration,
        library: &mut Library,
        out: &mut VecDeque<Message>,
    ) -> Next {
        self.is_stalled = false;
        if self.past.is_some() || self.has_halted {
            return Next::Later;
        }
        if let Some(workspace) = &mut self.workspace {
            workspace.feed(&mut self.session, library, out);
        }
        let began = self.machine().icount();
        let now = wall.saturating_sub(self.stood_still);
        let is_busy = self.network.as_ref().is_some_and(Network::is_busy);
        let steps = match is_busy {
            true => NETWORK_SLICE_STEPS,
            false => SLICE_STEPS,
        };
        let status = match self.session.advance(steps, now) {
            Ok(status) => status,
            Err(error) => {
                self.lose(&error.to_string(), out);
                return Next::Later;
            }
        };
        let printed = printed(&status.outputs);
        if !printed.is_empty() {
            out.push_back(Message::Console(printed));
        }
        // Told some thirty times a second while it computes, and whenever it comes to rest.
        let end = status.icount.0;
        if end != self.told_end && (status.idle.is_some() || end > self.told_end + 4 * SLICE_STEPS)
        {
            self.told_end = end;
            out.push_back(Message::Grown {
                end,
                nanoseconds: words::nanoseconds(self.machine().time()),
            });
        }
        if status.halted.is_some() {
            self.has_halted = true;
            self.close_network(out);
            self.told_end = end;
            out.push_back(Message::Grown {
                end,
                nanoseconds: words::nanoseconds(self.machine().time()),
            });
            out.push_back(Message::Halted {
                exit_status: status.exit_status,
            });
            return Next::Later;
        }
        self.is_stalled = status.stall.is_some();
        if let Some(workspace) = &mut self.workspace {
            workspace.ask(&status.wanted, library);
        }
        let rest = self.pass_frames(status.outputs, now, out);
        match status.idle {
            // The guest does nothing before something of its files comes.
            None if !status.wanted.is_empty() && status.icount == began => Next::Later,
            None => Next::Now,
            Some(_) if self.has_deliverable_frames() => Next::Now,
            Some(idle) => {
                let wake_at = [idle.wake_at, rest.map(|rest| now + rest)];
                let wake_at = wake_at.into_iter().flatten().min();
                wake_at.map_or(Next::Later, |at| Next::At(at + self.stood_still))
            }
        }
    }

    /// Whether the machine waits for bytes of its disk, before the step that reads them.
    pub(crate) fn is_stalled(&self) -> bool {
        self.is_stalled && self.past.is_none()
    }

    /// The machine cannot go on. What was recorded stays, and its past can be visited.
    pub(crate) fn lose(&mut self, reason: &str, out: &mut VecDeque<Message>) {
        self.has_halted = true;
        self.close_network(out);
        out.push_back(Message::Failed {
            id: 0,
            message: format!("the recording has ended: {reason}"),
            is_cancelled: false,
        });
        out.push_back(Message::Halted {
            exit_status: self.machine().exit_status(),
        });
    }

    /// Makes the past visitable, at its end.
    pub(crate) fn pause(&mut self, wall: Duration) -> Result<Travel, Refusal> {
        if self.past.is_none() {
            if !self.has_halted {
                self.keep_snapshot_here(wall)?;
            }
            let snapshots = self.log.with(|kept| Snapshots {
                positions: kept.snapshots.iter().map(|(at, _)| *at).collect(),
                stored: kept
                    .snapshots
                    .iter()
                    .map(|(_, stored)| stored.clone())
                    .collect(),
            });
            let mut timeline = ReplayTimeline::new(
                Arc::clone(&self.source),
                self.entries(),
                Box::new(snapshots),
                TimelineOptions::default(),
            )?;
            timeline.extend(Vec::new(), self.machine().icount())?;
            self.past = Some(gdb::server(DebugSession::new(timeline)));
            self.paused_at = Some(wall);
        }
        Ok(Travel::Seek(crate::protocol::Target::End))
    }

    /// So that the past is visited from its end at once.
    fn keep_snapshot_here(&mut self, wall: Duration) -> Result<(), Refusal> {
        let here = self.machine().icount();
        self.log.with(|kept| {
            let is_kept = kept.snapshots.last().is_some_and(|(at, _)| *at == here);
            if !is_kept {
                kept.due = here;
            }
        });
        // No step: what is due is done before the first.
        let now = wall.saturating_sub(self.stood_still);
        self.session.advance(0, now)?;
        Ok(())
    }

    /// Back to the present.
    pub(crate) fn resume(&mut self) -> Result<(), Refusal> {
        if self.has_halted {
            return Err(because("the machine has stopped; there is only its past"));
        }
        self.past = None;
        Ok(())
    }

    /// The wall goes on from where the machine stood still.
    pub(crate) fn goes_on(&mut self, wall: Duration) {
        if let Some(at) = self.paused_at.take() {
            self.stood_still += wall.saturating_sub(at);
        }
    }
}

fn core_size(size: TerminalSize) -> CoreSize {
    CoreSize {
        columns: size.columns.max(1),
        rows: size.rows.max(1),
    }
}

/// What came out at the console.
pub(crate) fn printed(outputs: &[Output]) -> Vec<Printed> {
    let printed = outputs.iter().filter_map(|output| match &output.kind {
        OutputKind::Console { bytes, .. } => Some(Printed {
            icount: output.icount.0,
            bytes: bytes.clone(),
        }),
        OutputKind::ExitStatus(_) | OutputKind::Frame(_) => None,
    });
    printed.collect()
}

fn start_seed(seed: &[u8; 32]) -> [u8; 32] {
    reprise_core::image::ImageHash::of(&[b"reprise page start ".as_slice(), seed].concat()).0
}
