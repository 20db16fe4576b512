//! From positions to points on the screen and back.

use egui::Rect;

/// Steps that are seen at the least.
const SPAN_MIN: f64 = 40.0;

/// The part of the execution that is seen.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Scale {
    start: f64,
    /// None shows everything, however long it grows.
    span: Option<f64>,
    end: f64,
}

impl Default for Scale {
    fn default() -> Scale {
        Scale {
            start: 0.0,
            span: None,
            end: 1.0,
        }
    }
}

impl Scale {
    pub(crate) fn set_end(&mut self, end: u64) {
        self.end = end as f64;
    }

    fn span(&self) -> f64 {
        self.span.unwrap_or(self.end).max(1.0)
    }

    /// Zooms in by a factor; the place at a share of the width stays where it is.
    pub(crate) fn zoom(&mut self, factor: f64, at: f64) {
        if factor == 1.0 || !factor.is_finite() || factor <= 0.0 {
            return;
        }
        let old = self.span();
        let new = (old / factor).max(SPAN_MIN.min(self.end));
        if new >= self.end {
            self.start = 0.0;
            self.span = None;
            return;
        }
        self.start += (old - new) * at.clamp(0.0, 1.0);
        self.span = Some(new);
        self.pan(0.0);
    }

    /// Goes on by a share of the width.
    pub(crate) fn pan(&mut self, share: f64) {
        let span = self.span();
        self.start = (self.start + share * span).clamp(0.0, (self.end - span).max(0.0));
    }

    pub(crate) fn x_from_icount(&self, icount: u64, rect: Rect) -> f32 {
        let share = (icount as f64 - self.start) / self.span();
        // Far outside is as good as just outside.
        rect.min.x + rect.width() * share.clamp(-2.0, 3.0) as f32
    }

    pub(crate) fn icount_from_x(&self, x: f32, rect: Rect) -> u64 {
        let share = f64::from((x - rect.min.x) / rect.width().max(1.0));
        (self.start + share * self.span())
            .round()
            .clamp(0.0, self.end) as u64
    }

    /// A round number of steps that takes at least so many points.
    pub(crate) fn tick_spacing(&self, rect: Rect, points_min: f32) -> u64 {
        let least = self.span() * f64::from(points_min / rect.width().max(1.0));
        let mut spacing = 1u64;
        while (spacing as f64) < least && spacing < u64::MAX / 10 {
            for factor in [2, 5] {
                if (spacing * factor) as f64 >= least {
                    return spacing * factor;
                }
            }
            spacing *= 10;
        }
        spacing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use egui::pos2;

    #[test]
    fn places_go_there_and_back_at_any_zoom() {
        let rect = Rect::from_min_max(pos2(100.0, 0.0), pos2(1_100.0, 10.0));
        let mut scale = Scale::default();
        scale.set_end(1_000_000_000);
        for _ in 0..30 {
            for share in [0.1, 0.5, 0.9] {
                let x = 100.0 + 1_000.0 * share;
                let icount = scale.icount_from_x(x, rect);
                assert!((scale.x_from_icount(icount, rect) - x).abs() < 15.0);
            }
            let before = scale.icount_from_x(350.0, rect);
            scale.zoom(2.0, 0.25);
            assert!(scale.icount_from_x(350.0, rect).abs_diff(before) <= 2);
        }
        scale.pan(1e9);
        assert_eq!(scale.icount_from_x(1_100.0, rect), 1_000_000_000);
        scale.zoom(1e-12, 0.5);
        assert_eq!(scale, {
            let mut whole = Scale::default();
            whole.set_end(1_000_000_000);
            whole
        });
    }
}
