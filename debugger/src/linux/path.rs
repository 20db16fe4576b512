//! Names of files: the tree of directory entries, over which file systems are mounted.

use super::task::TaskAddress;
use super::view::LinuxView;
use reprise_core::types::GuestVirtAddr;

/// `NAME_MAX`, include/uapi/linux/limits.h.
const NAME_BYTES_MAX: u64 = 255;
/// Components of a path, and mounts on the way.
const STEPS_MAX: usize = 4096;
/// Entries of directories and mounts that a walk passes.
const ENTRIES_MAX: u32 = 1 << 18;
/// Names of all files of a process together; what goes beyond is left out.
pub(super) const NAMES_BYTES_MAX: usize = 16 << 20;
/// Mounts on top of each other at one place.
const STACKED_MAX: usize = 64;
/// `MAXSYMLINKS`, include/linux/namei.h.
const LINKS_MAX: usize = 40;
const PATH_BYTES_MAX: usize = 4096;
/// `FMODE_BACKING`, include/linux/fs.h (since 6.10; its bit was unused before): the file stands for one of an overlay.
const MODE_BACKING: u64 = 1 << 24;
/// `S_IFMT` and `S_IFLNK`, include/uapi/linux/stat.h.
const MODE_TYPE: u64 = 0o170_000;
const MODE_LINK: u64 = 0o120_000;

/// `struct path`: an entry within a mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PathPlace {
    /// A `struct mount`.
    pub(super) mount: u64,
    /// A `struct dentry`.
    pub(super) dentry: u64,
}

