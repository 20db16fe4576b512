//! Pages for the guest where the browser hands over nothing.

use crate::network::http::HttpEnd;

/// Names of headers that a page lists.
const NAMES_MAX: usize = 20;

/// What is known of a fetch, should it fail.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) url: String,
    /// The client shows pages to a person.
    pub(super) accepts_html: bool,
    /// Names of headers for which the server's leave is needed.
    pub(super) asks_for: Vec<String>,
    /// A redirect is followed.
    pub(super) follows_redirects: bool,
}

impl Failure {
    /// Explains that a fetch failed, for the reason that the browser gave.
    pub(super) fn answer(&self, http: &mut HttpEnd, sentence: &str) {
        let url = &self.url;
        let first = format!("The browser did not hand over {url}: {sentence}");
        let mut reasons = vec![
            "The server cannot be reached, or there is no server of that name.".to_owned(),
            "The server does not let pages of other sites read it. It would have to send the header \
             `Access-Control-Allow-Origin: *` (CORS)."
                .to_owned(),
        ];
        if url.starts_with("http:") {
            reasons.push(
                "If the page was loaded by HTTPS, it may not load what comes by HTTP (mixed content), and what is asked for at \
                 port 80 is asked for by HTTPS."
                    .to_owned(),
            );
        }
        if !self.follows_redirects {
            reasons.push(
                "The server redirects. A request with a body or headers of its own is not sent on to wherever that leads: ask \
                 there."
                    .to_owned(),
            );
        }
        if !self.asks_for.is_empty() {
            let names = &self.asks_for[..self.asks_for.len().min(NAMES_MAX)];
            reasons.push(format!(
                "The request has headers for which the browser asks the server first: {}. The server would have to answer \
                 OPTIONS with these in `Access-Control-Allow-Headers`.",
                names.join(", ")
            ));
        }
        reasons.push(
            "The person has forbidden it, or an extension of the browser's has. The browser's console says more."
                .to_owned(),
        );
        let second = "This machine runs in a page, and reaches what the browser lets that page read. Which of these it was, a page is \
                      not told:";
        let (kind, body) = match self.accepts_html {
            true => ("text/html", html(&first, second, &reasons)),
            false => ("text/plain", text(&first, second, &reasons)),
        };
        answer(http, (502, "The browser refused (see CORS)"), kind, &body);
    }
}

/// Refuses a method that no page may use.
pub(super) fn answer_method(http: &mut HttpEnd, method: &str) {
    let body = format!("A page cannot send requests with the method {method}.\n");
    answer(http, (501, "Not Implemented"), "text/plain", &body);
}

/// Refuses a request that is about nothing, for a reason in a sentence.
pub(super) fn answer_bad(http: &mut HttpEnd, reason: &str) {
    answer(
        http,
        (400, "Bad Request"),
        "text/plain",
        &format!("{reason}\n"),
    );
}

fn answer(http: &mut HttpEnd, status: (u16, &str), kind: &str, body: &str) {
    let kind = format!("{kind}; charset=utf-8");
    let headers = [
        ("Content-Type".to_owned(), kind),
        ("Cache-Control".to_owned(), "no-store".to_owned()),
    ];
    http.answer(status, &headers, body.as_bytes());
}

fn text(first: &str, second: &str, reasons: &[String]) -> String {
    let mut text = format!("{first}\n\n{second}\n\n");
    for reason in reasons {
        text += &format!("- {reason}\n");
    }
    text
}

fn html(first: &str, second: &str, reasons: &[String]) -> String {
    let mut html = format!(
        "<!doctype html>\n<title>The browser refused</title>\n<h1>The browser refused</h1>\n<p>{}\n<p>{}\n<ul>\n",
        escaped(first),
        escaped(second)
    );
    for reason in reasons {
        html += &format!("<li>{}\n", escaped(reason));
    }
    html + "</ul>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
