//! `reprise convert`: a container image as a part of a site.

use super::serve::{SITE_FILE, find_site};
use crate::args::ConvertArgs;
use crate::container::{self, Run};
use crate::say;
use anyhow::{Context, bail};
use reprise_core::image::ImageSource;
use reprise_host::{SiteContainer, SiteContainerEntry, SiteImage};
use reprise_recorder::images::tree::{ImageTree, PARTS_BYTES_MIN};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// The list of a site's containers.
const LIST_FILE: &str = "containers.json";

/// Bytes that are copied at a time.
const PIECE_BYTES: u64 = 1 << 20;

/// How hard an image is compressed, of 10.
const GZIP_LEVEL: u8 = 6;

/// Puts a container image into a site, which is made where there is none.
pub(crate) fn convert(args: &ConvertArgs) -> anyhow::Result<u8> {
    let site = &args.output;
    let has_site = is_site(site)?;
    let mut run = Run::new(&args.command, &args.container)?;
    let opened = container::open(&args.image, args.quiet)?;
    let facts = run.enter(&opened.config, &args.container)?;
    if !has_site {
        copy_site(&find_site(args.site.as_deref())?, site)
            .with_context(|| format!("{} cannot be made a site", site.display()))?;
    }
    let image = &opened.image;
    let hash = image.hash.to_string();
    let images = site.join("images");
    let bar = say::byte_progress("copy  ", image.byte_len);
    let put = put_image(&*opened.bytes, &images, &hash, &mut |done| {
        if !args.quiet {
            bar.set_position(done);
        }
    });
    bar.finish_and_clear();
    put.with_context(|| format!("the root image cannot be put into {}", images.display()))?;

    let label = image.name.trim_end_matches(container::ROOT_IMAGE_SUFFIX);
    let text = |bytes: &[u8]| {
        String::from_utf8(bytes.to_vec())
            .context("a page needs command, environment and folder in UTF-8")
    };
    let command = run.command.iter().map(|word| text(word));
    let command: Vec<String> = command.collect::<anyhow::Result<_>>()?;
    let described = SiteContainer {
        root: SiteImage {
            name: image.name.clone(),
            hash,
            byte_len: image.byte_len,
        },
        environment: (run.environment.iter())
            .map(|(name, value)| Ok((text(name)?, text(value)?)))
            .collect::<anyhow::Result<_>>()?,
        working_directory: text(&run.working_directory)?,
        facts: text(&facts.bytes)?,
        command,
    };
    let json = serde_json::to_vec_pretty(&described)?;
    let key = blake3::hash(&json).to_hex();
    let entry = SiteContainerEntry {
        title: args.title.clone().unwrap_or_else(|| label.to_owned()),
        text: described.command.join(" "),
        file: format!("containers/{label}-{}.json", &key[..8]),
    };
    let list = |site: &Path| -> anyhow::Result<()> {
        fs::create_dir_all(site.join("containers"))?;
        write_whole(&site.join(&entry.file), &json)?;
        add_to_list(&site.join(LIST_FILE), entry.clone())
    };
    list(site).with_context(|| format!("{} cannot be written", site.display()))?;
    if !args.quiet {
        say::line(format_args!(
            "reprise: {} can be booted on the page in {}: look at it with `reprise serve {1}`, or put the folder on any web \
             server",
            entry.title,
            site.display()
        ));
    }
    Ok(0)
}

/// Whether a folder is a site already; one with anything else in it is left alone.
fn is_site(folder: &Path) -> anyhow::Result<bool> {
    if folder.join(SITE_FILE).is_file() {
        return Ok(true);
    }
    let is_free = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if !is_free {
        bail!(
            "{} is no site and not empty: name another folder with -o",
            folder.display()
        );
    }
    Ok(false)
}

