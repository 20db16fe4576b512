//! A folder of this computer as a machine's workspace.
//!
//! The folder is listed once. Its files' bytes are read when the guest wants them, and only as long as a file is what was
//! listed, so that no recording mixes two states of a file. Of programs more is read than the guest wants: what debuggers want.
//!
//! # Invariants
//! - Nothing outside the folder is opened: paths are gone down from the folder's descriptor, a name at a time, and no symbolic link is
//!   followed on the way (`O_NOFOLLOW`).
//! - Nothing in the folder is changed, and nothing that is opened blocks (`O_NONBLOCK`): only directories and regular files are listed, and what
//!   has taken their place since is given back unread.

use anyhow::{Context, bail};
use reprise_core::image::{ImageHash, MemoryImage};
use reprise_core::workspace::Listing;
use reprise_core::workspace::content::{Content, ContentKey};
use reprise_core::workspace::listing::{
    BuilderDirectory, Entry, EntryKind, FILE_BYTES_MAX, ListingBuilder, Timestamp,
};
use reprise_host::workspace::{content_of, rest_of_program};
use reprise_recorder::images::{ImageRef, ImageRole, SharedImage};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, open, openat, readlinkat};
use rustix::io::{Errno, pread};
use rustix::process::{getegid, geteuid};
use std::collections::{BTreeSet, VecDeque};
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Entries between two reports of how far a listing is.
const REPORT_ENTRIES: usize = 4096;

/// What identifies a state of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    device: u64,
    inode: u64,
    byte_len: u64,
    mtime: Timestamp,
    /// Seconds and nanoseconds; no program can put it back.
    ctime: (i64, i64),
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            byte_len: stat.st_size as u64,
            mtime: mtime(stat),
            ctime: (stat.st_ctime, stat.st_ctime_nsec as i64),
        }
    }
}

/// A folder that was listed.
#[derive(Debug)]
pub struct WorkspaceFolder {
    path: PathBuf,
    root: OwnedFd,
    encoded: Arc<[u8]>,
    listing: Arc<Listing>,
    /// Of each entry of the listing, by its number.
    stamps: Vec<Stamp>,
    left_out: Vec<LeftOut>,
    /// Files that could not be read, so that each is told once.
    told: BTreeSet<u32>,
}

/// Something of the folder that the listing does not have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftOut {
    /// Where it is, below the folder.
    pub path: PathBuf,
    /// Why it is left out.
    pub why: String,
}

impl WorkspaceFolder {
    /// Lists a folder. `tell` hears now and then how many entries were found so far.
    ///
    /// # Errors
    /// When it is no folder, cannot be read, or holds more than a listing can.
    pub fn open(path: &Path, tell: &mut dyn FnMut(usize)) -> anyhow::Result<Self> {
        let cannot = || format!("the workspace {} cannot be opened", path.display());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(path, flags, Mode::empty()).with_context(cannot)?;
        let stat = fstat(&root).with_context(cannot)?;
        let mut lister = Lister {
            builder: ListingBuilder::new(entry(&stat, EntryKind::Directory)),
            stamps: vec![Stamp::of(&stat)],
            left_out: Vec::new(),
            waiting: VecDeque::from([(ListingBuilder::ROOT, Vec::new())]),
        };
        while let Some((directory, names)) = lister.waiting.pop_front() {
            lister
                .list(&root, directory, &names, tell)
                .with_context(|| format!("the workspace {} cannot be listed", path.display()))?;
        }
        let encoded: Arc<[u8]> = lister.builder.encode().into();
        let listing = Arc::new(Listing::decode(&encoded)?);
        // The folder was gone through in the order in which a listing numbers its entries.
        debug_assert_eq!(listing.entry_count() as usize, lister.stamps.len());
        Ok(Self {
            path: path.to_owned(),
            root,
            encoded,
            listing,
            stamps: lister.stamps,
            left_out: lister.left_out,
            told: BTreeSet::new(),
        })
    }

    /// The listing as an image, which every recording of the workspace holds.
    #[must_use]
    pub fn image(&self) -> (ImageRef, SharedImage) {
        let image = ImageRef {
            role: ImageRole::Workspace,
            hash: ImageHash::of(&self.encoded),
            byte_len: self.encoded.len() as u64,
            name: "workspace".to_owned(),
            places: Vec::new(),
        };
        (image, Arc::new(MemoryImage(Arc::clone(&self.encoded))))
    }

