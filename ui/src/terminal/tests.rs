//! A history against a terminal that has taken in the same output straight on.

use super::History;
use reprise_worker::protocol::{Printed, TerminalSize};
use std::num::NonZeroU16;

const SIZE: TerminalSize = TerminalSize {
    columns: 40,
    rows: 10,
};

/// Numbers that look random and are the same in every run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

/// Output in which everything moves: one piece for each byte, as a machine prints.
fn output(draw: &mut Draw, sequences: usize) -> Vec<Printed> {
    let mut bytes: Vec<u8> = Vec::new();
    for _ in 0..sequences {
        let (row, column) = (draw.below(12), draw.below(44));
        match draw.below(14) {
            0 => bytes.extend(format!("\x1b[{row};{column}H").into_bytes()),
            1 => bytes.extend(format!("\x1b[{}m", 30 + draw.below(8)).into_bytes()),
            2 => bytes.extend(b"\x1b[K"),
            3 => bytes.extend(format!("\x1b[{}J", draw.below(3)).into_bytes()),
            4 => {
                bytes.extend(format!("\x1b[{}L\x1b[{}P", draw.below(3), draw.below(3)).into_bytes())
            }
            5 => bytes.extend("é漢e\u{301}🙂".bytes()),
            6 => bytes.extend(b"\x1b7\x1b[5;5Hsaved\x1b8"),
            7 => bytes
                .extend(format!("\x1b[{};{}r", 1 + draw.below(4), 5 + draw.below(6)).into_bytes()),
            8 => bytes.extend(if draw.below(2) == 0 {
                b"\x1b[?1049h"
            } else {
                b"\x1b[?1049l"
            }),
            9 => bytes.extend(b"\x1b]0;title\x07"),
            // Bytes that are no UTF-8, and sequences that others break off.
            10 => bytes.extend(b"\xe2\x82\x1b[3\x18\xff"),
            _ => bytes.extend(format!("some words {row}\r\n").into_bytes()),
        }
    }
    bytes
        .into_iter()
        .enumerate()
        .map(|(number, byte)| Printed {
            icount: 100 + 7 * number as u64,
            bytes: vec![byte],
        })
        .collect()
}

fn straight(printed: &[Printed], sizes: &[(u64, TerminalSize)], icount: u64) -> vt100::Parser {
    let size = |size: TerminalSize| {
        let one = |value: u16| NonZeroU16::new(value).expect("not 0");
        (one(size.rows), one(size.columns))
    };
    let (rows, columns) = size(SIZE);
    let mut parser = vt100::Parser::new(rows, columns, 2_000);
    let mut sizes = sizes.iter().filter(|(at, _)| *at < icount).peekable();
    for one in printed.iter().filter(|one| one.icount < icount) {
        while let Some((_, other)) = sizes.next_if(|(at, _)| *at <= one.icount) {
            let (rows, columns) = size(*other);
            parser.screen_mut().set_size(rows, columns);
        }
        parser.process(&one.bytes);
    }
    for (_, other) in sizes {
        let (rows, columns) = size(*other);
        parser.screen_mut().set_size(rows, columns);
    }
    parser
}

#[test]
fn at_any_position_it_is_what_a_straight_run_shows() {
    for seed in 0..4 {
        let mut draw = Draw(seed);
        let printed = output(&mut draw, 9_000);
        let last = printed.last().expect("some").icount;
        let mut sizes: Vec<(u64, TerminalSize)> = (0..seed)
            .map(|_| {
                let columns = 30 + draw.below(30) as u16;
                let rows = 8 + draw.below(8) as u16;
                (draw.below(last), TerminalSize { columns, rows })
            })
            .collect();
        sizes.sort_by_key(|(at, _)| *at);
        let mut history = History::new(SIZE);
        // In portions, as an index comes in.
        for portion in printed.chunks(1_000) {
            history.add(portion);
        }
        history.set_sizes(SIZE, sizes.clone());
        for _ in 0..12 {
            let icount = draw.below(last + 20);
            let expect = straight(&printed, &sizes, icount);
            let screen = history.screen_at(icount);
            assert_eq!(
                screen.size(),
                expect.screen().size(),
                "seed {seed}, {icount}"
            );
            assert_eq!(
                screen.state_formatted(),
                expect.screen().state_formatted(),
                "seed {seed}, {icount}"
            );
        }
        let expect = straight(&printed, &sizes, u64::MAX);
        assert_eq!(
            history.last_screen().state_formatted(),
            expect.screen().state_formatted()
        );
    }
}

