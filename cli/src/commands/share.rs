//! `reprise share`.

use super::scrub::ALWAYS;
use super::serve::PORT;
use crate::args::ShareArgs;
use crate::contents::Contents;
use crate::say;
use crate::trace_file::TraceFile;
use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reprise_traces::{Completeness, TraceError, pack};
use std::env;
use std::fs;
use std::io::{self, Write};

/// A trace of at most so many bytes goes into a link. Browsers take far longer ones; what people paste them into does not.
const LINK_TRACE_BYTES_MAX: usize = 24 << 10;

/// Prints a trace's link.
pub(crate) fn share(args: &ShareArgs) -> anyhow::Result<u8> {
    let file = TraceFile::open(&args.trace)?;
    if let Some(at) = args.at
        && at > file.last_icount()
    {
        bail!(
            "the recording ends at icount {}, before {at}",
            file.last_icount()
        );
    }
    let trace = match &args.url {
        Some(url) => format!("trace={}", parameter(url)),
        None => format!("t={}", in_link(&file)?),
    };
    let at = args.at.map_or_else(String::new, |at| format!("&at={at}"));
    let version = file.header().machine_version;
    let site = site_url(args);
    tell_contents(&file)?;
    if !args.yes && !say::confirm("Print the link?")? {
        return Ok(1);
    }
    writeln!(io::stdout(), "{site}#{trace}{at}&v={version}")?;
    Ok(0)
}

/// Says what somebody who gets the trace gets with it.
fn tell_contents(file: &TraceFile) -> anyhow::Result<()> {
    say::line(format_args!(
        "reprise: this went into {}; {ALWAYS}",
        file.path().display()
    ));
    for (name, value) in Contents::of(file)?.rows() {
        say::line(format_args!("  {name:<12} {value}"));
    }
    Ok(())
}

/// Address of the page.
fn site_url(args: &ShareArgs) -> String {
    let of_environment = || env::var("REPRISE_SITE").ok().filter(|url| !url.is_empty());
    match args.site.clone().or_else(of_environment) {
        Some(url) => url.split('#').next().unwrap_or_default().to_owned(),
        None => {
            say::line(
                "reprise: the link leads to this computer's `reprise serve`; name another page with --site URL",
            );
            format!("http://127.0.0.1:{PORT}/")
        }
    }
}

/// The trace as text for a link, packed.
fn in_link(file: &TraceFile) -> anyhow::Result<String> {
    let bytes = match file.completeness() {
        // What is there and not more: a copy would hide that the recording breaks off.
        Completeness::Truncated { .. } => fs::read(file.path())
            .with_context(|| format!("{} cannot be read", file.path().display()))?,
        Completeness::Complete => match pack(file.reader()?) {
            Ok(bytes) => bytes,
            Err(TraceError::TooLarge { size, .. }) => bail!(too_large(file, size)),
            Err(error) => return Err(error.into()),
        },
    };
    if bytes.len() > LINK_TRACE_BYTES_MAX {
        bail!(too_large(file, bytes.len() as u64));
    }
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn too_large(file: &TraceFile, byte_len: u64) -> String {
    format!(
        "{} takes {byte_len} bytes, more than the {LINK_TRACE_BYTES_MAX} that a link holds: put it on a web server, in the \
         site's traces/ or where `Access-Control-Allow-Origin: *` is sent, and name its address with --url",
        file.path().display(),
    )
}

/// An address as the value of a parameter of the fragment: what separates parameters is encoded, the rest stays readable.
pub(super) fn parameter(url: &str) -> String {
    url.replace('%', "%25")
        .replace('&', "%26")
        .replace('+', "%2B")
        .replace('#', "%23")
        .replace(' ', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_separates_parameters_is_encoded() {
        assert_eq!(
            parameter("https://example.org/a%20b.rpt?x=1&y=2#z"),
            "https://example.org/a%2520b.rpt?x=1%26y=2%23z"
        );
    }
}
