//! Links: a trace, or where one is, with the view that somebody had of it.
//!
//! Everything is in the fragment, which a browser sends to nobody:
//!
//! | parameter | meaning |
//! | --- | --- |
//! | `t` | the trace itself, packed or as a file (traces/FORMAT.md), in base64url |
//! | `trace` | or its address, relative to the page |
//! | `at` | position; without it, the end |
//! | `v` | machine version, by which a site picks the build that replays it |
//! | `view` | marks, layout and selection, as JSON in base64url |

use crate::model::{EXPRESSION_BYTES_MAX, EXPRESSIONS_MAX, Mark, Shown};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reprise_worker::protocol::Thread;
use serde::{Deserialize, Serialize};

/// Fragments beyond this are not looked at.
const FRAGMENT_BYTES_MAX: usize = 4 << 20;
/// A view beyond this is not looked at.
const VIEW_BYTES_MAX: usize = 64 << 10;
/// Marks of a view that are taken.
const MARKS_MAX: usize = 1000;
/// Traces beyond this make links that many programs cut off.
pub const LINK_TRACE_BYTES_MAX: usize = 24 << 10;
/// Where the machine version stands in a trace (traces/FORMAT.md, Preamble).
const VERSION_AT: std::ops::Range<usize> = 12..16;
/// The first bytes of a packed trace; its machine version follows, in one byte if that is below the second number.
const PACKED_MAGIC: &[u8] = b"\x89P";
const VERSION_BYTE_END: u8 = 251;

/// What a link leads to.
#[derive(Clone, PartialEq, Debug)]
pub struct Link {
    /// The trace.
    pub place: Place,
    /// Position; none is the end.
    pub at: Option<u64>,
    /// The view.
    pub view: View,
}

/// Where the trace of a link is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// In the link.
    Inside(Vec<u8>),
    /// At an address as the link has it, maybe relative to the page.
    Url(String),
}

/// A view of a recording, besides the position.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct View {
    /// Marks.
    #[serde(rename = "m", skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// Layout in words.
    #[serde(rename = "l", skip_serializing_if = "Option::is_none")]
    pub layout: Option<String>,
    /// Through whose eyes panels look; none is the current thread's.
    #[serde(rename = "t", skip_serializing_if = "Option::is_none")]
    pub thread: Option<Thread>,
    /// The selected call.
    #[serde(rename = "f", skip_serializing_if = "is_zero")]
    pub frame: u32,
    /// What panels show.
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    pub shown: Option<Shown>,
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// What a fragment, without its `#`, leads to; nothing for an empty one.
///
/// # Errors
/// A sentence for the person, when it is damaged.
pub fn link_from_fragment(fragment: &str) -> Result<Option<Link>, String> {
    if fragment.len() > FRAGMENT_BYTES_MAX {
        return Err("the link is too long".to_owned());
    }
    let mut place = None;
    let mut at = None;
    let mut view = View::default();
    for parameter in fragment.split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name {
            "t" => {
                let bytes = URL_SAFE_NO_PAD.decode(value.trim_end_matches('='));
                let bytes =
                    bytes.map_err(|_| "the link is damaged: a part of it may be missing")?;
                place = Some(Place::Inside(bytes));
            }
            "trace" => place = Some(Place::Url(decoded(value))),
            "at" => {
                let icount = value.parse();
                at = Some(
                    icount.map_err(|_| format!("the link's position `{value}` is no number"))?,
                );
            }
            "view" => view = view_from_text(value).unwrap_or_default(),
            _ => {}
        }
    }
    Ok(place.map(|place| Link { place, at, view }))
}

