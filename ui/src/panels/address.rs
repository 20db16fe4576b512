//! Addresses as people type them.

use reprise_worker::protocol::Register;

/// What an address field takes, for its hover text.
pub(super) const HINT: &str = "Hexadecimal, a register, or a sum: 10430, 0x10430, sp, sp+16, a0-0x8. Numbers after + and - are decimal without 0x.";

/// The address that a text means.
///
/// # Errors
/// What is wrong with it, in one sentence.
pub(super) fn address_from_text(text: &str, registers: &[Register]) -> Result<u64, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("Type an address.".to_owned());
    }
    let mut address = 0_u64;
    let mut rest = text;
    let mut is_minus = false;
    let mut is_first = true;
    loop {
        let end = rest.find(['+', '-']).unwrap_or(rest.len());
        let (term, after) = rest.split_at(end);
        let term = term.trim();
        let value = value_of(term, is_first, registers)
            .ok_or_else(|| format!("\u{201c}{term}\u{201d} is no address and no register."))?;
        address = if is_minus {
            address.wrapping_sub(value)
        } else {
            address.wrapping_add(value)
        };
        is_first = false;
        match after.chars().next() {
            Some(sign) => is_minus = sign == '-',
            None => return Ok(address),
        }
        rest = after.get(1..).unwrap_or_default();
    }
}

fn value_of(term: &str, is_first: bool, registers: &[Register]) -> Option<u64> {
    let name = if term == "fp" { "s0" } else { term };
    if let Some(register) = registers.iter().find(|register| register.name == name) {
        return Some(register.value);
    }
    // Parsers of numbers take signs; a second sign is no number here.
    if !term.starts_with(|char: char| char.is_ascii_alphanumeric()) {
        return None;
    }
    let digits = term.strip_prefix("0x").or_else(|| term.strip_prefix("0X"));
    match digits {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if is_first => u64::from_str_radix(term, 16).ok(),
        None => term.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_worker::protocol::RegisterGroup;

    #[test]
    fn an_address_is_a_number_a_register_or_a_sum() {
        let registers =
            [("sp", 0x1000), ("a0", 0x20), ("s0", 0x2000)].map(|(name, value)| Register {
                name: name.to_owned(),
                value,
                group: RegisterGroup::Integer,
            });
        for (text, expect) in [
            ("0x10430", Some(0x10430)),
            (" 10430 ", Some(0x10430)),
            ("sp", Some(0x1000)),
            ("fp", Some(0x2000)),
            ("sp+16", Some(0x1010)),
            ("sp - 0x10 + 8", Some(0xff8)),
            ("a0", Some(0x20)),
            ("ffffffff80000000", Some(0xffff_ffff_8000_0000)),
            ("", None),
            ("main", None),
            ("sp+", None),
            ("sp+a0", Some(0x1020)),
            ("0x+5", None),
            ("sp+0x+1", None),
            ("12345678123456781", None),
        ] {
            assert_eq!(address_from_text(text, &registers).ok(), expect, "{text}");
        }
    }
}
