//! What must hold at every position, whatever the guest does.

use super::guest_run::{CPU, GuestRun};
use reprise_core::debug::{AddressSpace, DebugPlan, HitKind, UserExit};
use reprise_core::machine::Machine;
use reprise_core::riscv::csr::number::SATP;
use reprise_core::riscv::trap::Privilege;
use reprise_core::riscv::view::translate;
use reprise_core::types::{GuestPhysAddr, GuestVirtAddr};
use reprise_debugger::linux::{Kernel, TaskAddress, TaskRegisters};
use std::collections::BTreeMap;

const BUSY: &str = "for i in 1 2 3; do (echo $i; sleep 0) | cat > /tmp/$i & done; wait; \
    /bench/nbody & /demos/race; ls -l /proc/self > /dev/null";
const SCAUSE: u16 = 0x142;

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state >> 8
}

/// Follows an execution step by step.
#[derive(Default)]
struct Watch {
    last: Option<Position>,
    /// The registers with which an interrupt found a task in user mode.
    interrupted: BTreeMap<TaskAddress, TaskRegisters>,
    switches: usize,
    entries: usize,
    exits: usize,
    with_floating_point: usize,
}

#[derive(Clone)]
struct Position {
    pc: u64,
    is_user: bool,
    task: TaskAddress,
    registers: Option<TaskRegisters>,
}

impl Watch {
    fn check(&mut self, run: &GuestRun) {
        let view = run.kernel.view(&run.machine);
        let cpu = run.machine.cpu(CPU);
        let at = run.machine.icount();
        let is_user = cpu.privilege() == Privilege::User;
        let task = view
            .current(CPU)
            .unwrap_or_else(|| panic!("nobody runs at {at}"));
        let registers = view.user_registers(&task);
        if is_user {
            assert_eq!(task.space, Some(cpu.address_space()), "at {at}");
            assert!(registers.is_some(), "at {at}");
        }
        if let Some(last) = &self.last {
            if last.task != task.address {
                self.switches += 1;
                let symbol = run.kernel.symbol_at(GuestVirtAddr(last.pc));
                assert_eq!(symbol.map(|found| found.0), Some("__switch_to"), "at {at}");
            }
            match (last.is_user, is_user) {
                (true, false) => {
                    self.entries += 1;
                    assert_eq!(last.task, task.address, "at {at}");
                    if cpu.csr(SCAUSE).is_some_and(|cause| cause >> 63 != 0) {
                        let registers = last.registers.clone().expect("it was in user mode");
                        self.interrupted.insert(task.address, registers);
                    }
                }
                (false, true) => {
                    self.exits += 1;
                    assert_eq!(last.registers, registers, "on the way out before {at}");
                    let with_floating_point = registers.as_ref().is_some_and(|r| r.f.is_some());
                    self.with_floating_point += usize::from(with_floating_point);
                    self.interrupted.remove(&task.address);
                }
                _ => {}
            }
        }
        if !is_user && let Some(expected) = self.interrupted.get(&task.address) {
            let is_as_left = registers.as_ref().is_none_or(|found| found == expected);
            assert!(
                is_as_left,
                "at {at}: {registers:x?} instead of {expected:x?}"
            );
        }
        if at.0.is_multiple_of(1024) {
            for (address, expected) in &self.interrupted {
                let task = view.task(*address).expect("it is interrupted");
                if let Some(registers) = view.user_registers(&task) {
                    assert_eq!(&registers, expected, "at {at}");
                }
            }
        }
        self.last = Some(Position {
            pc: cpu.pc(),
            is_user,
            task: task.address,
            registers,
        });
    }

    fn steps(&mut self, run: &mut GuestRun, count: usize) {
        for _ in 0..count {
            self.check(run);
            run.step();
        }
        self.check(run);
    }
}

#[test]
fn at_every_step_the_current_task_is_known() {
    let mut run = GuestRun::of_script(BUSY);
    // `clone`: from here on the shell makes processes, which execute programs and wait for each other.
    run.run_to_call("sh", &[220]);
    run.machine.set_debug_plan(None);
    let mut watch = Watch::default();
    watch.steps(&mut run, 2_000_000);
    assert!(watch.switches > 5, "{} switches", watch.switches);
    assert!(watch.entries > 100 && watch.exits > 100);
}

