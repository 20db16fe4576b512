//! Random programs, privileged instructions and all, do the same in every manner of execution.

use reprise_tests::lockstep::{End, random_stops};
use reprise_tests::random::Random;
use reprise_tests::{soak_factor, soup};

const PROGRAMS: u64 = 300;
const STEPS: u64 = 20_000;
const STOPS: usize = 30;

#[test]
fn soups_are_the_same_in_every_manner() {
    let mut stuck = 0;
    let programs = PROGRAMS * soak_factor();
    for seed in 0..programs {
        let subject = soup::subject(seed, STEPS);
        let stops = random_stops(&mut Random::new(!seed), STOPS, STEPS);
        match subject.check(&stops, STEPS) {
            Ok((End::Reached, _)) => {}
            Ok(_) => stuck += 1,
            Err(how) => panic!("seed {seed}: {how}"),
        }
    }
    assert!(
        stuck < programs / 2,
        "{stuck} of {programs} programs ended early: they test too little"
    );
}
