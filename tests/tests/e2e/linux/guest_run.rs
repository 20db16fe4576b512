//! A machine with the default guest, run from here to there.

use super::super::support::guest;
use reprise_core::debug::{DebugPlan, HitKind, UserExit};
use reprise_core::event::{InputEvent, Start, StartFile};
use reprise_core::machine::{Machine, MachineConfig, MachineImages, RunExit};
use reprise_core::output::OutputKind;
use reprise_core::types::{CpuId, Icount};
use reprise_debugger::linux::{Kernel, Task};
use std::sync::{Arc, OnceLock};

pub(super) const CPU: CpuId = CpuId(0);

/// Kernel image and initrd.
pub(super) fn images() -> &'static [Arc<[u8]>; 2] {
    static FILES: OnceLock<[Arc<[u8]>; 2]> = OnceLock::new();
    let read = |name| {
        let bytes = std::fs::read(guest().join(name));
        bytes.expect("the guest is built").into()
    };
    FILES.get_or_init(|| [read("Image"), read("initrd")])
}

/// A guest that runs, and what it has printed.
pub(super) struct GuestRun {
    pub(super) machine: Machine,
    pub(super) kernel: Kernel,
    printed: Vec<u8>,
}

impl GuestRun {
    /// A machine at power-on that will run a shell script.
    pub(super) fn of_script(script: &str) -> Self {
        Self::with_program(script, Vec::new())
    }

    /// The same, with a program that the script can run as `/program`.
    pub(super) fn with_program(script: &str, program: Vec<u8>) -> Self {
        let [kernel, initrd] = images();
        let config = MachineConfig {
            ram_bytes: 64 << 20,
            seed: [7; 32],
            timer_jitter_ticks_max: 3000,
            command_line: b"console=hvc0 quiet".to_vec(),
            ..MachineConfig::default()
        };
        let images = MachineImages {
            kernel: Some(Arc::clone(kernel)),
            initrd: Some(Arc::clone(initrd)),
            ..MachineImages::default()
        };
        let mut machine = Machine::new(config, images, None).expect("the guest loads");
        let start = Start {
            command: ["/bin/sh", "-c", script]
                .map(|word| word.as_bytes().to_vec())
                .into(),
            files: vec![StartFile {
                path: b"/program".to_vec(),
                mode: 0o755,
                bytes: program,
            }],
            clock_unix_nanoseconds: 1_700_000_000_000_000_000,
            seed: [9; 32],
            ..Start::default()
        };
        machine
            .inject(&InputEvent::Start(Box::new(start)))
            .expect("a start at power-on");
        let kernel = Kernel::find(machine.memory()).expect("the kernel is in RAM at power-on");
        assert_eq!(kernel.lacks_types(), None);
        Self {
            machine,
            kernel,
            printed: Vec::new(),
        }
    }

    /// Runs to a position, to a hit of the debug plan, or to the end; idle time is skipped. Returns whether it goes on.
    pub(super) fn run_to(&mut self, limit: u64) -> bool {
        loop {
            let exit = self.machine.run(Icount(limit));
            for output in self.machine.take_outputs() {
                if let OutputKind::Console { bytes, .. } = output.kind {
                    self.printed.extend(bytes);
                }
            }
            match exit {
                RunExit::Limit | RunExit::DebugStop => return true,
                RunExit::Idle {
                    deadline: Some(deadline),
                } => self.machine.idle_jump(deadline).expect("all harts wait"),
                RunExit::OutputFull => {}
                RunExit::Halted(_) => return false,
                exit => panic!("{exit:?}"),
            }
        }
    }

    /// Runs on to the next position, skipping idle time.
    pub(super) fn step(&mut self) {
        let next = self.machine.icount().0 + 1;
        assert!(self.run_to(next), "the guest ended");
    }

    /// Runs to the end and returns everything that was printed, with newlines alone.
    pub(super) fn finish(mut self) -> String {
        self.machine.set_debug_plan(None);
        assert!(
            !self.run_to(20_000_000_000),
            "the guest switches itself off"
        );
        String::from_utf8_lossy(&self.printed).replace('\r', "")
    }

    /// Runs to where a task of a name is about to make a system call of one of these numbers.
    pub(super) fn run_to_call(&mut self, name: &str, numbers: &[u64]) -> Task {
        self.machine.set_debug_plan(Some(DebugPlan {
            system_calls: true,
            ..DebugPlan::default()
        }));
        loop {
            assert!(self.run_to(u64::MAX >> 2), "no such call of {name} came");
            let is_call = |kind| kind == HitKind::UserExit(UserExit::SystemCall);
            let hits = self.machine.take_hits();
            let number = self.machine.cpu(CPU).x()[17];
            if !hits.iter().any(|hit| is_call(hit.kind)) || !numbers.contains(&number) {
                continue;
            }
            let current = self.kernel.view(&self.machine).current(CPU);
            let task = current.expect("somebody makes the call");
            if task.name == name {
                return task;
            }
        }
    }
}

/// `write`, `writev` and `sendfile`, include/uapi/asm-generic/unistd.h.
pub(super) const WRITES: [u64; 3] = [64, 66, 71];
/// `nanosleep` and `clock_nanosleep`.
pub(super) const SLEEPS: [u64; 2] = [101, 115];