#[test]
fn at_every_step_around_interrupts_registers_are_known() {
    let mut run = GuestRun::of_script(BUSY);
    let mut totals = [0; 3];
    let plan = DebugPlan {
        user_exits: true,
        ..DebugPlan::default()
    };
    'execution: loop {
        run.machine.set_debug_plan(Some(plan.clone()));
        loop {
            if !run.run_to(u64::MAX >> 2) {
                break 'execution;
            }
            let is_interrupt = |kind| kind == HitKind::UserExit(UserExit::Interrupt);
            if (run.machine.take_hits().iter()).any(|hit| is_interrupt(hit.kind)) {
                break;
            }
        }
        run.machine.set_debug_plan(None);
        let mut watch = Watch::default();
        watch.steps(&mut run, 30_000);
        totals[0] += watch.switches;
        totals[1] += watch.exits;
        totals[2] += watch.with_floating_point;
    }
    assert!(totals.iter().all(|total| *total > 5), "{totals:?}");
}

#[test]
fn looking_anywhere_changes_nothing_and_shows_what_can_be() {
    let mut run = GuestRun::of_script(BUSY);
    let mut state = 0x2545_f491_4f6c_dd1d;
    let (mut looked, mut at) = (0, 0);
    loop {
        at += random(&mut state) % 6_000_000;
        if !run.run_to(at) {
            break;
        }
        let before = run.machine.state_hash();
        let view = run.kernel.view(&run.machine);
        if view.is_up() {
            looked += 1;
            let current = view.current(CPU).expect("somebody runs");
            let tasks = view.tasks();
            assert!(current.tid == 0 || tasks.contains(&current), "at {at}");
            assert!(tasks.iter().any(|task| task.tid == 1), "at {at}");
            for task in &tasks {
                let mappings = view.mappings(task);
                assert!(mappings.is_sorted_by(|a, b| a.end <= b.start), "at {at}");
                assert_eq!(view.task(task.address).as_ref(), Some(task));
                let is_executable = |pc: u64| {
                    let mut around = mappings.iter();
                    around.any(|m| m.is_executable && (m.start.0..m.end.0).contains(&pc))
                };
                let in_kernel = view.kernel_registers(task);
                if *task != current {
                    let in_kernel = in_kernel.unwrap_or_else(|| panic!("{task:?} at {at}"));
                    let symbol = run.kernel.symbol_at(GuestVirtAddr(in_kernel.pc));
                    let symbol = symbol.map(|found| found.0);
                    let is_plausible = matches!(
                        symbol,
                        // The last is another name of `ret_from_fork`.
                        Some("__schedule" | "ret_from_fork" | "ret_from_exception_end")
                    );
                    let is_dead = matches!(task.state.letter(), 'Z' | 'X');
                    assert!(is_plausible || is_dead, "{task:?} at {at} in {symbol:?}");
                    if let Some(registers) = view.user_registers(task)
                        && !mappings.is_empty()
                    {
                        let pc = registers.pc;
                        assert!(
                            is_executable(pc),
                            "{task:?} at {at}: {pc:#x} in {mappings:x?}"
                        );
                    }
                } else if let Some(registers) = view.user_registers(task)
                    && run.machine.cpu(CPU).privilege() == Privilege::User
                {
                    assert!(is_executable(registers.pc), "{task:?} at {at}");
                    assert_eq!(in_kernel, None);
                }
                let _ = view.open_files(task);
                let _ = view.arguments(task);
                let _ = view.executable(task);
                let _ = view.auxv(task);
            }
            if let Some(file) = view.find_file(b"/demos/race") {
                assert_eq!(view.read_file(&file, 0, &mut [0; 100]), Some(100));
            }
            assert!(view.modules().is_empty());
        }
        assert_eq!(run.machine.state_hash(), before, "at {at}");
    }
    assert!(looked > 50, "{looked} positions");
}

