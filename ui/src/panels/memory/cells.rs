//! What bytes are shown as.

/// How memory is cut into cells, and what is written into them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Form {
    #[default]
    Hex8,
    Hex32,
    Hex64,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl Form {
    pub(super) const ALL: [Self; 13] = [
        Self::Hex8,
        Self::Hex32,
        Self::Hex64,
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::U64,
        Self::I64,
        Self::F32,
        Self::F64,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Hex8 => "bytes",
            Self::Hex32 => "hex, 4 bytes",
            Self::Hex64 => "hex, 8 bytes",
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// Bytes of a cell.
    pub(super) fn byte_len(self) -> usize {
        match self {
            Self::Hex8 | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::Hex32 | Self::U32 | Self::I32 | Self::F32 => 4,
            Self::Hex64 | Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Characters of a cell at the most.
    pub(super) fn chars(self) -> usize {
        match self {
            Self::Hex8 => 2,
            Self::U8 => 3,
            Self::I8 => 4,
            Self::U16 => 5,
            Self::I16 => 6,
            Self::Hex32 => 8,
            Self::U32 => 10,
            Self::I32 => 11,
            Self::F32 => 14,
            Self::Hex64 => 16,
            Self::U64 | Self::I64 => 20,
            Self::F64 => 22,
        }
    }

    /// A cell's bytes in words; `None` when they are too few.
    pub(super) fn text(self, bytes: &[u8]) -> Option<String> {
        let mut word = [0; 8];
        let bytes = bytes.get(..self.byte_len())?;
        word.get_mut(..bytes.len())?.copy_from_slice(bytes);
        let word = u64::from_le_bytes(word);
        Some(match self {
            Self::Hex8 => format!("{word:02x}"),
            Self::Hex32 => format!("{word:08x}"),
            Self::Hex64 => format!("{word:016x}"),
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => word.to_string(),
            Self::I8 => (word as i8).to_string(),
            Self::I16 => (word as i16).to_string(),
            Self::I32 => (word as i32).to_string(),
            Self::I64 => (word as i64).to_string(),
            Self::F32 => float(f64::from(f32::from_bits(word as u32)), 7),
            Self::F64 => float(f64::from_bits(word), 15),
        })
    }
}

/// A number in few characters: plainly where it is neither large nor small.
fn float(number: f64, digits: usize) -> String {
    let size = number.abs();
    if number == 0.0 || !number.is_finite() || (1e-4..1e6).contains(&size) {
        let whole_digits = if size >= 1.0 && size.is_finite() {
            size.log10() as usize + 1
        } else {
            1
        };
        let text = format!("{number:.*}", digits.saturating_sub(whole_digits));
        match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text,
        }
    } else {
        format!("{number:.*e}", digits - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_say_what_bytes_mean() {
        let bytes = 0xffff_fffe_u64.to_le_bytes();
        for (form, expect) in [
            (Form::Hex8, "fe"),
            (Form::Hex32, "fffffffe"),
            (Form::Hex64, "00000000fffffffe"),
            (Form::U8, "254"),
            (Form::I8, "-2"),
            (Form::I16, "-2"),
            (Form::U32, "4294967294"),
            (Form::I32, "-2"),
            (Form::I64, "4294967294"),
        ] {
            assert_eq!(form.text(&bytes).as_deref(), Some(expect));
        }
        assert_eq!(
            Form::F64.text(&1.5_f64.to_le_bytes()).as_deref(),
            Some("1.5")
        );
        assert_eq!(
            Form::F32.text(&0.1_f32.to_le_bytes()).as_deref(),
            Some("0.1")
        );
        assert_eq!(Form::U32.text(&[1, 2]), None);
    }

    #[test]
    fn no_cell_is_wider_than_it_says() {
        let patterns = [
            [0; 8],
            [0xff; 8],
            [0x80; 8],
            i64::MIN.to_le_bytes(),
            f64::MIN_POSITIVE.to_le_bytes(),
            (-f64::MAX).to_le_bytes(),
            (-1.234_567_890_123_456e-100_f64).to_le_bytes(),
            999_999.999_999_999_f64.to_le_bytes(),
            [0, 0, 0x80, 0xff, 0xff, 0xff, 0x7f, 0xff],
        ];
        for form in Form::ALL {
            for pattern in patterns {
                let text = form.text(&pattern).unwrap();
                assert!(text.len() <= form.chars(), "{form:?} {text}");
            }
        }
    }
}