    /// The listing.
    #[must_use]
    pub fn listing(&self) -> &Listing {
        &self.listing
    }

    /// The listing's encoding.
    #[must_use]
    pub fn encoded_listing(&self) -> Arc<[u8]> {
        Arc::clone(&self.encoded)
    }

    /// What of the folder is not in the listing.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Reads what a guest wants. With a content that cannot be read comes, once a file, a sentence that says why.
    pub fn read(&mut self, key: ContentKey) -> (Content, Option<String>) {
        match self.bytes(key) {
            Ok(bytes) => (content_of(bytes), None),
            Err(error) => {
                let path = self.listing.path(key.file).unwrap_or_default();
                let path = self.path.join(OsStr::from_bytes(&path));
                let sentence = format!(
                    "{} {error}: the guest gets an input/output error for it",
                    path.display()
                );
                (
                    Content::Unreadable,
                    self.told.insert(key.file).then_some(sentence),
                )
            }
        }
    }

    /// The other contents of a program of which the guest reads the beginning, see [`rest_of_program`]; it ends where
    /// something cannot be read.
    pub fn rest_of_program(
        &self,
        key: ContentKey,
        content: &Content,
    ) -> impl Iterator<Item = (ContentKey, Content)> {
        let rest = rest_of_program(&self.listing, key, content);
        rest.map_while(|key| {
            let bytes = self.bytes(key).ok()?;
            Some((key, content_of(bytes)))
        })
    }

    fn bytes(&self, key: ContentKey) -> anyhow::Result<Vec<u8>> {
        let cannot = "cannot be read";
        let changed = "is not what it was when the recording began";
        let path = self.listing.path(key.file).unwrap_or_default();
        let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let (name, directories) = names.split_last().context(cannot)?;
        let opened = open_below(&self.root, directories)
            .and_then(|directory| open_child(directory.as_ref().unwrap_or(&self.root), name));
        let file = match opened {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => bail!(changed),
            opened => opened.context(cannot)?,
        };
        let stamp = self.stamps.get(key.file as usize).copied();
        let is_as_listed =
            || fstat(&file).is_ok_and(|stat| is_file(&stat) && Some(Stamp::of(&stat)) == stamp);
        let range = key.range(&self.listing);
        let mut bytes = vec![0; (range.end - range.start) as usize];
        if !is_as_listed() || !read_exactly(&file, range.start, &mut bytes).context(cannot)? {
            bail!(changed);
        }
        // What changed meanwhile may have been read half.
        if !is_as_listed() {
            bail!(changed);
        }
        Ok(bytes)
    }
}

/// Goes through a folder.
struct Lister {
    builder: ListingBuilder,
    stamps: Vec<Stamp>,
    left_out: Vec<LeftOut>,
    /// Directories that were found and not gone through, with their names from the root on.
    waiting: VecDeque<(BuilderDirectory, Vec<CString>)>,
}