/// Copies the page. A folder that is not there yet gets its name when all is in it; one that is becomes a site by the last
/// file that comes.
fn copy_site(from: &Path, to: &Path) -> io::Result<()> {
    if to.exists() {
        copy_folder(from, to, Some(SITE_FILE))?;
        return fs::copy(from.join(SITE_FILE), to.join(SITE_FILE)).map(drop);
    }
    // Without a slash behind it, which people's shells put there.
    let to: PathBuf = to.components().collect();
    let part = beside(&to, ".part");
    if part.exists() {
        fs::remove_dir_all(&part)?;
    }
    copy_folder(from, &part, None)?;
    fs::rename(part, to)
}

fn copy_folder(from: &Path, to: &Path, but: Option<&str>) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if but.is_some_and(|but| entry.file_name() == but) {
            continue;
        }
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &place, None)?;
        } else {
            fs::copy(entry.path(), place)?;
        }
    }
    Ok(())
}

/// Puts a root image where the page looks for it: a large one with its tree, to be read in parts, a small one compressed.
fn put_image(
    image: &dyn ImageSource,
    folder: &Path,
    hash: &str,
    tell: &mut dyn FnMut(u64),
) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let place = folder.join(hash);
    let byte_len = image.byte_len();
    if byte_len < PARTS_BYTES_MIN {
        let mut bytes = Vec::new();
        ImageReader { image, at: 0 }.read_to_end(&mut bytes)?;
        return write_whole(&beside(&place, ".gz"), &gzip(&bytes));
    }
    if !place.is_file() {
        let part = beside(&place, ".part");
        let mut file = BufWriter::new(File::create(&part)?);
        let mut reader = ImageReader { image, at: 0 };
        while reader.at < byte_len {
            io::copy(&mut (&mut reader).take(PIECE_BYTES), &mut file)?;
            tell(reader.at);
        }
        file.into_inner()?.sync_all()?;
        fs::rename(part, &place)?;
    }
    let reader = BufReader::with_capacity(PIECE_BYTES as usize, ImageReader { image, at: 0 });
    match ImageTree::read(reader)? {
        Some(tree) => write_whole(&beside(&place, ".tree"), &tree.to_bytes()),
        None => Ok(()),
    }
}

/// An image from its first byte to its last.
struct ImageReader<'a> {
    image: &'a dyn ImageSource,
    at: u64,
}

impl Read for ImageReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.image.byte_len() - self.at;
        let length = usize::try_from(rest).map_or(buffer.len(), |rest| rest.min(buffer.len()));
        let read = self.image.read_at(self.at, &mut buffer[..length]);
        read.map_err(|_| io::Error::other("the root image cannot be read"))?;
        self.at += length as u64;
        Ok(length)
    }
}

/// A gzip member (RFC 1952, 2.3), without name and time: the same bytes give the same member.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut member = HEADER.to_vec();
    member.extend(miniz_oxide::deflate::compress_to_vec(bytes, GZIP_LEVEL));
    member.extend(crc32fast::hash(bytes).to_le_bytes());
    // Of the length, the lower 32 bits.
    member.extend((bytes.len() as u32).to_le_bytes());
    member
}

/// Adds a container to the list, in place of another of its title.
fn add_to_list(path: &Path, entry: SiteContainerEntry) -> anyhow::Result<()> {
    let mut entries: Vec<SiteContainerEntry> = match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is not what this program writes", path.display()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    match entries.iter_mut().find(|other| other.title == entry.title) {
        Some(other) => *other = entry,
        None => entries.push(entry),
    }
    Ok(write_whole(path, &serde_json::to_vec_pretty(&entries)?)?)
}

/// Writes a file so that it is there as a whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = beside(path, ".part");
    let mut file = File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(part, path)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn gzip_reads_what_is_compressed() {
        let bytes = b"the same again and again and again".repeat(1000);
        let member = gzip(&bytes);
        assert!(member.len() < bytes.len() / 10);
        let mut gzip = Command::new("gzip");
        let mut child = gzip
            .arg("-dc")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&member).unwrap();
        assert_eq!(child.wait_with_output().unwrap().stdout, bytes);
    }
}
