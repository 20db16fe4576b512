//! The listing of a folder on disk, as the kernel tells it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{lgetxattr, llistxattr, major, minor};

use super::{Listed, Listing, device};

pub(crate) fn read(root: &Path) -> Listing {
    let mut listing = Listing::new();
    list(root, Vec::new(), &mut BTreeMap::new(), &mut listing);
    listing
}

fn list(root: &Path, path: Vec<u8>, firsts: &mut BTreeMap<u64, Vec<u8>>, listing: &mut Listing) {
    let place = root.join(OsStr::from_bytes(&path));
    let metadata = fs::symlink_metadata(&place).unwrap();
    let file_type = metadata.file_type();
    let number = || device(major(metadata.rdev()), minor(metadata.rdev()));
    let (kind, content) = if file_type.is_dir() {
        ('d', Vec::new())
    } else if file_type.is_symlink() {
        (
            'l',
            fs::read_link(&place).unwrap().into_os_string().into_vec(),
        )
    } else if file_type.is_char_device() {
        ('c', number())
    } else if file_type.is_block_device() {
        ('b', number())
    } else if file_type.is_fifo() {
        ('p', Vec::new())
    } else {
        ('-', fs::read(&place).unwrap())
    };
    let first = firsts.entry(metadata.ino()).or_insert_with(|| path.clone());
    let listed = Listed {
        kind,
        mode: (metadata.mode() & 0o7777) as u16,
        uid: metadata.uid(),
        gid: metadata.gid(),
        mtime: (metadata.mtime(), metadata.mtime_nsec() as u32),
        links: metadata.nlink() as u32,
        same_as: first.clone(),
        content,
        xattrs: xattrs(&place),
    };
    listing.insert(path.clone(), listed);
    if kind == 'd' {
        let entries = fs::read_dir(&place).unwrap();
        let mut names: Vec<Vec<u8>> = entries
            .map(|entry| entry.unwrap().file_name().into_vec())
            .collect();
        names.sort();
        for name in names {
            let mut below = path.clone();
            if !below.is_empty() {
                below.push(b'/');
            }
            below.extend(name);
            list(root, below, firsts, listing);
        }
    }
}

fn xattrs(place: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 65_536];
    let length = llistxattr(place, &mut names[..]).unwrap();
    let names = names[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 65_536];
            let length = lgetxattr(place, OsStr::from_bytes(name), &mut value[..]).unwrap();
            value.truncate(length);
            (name.to_vec(), value)
        })
        .collect()
}

/// An image mounted until this goes.
pub(crate) struct Mount {
    pub(crate) place: PathBuf,
}

impl Mount {
    /// `None` where this machine's kernel cannot.
    pub(crate) fn new(image: &Path, place: &Path) -> Option<Self> {
        fs::create_dir(place).unwrap();
        let mut mount = Command::new("timeout");
        mount
            .args(["20", "mount", "-t", "erofs", "-o", "ro,loop"])
            .arg(image)
            .arg(place);
        let done = mount.output().unwrap().status.success();
        if !done {
            eprintln!("not compared with what Linux sees: this kernel cannot mount EROFS");
        }
        done.then(|| Self {
            place: place.to_owned(),
        })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let mut unmount = Command::new("timeout");
        unmount.args(["20", "umount"]).arg(&self.place);
        let done = unmount.status().is_ok_and(|status| status.success());
        assert!(
            done || std::thread::panicking(),
            "cannot unmount {:?}",
            self.place
        );
    }
}