impl Lister {
    fn list(
        &mut self,
        root: &OwnedFd,
        into: BuilderDirectory,
        names: &[CString],
        tell: &mut dyn FnMut(usize),
    ) -> anyhow::Result<()> {
        let bytes: Vec<&[u8]> = names.iter().map(|name| name.to_bytes()).collect();
        let mut children = Vec::new();
        let opened = open_below(root, &bytes).and_then(|directory| {
            let directory = directory.as_ref().unwrap_or(root).as_fd();
            children = child_names(directory)?;
            rustix::io::fcntl_dupfd_cloexec(directory, 0)
        });
        let directory = match opened {
            Ok(directory) => directory,
            // The folder itself must be readable; what is in it may be somebody else's.
            Err(error) if names.is_empty() => return Err(error.into()),
            Err(error) => {
                self.leave_out(&bytes, format!("its entries cannot be read: {error}"));
                return Ok(());
            }
        };
        for name in children {
            self.add(&directory, into, names, name)?;
            if self.stamps.len().is_multiple_of(REPORT_ENTRIES) {
                tell(self.stamps.len());
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        directory: &OwnedFd,
        into: BuilderDirectory,
        names: &[CString],
        name: CString,
    ) -> anyhow::Result<()> {
        let mut path: Vec<&[u8]> = names.iter().map(|name| name.to_bytes()).collect();
        path.push(name.to_bytes());
        let stat = match rustix::fs::statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            // It went away since the directory was read.
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => {
                self.leave_out(&path, error.to_string());
                return Ok(());
            }
        };
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => EntryKind::Directory,
            FileType::RegularFile if stat.st_size as u64 > FILE_BYTES_MAX => {
                self.leave_out(&path, "it is larger than 16 TiB".to_owned());
                return Ok(());
            }
            FileType::RegularFile => EntryKind::File {
                byte_len: stat.st_size as u64,
            },
            FileType::Symlink => match readlinkat(directory, &name, Vec::new()) {
                Ok(target) => EntryKind::Symlink {
                    target: target.into_bytes(),
                },
                Err(error) => {
                    self.leave_out(&path, error.to_string());
                    return Ok(());
                }
            },
            _ => {
                self.leave_out(&path, "it is a socket, pipe or device".to_owned());
                return Ok(());
            }
        };
        let is_directory = kind == EntryKind::Directory;
        let added = self
            .builder
            .add(into, name.to_bytes(), entry(&stat, kind))?;
        self.stamps.push(Stamp::of(&stat));
        if is_directory {
            let mut names = names.to_vec();
            names.push(name);
            self.waiting.push_back((added, names));
        }
        Ok(())
    }

    fn leave_out(&mut self, path: &[&[u8]], why: String) {
        let path = PathBuf::from(OsStr::from_bytes(&path.join(&b'/')));
        self.left_out.push(LeftOut { path, why });
    }
}

/// The names in a directory, sorted, so that equal folders have equal listings.
fn child_names(directory: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for child in Dir::read_from(directory)? {
        let child = child?;
        let name: &CStr = child.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn open_child(directory: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::empty())
}

/// Opens the directory that is reached from the root by these names; `None` is the root.
fn open_below(root: &OwnedFd, names: &[&[u8]]) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = None;
    for name in names {
        at = Some(openat(
            at.as_ref().unwrap_or(root),
            *name,
            flags,
            Mode::empty(),
        )?);
    }
    Ok(at)
}

