//! The timeline: the whole execution, with zoom and pan; what happened where; where one is.

mod lanes;
mod scale;

use crate::session::Session;
use crate::words;
use egui::{
    Align2, Color32, CursorIcon, FontId, PointerButton, Pos2, Rect, Response, Sense, Stroke, Ui,
    pos2, vec2,
};
use scale::Scale;

/// Room at the left for the names of lanes.
const GUTTER: f32 = 84.0;
/// Height of the ruler.
const RULER: f32 = 20.0;
/// How much a turn of the wheel or a key zooms.
const KEY_ZOOM: f64 = 1.25;

/// What a person did in the timeline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TimelineEvent {
    /// Began to drag the position.
    Grabbed,
    /// Dragged it here.
    Dragged(u64),
    /// Let it go, or clicked, here.
    Dropped(u64),
}

/// What is seen of the whole.
#[derive(Default)]
pub(crate) struct Timeline {
    scale: Scale,
    is_grabbed: bool,
    rect: Option<Rect>,
}

impl Timeline {
    /// Another recording is shown.
    pub(crate) fn reset(&mut self) {
        *self = Timeline::default();
    }

    /// Where a position is drawn, for tests.
    pub(crate) fn point_of(&self, icount: u64) -> Option<Pos2> {
        let rect = self.rect?;
        Some(pos2(
            self.scale.x_from_icount(icount, rect),
            rect.center().y,
        ))
    }

    /// Draws it, and says what the person did.
    pub(crate) fn show(
        &mut self,
        ui: &mut Ui,
        session: &Session,
        is_typing: bool,
    ) -> Vec<TimelineEvent> {
        let (rect, response) = ui.allocate_exact_size(ui.available_size(), Sense::click_and_drag());
        let plot = Rect::from_min_max(pos2(rect.min.x + GUTTER, rect.min.y), rect.max);
        self.rect = Some(plot);
        self.scale
            .set_end(session.recording.end.max(session.icount()).max(1));
        response.widget_info(|| {
            let mut info = egui::WidgetInfo::labeled(egui::Role::Slider, true, "Timeline");
            info.value = Some(session.icount() as f64);
            info
        });
        self.navigate(ui, &response, plot, is_typing);
        let events = if session.is_running() {
            self.is_grabbed = false;
            Vec::new()
        } else {
            self.drag(ui, &response, plot)
        };
        let painter = ui.painter_at(rect);
        let mut looks = lanes::Looks {
            visuals: ui.visuals().clone(),
            painter,
            rect,
            plot,
            scale: &self.scale,
        };
        draw_ruler(&looks);
        looks.draw(session);
        self.draw_position(ui, plot, session);
        self.tell(&response, plot, session, &looks);
        events
    }

    /// Zooms and pans by wheel, pinch and keys.
    fn navigate(&mut self, ui: &Ui, response: &Response, plot: Rect, is_typing: bool) {
        let width = f64::from(plot.width().max(1.0));
        if response.contains_pointer() {
            let (wheel, pinch, pointer, is_shifted) = ui.input(|input| {
                (
                    input.smooth_scroll_delta(),
                    input.zoom_delta(),
                    input.pointer.hover_pos(),
                    input.modifiers.shift,
                )
            });
            let at = pointer.map_or(0.5, |at| {
                f64::from((at.x - plot.min.x) / plot.width().max(1.0))
            });
            let zoom = f64::from(pinch) * (f64::from(wheel.y) / 200.0).exp();
            if zoom != 1.0 && !is_shifted {
                self.scale.zoom(zoom, at);
            }
            let pan = f64::from(wheel.x) + if is_shifted { f64::from(wheel.y) } else { 0.0 };
            if pan != 0.0 {
                self.scale.pan(-pan / width);
            }
        }
        let is_panning = response.dragged_by(PointerButton::Middle)
            || (response.dragged_by(PointerButton::Primary) && !self.is_grabbed);
        if is_panning {
            self.scale.pan(-f64::from(response.drag_delta().x) / width);
        }
        if is_typing {
            return;
        }
        let modifiers = egui::Modifiers::NONE;
        ui.input_mut(|input| {
            for (key, zoom, pan) in [
                (egui::Key::W, KEY_ZOOM, 0.0),
                (egui::Key::S, 1.0 / KEY_ZOOM, 0.0),
                (egui::Key::A, 1.0, -0.1),
                (egui::Key::D, 1.0, 0.1),
            ] {
                if input.consume_key(modifiers, key) {
                    self.scale.zoom(zoom, 0.5);
                    self.scale.pan(pan);
                }
            }
        });
    }

