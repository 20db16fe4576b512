//! Fetching sources with the machine's own apt: its mirrors, proxies and keys, read when needed and written nowhere,
//! and without touching what is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::lock::Section;
use crate::progress::Progress;
use crate::{Failure, Result, files, process, setup};

pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An apt with its own package lists, sources included.
pub(super) struct PrivateApt {
    options: Vec<String>,
    log: PathBuf,
}

/// What one package's sources are: the version, and the SHA-256 of each file.
pub(super) struct Fetched {
    pub(super) version: String,
    pub(super) files: Vec<PathBuf>,
}

impl PrivateApt {
    /// Sets one up below `folder` and fetches the lists of binary and source packages.
    pub(super) fn new(folder: &Path, log: &Path) -> Result<Self> {
        let folder = folder.join("apt");
        for part in ["lists/partial", "archives/partial"] {
            files::make_folder(&folder.join(part))?;
        }
        let mut lines = mirror_lines()?;
        if lines.is_empty() {
            // A fresh machine or container has no lists yet, and without them apt does not know which mirror is Debian's.
            setup::update_package_lists()?;
            lines = mirror_lines()?;
        }
        if lines.is_empty() {
            return Err(Failure::usage(
                "this machine's apt knows no Debian mirror; add one to its sources, then run `apt-get update`",
            ));
        }
        let list = folder.join("sources.list");
        files::write(&list, lines.join("\n") + "\n")?;
        let mut options = vec![
            format!("Dir::Etc::SourceList={}", list.display()),
            "Dir::Etc::SourceParts=-".to_owned(),
            format!("Dir::State::Lists={}", folder.join("lists").display()),
            format!("Dir::Cache={}", folder.join("archives").display()),
        ];
        if setup::is_root()? {
            // As root, apt would download as another user, who can't write to a folder in root's cache.
            options.push("APT::Sandbox::User=root".to_owned());
        }
        let apt = Self {
            options,
            log: log.to_path_buf(),
        };
        let mut progress = Progress::start("package lists", 0);
        process::run_logged(
            apt.command("apt-get").arg("update"),
            log,
            &mut progress,
            |_| 0,
        )?;
        progress.finish();
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C").arg("-q");
        for option in &self.options {
            command.arg("-o").arg(option);
        }
        command
    }

    /// Downloads a binary package into `folder`: the wanted version, or the newest when the mirror has forgotten it.
    pub(super) fn binary_package(
        &self,
        package: &str,
        version: &str,
        folder: &Path,
    ) -> Result<Fetched> {
        self.wanted_or_newest(package, version, |selection| {
            files::make_folder(folder)?;
            let mut progress = Progress::start(&format!("downloading {selection}"), 0);
            let mut command = self.command("apt-get");
            command.arg("download").arg(selection).current_dir(folder);
            process::run_logged(&mut command, &self.log, &mut progress, |_| 0)?;
            progress.finish();
            let debs: Vec<_> = files::entries(folder)?
                .into_iter()
                .filter(|file| has_extension(file, "deb"))
                .collect();
            let deb = debs
                .first()
                .ok_or_else(|| Failure::new(format!("apt downloaded nothing for {selection}")))?;
            let version = process::output(
                Command::new("dpkg-deb")
                    .arg("--field")
                    .arg(deb)
                    .arg("Version"),
            )?;
            Ok(Fetched {
                version: version.trim().to_owned(),
                files: debs,
            })
        })
    }

    /// Downloads a source package into `folder`, likewise.
    pub(super) fn source_package(
        &self,
        package: &str,
        version: &str,
        folder: &Path,
    ) -> Result<Fetched> {
        self.wanted_or_newest(package, version, |selection| {
            files::make_folder(folder)?;
            let mut progress =
                Progress::start(&format!("downloading the source of {selection}"), 0);
            let mut command = self.command("apt-get");
            command
                .args(["source", "--download-only"])
                .arg(selection)
                .current_dir(folder);
            process::run_logged(&mut command, &self.log, &mut progress, |_| 0)?;
            progress.finish();
            let files = files::entries(folder)?;
            Ok(Fetched {
                version: source_version(&files)?,
                files,
            })
        })
    }

    fn wanted_or_newest(
        &self,
        package: &str,
        version: &str,
        fetch: impl Fn(&str) -> Result<Fetched>,
    ) -> Result<Fetched> {
        if version.is_empty() {
            return fetch(package);
        }
        let failure = match fetch(&format!("{package}={version}")) {
            Ok(fetched) => return Ok(fetched),
            Err(failure) => failure,
        };
        let newest = fetch(package)
            .map_err(|second| Failure::new(format!("{}\n{}", failure.message, second.message)))?;
        eprintln!(
            "note: the mirror no longer has {package} {version} of guest/lock.toml; taking its newest, {}",
            newest.version
        );
        Ok(newest)
    }

    /// The newest version of a binary package.
    pub(super) fn newest_version(&self, package: &str) -> Result<String> {
        let shown = process::output(self.command("apt-cache").args([
            "show",
            "--no-all-versions",
            package,
        ]))?;
        let version = shown
            .lines()
            .find_map(|line| line.strip_prefix("Version: "));
        version
            .map(str::to_owned)
            .ok_or_else(|| Failure::new(format!("the mirror has no package {package}")))
    }