/// Reads from an offset until the buffer is full; whether the file has so many bytes.
fn read_exactly(file: &OwnedFd, offset: u64, mut buffer: &mut [u8]) -> Result<bool, Errno> {
    let mut at = offset;
    while !buffer.is_empty() {
        match pread(file, &mut *buffer, at) {
            Ok(0) => return Ok(false),
            Ok(count) => {
                at += count as u64;
                buffer = &mut buffer[count..];
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// What a listing tells of an entry. What is this process's own is root's in the guest, as in a user namespace: there it
/// is who runs the command.
fn entry(stat: &Stat, kind: EntryKind) -> Entry {
    let own = |id: u32, own: u32| if id == own { 0 } else { id };
    Entry {
        kind,
        mode: stat.st_mode & 0o7777,
        uid: own(stat.st_uid, geteuid().as_raw()),
        gid: own(stat.st_gid, getegid().as_raw()),
        // What the guest writes has times in whole seconds, and is compared with this.
        mtime: Timestamp {
            nanoseconds: 0,
            ..mtime(stat)
        },
    }
}

fn mtime(stat: &Stat) -> Timestamp {
    Timestamp {
        seconds: stat.st_mtime,
        nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or(0) % 1_000_000_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reprise_core::workspace::content::EXTENT_BYTES;
    use reprise_host::workspace::PROGRAM_BYTES_MAX;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn open(folder: &Path) -> WorkspaceFolder {
        WorkspaceFolder::open(folder, &mut |_| ()).expect("a folder")
    }

    fn number(folder: &WorkspaceFolder, path: &[u8]) -> u32 {
        let listing = folder.listing();
        (0..listing.entry_count())
            .find(|number| listing.path(*number).as_deref() == Some(path))
            .expect("it is listed")
    }

    fn read(folder: &mut WorkspaceFolder, path: &[u8]) -> Result<Vec<u8>, Option<String>> {
        let file = number(folder, path);
        match folder.read(ContentKey { file, extent: 0 }) {
            (Content::Bytes(bytes), None) => Ok(bytes.to_vec()),
            (_, why) => Err(why),
        }
    }

    #[test]
    fn a_program_comes_wholly() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut program = vec![0; 2 * EXTENT_BYTES as usize + 1];
        program[..4].copy_from_slice(b"\x7fELF");
        let mut check = |kind: u8, byte_len: u64, extents: &[u32]| {
            program[16] = kind;
            let path = folder.path().join("program");
            fs::write(&path, &program).expect("written");
            let file = fs::File::options().write(true).open(&path);
            file.and_then(|file| file.set_len(byte_len)).expect("sized");
            let mut listed = open(folder.path());
            let key = |extent| ContentKey { file: 1, extent };
            let (first, _) = listed.read(key(0));
            let rest: Vec<_> = listed.rest_of_program(key(0), &first).collect();
            let keys: Vec<u32> = rest.iter().map(|(key, _)| key.extent).collect();
            assert_eq!(keys, extents);
            for (key, content) in rest {
                assert_eq!(listed.read(key), (content, None));
            }
            assert_eq!(listed.rest_of_program(key(1), &first).count(), 0);
        };
        let whole = 2 * EXTENT_BYTES + 1;
        check(2, whole, &[1, 2]);
        check(3, whole, &[1, 2]);
        // An object file, and a program that is too large.
        check(1, whole, &[]);
        check(3, PROGRAM_BYTES_MAX + 1, &[]);
        check(3, 17, &[]);
    }

    #[test]
    fn a_folder_is_listed_and_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("b/c")).expect("a folder");
        fs::write(at("b/c/x"), b"deep").expect("written");
        fs::write(at("a"), b"flat").expect("written");
        fs::write(folder.path().join(OsStr::from_bytes(b"\xff")), b"odd").expect("written");
        symlink("b/c/x", at("link")).expect("a link");
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), FileType::Fifo, Mode::RUSR, 0)
            .expect("a pipe");
        let mut listed = open(folder.path());
        assert_eq!(read(&mut listed, b"a"), Ok(b"flat".to_vec()));
        assert_eq!(read(&mut listed, b"b/c/x"), Ok(b"deep".to_vec()));
        assert_eq!(read(&mut listed, b"\xff"), Ok(b"odd".to_vec()));
        let link = number(&listed, b"link");
        let target = EntryKind::Symlink {
            target: b"b/c/x".to_vec(),
        };
        assert_eq!(listed.listing().entry(link).unwrap().kind, target);
        assert_eq!(listed.left_out()[0].path, Path::new("pipe"));
        assert_eq!(listed.listing().entry_count(), 7);
        assert_eq!(open(folder.path()).image().0, listed.image().0);
    }

    #[test]
    fn what_changed_is_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let outside = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["edited", "replaced", "removed", "same"] {
            fs::write(at(name), b"1").expect("written");
        }
        fs::create_dir(at("d")).expect("a folder");
        fs::write(at("d/inside"), b"1").expect("written");
        let mut listed = open(folder.path());
        fs::write(at("edited"), b"22").expect("written");
        fs::write(outside.path().join("secret"), b"1").expect("written");
        fs::remove_file(at("replaced")).expect("removed");
        symlink(outside.path().join("secret"), at("replaced")).expect("a link");
        fs::remove_file(at("removed")).expect("removed");
        fs::rename(at("d"), outside.path().join("d")).expect("moved");
        symlink(outside.path().join("d"), at("d")).expect("a link");
        for name in ["edited", "replaced", "removed", "d/inside"] {
            let why = read(&mut listed, name.as_bytes()).expect_err("changed");
            assert!(why.expect("told").contains("when the recording began"));
            assert_eq!(read(&mut listed, name.as_bytes()), Err(None), "told once");
        }
        assert_eq!(read(&mut listed, b"same"), Ok(b"1".to_vec()));
    }

    #[test]
    fn what_is_no_folder_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        assert!(WorkspaceFolder::open(file.path(), &mut |_| ()).is_err());
        assert!(WorkspaceFolder::open(Path::new("/nowhere"), &mut |_| ()).is_err());
    }
}