impl LinuxView<'_> {
    fn path_place(&self, at: u64) -> Option<PathPlace> {
        let types = self.types()?;
        let vfsmount = self.pointer(at, types.path.mount)?;
        Some(PathPlace {
            mount: vfsmount.wrapping_sub(types.mount.vfsmount.offset),
            dentry: self.pointer(at, types.path.dentry)?,
        })
    }

    /// The place of an open file.
    pub(super) fn file_place(&self, file: u64) -> Option<PathPlace> {
        self.path_place(file.wrapping_add(self.types()?.file.path.offset))
    }

    /// The place of an open file as its user knows it: `file_user_path`, include/linux/fs.h.
    pub(super) fn user_path(&self, file: u64) -> Option<PathPlace> {
        let types = self.types()?;
        match &types.backing_file {
            Some(backing) if self.field(file, types.file.mode)? & MODE_BACKING != 0 => {
                self.path_place(file.wrapping_add(backing.user_path.offset))
            }
            _ => self.file_place(file),
        }
    }

    /// The root directory of a task.
    pub(super) fn root_of(&self, task: TaskAddress) -> Option<PathPlace> {
        let types = self.types()?;
        let fs = self.pointer(task.0, types.task.fs)?;
        self.path_place(fs.wrapping_add(types.fs.root.offset))
    }

    fn name(&self, dentry: u64) -> Option<Vec<u8>> {
        let layout = &self.types()?.dentry;
        let length = self.field(dentry, layout.name_len)?;
        let at = self.pointer(dentry, layout.name)?;
        let mut name = vec![0; length.min(NAME_BYTES_MAX) as usize];
        self.memory.read(at, &mut name)?;
        Some(name)
    }

    /// The name of a place, seen from a root: `d_path`, fs/d_path.c.
    pub(super) fn path_name(&self, place: PathPlace, root: Option<PathPlace>) -> Option<Vec<u8>> {
        let types = self.types()?;
        if let Some(name) = self.made_up_name(place) {
            return Some(name);
        }
        let parent = |dentry| self.pointer(dentry, types.dentry.parent);
        let is_deleted = parent(place.dentry)? != place.dentry
            && self.field(place.dentry, types.dentry.hash_pprev)? == 0;
        let mut names = Vec::new();
        let (mut at, mut bytes) = (place, 0);
        for _ in 0..STEPS_MAX {
            if Some(at) == root {
                break;
            }
            if at.dentry == self.pointer(at.mount, types.mount.root)? {
                let above = self.pointer(at.mount, types.mount.parent)?;
                if above == at.mount {
                    break;
                }
                at = PathPlace {
                    mount: above,
                    dentry: self.pointer(at.mount, types.mount.mountpoint)?,
                };
                continue;
            }
            let above = parent(at.dentry)?;
            if above == at.dentry {
                break;
            }
            let name = self.name(at.dentry)?;
            bytes += name.len() + 1;
            if bytes > PATH_BYTES_MAX {
                return None;
            }
            names.push(name);
            at.dentry = above;
        }
        let mut path = Vec::with_capacity(bytes);
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        if is_deleted {
            path.extend_from_slice(b" (deleted)");
        }
        Some(path)
    }

    /// The name of what has no place in any directory, as `pipe:[1234]`; told by the function that
    /// the kernel would call.
    fn made_up_name(&self, place: PathPlace) -> Option<Vec<u8>> {
        let types = self.types()?;
        let operations = self.pointer(place.dentry, types.dentry.operations)?;
        let function = self.pointer(operations, types.dentry_operations.dname)?;
        let is_root = self.pointer(place.dentry, types.dentry.parent)? == place.dentry;
        if is_root && self.pointer(place.mount, types.mount.root) == Some(place.dentry) {
            return None;
        }
        let inode = self.pointer(place.dentry, types.dentry.inode)?;
        let ino = self.field(inode, types.inode.ino)?;
        let (function, _) = self.kernel.symbol_at(GuestVirtAddr(function))?;
        // fs/pipe.c, net/socket.c, fs/anon_inodes.c, fs/d_path.c, fs/pidfs.c.
        let name = || self.name(place.dentry);
        Some(match function {
            "pipefs_dname" => format!("pipe:[{ino}]").into_bytes(),
            "sockfs_dname" => format!("socket:[{ino}]").into_bytes(),
            "anon_inodefs_dname" => [b"anon_inode:".to_vec(), name()?].concat(),
            "simple_dname" => [b"/".to_vec(), name()?, b" (deleted)".to_vec()].concat(),
            "pidfs_dname" => format!("pidfd:[{ino}]").into_bytes(),
            _ => format!("[{ino}]").into_bytes(),
        })
    }

    /// Walks along a path from a root, through symbolic links and mounts, over entries that the kernel has in memory.
    pub(super) fn walk_path(&self, root: PathPlace, path: &[u8]) -> Option<PathPlace> {
        let types = self.types()?;
        // What is still to be walked, the next component last.
        let mut rest = components(path);
        let (mut links, mut budget) = (0, ENTRIES_MAX);
        let mut at = self.enter_mounts(root, &mut budget)?;
        for _ in 0..STEPS_MAX {
            let Some(name) = rest.pop() else {
                return Some(at);
            };
            if name == b".." {
                at = self.above(at, root, &mut budget)?;
                continue;
            }
            let child = self.child(at.dentry, &name, &mut budget)?;
            let inode = self.pointer(child, types.dentry.inode)?;
            if self.field(inode, types.inode.mode)? & MODE_TYPE == MODE_LINK {
                links += 1;
                let target = self.link_target(inode).filter(|_| links <= LINKS_MAX)?;
                if target.first() == Some(&b'/') {
                    at = self.enter_mounts(root, &mut budget)?;
                }
                rest.extend(components(&target));
            } else {
                at.dentry = child;
                at = self.enter_mounts(at, &mut budget)?;
            }
        }
        None
    }

    /// The directory above a place; above the root is the root.
    fn above(&self, mut at: PathPlace, root: PathPlace, budget: &mut u32) -> Option<PathPlace> {
        let types = self.types()?;
        let entered_root = self.enter_mounts(root, budget)?;
        for _ in 0..STACKED_MAX {
            if at == root || at == entered_root {
                return Some(at);
            }
            if at.dentry != self.pointer(at.mount, types.mount.root)? {
                at.dentry = self.pointer(at.dentry, types.dentry.parent)?;
                return self.enter_mounts(at, budget);
            }
            let mount = self.pointer(at.mount, types.mount.parent)?;
            if mount == at.mount {
                return Some(at);
            }
            at = PathPlace {
                mount,
                dentry: self.pointer(at.mount, types.mount.mountpoint)?,
            };
        }
        None
    }

    /// The root of what is mounted at a place, and of what is mounted on that.
    fn enter_mounts(&self, mut at: PathPlace, budget: &mut u32) -> Option<PathPlace> {
        for _ in 0..STACKED_MAX {
            match self.mounted_at(at, budget)? {
                Some(inner) => at = inner,
                None => return Some(at),
            }
        }
        None
    }

    fn mounted_at(&self, at: PathPlace, budget: &mut u32) -> Option<Option<PathPlace>> {
        let layout = &self.types()?.mount;
        let head = at.mount.wrapping_add(layout.children.offset);
        let mut link = self.memory.u64(head)?;
        while link != head {
            *budget = budget.checked_sub(1)?;
            let mount = link.wrapping_sub(layout.child.offset);
            if self.pointer(mount, layout.mountpoint)? == at.dentry {
                let dentry = self.pointer(mount, layout.root)?;
                return Some(Some(PathPlace { mount, dentry }));
            }
            link = self.memory.u64(link)?;
        }
        Some(None)
    }

    /// The entry of a directory with a name, if it names a file.
    fn child(&self, directory: u64, name: &[u8], budget: &mut u32) -> Option<u64> {
        let layout = &self.types()?.dentry;
        // An hlist ends with a null pointer, the older list where it began.
        let (head, link) = match (layout.children, layout.sibling) {
            (Some(children), Some(sibling)) => (children, sibling),
            _ => (layout.subdirs?, layout.child?),
        };
        let head = directory.wrapping_add(head.offset);
        let mut at = self.memory.u64(head)?;
        while at != 0 && at != head {
            *budget = budget.checked_sub(1)?;
            let dentry = at.wrapping_sub(link.offset);
            let is_named = self.field(dentry, layout.name_len)? == name.len() as u64
                && self.name(dentry)? == name;
            if is_named
                && self.pointer(dentry, layout.inode).is_some()
                && self.pointer(dentry, layout.hash_pprev).is_some()
            {
                return Some(dentry);
            }
            at = self.memory.u64(at)?;
        }
        None
    }

    fn link_target(&self, inode: u64) -> Option<Vec<u8>> {
        let layout = &self.types()?.inode;
        let inode = self.real_inode(inode)?;
        if let Some(link) = self.pointer(inode, layout.link) {
            return self.memory.string(link, PATH_BYTES_MAX);
        }
        let file = self.inode_file(inode)?;
        let mut target = vec![0; file.size.min(PATH_BYTES_MAX as u64) as usize];
        let read = self.read_file(&file, 0, &mut target)?;
        (read == target.len() && read > 0).then_some(target)
    }
}

/// The components of a path, the first last.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|byte| *byte == b'/').rev();
    let names = names.filter(|name| !name.is_empty() && *name != b".");
    names.map(<[u8]>::to_vec).collect()
}
