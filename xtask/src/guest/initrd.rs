//! The initial file system: busybox, init, the demos and benchmarks with their sources, and `guest/rootfs/`.

use std::path::Path;

use super::cpio::{Node, Tree};
use super::key::Key;
use super::{Recipe, SOURCE_DATE_EPOCH, busybox, programs};
use crate::progress::Progress;
use crate::{Failure, Result, files};

/// Folders that are empty, or whose mode is not 0755.
const FOLDERS: &[(&str, u32)] = &[
    ("dev", 0o755),
    ("home", 0o755),
    ("mnt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr/local/bin", 0o755),
    ("var/log", 0o755),
    ("var/tmp", 0o1777),
];

/// A folder of programs, each compiled from one file of its source.
struct ProgramFolder {
    /// Below `guest/`, and likewise below the guest's root.
    name: &'static str,
    /// For the C compiler, beyond those of all programs.
    flags: &'static [&'static str],
}

/// The demos are debugged, so they are compiled as their authors would while looking for a bug; the benchmarks are not.
const PROGRAM_FOLDERS: &[ProgramFolder] = &[
    ProgramFolder {
        name: "demos",
        flags: &["-Og", "-g"],
    },
    ProgramFolder {
        name: "bench",
        flags: &["-O2", "-s"],
    },
];
const INIT_FLAGS: &[&str] = &["-O2", "-s"];

/// The key of the archive, which includes that of the userland inside.
pub(super) fn key(recipe: &Recipe) -> Result<String> {
    let mut key = Key::new("initrd 2");
    key.text("busybox", &busybox::key(recipe)?);
    for folder in ["init", "demos", "bench", "rootfs"] {
        key.text("folder", folder);
        key.folder(&recipe.folder.join(folder))?;
    }
    key.section("tools", &recipe.tools);
    key.text("rustc", &recipe.rustc);
    key.text("flags", &programs::flags());
    key.text("init flags", &INIT_FLAGS.join(" "));
    for folder in PROGRAM_FOLDERS {
        key.text(folder.name, &folder.flags.join(" "));
    }
    Ok(key.finish())
}

/// Compiles our programs in `workspace` and returns the archive. `busybox` is the folder of the built userland.
pub(super) fn build(recipe: &Recipe, busybox: &Path, workspace: &Path) -> Result<Vec<u8>> {
    let mut progress = Progress::start("building the guest's own programs", 0);
    let mut tree = Tree::default();
    for (path, mode) in FOLDERS {
        tree.add(path, Node::Folder { mode: *mode });
    }
    // The kernel opens the console for init before init can mount anything.
    tree.add(
        "dev/console",
        Node::CharacterDevice {
            mode: 0o600,
            major: 5,
            minor: 1,
        },
    );
    tree.add(
        "dev/null",
        Node::CharacterDevice {
            mode: 0o666,
            major: 1,
            minor: 3,
        },
    );

    add_busybox(&mut tree, busybox)?;
    let init = workspace.join("init");
    programs::compile_c(
        &recipe.folder.join("init"),
        "/usr/src/init",
        INIT_FLAGS,
        &init,
    )?;
    tree.add(
        "init",
        Node::File {
            mode: 0o755,
            contents: files::read(&init)?,
        },
    );
    progress.advance(0);
    for folder in PROGRAM_FOLDERS {
        let source = recipe.folder.join(folder.name);
        let guest_source = format!("/{}/src", folder.name);
        let out = workspace.join(folder.name);
        for name in programs::compile_each(&source, &guest_source, folder.flags, &out)? {
            let contents = files::read(&out.join(&name))?;
            tree.add(
                &format!("{}/{name}", folder.name),
                Node::File {
                    mode: 0o755,
                    contents,
                },
            );
            progress.advance(0);
        }
        add_files(&mut tree, &source, &guest_source)?;
    }
    add_files(&mut tree, &recipe.folder.join("rootfs"), "")?;
    progress.finish();
    Ok(tree.archive(SOURCE_DATE_EPOCH))
}

/// Adds busybox and a link for each of its commands.
fn add_busybox(tree: &mut Tree, folder: &Path) -> Result<()> {
    let program = "/bin/busybox";
    for path in files::read_text(&folder.join("busybox.links"))?.lines() {
        if !path.starts_with('/') {
            return Err(Failure::new(format!(
                "busybox names a command `{path}`, which is not a path"
            )));
        }
        tree.add(
            path,
            Node::Link {
                target: program.to_owned(),
            },
        );
    }
    tree.add(
        program,
        Node::File {
            mode: 0o755,
            contents: files::read(&folder.join("busybox"))?,
        },
    );
    Ok(())
}

/// Adds the files below a folder of the checkout to a folder of the guest. Of their modes only the executable bit
/// counts, since a checkout's others depend on the umask of whoever made it.
fn add_files(tree: &mut Tree, source: &Path, guest_folder: &str) -> Result<()> {
    for file in files::files_below(source)? {
        let relative = file
            .strip_prefix(source)
            .unwrap_or(&file)
            .to_string_lossy()
            .into_owned();
        let mode = if files::is_executable(&file) {
            0o755
        } else {
            0o644
        };
        tree.add(
            &format!("{guest_folder}/{relative}"),
            Node::File {
                mode,
                contents: files::read(&file)?,
            },
        );
    }
    Ok(())
}
