//! A folder of this computer that a live guest works in.

use crate::args::WorkspaceArg;
use crate::say;
use reprise_core::event::StartFile;
use reprise_core::workspace::content::ContentKey;
use reprise_core::workspace::listing::EntryKind;
use reprise_host::workspace::workspace_facts;
use reprise_images::workspace::WorkspaceFolder;
use reprise_recorder::entry::EntryLog;
use reprise_recorder::images::{ImageRef, SharedImage};
use reprise_recorder::record::RecordSession;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

/// Left-out files that are named; of more, only their number is told.
const LEFT_OUT_NAMED_MAX: usize = 3;

/// The folder. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    folder: Rc<RefCell<WorkspaceFolder>>,
    is_read_only: bool,
    is_quiet: bool,
}

impl Workspace {
    /// Lists the folder, and shows how far that is where it takes a while.
    pub(crate) fn open(named: &WorkspaceArg, is_quiet: bool) -> anyhow::Result<Self> {
        let mut bar = None;
        let mut tell = |count: usize| {
            if !is_quiet {
                bar.get_or_insert_with(|| say::count_progress("list the workspace"))
                    .set_position(count as u64);
            }
        };
        let opened = WorkspaceFolder::open(&named.folder, &mut tell);
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        let folder = opened?;
        if !is_quiet {
            tell_left_out(&folder);
        }
        Ok(Self {
            folder: Rc::new(RefCell::new(folder)),
            is_read_only: named.is_read_only,
            is_quiet,
        })
    }

    /// What init is told of it.
    pub(crate) fn facts(&self) -> StartFile {
        workspace_facts(self.is_read_only)
    }

    /// Its listing, as an image of the machine.
    pub(crate) fn image(&self) -> (ImageRef, SharedImage) {
        self.folder.borrow().image()
    }

    /// Its listing's encoding.
    pub(crate) fn encoded_listing(&self) -> Arc<[u8]> {
        self.folder.borrow().encoded_listing()
    }

    /// When the newest of its files up to `limit` was last changed; both in seconds since 1970. None without files.
    pub(crate) fn newest_unix_seconds(&self, limit: u64) -> Option<u64> {
        let folder = self.folder.borrow();
        let listing = folder.listing();
        let entries = (0..listing.entry_count()).filter_map(|number| listing.entry(number));
        entries
            .filter(|entry| matches!(entry.kind, EntryKind::File { .. }))
            .filter_map(|entry| u64::try_from(entry.mtime.seconds).ok())
            .filter(|seconds| *seconds <= limit)
            .max()
    }

    /// Hands over what the guest wants of it, and the rest of programs.
    pub(crate) fn serve<L: EntryLog>(&self, session: &mut RecordSession<L>, wanted: &[ContentKey]) {
        let mut fed = BTreeSet::new();
        for key in wanted {
            if !fed.insert(*key) {
                continue;
            }
            let (content, why_not) = self.folder.borrow_mut().read(*key);
            session.feed_workspace(*key, content.clone());
            for (key, content) in self.folder.borrow().rest_of_program(*key, &content) {
                if !session.machine().has_workspace_content(key) && fed.insert(key) {
                    session.feed_workspace(key, content);
                }
            }
            if let Some(sentence) = why_not
                && !self.is_quiet
            {
                say::line(format_args!("reprise: {sentence}"));
            }
        }
    }
}

fn tell_left_out(folder: &WorkspaceFolder) {
    let left_out = folder.left_out();
    for file in left_out.iter().take(LEFT_OUT_NAMED_MAX) {
        say::line(format_args!(
            "reprise: the workspace is without {}: {}",
            file.path.display(),
            file.why
        ));
    }
    if let Some(more @ 1..) = left_out.len().checked_sub(LEFT_OUT_NAMED_MAX) {
        say::line(format_args!("reprise: and without {more} more"));
    }
}