fn printed(texts: &[(u64, &str)]) -> Vec<Printed> {
    let one = |(icount, text): &(u64, &str)| Printed {
        icount: *icount,
        bytes: text.as_bytes().to_vec(),
    };
    texts.iter().map(one).collect()
}

#[test]
fn a_character_says_who_printed_it_wherever_it_has_gone() {
    let mut history = History::new(TerminalSize {
        columns: 10,
        rows: 3,
    });
    history.add(&printed(&[
        (10, "one\r\n"),
        (20, "\x1b[31mtwo\r\n"),
        (30, "\x1b[m"),
        (40, "three"),
        (50, "\x1b[1;2H"),
        (60, "X"),
        (70, "\x1b[3;1H\n"),
        (80, "\x1b[1;1H\x1b[K"),
    ]));
    let mut at = |icount, row, column| history.icount_of_cell(icount, 0, row, column);
    assert_eq!(at(11, 0, 0), Some(10));
    assert_eq!(
        at(10, 0, 0),
        None,
        "it is printed by the step at the position"
    );
    assert_eq!(at(45, 1, 2), Some(20));
    assert_eq!(at(45, 2, 4), Some(40));
    assert_eq!(at(61, 0, 1), Some(60), "overwritten");
    assert_eq!(at(61, 0, 2), Some(10));
    assert_eq!(at(71, 0, 0), Some(20), "scrolled up");
    assert_eq!(at(71, 1, 0), Some(40));
    assert_eq!(at(81, 0, 0), None, "erased");
    assert_eq!(at(61, 2, 8), None, "nothing there");
    assert_eq!(
        history.icount_of_cell(71, 1, 0, 1),
        Some(60),
        "scrolled out and back"
    );
}

#[test]
fn characters_of_more_bytes_belong_to_the_piece_that_ended_them() {
    let mut history = History::new(SIZE);
    let bytes = "漢".as_bytes();
    let pieces: Vec<Printed> = bytes
        .iter()
        .enumerate()
        .map(|(number, byte)| Printed {
            icount: 10 + number as u64,
            bytes: vec![*byte],
        })
        .collect();
    history.add(&pieces);
    assert_eq!(history.screen_at(12).contents(), "");
    assert_eq!(history.screen_at(13).contents(), "漢");
    assert_eq!(history.icount_of_cell(13, 0, 0, 0), Some(12));
}

#[test]
fn far_back_there_is_something_to_scroll_to() {
    let mut history = History::new(SIZE);
    let lines: Vec<Printed> = (0..20_000)
        .map(|number| Printed {
            icount: number * 10,
            bytes: format!("line {number}\r\n").into_bytes(),
        })
        .collect();
    history.add(&lines);
    for icount in [100_000, 150_000, 60_000] {
        assert!(history.screen_at(icount).scrollback_len() > 1_000);
        let number = icount / 10 - 1;
        assert!(
            history
                .screen_at(icount)
                .contents()
                .contains(&format!("line {number}"))
        );
        // A character keeps its origin across snapshots.
        assert_eq!(history.icount_of_cell(icount, 0, 8, 0), Some(number * 10));
    }
}

#[test]
fn sizes_from_outside_are_bounded() {
    let mut history = History::new(TerminalSize {
        columns: u16::MAX,
        rows: u16::MAX,
    });
    history.set_sizes(
        TerminalSize {
            columns: 0,
            rows: 0,
        },
        vec![(
            5,
            TerminalSize {
                columns: u16::MAX,
                rows: 0,
            },
        )],
    );
    history.add(&printed(&[(1, "漢字"), (9, "漢字\r\nx")]));
    let (rows, columns) = history.screen_at(100).size();
    assert!(columns.get() <= super::COLUMNS_MAX && rows.get() <= super::ROWS_MAX);
}
