use super::*;

const BASE: u64 = 0xffff_ffff_8000_0000;

/// In which order the tables lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    /// As since 6.4.
    AddressesLast,
    /// As in 7.2.
    DistancesLast,
    /// As up to 6.3.
    OffsetsFirst,
    /// As up to 6.3, without a base.
    AddressesFirst,
}

/// Symbols as `(address, type and name)`, ascending.
fn symbols() -> Vec<(u64, String)> {
    let mut symbols: Vec<(u64, String)> = (0..600)
        .map(|n| (BASE + 16 * n, format!("tfunction_{n}")))
        .collect();
    // Two names for one address, two addresses of one name, and a name of more than 127 tokens.
    symbols[17].0 = symbols[16].0;
    symbols[300].1 = symbols[200].1.clone();
    symbols[400].1 = format!("T{}", "long_".repeat(60));
    symbols
}

fn pad(bytes: &mut Vec<u8>, alignment: usize) {
    bytes.resize(bytes.len().next_multiple_of(alignment), 0);
}

/// Tables as scripts/kallsyms.c writes them: each byte is its own token, but 0x80 is `function_`.
fn image(order: Order) -> Vec<u8> {
    let symbols = symbols();
    let alignment = if order == Order::DistancesLast { 4 } else { 8 };
    // An odd number of words, so that an alignment of 8 would not do where it is 4.
    let mut image = vec![0xa5; 72 - alignment];
    let offsets = |to: &mut Vec<u8>| {
        for (address, _) in &symbols {
            to.extend_from_slice(&((address - BASE) as u32).to_le_bytes());
        }
        pad(to, 8);
        to.extend_from_slice(&BASE.to_le_bytes());
    };
    match order {
        Order::AddressesLast | Order::DistancesLast => {}
        Order::OffsetsFirst => offsets(&mut image),
        Order::AddressesFirst => {
            for (address, _) in &symbols {
                image.extend_from_slice(&address.to_le_bytes());
            }
        }
    }
    image.extend_from_slice(&(symbols.len() as u64).to_le_bytes()[..alignment]);
    let names_at = image.len();
    let mut markers = Vec::new();
    for (number, (_, name)) in symbols.iter().enumerate() {
        if number % 256 == 0 {
            markers.push((image.len() - names_at) as u32);
        }
        let tokens: Vec<u8> = (name.replace("function_", "\u{1}").bytes())
            .map(|byte| if byte == 1 { 0x80 } else { byte })
            .collect();
        if tokens.len() < 0x80 {
            image.push(tokens.len() as u8);
        } else {
            image.extend([tokens.len() as u8 & 0x7f | 0x80, (tokens.len() >> 7) as u8]);
        }
        image.extend(tokens);
    }
    pad(&mut image, alignment);
    for marker in markers {
        image.extend_from_slice(&marker.to_le_bytes());
    }
    pad(&mut image, alignment);
    if matches!(order, Order::OffsetsFirst | Order::AddressesFirst) {
        // 6.2 had the sequence numbers here.
        image.extend(vec![7; 3 * symbols.len()]);
        pad(&mut image, alignment);
    }
    let mut index = Vec::new();
    let start = image.len();
    for token in 0..=255u8 {
        index.extend_from_slice(&((image.len() - start) as u16).to_le_bytes());
        match token {
            0x80 => image.extend_from_slice(b"function_"),
            b' '..=b'~' => image.push(token),
            _ => {}
        }
        image.push(0);
    }
    pad(&mut image, alignment);
    image.extend(index);
    match order {
        Order::AddressesLast => offsets(&mut image),
        Order::DistancesLast => {
            for (address, _) in &symbols {
                let distance = (address - BASE) as i32 - image.len() as i32;
                image.extend_from_slice(&distance.to_le_bytes());
            }
        }
        Order::OffsetsFirst | Order::AddressesFirst => {}
    }
    image.extend([0xa5; 64]);
    image
}

#[test]
fn tables_of_all_orders_are_read() {
    for order in [
        Order::AddressesLast,
        Order::DistancesLast,
        Order::OffsetsFirst,
        Order::AddressesFirst,
    ] {
        let found = Symbols::find(&image(order)).unwrap_or_else(|| panic!("{order:?}"));
        let expected = symbols();
        let expected = expected
            .iter()
            .map(|(address, name)| (&name[1..], *address));
        assert!(found.iter().eq(expected), "{order:?}");
    }
}

#[test]
fn symbols_are_told_by_name_and_by_address() {
    let found = Symbols::find(&image(Order::AddressesLast)).expect("the tables");
    for (name, expected) in [
        ("function_0", Some(BASE)),
        ("function_17", Some(BASE + 16 * 16)),
        ("function_200", Some(BASE + 16 * 200)),
        ("function_300", None),
        ("function_", None),
        ("zzz", None),
        ("", None),
    ] {
        assert_eq!(found.address_of(name), expected, "{name}");
    }
    for (address, expected) in [
        (BASE - 1, None),
        (BASE, Some(("function_0", 0))),
        (BASE + 31, Some(("function_1", 15))),
        (BASE + 16 * 16 + 3, Some(("function_16", 3))),
        (BASE + 16 * 599 + 8, Some(("function_599", 8))),
        (BASE + (1 << 20), None),
        (0, None),
        (u64::MAX, None),
    ] {
        assert_eq!(found.symbol_at(address), expected, "{address:#x}");
    }
}

#[test]
fn cut_or_damaged_tables_do_no_harm() {
    for order in [Order::AddressesLast, Order::DistancesLast] {
        damage(&image(order));
    }
}

fn damage(whole: &[u8]) {
    for length in (0..whole.len()).step_by(37) {
        let _ = Symbols::find(&whole[..length]);
    }
    let mut state = 0x2545_f491_4f6c_dd1du64;
    for _ in 0..300 {
        let mut damaged = whole.to_vec();
        for _ in 0..3 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = (state >> 32) as usize % damaged.len();
            damaged[at] = state as u8;
        }
        let Some(symbols) = Symbols::find(&damaged) else {
            continue;
        };
        let _ = symbols.address_of("function_7");
        let _ = symbols.symbol_at(BASE + (state & 0xffff));
    }
}

#[test]
fn bytes_are_found_where_they_stand_first() {
    for (bytes, wanted, expected) in [
        (&b"abcabd"[..], &b"abd"[..], Some(3)),
        (b"aab", b"ab", Some(1)),
        (b"ab", b"ab", Some(0)),
        (b"a", b"ab", None),
        (b"", b"a", None),
        (b"aaaa", b"b", None),
    ] {
        assert_eq!(find(bytes, wanted), expected);
    }
}
