//! The strip beside code, where breakpoints are set and seen.

use crate::action::Action;
use crate::model::{PanelModel, Stop};
use egui::{Role, Sense, Stroke, Ui, WidgetInfo, vec2};
use reprise_worker::protocol::StopKind;

/// A place where a breakpoint can be.
pub(super) struct Place<'a> {
    /// As a new breakpoint says it: `0x10430`, `file.c:12`.
    pub(super) text: String,
    /// Other words for the same place.
    pub(super) aliases: &'a [String],
    /// Execution is here.
    pub(super) is_current: bool,
    /// Height of the row.
    pub(super) height: f32,
}

/// Draws the strip beside a place; a click sets or removes the breakpoint.
pub(super) fn show(ui: &mut Ui, model: &mut PanelModel<'_>, place: &Place<'_>) {
    let existing = breakpoint_at(model, place);
    let (rect, response) =
        ui.allocate_exact_size(vec2(2.0 * place.height, place.height), Sense::click());
    response.widget_info(|| {
        WidgetInfo::selected(
            Role::CheckBox,
            ui.is_enabled(),
            existing.is_some(),
            format!("breakpoint at {}", place.text),
        )
    });
    let radius = place.height * 0.28;
    let dot = rect.left_center() + vec2(place.height / 2.0, 0.0);
    let color = ui.visuals().error_fg_color;
    match existing {
        Some(stop) if stop.is_enabled => {
            ui.painter().circle_filled(dot, radius, color);
        }
        Some(_) => {
            ui.painter()
                .circle_stroke(dot, radius, Stroke::new(1.5, color));
        }
        None if response.hovered() || response.has_focus() => {
            ui.painter()
                .circle_filled(dot, radius, color.gamma_multiply(0.4));
        }
        None => {}
    }
    if response.has_focus() {
        let stroke = ui.visuals().selection.stroke;
        ui.painter().circle_stroke(dot, radius + 2.0, stroke);
    }
    if place.is_current {
        let center = rect.left_center() + vec2(1.5 * place.height, 0.0);
        let size = place.height * 0.3;
        let points = vec![
            center + vec2(-size, -size),
            center + vec2(size, 0.0),
            center + vec2(-size, size),
        ];
        let color = super::parts::changed_color(ui);
        ui.painter()
            .add(egui::Shape::convex_polygon(points, color, Stroke::NONE));
    }
    let action = match existing {
        Some(stop) => Action::RemoveStop(stop.point.id),
        None => Action::AddStop(StopKind::Breakpoint(place.text.clone())),
    };
    let explanation = match existing {
        Some(_) => format!("Remove the breakpoint at {}", place.text),
        None => format!("Stop at {}", place.text),
    };
    if let Some(stop) = existing {
        let (id, is_enabled) = (stop.point.id, stop.is_enabled);
        super::parts::menu(&response, |ui| {
            let text = if is_enabled {
                "Switch off"
            } else {
                "Switch on"
            };
            if super::parts::entry(ui, text) {
                model.actions.push(Action::EnableStop(id, !is_enabled));
            }
            if super::parts::entry(ui, "Find all hits") {
                model.actions.push(Action::FindHits(id));
            }
        });
    }
    if response.on_hover_text(explanation).clicked() {
        model.actions.push(action);
    }
}

fn breakpoint_at<'a>(model: &PanelModel<'a>, place: &Place<'_>) -> Option<&'a Stop> {
    let process = model.position.process;
    model.stops.iter().find(|stop| {
        let is_in_scope = stop.point.process.is_none() || stop.point.process == process;
        let StopKind::Breakpoint(text) = &stop.point.kind else {
            return false;
        };
        is_in_scope && (*text == place.text || place.aliases.contains(text))
    })
}
