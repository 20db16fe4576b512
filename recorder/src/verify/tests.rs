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

fn find(recording: &Echo, against: Against, fault: Fault) -> Divergence {
    match verify(recording, against, Some(fault), &mut ()) {
        Ok(Verdict::Different(divergence)) => *divergence,
        other => panic!("{other:?}"),
    }
}

#[test]
fn sound_executions_are_equal() {
    let recording = record(1, "hi\nb\nq");
    for against in [Against::Trace, Against::Checkpoint, Against::Reference] {
        let verdict = verify(&recording, against, None, &mut ()).expect("runs");
        let Verdict::Equal { icount, .. } = verdict else {
            panic!("{verdict:?}");
        };
        let last = recording.entries.last().expect("an end").icount();
        assert_eq!(icount, last);
    }
}

#[test]
fn a_flipped_bit_of_ram_is_found_exactly() {
    let recording = record(2, "hi\nb\nq");
    for against in [Against::Checkpoint, Against::Reference] {
        let fault = Fault {
            icount: Icount(50_000_001),
            place: FaultPlace::Ram {
                offset: 0x30_0123,
                bit: 5,
            },
        };
        let divergence = find(&recording, against, fault);
        assert_eq!(
            (divergence.good, divergence.icount),
            (Icount(50_000_000), Icount(50_000_001))
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
    let recording = record(3, "hi\nb\nq");
    for icount in [5_000, 16_777_216, 40_000_000] {
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
        let difference = divergence.difference.expect("named").to_string();
        println!("{difference}");
    }
}

#[test]
fn a_recording_of_another_machine_is_not_as_recorded() {
    let mut recording = record(4, "hi\nq");
    for entry in &mut recording.entries {
        if let Entry::Hash { hash, .. } = entry {
            hash.devices ^= 1;
        }
    }
    let verdict = verify(&recording, Against::Trace, None, &mut ()).expect("runs");
    assert!(
        matches!(&verdict, Verdict::NotAsRecorded { components, .. } if components == &["devices"]),
        "{verdict:?}"
    );
}
