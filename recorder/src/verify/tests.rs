use super::*;
use crate::entry::EndReason;
use crate::record::{RecordOptions, RecordSession};
use crate::testing::echo_machine;
use reprise_core::event::ConsolePort;
use std::convert::Infallible;
use std::time::Duration;

struct Echo {
    seed: u8,
    entries: Vec<Entry>,
}

impl Recording for Echo {
    type Error = Infallible;

    fn machine(&self) -> Result<Machine, MachineError> {
        Ok(echo_machine(self.seed))
    }

    fn entries(&self) -> Result<Entries<'_, Infallible>, Infallible> {
        Ok(Box::new(self.entries.iter().cloned().map(Ok)))
    }
}

fn record(seed: u8, script: &str) -> Echo {
    let options = RecordOptions {
        typist_port: ConsolePort::Uart,
        ..RecordOptions::default()
    };
    let mut session = RecordSession::new(echo_machine(seed), Vec::new(), options);
    session.typist().push(script.as_bytes());
    session.typist().close();
    while session
        .advance(1 << 30, Duration::ZERO)
        .expect("runs")
        .halted
        .is_none()
    {}
    let (_, entries) = session.finish(EndReason::Stopped).expect("ends");
    Echo { seed, entries }
}

/// Intervals so short that a recording of some millions of steps has several.
fn options(against: Against) -> VerifyOptions {
    let mut options = VerifyOptions::new(against);
    options.interval_steps = 1 << 20;
    options
}

fn find(recording: &Echo, against: Against, fault: Fault) -> Divergence {
    let mut options = options(against);
    options.fault = Some(fault);
    match verify(recording, &options, &mut ()) {
        Ok(Verdict::Different(divergence)) => *divergence,
        other => panic!("{other:?}"),
    }
}

#[test]
fn sound_executions_are_equal() {
    let recording = record(1, "hi\nc\nq");
    for against in [Against::Trace, Against::Checkpoint, Against::Reference] {
        let verdict = verify(&recording, &options(against), &mut ()).expect("runs");
        let Verdict::Equal { icount, .. } = verdict else {
            panic!("{verdict:?}");
        };
        let last = recording.entries.last().expect("an end").icount();
        assert_eq!(icount, last);
    }
}

#[test]
fn a_flipped_bit_of_ram_is_found_exactly() {
    let recording = record(2, "hi\nc\nq");
    for against in [Against::Checkpoint, Against::Reference] {
        let fault = Fault {
            icount: Icount(5_000_001),
            place: FaultPlace::Ram {
                offset: 0x30_0123,
                bit: 5,
            },
        };
        let divergence = find(&recording, against, fault);
        assert_eq!(
            (divergence.good, divergence.icount),
            (Icount(5_000_000), Icount(5_000_001))
        );
        assert_eq!(divergence.components, ["ram"]);
        assert_eq!(
            divergence.difference,
            Some(Difference::Ram {
                page: 0x300,
                offset: 0x123,
                left: 0,
                right: 0x20,
                page_count: 1
            })
        );
    }
}

#[test]
fn a_flipped_bit_of_a_register_is_found_exactly() {
    let recording = record(3, "hi\nc\nq");
    for icount in [5_000, 1 << 20, 4_000_000] {
        let fault = Fault {
            icount: Icount(icount),
            place: FaultPlace::State {
                section: *b"HART",
                offset: 8 * 20,
                bit: 0,
            },
        };
        let divergence = find(&recording, Against::Checkpoint, fault);
        assert_eq!(divergence.icount, Icount(icount));
        assert_eq!(divergence.good, Icount(icount - 1));
        assert_eq!(divergence.components, ["cpus"]);
        let Some(Difference::Register {
            name, left, right, ..
        }) = divergence.difference
        else {
            panic!("{divergence:?}");
        };
        assert_eq!((name.as_str(), left ^ right), ("x20", 1));
    }
}

#[test]
fn a_flipped_bit_of_a_device_is_found_exactly() {
    let recording = record(5, "hi\nc\nq");
    let fault = Fault {
        icount: Icount(2_000_000),
        place: FaultPlace::State {
            section: *b"UART",
            // The scratch register, while nothing is received.
            offset: 6,
            bit: 3,
        },
    };
    let divergence = find(&recording, Against::Checkpoint, fault);
    assert_eq!(divergence.icount, Icount(2_000_000));
    assert_eq!(divergence.good, Icount(1_999_999));
    assert_eq!(divergence.components, ["devices"]);
    let Some(Difference::State { sections, .. }) = divergence.difference else {
        panic!("{divergence:?}");
    };
    assert_eq!(sections, ["UART"]);
}

#[test]
fn a_recording_of_another_machine_is_not_as_recorded() {
    let mut recording = record(4, "hi\nq");
    for entry in &mut recording.entries {
        if let Entry::Hash { hash, .. } = entry {
            hash.devices ^= 1;
        }
    }
    let verdict = verify(&recording, &options(Against::Trace), &mut ()).expect("runs");
    assert!(
        matches!(&verdict, Verdict::NotAsRecorded { components, .. } if components == &["devices"]),
        "{verdict:?}"
    );
}
