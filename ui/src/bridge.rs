//! The connection to `reprise bridge`, by which a gdb on the person's computer debugs what the page shows.

use reprise_worker::protocol::RequestId;

/// Something that came over the connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BridgeEvent {
    /// It is there.
    Opened,
    /// The bridge says something: `gdb` or `gone`.
    Text(String),
    /// gdb says something.
    Bytes(Vec<u8>),
    /// It is there no more, or could not be made, and why.
    Closed(String),
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Stage {
    #[default]
    Off,
    Connecting,
    /// No gdb yet.
    Waiting,
    /// A gdb is there, and the engine has been asked to let it in.
    Attaching(RequestId),
    Attached,
}

/// The connection, as the page sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bridge {
    pub(crate) stage: Stage,
    /// What the person has pasted.
    pub(crate) code: String,
    /// What went wrong last, for the person.
    pub(crate) trouble: Option<String>,
    /// Where a run of gdb's has got to.
    pub(crate) runs_at: Option<u64>,
}

impl Bridge {
    /// Whether the position is gdb's.
    pub(crate) fn has_position(&self) -> bool {
        self.has_gdb()
    }

    /// Whether a gdb is there.
    pub(crate) fn has_gdb(&self) -> bool {
        matches!(self.stage, Stage::Attaching(_) | Stage::Attached)
    }

    /// In a few words.
    pub(crate) fn words(&self) -> &'static str {
        match self.stage {
            Stage::Off if self.trouble.is_some() => "failed",
            Stage::Off => "not connected",
            Stage::Connecting => "connecting",
            Stage::Waiting => "waiting for gdb",
            Stage::Attaching(_) | Stage::Attached if self.runs_at.is_some() => "gdb runs",
            Stage::Attaching(_) | Stage::Attached => "gdb attached",
        }
    }
}

/// The bridge's address from the code that it prints: its port, and a token of 32 hexadecimal digits. It is always on this
/// computer, whatever the code says.
pub(crate) fn address_from_code(code: &str) -> Result<String, &'static str> {
    let parts = code.trim().split_once('-');
    let parsed = parts.and_then(|(port, token)| {
        let is_token = token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit());
        let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
        is_token.then(|| format!("ws://127.0.0.1:{port}/{token}"))
    });
    parsed.ok_or("This is not a code: copy the line that `reprise bridge` prints, with its number and all its digits.")
}

/// What to type, for a page of this site.
pub(crate) fn command_for(site_url: &str) -> String {
    let origin: String = site_url
        .splitn(4, '/')
        .take(3)
        .collect::<Vec<_>>()
        .join("/");
    let is_host = |host: &str| {
        let rest = origin
            .strip_prefix("http://")
            .and_then(|rest| rest.strip_prefix(host));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    };
    if is_host("127.0.0.1") || is_host("localhost") {
        "reprise bridge".to_owned()
    } else {
        format!("reprise bridge --origin {origin}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lead_to_this_computer_alone() {
        let token = "0123456789abcdef0123456789ABCDEF";
        let address = address_from_code(&format!(" 7712-{token}\n"));
        assert_eq!(address, Ok(format!("ws://127.0.0.1:7712/{token}")));
        for code in [
            String::new(),
            token.to_owned(),
            format!("0-{token}"),
            format!("65536-{token}"),
            format!("7712-{token}0"),
            format!("evil.example:80-{token}"),
            format!("7712-/{}", &token[1..]),
        ] {
            assert!(address_from_code(&code).is_err(), "{code}");
        }
    }

    #[test]
    fn the_command_names_the_site_where_it_has_to() {
        for (site, command) in [
            ("http://127.0.0.1:7710/", "reprise bridge"),
            ("http://localhost/some/where/", "reprise bridge"),
            (
                "https://name.example/reprise/",
                "reprise bridge --origin https://name.example",
            ),
            (
                "http://localhost.example:80/",
                "reprise bridge --origin http://localhost.example:80",
            ),
        ] {
            assert_eq!(command_for(site), command, "{site}");
        }
    }
}
