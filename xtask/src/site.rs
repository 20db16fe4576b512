//! `cargo xtask site`: the page as a folder that any web server can serve.
//!
//! ```text
//! index.html, boot.js, style.css   picks a build for the trace that is opened, and starts it
//! site.json                        the newest machine version, and the build of each
//! b/<build>/                       a whole build: the app, the engine, their JavaScript, guest.json, demos.json
//! containers.json                  the containers that `reprise convert` has put in
//! images/<hash>.gz                 kernels and initrds, named by their BLAKE3 hash
//! traces/<demo>-<key>.rpt          the demos' traces, named by all that decides them
//! ```
//!
//! A link that was given away must keep working. So nothing below `b`, `images` and `traces` is ever changed or removed: a
//! build that goes into a folder with a site is added to it, and takes the place of the one of its machine version in
//! `site.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cache::Workspace;
use crate::tools::{WASM_TARGET, build_bindgen, build_reprise, build_web_module, target_folder};
use crate::{Failure, Result, checkout, files, guest, process, setup};

const USAGE: &str = "\
Usage: cargo xtask site [--into DIR]

Builds the page: the app and the engine as WebAssembly, the guest's images, the demos' traces. It goes into target/site, or
into DIR, which any web server can then serve. A site that is there already is added to, so that links to it keep working.
";

/// What compiles the C code of zstd for wasm.
pub(crate) const WEB_PACKAGES: &[&str] = &["clang-19", "llvm-19"];

/// The part of the site that is the same for all builds.
const ROOT_FILES: &[&str] = &["index.html", "boot.js", "style.css"];
/// Files of a build that are not compiled.
const BUILD_FILES: &[&str] = &[
    "main.js",
    "worker.js",
    "fetching.js",
    "folder.js",
    "guest-fetch.js",
];

/// The file that lists builds.
const SITE_FILE: &str = "site.json";

/// A demo, which fails: what the page says of it, and how it is recorded.
struct Demo {
    name: &'static str,
    title: &'static str,
    text: &'static str,
    arguments: &'static [&'static str],
    /// File of the checkout that is typed.
    input: Option<&'static str>,
}

const DEMOS: &[Demo] = &[
    Demo {
        name: "race",
        title: "A data race in C",
        text: "Two workers share out the tiles of a picture. Now and then a tile is rendered twice; only the moment of the \
               switch between the two decides.",
        arguments: &["--", "/demos/race"],
        input: None,
    },
    Demo {
        name: "uaf",
        title: "A use after free in C",
        text: "A web cache's table moves to new memory while a pointer into the old one is held. Which pages collide is \
               random, and so is the crash.",
        arguments: &["--", "/demos/uaf"],
        input: None,
    },
    Demo {
        name: "parser",
        title: "A panic in Rust",
        text: "A pocket calculator answers four typed lines and dies of the fifth.",
        arguments: &["--", "/demos/parser"],
        input: Some("tests/tests/e2e/parser.input"),
    },
];

/// Recordings after which a demo has failed, whatever the seeds.
const TRIES: &str = "60";

/// `cargo xtask site`.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let into = match arguments {
        [] => target_folder().join("site"),
        [flag] if flag == "--help" || flag == "-h" => {
            print!("{USAGE}");
            return Ok(());
        }
        [flag, folder] if flag == "--into" => PathBuf::from(folder),
        _ => {
            return Err(Failure::usage(format!(
                "`site` takes --into DIR and nothing else\n\n{USAGE}"
            )));
        }
    };
    build(&into)?;
    println!("{}", into.display());
    Ok(())
}

