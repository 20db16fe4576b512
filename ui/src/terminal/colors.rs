//! Colours of a terminal.

use egui::Color32;
use vt100::Color;

/// The sixteen colours, a ground and a text colour.
pub(super) struct Palette {
    pub(super) ground: Color32,
    pub(super) text: Color32,
    pub(super) selection: Color32,
    sixteen: [u32; 16],
}

/// For a dark ground.
const DARK: Palette = Palette {
    ground: Color32::from_rgb(0x12, 0x14, 0x18),
    text: Color32::from_rgb(0xdc, 0xdf, 0xe4),
    selection: Color32::from_rgb(0x2f, 0x52, 0x82),
    sixteen: [
        0x2b2f37, 0xe06c75, 0x98c379, 0xe5c07b, 0x61afef, 0xc678dd, 0x56b6c2, 0xabb2bf, 0x7f848e,
        0xff7b86, 0xb5e890, 0xffd68a, 0x7cc3ff, 0xdb8ff0, 0x6fd3df, 0xffffff,
    ],
};

/// For a light ground: each is dark enough to be read on white.
const LIGHT: Palette = Palette {
    ground: Color32::from_rgb(0xff, 0xff, 0xff),
    text: Color32::from_rgb(0x1c, 0x20, 0x26),
    selection: Color32::from_rgb(0xb5, 0xd3, 0xf7),
    sixteen: [
        0x1c2026, 0xb3261e, 0x2a7a2a, 0x8a6100, 0x1f5fb8, 0x8a35a8, 0x0f7480, 0x6b7078, 0x565b63,
        0xc8382e, 0x1f7a1f, 0x946a00, 0x2b6fd0, 0x9a45b8, 0x0b7f8c, 0x3a3f47,
    ],
};

impl Palette {
    pub(super) fn of(is_dark: bool) -> &'static Palette {
        if is_dark { &DARK } else { &LIGHT }
    }

    /// A colour, or none for the default one.
    fn color(&self, color: Color, is_bright: bool) -> Option<Color32> {
        match color {
            Color::Default => None,
            Color::Rgb(red, green, blue) => Some(Color32::from_rgb(red, green, blue)),
            Color::Idx(number @ 0..=7) if is_bright => Some(self.indexed(number + 8)),
            Color::Idx(number) => Some(self.indexed(number)),
        }
    }

    fn indexed(&self, number: u8) -> Color32 {
        match number {
            0..=15 => {
                let value = self
                    .sixteen
                    .get(usize::from(number))
                    .copied()
                    .unwrap_or_default();
                let [_, red, green, blue] = value.to_be_bytes();
                Color32::from_rgb(red, green, blue)
            }
            16..=231 => {
                let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
                let cube = number - 16;
                Color32::from_rgb(level(cube / 36), level(cube / 6 % 6), level(cube % 6))
            }
            _ => Color32::from_gray(8 + 10 * (number - 232)),
        }
    }

    /// Text and ground of a cell.
    pub(super) fn of_cell(&self, cell: &vt100::Cell) -> (Color32, Color32) {
        let mut text = self.color(cell.fgcolor(), cell.bold()).unwrap_or(self.text);
        let ground = self.color(cell.bgcolor(), false).unwrap_or(self.ground);
        if cell.dim() {
            text = text.lerp_to_gamma(ground, 0.4);
        }
        if cell.inverse() {
            (ground, text)
        } else {
            (text, ground)
        }
    }
}