/// The view of a link. What is damaged or too much is left out: the recording is what counts.
fn view_from_text(text: &str) -> Option<View> {
    if text.len() > VIEW_BYTES_MAX {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let mut view: View = serde_json::from_slice(&bytes).ok()?;
    view.marks.truncate(MARKS_MAX);
    if let Some(shown) = &mut view.shown {
        let expressions = &mut shown.expressions;
        expressions.retain(|text| text.len() <= EXPRESSION_BYTES_MAX);
        expressions.truncate(EXPRESSIONS_MAX);
    }
    view.marks.sort_by_key(|mark| mark.icount);
    Some(view)
}

/// The fragment of a link, without `#`.
#[must_use]
pub fn fragment_from_link(link: &Link) -> String {
    let mut fragment = match &link.place {
        Place::Inside(bytes) => format!("t={}", URL_SAFE_NO_PAD.encode(bytes)),
        Place::Url(url) => format!("trace={}", encoded(url)),
    };
    if let Some(at) = link.at {
        fragment.push_str(&format!("&at={at}"));
    }
    if let Place::Inside(bytes) = &link.place
        && let Some(version) = machine_version(bytes)
    {
        fragment.push_str(&format!("&v={version}"));
    }
    if link.view != View::default() {
        // Plain values always have a text.
        let view = serde_json::to_vec(&link.view).unwrap_or_default();
        fragment.push_str(&format!("&view={}", URL_SAFE_NO_PAD.encode(view)));
    }
    fragment
}

/// The version of the machine that a trace, packed or not, was recorded on.
fn machine_version(trace: &[u8]) -> Option<u32> {
    if let Some(packed) = trace.strip_prefix(PACKED_MAGIC) {
        let version = packed.first().filter(|byte| **byte < VERSION_BYTE_END);
        return version.copied().map(u32::from);
    }
    let version = trace.get(VERSION_AT)?.try_into().ok()?;
    Some(u32::from_le_bytes(version))
}

/// Where an address leads, seen from a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Destination {
    /// To the page's own site.
    Own,
    /// To another, by its scheme, host and port: the person is asked before anything is fetched.
    Other(String),
    /// To nothing that can be fetched.
    Nowhere,
}

