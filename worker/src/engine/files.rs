//! What the guest has made of its workspace, for the person to keep.

use super::{Engine, Progress, Refusal, Subject, because, session_of};
use crate::protocol::{Message, RequestId};
use reprise_core::event::InputEvent;
use reprise_core::workspace::content::{Content, ContentKey};
use reprise_host::workspace::ChangedFiles;
use std::collections::BTreeMap;

/// An archive of more bytes is too much for a page; what does not fit is left out of it.
const ARCHIVE_BYTES_MAX: u64 = 256 << 20;

/// Parts of files that are asked for at a time.
const PARTS_AT_A_TIME: usize = 16;

/// The archive that is being made.
pub(crate) struct FilesWork {
    files: ChangedFiles,
    /// Contents that the machine does not have: of the rest of the recording, and of the folder.
    contents: BTreeMap<ContentKey, Content>,
}

impl Engine {
    /// Looks at the position for what has been changed.
    pub(super) fn files_work(&mut self) -> Result<FilesWork, Refusal> {
        let session = session_of(&mut self.subject)?;
        let machine = session.machine();
        let server = machine
            .workspace()
            .ok_or_else(|| because("this machine has no workspace"))?;
        let files = ChangedFiles::of(server, ARCHIVE_BYTES_MAX);
        let events = session.timeline().recording().events.iter();
        let contents = events.filter_map(|event| match &*event.event {
            InputEvent::WorkspaceContent { key, content } => Some((*key, content.clone())),
            _ => None,
        });
        Ok(FilesWork {
            contents: contents.collect(),
            files,
        })
    }

    /// Fetches what is lacked where the folder is there, then makes the archive.
    pub(super) fn save_files_on(
        &mut self,
        id: RequestId,
        work: &mut FilesWork,
    ) -> Result<Progress, Refusal> {
        if let Subject::Live(live) = &mut self.subject
            && let Some(workspace) = &mut live.workspace
        {
            let lacked = work.files.lacked().iter();
            let lacked = lacked.filter(|key| !work.contents.contains_key(key));
            let next: Vec<ContentKey> = lacked.take(PARTS_AT_A_TIME).copied().collect();
            let is_over = next.is_empty();
            let mut has_come = false;
            workspace.ask_apart(&next, &mut self.library);
            for key in next {
                // What cannot be read is left out of the archive, which tells so.
                let content = workspace.take(key, &mut self.library);
                let content = content.map(|content| content.unwrap_or(Content::Unreadable));
                has_come |= content.is_some();
                work.contents.extend(content.map(|content| (key, content)));
            }
            if !is_over {
                return Ok(if has_come {
                    Progress::More
                } else {
                    Progress::Waits
                });
            }
        }
        let session = session_of(&mut self.subject)?;
        let machine = session.machine();
        let server = machine
            .workspace()
            .ok_or_else(|| because("this machine has no workspace"))?;
        let mut bytes = Vec::new();
        let mut later = |key| work.contents.get(&key).cloned();
        let files = work.files.clone();
        let written = files.write(server, &mut later, &mut bytes)?;
        self.messages.push_back(Message::Files {
            id,
            bytes,
            told: written.to_string(),
        });
        Ok(Progress::Done)
    }
}
