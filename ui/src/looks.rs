//! What views look at: asked for once for each position, kept until the answer is another.

use reprise_worker::protocol::{Look, View};

/// Answers to looks. A view asks for what it draws in every frame; what nobody asked for in a frame is forgotten.
#[derive(Default, Debug)]
pub struct Looks {
    position: u64,
    entries: Vec<Entry>,
    /// Why something could not be seen at the position.
    failure: Option<String>,
}

#[derive(Debug)]
struct Entry {
    look: Look,
    /// The newest answer, with the position at which it holds.
    seen: Option<(u64, View)>,
    /// The answer before that, at another position: what has changed is marked.
    before: Option<View>,
    /// Position for which an answer is under way.
    asked_at: Option<u64>,
    is_wanted: bool,
}

/// An answer, as far as there is one.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// What was seen.
    pub view: &'a View,
    /// It holds at another position than the one shown; a newer answer is under way.
    pub is_stale: bool,
    /// What was seen at the position before.
    pub before: Option<&'a View>,
}

impl Looks {
    /// What a look sees; asks for it where it is not known.
    pub fn get(&mut self, look: &Look) -> Option<Seen<'_>> {
        let position = self.position;
        let index = match self.entries.iter().position(|entry| entry.look == *look) {
            Some(index) => index,
            None => {
                self.entries.push(Entry {
                    look: look.clone(),
                    seen: None,
                    before: None,
                    asked_at: None,
                    is_wanted: true,
                });
                self.entries.len() - 1
            }
        };
        let entry = self.entries.get_mut(index)?;
        entry.is_wanted = true;
        let (at, view) = entry.seen.as_ref()?;
        Some(Seen {
            view,
            is_stale: *at != position,
            before: entry.before.as_ref(),
        })
    }

    /// The position shown is this one now.
    pub fn moved(&mut self, position: u64) {
        self.position = position;
        self.failure = None;
    }

    /// What must be asked of the engine now. Called once a frame, after the views.
    pub fn take_questions(&mut self) -> Vec<Look> {
        let position = self.position;
        self.entries.retain(|entry| entry.is_wanted);
        let mut questions = Vec::new();
        for entry in &mut self.entries {
            entry.is_wanted = false;
            let is_known = entry.seen.as_ref().is_some_and(|(at, _)| *at == position);
            if !is_known && entry.asked_at != Some(position) {
                entry.asked_at = Some(position);
                questions.push(entry.look.clone());
            }
        }
        questions
    }

    /// An answer has come.
    pub fn answered(&mut self, look: &Look, icount: u64, view: View) {
        let entry = self.entries.iter_mut().find(|entry| entry.look == *look);
        if let Some(entry) = entry {
            if let Some((at, old)) = entry.seen.take()
                && at != icount
            {
                entry.before = Some(old);
            }
            entry.seen = Some((icount, view));
        }
    }

    /// Something cannot be seen at the position.
    pub fn failed(&mut self, why: String) {
        self.failure = Some(why);
    }

    /// Why something cannot be seen at the position.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Another recording, or a diversion: nothing known holds.
    pub fn forget(&mut self) {
        self.entries.clear();
        self.failure = None;
    }
}