/// Builds the page into a folder, which may hold a site already.
pub(crate) fn build(site: &Path) -> Result<()> {
    setup::packages(&[setup::GUEST_PACKAGES, WEB_PACKAGES].concat())?;
    setup::rust_targets(&[setup::GUEST_TARGET, WASM_TARGET])?;
    let guest = guest::build()?;
    let reprise = build_reprise()?;
    let bindgen = build_bindgen()?;
    let app = build_web_module("reprise-ui", "s")?;
    let engine = build_web_module("reprise-worker", "3")?;

    for folder in ["b", "images", "traces"] {
        files::make_folder(&site.join(folder))?;
    }
    let published = Published::read(&site.join(SITE_FILE))?;
    let workspace = Workspace::new(&target_folder().join("site-parts"), "build")?;
    let build = workspace.path().join("build");
    files::make_folder(&build)?;
    for (module, name) in [(&app, "ui"), (&engine, "engine")] {
        crate::tools::run(Command::new(&bindgen).arg(module).arg(&build).arg(name))?;
    }
    for name in BUILD_FILES {
        copy(&checkout().join("site").join(name), &build.join(name))?;
    }
    files::write(&build.join("guest.json"), guest_json(site, &guest)?)?;
    let (demos, machine_version) = demos_json(site, &guest, &reprise)?;
    files::write(&build.join("demos.json"), demos)?;

    let id = hash_of_folder(&build)?;
    let place = site.join("b").join(&id);
    if !place.is_dir() {
        // Another file system, maybe, so it is copied; under another name until it is whole.
        let beside = site.join("b").join(format!("{id}.tmp"));
        files::remove_folder(&beside)?;
        files::copy_folder(&build, &beside)?;
        files::rename(&beside, &place)?;
    }
    for name in ROOT_FILES {
        let contents = files::read(&checkout().join("site").join(name))?;
        files::write_atomically(&site.join(name), contents)?;
    }
    let containers = site.join("containers.json");
    if !containers.is_file() {
        // `reprise convert` adds to it.
        files::write_atomically(&containers, "[]\n")?;
    }
    // Last: until then the site is what it was.
    let published = published.with(machine_version, format!("b/{id}"));
    files::write_atomically(&site.join(SITE_FILE), published.to_json())
}

/// What `site.json` says.
#[derive(Debug, PartialEq, Eq)]
struct Published {
    /// Folder of the build of each machine version.
    builds: BTreeMap<u32, String>,
}

impl Published {
    /// What is published, which is nothing where there is no site yet.
    fn read(path: &Path) -> Result<Self> {
        if !path.is_file() {
            return Ok(Self {
                builds: BTreeMap::new(),
            });
        }
        Self::from_json(&files::read_text(path)?).ok_or_else(|| {
            Failure::new(format!(
                "{} is not what this command has written: restore it, since links depend on it",
                path.display()
            ))
        })
    }

    /// Reads what [`Self::to_json`] has written; nothing else writes that file.
    fn from_json(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("\"builds\": {")?;
        let (entries, _) = rest.split_once('}')?;
        let builds = entries
            .split(',')
            .map(|entry| {
                let (version, folder) = entry.split_once(':')?;
                let folder = folder.trim().strip_prefix('"')?.strip_suffix('"')?;
                Some((
                    version.trim().trim_matches('"').parse().ok()?,
                    folder.to_owned(),
                ))
            })
            .collect::<Option<_>>()?;
        Some(Self { builds })
    }

    fn with(mut self, machine_version: u32, folder: String) -> Self {
        self.builds.insert(machine_version, folder);
        self
    }

    fn to_json(&self) -> String {
        let newest = self.builds.keys().next_back().copied().unwrap_or_default();
        let builds: Vec<String> = (self.builds.iter())
            .map(|(version, folder)| format!("\n    \"{version}\": \"{folder}\""))
            .collect();
        format!(
            "{{\n  \"newest\": {newest},\n  \"builds\": {{{}\n  }}\n}}\n",
            builds.join(",")
        )
    }
}

/// `guest.json`: what the page boots. The images go into the site.
fn guest_json(site: &Path, guest: &guest::Guest) -> Result<String> {
    let mut members = vec![format!("\"command_line\": \"{}\"", guest::COMMAND_LINE)];
    for (role, name) in [("kernel", "Image"), ("initrd", "initrd")] {
        let path = guest.folder.join(name);
        let contents = files::read(&path)?;
        let hash = blake3::hash(&contents).to_hex();
        let place = site.join("images").join(format!("{hash}.gz"));
        if !place.is_file() {
            files::write_atomically(&place, gzip(&path)?)?;
        }
        members.push(format!(
            "\"{role}\": {{ \"name\": \"{name}\", \"hash\": \"{hash}\", \"byte_len\": {} }}",
            contents.len()
        ));
    }
    Ok(format!("{{\n  {}\n}}\n", members.join(",\n  ")))
}