/// Where a link's address leads. Whatever is not certainly below the page's own address counts as another's.
#[must_use]
pub fn destination(url: &str, site_url: &str) -> Destination {
    let is_plain = |character: char| character.is_ascii_graphic() && character != '\\';
    if url.is_empty() || !url.chars().all(is_plain) {
        return Destination::Nowhere;
    }
    if url.starts_with("//") {
        let scheme = site_url.split("//").next().unwrap_or("https:");
        return destination(&format!("{scheme}{url}"), site_url);
    }
    let scheme_len = url
        .find(':')
        .filter(|at| !url[..*at].contains(['/', '?', '#']));
    let Some(scheme_len) = scheme_len else {
        return Destination::Own;
    };
    let scheme = url[..scheme_len].to_ascii_lowercase();
    let Some(rest) = url[scheme_len..].strip_prefix("://") else {
        return Destination::Nowhere;
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if !["http", "https"].contains(&scheme.as_str()) || host.is_empty() {
        return Destination::Nowhere;
    }
    let origin = format!("{scheme}://{}", host.to_ascii_lowercase());
    match site_url.to_ascii_lowercase().strip_prefix(&origin) {
        Some(path) if path.is_empty() || path.starts_with('/') => Destination::Own,
        _ => Destination::Other(origin),
    }
}

/// Whether a page's address is one that this computer alone can open.
#[must_use]
pub fn is_on_this_computer(site_url: &str) -> bool {
    let host = site_url.split_once("://").map(|(_, rest)| rest);
    let host = host.and_then(|rest| rest.split(['/', '?', '#']).next());
    host.is_some_and(|host| {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        ["127.0.0.1", "localhost", "[::1]"].contains(&name)
    })
}

/// A parameter's text: percent signs and two digits stand for a byte.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let byte = match (first, tail) {
            (b'%', [high, low, ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).ok();
                digits.and_then(|digits| u8::from_str_radix(digits, 16).ok())
            }
            _ => None,
        };
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An address as a parameter: what separates parameters is encoded, the rest stays readable.
fn encoded(url: &str) -> String {
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
    fn links_say_which_machine_replays_them() {
        let link = |bytes: &[u8]| Link {
            place: Place::Inside(bytes.to_vec()),
            at: None,
            view: View::default(),
        };
        let file = b"\x89RPR\r\n\x1a\n\x01\0\0\0\x02\x01\0\0";
        for (bytes, expect) in [
            (&file[..], Some("258")),
            (b"\x89P\x07rest", Some("7")),
            (b"\x89P\xfb\xff\x00", None),
            (b"\x89P", None),
            (b"\x89RPR", None),
        ] {
            let fragment = fragment_from_link(&link(bytes));
            let version = fragment.split_once("&v=").map(|(_, version)| version);
            assert_eq!(version, expect, "{bytes:?}");
        }
    }

    #[test]
    fn addresses_of_this_computer_are_told_from_others() {
        for (site, is_here) in [
            ("http://127.0.0.1:7710/", true),
            ("http://localhost/page/", true),
            ("http://[::1]:80/", true),
            ("https://127.0.0.1.example/", false),
            ("https://here.example/127.0.0.1/", false),
            ("https://localhost.example:80/", false),
            ("", false),
        ] {
            assert_eq!(is_on_this_computer(site), is_here, "{site}");
        }
    }

    #[test]
    fn a_link_shows_no_more_expressions_than_a_person_can_add() {
        let mut expressions = vec!["x".repeat(EXPRESSION_BYTES_MAX + 1)];
        expressions.extend((0..1000).map(|number| format!("a{number}")));
        let view = View {
            shown: Some(Shown {
                expressions,
                ..Shown::default()
            }),
            ..View::default()
        };
        let fragment = fragment_from_link(&Link {
            place: Place::Url("a.rpt".to_owned()),
            at: None,
            view,
        });
        let link = link_from_fragment(&fragment).expect("a link").expect("one");
        let shown = link.view.shown.expect("what is shown");
        assert_eq!(shown.expressions.len(), EXPRESSIONS_MAX);
        assert_eq!(shown.expressions[0], "a0");
    }

    #[test]
    fn links_go_through_their_text() {
        let view = View {
            marks: vec![Mark {
                icount: 5,
                note: "here ünd \"there\"".to_owned(),
            }],
            layout: Some("h(Terminal,Timeline)".to_owned()),
            thread: Some(Thread::Task(7)),
            frame: 2,
            shown: Some(Shown {
                memory: 0x1000,
                ..Shown::default()
            }),
        };
        for (place, view) in [
            (Place::Inside((0..=255).collect()), View::default()),
            (
                Place::Url("https://a.example/b%20c.rpt?d=1&e#f".to_owned()),
                view,
            ),
        ] {
            let link = Link {
                place,
                at: Some(12),
                view,
            };
            let fragment = fragment_from_link(&link);
            assert_eq!(link_from_fragment(&fragment), Ok(Some(link)), "{fragment}");
        }
        assert_eq!(link_from_fragment(""), Ok(None));
    }

    #[test]
    fn hostile_fragments_are_refused_or_lose_what_is_wrong() {
        assert!(link_from_fragment("t=%%%").is_err());
        assert!(link_from_fragment("t=AA&at=x").is_err());
        assert!(link_from_fragment(&"x".repeat(FRAGMENT_BYTES_MAX + 1)).is_err());
        let bad_views = [
            "!",
            "AAAA",
            &URL_SAFE_NO_PAD.encode(b"{\"m\":3}"),
            &"A".repeat(VIEW_BYTES_MAX + 4),
        ];
        for view in bad_views {
            let link = link_from_fragment(&format!("trace=a.rpt&view={view}"));
            let expect = Link {
                place: Place::Url("a.rpt".to_owned()),
                at: None,
                view: View::default(),
            };
            assert_eq!(link, Ok(Some(expect)));
        }
        assert_eq!(decoded("%"), "%");
        assert_eq!(decoded("%4"), "%4");
        assert_eq!(decoded("%zz%41"), "%zzA");
    }

    #[test]
    fn only_the_own_site_is_fetched_from_without_asking() {
        let site = "https://here.example/reprise/";
        let other = |origin: &str| Destination::Other(origin.to_owned());
        for (url, expect) in [
            ("traces/a.rpt", Destination::Own),
            ("/a.rpt", Destination::Own),
            ("./a:b.rpt", Destination::Own),
            ("https://here.example/x", Destination::Own),
            ("https://here.example", Destination::Own),
            (
                "https://here.example.evil/x",
                other("https://here.example.evil"),
            ),
            (
                "https://here.example@evil/x",
                other("https://here.example@evil"),
            ),
            ("http://here.example/x", other("http://here.example")),
            ("//evil/x", other("https://evil")),
            ("\\\\evil/x", Destination::Nowhere),
            ("https:\\\\evil/x", Destination::Nowhere),
            ("https:evil", Destination::Nowhere),
            ("javascript:alert(1)", Destination::Nowhere),
            ("data:text/plain,a", Destination::Nowhere),
            ("file:///etc/passwd", Destination::Nowhere),
            (" https://evil", Destination::Nowhere),
            ("ht\ntps://evil", Destination::Nowhere),
            ("", Destination::Nowhere),
        ] {
            assert_eq!(destination(url, site), expect, "{url:?}");
        }
    }
}
