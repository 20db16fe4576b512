//! The debugger's panels: each draws a part of [`PanelModel`] and pushes what the person wants done.
//!
//! A panel asks for its looks in every frame. Until a look is answered for another position, the answer for the old one stays,
//! dimmed. What differs from the position before is marked. Every widget has a name of its own, by which tests and screen readers find it.

mod address;
mod calls;
mod disassembly;
mod errno;
mod fetches;
mod gutter;
mod inputs;
mod marks;
mod memory;
mod parts;
mod registers;
mod source;
mod stack;
mod stops;
mod threads;
mod variables;

use crate::model::PanelModel;
use serde::{Deserialize, Serialize};

/// The panels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum PanelKind {
    /// Registers of the selected thread.
    Registers,
    /// Memory as the selected thread sees it.
    Memory,
    /// Instructions.
    Disassembly,
    /// A source text.
    Source,
    /// Variables of the selected call.
    Variables,
    /// Calls of the selected thread.
    Stack,
    /// Processes and threads.
    Threads,
    /// System calls of the whole recording.
    Calls,
    /// Input events of the whole recording.
    Inputs,
    /// What the guest of the whole recording has fetched.
    Fetches,
    /// Breakpoints, watchpoints and catches.
    Stops,
    /// Places to come back to.
    Marks,
}

impl PanelKind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Registers,
        Self::Memory,
        Self::Disassembly,
        Self::Source,
        Self::Variables,
        Self::Stack,
        Self::Threads,
        Self::Calls,
        Self::Inputs,
        Self::Fetches,
        Self::Stops,
        Self::Marks,
    ];

    /// It shows what the selected thread sees.
    fn looks_through_thread(self) -> bool {
        matches!(
            self,
            Self::Registers
                | Self::Memory
                | Self::Disassembly
                | Self::Source
                | Self::Variables
                | Self::Stack
        )
    }

    /// What stands on its tab.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Registers => "Registers",
            Self::Memory => "Memory",
            Self::Disassembly => "Disassembly",
            Self::Source => "Source",
            Self::Variables => "Variables",
            Self::Stack => "Stack",
            Self::Threads => "Threads",
            Self::Calls => "System calls",
            Self::Inputs => "Inputs",
            Self::Fetches => "Fetches",
            Self::Stops => "Stops",
            Self::Marks => "Marks",
        }
    }
}

/// Draws a panel.
pub fn show(kind: PanelKind, ui: &mut egui::Ui, model: &mut PanelModel<'_>) {
    ui.push_id(kind, |ui| {
        // What is fetched is told as it happens.
        if model.is_running && kind != PanelKind::Fetches {
            ui.label("The machine is running. Pause it to look.");
            return;
        }
        if kind.looks_through_thread()
            && let Some(why) = model.looks.failure()
        {
            ui.weak(why);
        }
        match kind {
            PanelKind::Registers => registers::show(ui, model),
            PanelKind::Memory => memory::show(ui, model),
            PanelKind::Disassembly => disassembly::show(ui, model),
            PanelKind::Source => source::show(ui, model),
            PanelKind::Variables => variables::show(ui, model),
            PanelKind::Stack => stack::show(ui, model),
            PanelKind::Threads => threads::show(ui, model),
            PanelKind::Calls => calls::show(ui, model),
            PanelKind::Inputs => inputs::show(ui, model),
            PanelKind::Fetches => fetches::show(ui, model),
            PanelKind::Stops => stops::show(ui, model),
            PanelKind::Marks => marks::show(ui, model),
        }
    });
}