    /// The newest source package, as a section of the lock file: its version, and the SHA-256 of each of its files.
    pub(super) fn newest_source(&self, package: &str) -> Result<Section> {
        let mut command = self.command("apt-get");
        // Each line: a quoted address, the file's name, its size, and `SHA256:` with its hash.
        let shown =
            process::output(command.args(["source", "--download-only", "--print-uris", package]))?;
        let mut section = Section::new();
        for line in shown.lines().filter(|line| line.starts_with('\'')) {
            let mut words = line.split(' ').skip(1);
            if let (Some(file), Some(hash)) = (
                words.next(),
                words.find_map(|word| word.strip_prefix("SHA256:")),
            ) {
                section.insert(file.to_owned(), hash.to_owned());
            }
        }
        let names: Vec<PathBuf> = section.keys().map(PathBuf::from).collect();
        let version = source_version_from_name(package, &names);
        let version = version
            .ok_or_else(|| Failure::new(format!("the mirror has no source of {package}")))?;
        // A file's name lacks the version's epoch, which apt wants to be asked with.
        let shown =
            process::output(
                self.command("apt-cache")
                    .args(["showsrc", "--only-source", package]),
            )?;
        let full = shown
            .lines()
            .filter_map(|line| line.strip_prefix("Version: "))
            .find(|full| without_epoch(full) == version)
            .unwrap_or(&version);
        section.insert("version".to_owned(), full.to_owned());
        Ok(section)
    }
}

/// Where this machine has Debian's packages from.
pub(crate) fn mirror() -> Result<String> {
    let lines = match mirror_lines()? {
        lines if lines.is_empty() => {
            setup::update_package_lists()?;
            mirror_lines()?
        }
        lines => lines,
    };
    // Each: kind, options, address, suite, component. Updates and security are other suites, security of another archive.
    let found = lines.iter().find_map(|line| {
        let mut words = line.split(' ').skip(2);
        let (address, suite) = (words.next()?, words.next()?);
        let is_release = !suite.contains(['-', '/']);
        is_release.then(|| address.to_owned())
    });
    found.ok_or_else(|| {
        Failure::usage("this machine's apt knows no Debian mirror; add one to its sources")
    })
}

/// Lines for a list of sources: Debian's own mirrors, out of whatever this machine uses.
fn mirror_lines() -> Result<Vec<String>> {
    let mut command = Command::new("apt-get");
    command.args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(RELEASE) $(COMPONENT)",
    ]);
    let shown = process::output(command.args(["Created-By: Packages", "Origin: Debian"]))?;
    let mut lines: Vec<String> = shown
        .lines()
        .flat_map(|target| {
            ["deb", "deb-src"].map(|kind| format!("{kind} [signed-by={KEYRING}] {target}"))
        })
        .collect();
    lines.sort();
    lines.dedup();
    Ok(lines)
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn without_epoch(version: &str) -> &str {
    version.split_once(':').map_or(version, |(_, rest)| rest)
}

/// The version in the name of a source package's description, `package_version.dsc`; it has no epoch.
fn source_version_from_name(package: &str, files: &[PathBuf]) -> Option<String> {
    let description = files.iter().find(|file| has_extension(file, "dsc"))?;
    let stem = description.file_stem()?.to_str()?;
    stem.strip_prefix(package)?
        .strip_prefix('_')
        .map(str::to_owned)
}

/// The version that a source package's description states.
fn source_version(files: &[PathBuf]) -> Result<String> {
    let description = description(files)?;
    let text = files::read_text(description)?;
    let version = text.lines().find_map(|line| line.strip_prefix("Version: "));
    version
        .map(|version| version.trim().to_owned())
        .ok_or_else(|| Failure::new(format!("{} states no version", description.display())))
}

/// A source package's description among its files.
pub(super) fn description(files: &[PathBuf]) -> Result<&PathBuf> {
    files
        .iter()
        .find(|file| has_extension(file, "dsc"))
        .ok_or_else(|| Failure::new("the source package came without its description"))
}

/// The SHA-256 of each file, by its name, as the system's own tool computes it.
pub(super) fn sha256(files: &[PathBuf]) -> Result<Section> {
    let mut section = Section::new();
    for file in files {
        let shown = process::output(Command::new("sha256sum").arg("--binary").arg(file))?;
        let hash = shown
            .split(' ')
            .next()
            .unwrap_or_default()
            .trim_start_matches('\\');
        section.insert(files::name(file), hash.to_owned());
    }
    Ok(section)
}

/// Checks files that claim to be the locked ones against the hashes in the lock file.
pub(super) fn check(found: &Section, locked: &Section) -> Result<()> {
    for (file, hash) in found {
        match locked.get(file) {
            Some(expected) if expected == hash => {}
            Some(expected) => {
                return Err(Failure::new(format!(
                    "{file} has the SHA-256 {hash}, but guest/lock.toml says {expected}: the download is damaged, or \
                     not what was locked"
                )));
            }
            None => {
                return Err(Failure::new(format!(
                    "guest/lock.toml knows no file {file}; run with --update-lock"
                )));
            }
        }
    }
    Ok(())
}