/// Browsers decompress gzip themselves, in a few hundredths of a second for a kernel.
fn gzip(path: &Path) -> Result<Vec<u8>> {
    let failed = |error| Failure::new(format!("can't run gzip: {error}"));
    let output = Command::new("gzip")
        .args(["-9", "--no-name", "--stdout"])
        .arg(path)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(failed)?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(Failure::new(format!("gzip failed ({})", output.status)))
    }
}

/// `demos.json`, and the machine version of the traces, which go into the site.
fn demos_json(site: &Path, guest: &guest::Guest, reprise: &Path) -> Result<(String, u32)> {
    let mut entries = Vec::new();
    let mut version = 0;
    for demo in DEMOS {
        let name = format!("{}-{}.rpt", demo.name, demo.key(guest, reprise)?);
        let trace = site.join("traces").join(&name);
        if !trace.is_file() {
            demo.record(reprise, &trace)?;
        }
        version = machine_version(&trace)?;
        entries.push(format!(
            "{{ \"name\": \"{}\", \"title\": \"{}\", \"text\": \"{}\", \"file\": \"traces/{name}\" }}",
            demo.name, demo.title, demo.text
        ));
    }
    Ok((format!("[\n  {}\n]\n", entries.join(",\n  ")), version))
}

impl Demo {
    fn input(&self) -> Option<PathBuf> {
        self.input.map(|input| checkout().join(input))
    }

    /// A hash of all that decides the recording: guest, machine, and how it is recorded.
    fn key(&self, guest: &guest::Guest, reprise: &Path) -> Result<String> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(files::name(&guest.folder).as_bytes());
        hasher.update(process::output(Command::new(reprise).arg("--version"))?.as_bytes());
        for argument in self.arguments {
            hasher.update(argument.as_bytes()).update(&[0]);
        }
        if let Some(input) = self.input() {
            hasher.update(&files::read(&input)?);
        }
        Ok(hasher.finalize().to_hex()[..8].to_owned())
    }

    fn record(&self, reprise: &Path, trace: &Path) -> Result<()> {
        eprintln!("recording the demo {}", self.name);
        let unfinished = trace.with_extension("tmp");
        let mut command = Command::new(reprise);
        command.args(["record", "--quiet", "--seed", "1", "--force"]);
        command.args(["--tries", TRIES, "--until-fail", "-o"]);
        command.arg(&unfinished);
        if let Some(input) = self.input() {
            command.arg("--input").arg(input);
        }
        let output = command
            .args(self.arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Failure::new(format!("can't run reprise record: {error}")))?;
        if output.status.success() || !unfinished.is_file() {
            return Err(Failure::new(format!(
                "the demo {} was not recorded ({}): {}",
                self.name,
                output.status,
                String::from_utf8_lossy(&output.stderr).trim_end()
            )));
        }
        files::rename(&unfinished, trace)
    }
}

/// The machine version in a trace's preamble (traces/FORMAT.md).
fn machine_version(trace: &Path) -> Result<u32> {
    let contents = files::read(trace)?;
    let bytes = contents.get(12..16).and_then(|bytes| bytes.try_into().ok());
    bytes
        .map(u32::from_le_bytes)
        .ok_or_else(|| Failure::new(format!("{} is no trace", trace.display())))
}

/// A name for what is in a folder: the same contents, the same name.
fn hash_of_folder(folder: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    for file in files::files_below(folder)? {
        hasher.update(files::name(&file).as_bytes()).update(&[0]);
        hasher.update(blake3::hash(&files::read(&file)?).as_bytes());
    }
    Ok(hasher.finalize().to_hex()[..16].to_owned())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    files::write(to, files::read(from)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_lists_one_build_of_each_machine_version() {
        let none = Published {
            builds: BTreeMap::new(),
        };
        let one = none.with(1, "b/old".into()).with(1, "b/new".into());
        let two = one.with(2, "b/other".into());
        assert_eq!(
            two.to_json(),
            "{\n  \"newest\": 2,\n  \"builds\": {\n    \"1\": \"b/new\",\n    \"2\": \"b/other\"\n  }\n}\n"
        );
        assert_eq!(Published::from_json(&two.to_json()), Some(two));
        assert_eq!(Published::from_json("{}"), None);
    }

    #[test]
    fn demos_are_valid_json() {
        for demo in DEMOS {
            let text = [demo.name, demo.title, demo.text].concat();
            assert!(!text.contains(['"', '\\', '\n']), "{text}");
        }
    }
}
