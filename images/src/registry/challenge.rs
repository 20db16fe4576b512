//! What a server wants to know of who asks: the `WWW-Authenticate` header (RFC 9110 11.6.1).

/// Challenges and parameters that are looked at.
const PARTS_MAX: usize = 64;

/// One way in which a server lets itself be told who asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// Reads all challenges of all such headers; what is none is passed over.
    pub(super) fn parse_all(headers: &[&str]) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for header in headers {
            let mut rest = *header;
            for _ in 0..PARTS_MAX {
                rest = rest.trim_start_matches([' ', '\t', ',']);
                if rest.is_empty() {
                    break;
                }
                let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                let after = after.trim_start_matches([' ', '\t']);
                match (after.strip_prefix('='), found.last_mut()) {
                    (Some(value), Some(challenge)) => {
                        let (value, next) = value_of(value.trim_start_matches([' ', '\t']));
                        challenge
                            .parameters
                            .push((word.to_ascii_lowercase(), value));
                        rest = next;
                    }
                    (Some(value), None) => rest = value_of(value).1,
                    (None, _) => {
                        found.push(Self {
                            scheme: word.to_ascii_lowercase(),
                            parameters: Vec::new(),
                        });
                        rest = after;
                    }
                }
            }
        }
        found
    }

    pub(super) fn is(&self, scheme: &str) -> bool {
        self.scheme == scheme
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let mut named = self.parameters.iter().filter(|(found, _)| found == name);
        named.next().map(|(_, value)| &value[..])
    }
}

/// A token or quoted string (RFC 9110 5.6.2, 5.6.4), and what comes after it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(letters.next().map(|(_, escaped)| escaped)),
            letter => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[&str], expected: &[(&str, &[(&str, &str)])]) {
        let owned = |parameters: &[(&str, &str)]| {
            let pairs = parameters.iter();
            pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let expected: Vec<Challenge> = expected
            .iter()
            .map(|(scheme, parameters)| Challenge {
                scheme: (*scheme).to_owned(),
                parameters: owned(parameters),
            })
            .collect();
        assert_eq!(Challenge::parse_all(headers), expected, "{headers:?}");
    }

    #[test]
    fn challenges_are_read() {
        check(&[], &[]);
        check(&["Basic realm=x"], &[("basic", &[("realm", "x")])]);
        check(
            &[r#"Bearer realm="https://a.test/t",service = "s", scope="repository:a/b:pull,push""#],
            &[(
                "bearer",
                &[
                    ("realm", "https://a.test/t"),
                    ("service", "s"),
                    ("scope", "repository:a/b:pull,push"),
                ],
            )],
        );
        check(
            &["Negotiate, Basic realm=\"a \\\"b\\\"\"", "BEARER Realm=x"],
            &[
                ("negotiate", &[]),
                ("basic", &[("realm", "a \"b\"")]),
                ("bearer", &[("realm", "x")]),
            ],
        );
    }

    #[test]
    fn what_is_no_challenge_ends() {
        for text in [
            "=",
            "==,=",
            "\"",
            "a=\"",
            "a=\"\\",
            ",,,",
            "Basic =",
            "\u{e4} = \u{e4}\"\\\u{e4}",
        ] {
            Challenge::parse_all(&[text]);
        }
        let many = "a b=c,".repeat(10_000);
        assert!(Challenge::parse_all(&[&many]).len() <= PARTS_MAX);
    }
}
