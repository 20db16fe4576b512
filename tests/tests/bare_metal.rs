//! Our own bare-metal programs: each passes, and does the same in every manner of execution.

use reprise_core::machine::{BootKind, HaltReason, MachineConfig};
use reprise_tests::bare;
use reprise_tests::lockstep::{End, Manner, Subject, random_stops};
use reprise_tests::random::Random;

/// No program takes so many steps.
const STEPS_MAX: u64 = 5_000_000;
const STOPS: usize = 50;

fn check(name: &str) {
    let config = MachineConfig {
        ram_bytes: 4 << 20,
        boot: BootKind::BareElf,
        ..MachineConfig::default()
    };
    let subject = Subject {
        config,
        program: bare::assemble(name).into(),
        events: Vec::new(),
    };
    let (end, length) = subject.end(Manner::Undisturbed, STEPS_MAX);
    assert_eq!(
        end,
        End::Halted(HaltReason::ToHost(0)),
        "{name}.S: which test failed is in the halt reason"
    );
    for seed in 0..4 {
        let stops = random_stops(&mut Random::new(seed), STOPS, length);
        let outcome = subject.check(&stops, STEPS_MAX);
        assert_eq!(outcome, Ok((end, length)), "{name}.S");
    }
}

macro_rules! programs {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            check(stringify!($name));
        })*

        #[test]
        fn every_program_is_run() {
            assert_eq!(bare::names(), [$(stringify!($name)),*]);
        }
    };
}

programs! { code, csr, interrupts, memory, plic, pmp, sv39, sv48, traps }
