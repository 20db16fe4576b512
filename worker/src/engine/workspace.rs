//! A folder that the person has picked, as the workspace of a live machine: its files' bytes are asked for as the guest wants them,
//! and are events when they come.

use super::library::Library;
use crate::protocol::{Message, Want};
use reprise_core::image::ImageHash;
use reprise_core::workspace::content::{Content, ContentKey};
use reprise_host::workspace::{PickedFolder, content_of, rest_of_program};
use reprise_recorder::entry::EntryLog;
use reprise_recorder::images::{ImageRef, ImageRole};
use reprise_recorder::record::RecordSession;
use std::collections::{BTreeSet, VecDeque};

/// Files that are left out and named; of more, only their number is told.
const LEFT_OUT_NAMED_MAX: usize = 3;

/// The workspace of a live machine.
pub(crate) struct Workspace {
    /// The number of the folder.
    folder: u32,
    picked: PickedFolder,
    /// What has been asked for: each content comes once.
    asked: BTreeSet<ContentKey>,
    /// What of it has not come.
    awaited: BTreeSet<ContentKey>,
    /// Files that could not be read, so that each is told once.
    told: BTreeSet<u32>,
}

impl Workspace {
    pub(crate) fn new(folder: u32, picked: PickedFolder) -> Self {
        Self {
            folder,
            picked,
            asked: BTreeSet::new(),
            awaited: BTreeSet::new(),
            told: BTreeSet::new(),
        }
    }

    /// Its listing, as an image of the machine.
    pub(crate) fn image(&self) -> ImageRef {
        ImageRef {
            role: ImageRole::Workspace,
            hash: ImageHash::of(&self.picked.encoded),
            byte_len: self.picked.encoded.len() as u64,
            name: "workspace".to_owned(),
            places: Vec::new(),
        }
    }

    /// Its listing's encoding.
    pub(crate) fn encoded_listing(&self) -> Vec<u8> {
        self.picked.encoded.clone()
    }

    /// What of the folder the machine does not have, in a sentence.
    pub(crate) fn left_out(&self) -> Option<String> {
        let left_out = self.picked.left_out();
        let named = left_out.iter().take(LEFT_OUT_NAMED_MAX);
        let named: Vec<String> = named
            .map(|file| format!("{}: {}", file.path, file.why))
            .collect();
        let more = match left_out.len().saturating_sub(LEFT_OUT_NAMED_MAX) {
            0 => String::new(),
            more => format!("; and without {more} more"),
        };
        let named = named.join("; ");
        (!left_out.is_empty()).then(|| format!("the workspace is without {named}{more}"))
    }

    /// Asks for what the guest wants.
    pub(crate) fn ask(&mut self, wanted: &[ContentKey], library: &mut Library) {
        for key in wanted {
            if self.asked.insert(*key) {
                self.awaited.insert(*key);
                library.ask(self.want(*key));
            }
        }
    }

    /// Asks for what somebody else than the guest wants.
    pub(crate) fn ask_apart(&self, wanted: &[ContentKey], library: &mut Library) {
        for key in wanted {
            library.ask(self.want(*key));
        }
    }

    /// Hands over what has come, and asks for the rest of programs.
    pub(crate) fn feed<L: EntryLog>(
        &mut self,
        session: &mut RecordSession<L>,
        library: &mut Library,
        out: &mut VecDeque<Message>,
    ) {
        let awaited: Vec<ContentKey> = self.awaited.iter().copied().collect();
        for key in awaited {
            let Some(supply) = self.take(key, library) else {
                // Somebody else may have taken what came.
                library.ask(self.want(key));
                continue;
            };
            self.awaited.remove(&key);
            let content = supply.unwrap_or_else(|why| {
                let path = self.picked.listing().path(key.file).unwrap_or_default();
                if self.told.insert(key.file) {
                    out.push_back(Message::Notice(format!(
                        "{} {why}: the guest gets an input/output error for it",
                        String::from_utf8_lossy(&path)
                    )));
                }
                Content::Unreadable
            });
            let rest = rest_of_program(self.picked.listing(), key, &content);
            session.feed_workspace(key, content);
            self.ask(&rest.collect::<Vec<_>>(), library);
        }
    }

    /// What has come for a content, if something has; or why it cannot be read, in words behind the file's name.
    pub(crate) fn take(
        &self,
        key: ContentKey,
        library: &mut Library,
    ) -> Option<Result<Content, String>> {
        let range = key.range(self.picked.listing());
        let supply = library.take_once(&self.want(key))?;
        Some(supply.and_then(|bytes| match bytes.len() as u64 {
            length if length == range.end - range.start => Ok(content_of(bytes)),
            _ => Err("has changed since the folder was picked".to_owned()),
        }))
    }

    fn want(&self, key: ContentKey) -> Want {
        let range = key.range(self.picked.listing());
        Want::FilePart {
            folder: self.folder,
            // What the listing has was picked.
            file: self.picked.number(key).unwrap_or(u32::MAX),
            offset: range.start,
            length: range.end - range.start,
        }
    }
}