    /// Moves the position with the pointer.
    fn drag(&mut self, ui: &Ui, response: &Response, plot: Rect) -> Vec<TimelineEvent> {
        let mut events = Vec::new();
        let pointer = response.interact_pointer_pos();
        let icount = pointer.map(|at| self.scale.icount_from_x(at.x, plot));
        let is_shifted = ui.input(|input| input.modifiers.shift);
        if response.drag_started_by(PointerButton::Primary) && !is_shifted {
            self.is_grabbed = true;
            events.push(TimelineEvent::Grabbed);
        }
        if self.is_grabbed
            && response.dragged_by(PointerButton::Primary)
            && let Some(icount) = icount
        {
            events.push(TimelineEvent::Dragged(icount));
        }
        if self.is_grabbed && response.drag_stopped() {
            self.is_grabbed = false;
            events.extend(icount.map(TimelineEvent::Dropped));
        }
        if response.clicked() && !is_shifted {
            events.push(TimelineEvent::Grabbed);
            events.extend(icount.map(TimelineEvent::Dropped));
        }
        events
    }

    fn draw_position(&self, ui: &Ui, plot: Rect, session: &Session) {
        let painter = ui.painter_at(plot);
        let at = match session.is_running() {
            true => session.recording.end,
            false => session.icount(),
        };
        let x = self.scale.x_from_icount(at, plot);
        let color = ui.visuals().selection.stroke.color;
        painter.vline(x, plot.y_range(), Stroke::new(2.0, color));
        painter.circle_filled(pos2(x, plot.min.y + 4.0), 4.0, color);
        // Where the engine stands, while something else is shown.
        if session.local.is_some() && session.local != Some(session.position.icount) {
            let x = self.scale.x_from_icount(session.position.icount, plot);
            painter.vline(
                x,
                plot.y_range(),
                Stroke::new(1.0, color.gamma_multiply(0.4)),
            );
        }
    }

    /// Says what is under the pointer.
    fn tell(&self, response: &Response, plot: Rect, session: &Session, looks: &lanes::Looks<'_>) {
        let Some(at) = response.hover_pos().filter(|at| plot.contains(*at)) else {
            return;
        };
        let icount = self.scale.icount_from_x(at.x, plot);
        let mut text = session.describe(icount);
        if let Some(more) = looks.words_at(session, at) {
            text.push('\n');
            text.push_str(&more);
        }
        if session.is_running() {
            text.push_str("\nPause the machine to go there.");
        }
        response
            .clone()
            .on_hover_cursor(CursorIcon::PointingHand)
            .on_hover_text_at_pointer(text);
    }
}

/// Positions above the lanes.
fn draw_ruler(looks: &lanes::Looks<'_>) {
    let font = FontId::proportional(11.0);
    let weak = looks.visuals.weak_text_color();
    let spacing = looks.scale.tick_spacing(looks.plot, 130.0);
    let first = looks
        .scale
        .icount_from_x(looks.plot.min.x, looks.plot)
        .div_ceil(spacing);
    for number in 0..64 {
        let icount = (first + number).saturating_mul(spacing);
        let x = looks.scale.x_from_icount(icount, looks.plot);
        if x > looks.plot.max.x {
            break;
        }
        let top = looks.plot.min.y;
        let line = Stroke::new(1.0, looks.visuals.widgets.noninteractive.bg_stroke.color);
        looks.painter.vline(x, top..=looks.plot.max.y, line);
        let text = looks
            .painter
            .layout_no_wrap(words::count(icount), font.clone(), weak);
        if x + text.size().x + 6.0 <= looks.plot.max.x {
            looks.painter.galley(pos2(x + 4.0, top + 3.0), text, weak);
        }
    }
    let at = looks.rect.min + vec2(4.0, 3.0);
    looks
        .painter
        .text(at, Align2::LEFT_TOP, "Steps", font, weak);
}

/// A colour for a thread, the same in every frame.
fn thread_color(tid: u32, is_dark: bool) -> Color32 {
    // Numbers that follow each other get hues that are far apart.
    let hue = (tid as f32 * 0.618_034).fract();
    let (saturation, value) = if is_dark { (0.55, 0.75) } else { (0.45, 0.85) };
    egui::ecolor::Hsva::new(hue, saturation, value, 1.0).into()
}
