//! `reprise save`.

use crate::args::SaveArgs;
use crate::commands::record::free_path;
use crate::say;
use crate::trace_file::{Replacement, require_free};
use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reprise_traces::{TraceReader, is_packed, unpack};
use std::io::{Cursor, Write};

/// Writes the recording inside a link to a file.
pub(crate) fn save(args: &SaveArgs) -> anyhow::Result<u8> {
    let bytes = trace_of_link(&args.link)?;
    // What is no trace is told before anything is written.
    TraceReader::open(Cursor::new(&bytes))?;
    let path = match &args.output {
        Some(path) if args.force => path.clone(),
        Some(path) => {
            require_free(path)?;
            path.clone()
        }
        None => free_path()?,
    };
    let replacement = Replacement::create(&path)?;
    (replacement.writer()?)
        .write_all(&bytes)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    replacement.commit()?;
    say::line(format_args!(
        "reprise: wrote {} bytes; replay with `reprise replay {}`",
        bytes.len(),
        path.display()
    ));
    Ok(0)
}

/// Where the trace of a link is, which may be told relative to the page.
fn address_of(link: &str, url: &str) -> String {
    let page = link.split(['#', '?']).next().unwrap_or_default();
    match page.rsplit_once('/') {
        Some((folder, _)) if !url.contains("://") && !url.contains("%3A") => {
            format!("{folder}/{url}")
        }
        _ => url.to_owned(),
    }
}

/// The trace that a link holds, as a file has it.
fn trace_of_link(link: &str) -> anyhow::Result<Vec<u8>> {
    let Some((_, fragment)) = link.split_once('#') else {
        bail!("this is no link to a recording: it has no `#t=` in it");
    };
    let parameter = |name: &str| {
        let mut parameters = fragment.split('&').filter_map(|text| text.split_once('='));
        parameters
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    };
    let text = match (parameter("t"), parameter("trace")) {
        (Some(text), _) => text,
        (None, Some(url)) => {
            let address = address_of(link, url);
            bail!("the link holds no recording, but says where one is: fetch {address}")
        }
        (None, None) => bail!("this is no link to a recording: it has no `#t=` in it"),
    };
    let bytes = URL_SAFE_NO_PAD
        .decode(text.trim_end_matches('='))
        .context("the link is damaged: a part of it may be missing, so copy it again as a whole")?;
    Ok(if is_packed(&bytes) {
        unpack(&bytes)?
    } else {
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_link_with_a_recording_is_told() {
        let why = |link: &str| trace_of_link(link).expect_err(link).to_string();
        for link in ["bug.rpt", "https://a.example/", "https://a.example/#at=5"] {
            assert!(why(link).contains("no `#t=`"), "{link}");
        }
        assert!(
            why("https://a.example/#trace=x.rpt&at=5").ends_with("fetch https://a.example/x.rpt")
        );
        assert!(why("https://a.example/#t=!").contains("damaged"));
        assert!(why("https://a.example/#t=iVABAAAA").contains("damaged"));
        let bytes = trace_of_link("https://a.example/#at=5&t=AAEC&v=1").expect("bytes");
        assert_eq!(bytes, [0, 1, 2]);
    }

    #[test]
    fn a_link_that_points_to_a_trace_says_where_it_is() {
        for (link, address) in [
            (
                "http://127.0.0.1:7710/#trace=traces/uaf.rpt&at=3",
                "http://127.0.0.1:7710/traces/uaf.rpt",
            ),
            (
                "https://a.example/page/index.html?x#trace=t.rpt",
                "https://a.example/page/t.rpt",
            ),
            (
                "https://a.example/#trace=https://b.example/t.rpt",
                "https://b.example/t.rpt",
            ),
        ] {
            let error = trace_of_link(link).unwrap_err().to_string();
            assert!(error.ends_with(&format!("fetch {address}")), "{error}");
        }
    }
}