/// Everything that can be asked.
fn look_at_everything(kernel: &Kernel, machine: &Machine) {
    let view = kernel.view(machine);
    let _ = view.modules();
    for path in [&b"/demos/race"[..], b"/tmp/../dev/stdin", b"/proc/self"] {
        let file = view.find_file(path);
        let _ = file.and_then(|file| view.read_file(&file, 4000, &mut [0; 9000]));
    }
    for task in view.tasks() {
        let _ = view.user_registers(&task);
        let _ = view.kernel_registers(&task);
        let _ = view.arguments(&task);
        let _ = view.auxv(&task);
        let _ = view.executable(&task);
        let _ = view.open_files(&task);
        for mapping in view.mappings(&task) {
            let _ = view.read_task_memory(&task, mapping.start, &mut [0; 5000]);
            let _ = view.mapped_file(&task, mapping.start);
        }
    }
}

/// Where kernel memory lies.
fn physical(machine: &Machine, address: u64) -> GuestPhysAddr {
    let satp = machine.cpu(CPU).csr(SATP).expect("a CSR");
    let space = AddressSpace(satp & !(0xffff << 44));
    translate(machine.memory(), space, GuestVirtAddr(address)).expect("it is mapped")
}

/// About what a `task_struct` takes up.
const TASK_BYTES: u64 = 2432;

#[test]
fn pointers_that_lead_to_themselves_end() {
    let mut run = GuestRun::of_script("/demos/race & sleep 1 & ls -l /proc/self");
    run.run_to_call("ls", &[64]);
    let snapshot = run.machine.snapshot();
    let kernel = run.kernel.clone();
    let tasks = kernel.view(&run.machine).tasks();
    let is_chosen = |name: &str| ["init", "race", "ls"].contains(&name);
    for task in tasks.iter().filter(|task| is_chosen(&task.name)) {
        for address in (task.address.0..task.address.0 + TASK_BYTES).step_by(8) {
            let at = physical(&run.machine, address);
            let value = run.machine.memory().read_u64(at).expect("it is RAM");
            if value >> 48 != 0xffff {
                continue;
            }
            let wrong = value ^ address;
            for bit in (0..64).filter(|bit| wrong >> bit & 1 != 0) {
                let byte = GuestPhysAddr(at.0 + bit / 8);
                (run.machine.inject_fault(byte, bit as u8 % 8)).expect("it is RAM");
            }
            look_at_everything(&kernel, &run.machine);
            run.machine.restore(&snapshot).expect("its own snapshot");
        }
    }
}

#[test]
fn damaged_memory_does_no_harm() {
    let mut run = GuestRun::of_script("/demos/race & sleep 1 & ls -l /proc/self");
    run.run_to_call("ls", &[64]);
    let snapshot = run.machine.snapshot();
    let kernel = run.kernel.clone();
    let tasks = kernel.view(&run.machine).tasks();
    let (base, byte_len) = (run.machine.memory().base(), run.machine.memory().byte_len());
    let mut state = 0x2545_f491_4f6c_dd1d;
    for round in 0..120 {
        run.machine.restore(&snapshot).expect("its own snapshot");
        for number in 0..3000 {
            let within = random(&mut state);
            // Everywhere, in the kernel's image, or in what describes the tasks.
            let at = match (round % 3, number) {
                (0, _) => GuestPhysAddr(base.0 + within % byte_len),
                (1, _) => GuestPhysAddr(base.0 + (2 << 20) + within % (9 << 20)),
                (_, 50..) => break,
                _ => {
                    let task = &tasks[within as usize % tasks.len()];
                    let within = random(&mut state) % TASK_BYTES;
                    physical(&run.machine, task.address.0 + within)
                }
            };
            let bit = random(&mut state) as u8;
            run.machine.inject_fault(at, bit).expect("it is RAM");
        }
        look_at_everything(&kernel, &run.machine);
        if round % 3 == 1
            && let Ok(damaged) = Kernel::find(run.machine.memory())
        {
            look_at_everything(&damaged, &run.machine);
        }
    }
}
