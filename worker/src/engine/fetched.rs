//! What a guest fetched, as annotations of a trace, so that a replay can list it. FORMAT.md says what they hold.

use crate::protocol::{FetchNews, FetchStage};
use reprise_traces::Record;
use serde::{Deserialize, Serialize};

/// Key of the annotations.
const KEY: &str = "fetch";

/// Annotations that are written, and that are read of a trace: a list that is longer is no help.
pub(super) const ANNOTATIONS_MAX: usize = 30_000;

/// Bytes of one that is read: the longest URL fits.
const BYTES_MAX: usize = 64 << 10;

/// Bytes of the texts of all that are written, and that are read.
pub(super) const TEXT_BYTES_MAX: usize = 8 << 20;

/// Bytes of the texts of one.
pub(super) fn text_bytes(news: &FetchNews) -> usize {
    match &news.stage {
        FetchStage::Begun { method, url } => method.len() + url.len(),
        FetchStage::Answered { .. } => 0,
        FetchStage::Ended { failure, .. } => failure.as_ref().map_or(0, String::len),
    }
}

/// The value, as JSON.
#[derive(Serialize, Deserialize)]
struct Value {
    number: u32,
    nanoseconds: u64,
    #[serde(flatten)]
    stage: Stage,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "lowercase")]
enum Stage {
    Begun {
        method: String,
        url: String,
    },
    Answered {
        status: u16,
    },
    Ended {
        byte_len: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
    },
}

/// The annotation that tells of a fetch.
pub(super) fn annotation_from_news(news: &FetchNews) -> Record {
    let stage = match news.stage.clone() {
        FetchStage::Begun { method, url } => Stage::Begun { method, url },
        FetchStage::Answered { status } => Stage::Answered { status },
        FetchStage::Ended { byte_len, failure } => Stage::Ended { byte_len, failure },
    };
    let value = Value {
        number: news.number,
        nanoseconds: news.nanoseconds,
        stage,
    };
    Record::Annotation {
        icount: news.icount,
        key: KEY.to_owned(),
        // Numbers and texts always have an encoding.
        value: serde_json::to_vec(&value).unwrap_or_default(),
    }
}

/// What an annotation tells of a fetch; none for any other, and for what makes no sense.
pub(super) fn news_from_annotation(record: &Record) -> Option<FetchNews> {
    let Record::Annotation { icount, key, value } = record else {
        return None;
    };
    if key != KEY || value.len() > BYTES_MAX {
        return None;
    }
    let value: Value = serde_json::from_slice(value).ok()?;
    Some(FetchNews {
        number: value.number,
        icount: *icount,
        nanoseconds: value.nanoseconds,
        stage: match value.stage {
            Stage::Begun { method, url } => FetchStage::Begun { method, url },
            Stage::Answered { status } => FetchStage::Answered { status },
            Stage::Ended { byte_len, failure } => FetchStage::Ended { byte_len, failure },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_again() {
        let stages = [
            FetchStage::Begun {
                method: "GET".to_owned(),
                url: "http://example.org/\"".to_owned(),
            },
            FetchStage::Answered { status: 200 },
            FetchStage::Ended {
                byte_len: 12,
                failure: None,
            },
            FetchStage::Ended {
                byte_len: 0,
                failure: Some("Failed to fetch.".to_owned()),
            },
        ];
        for stage in stages {
            let news = FetchNews {
                number: 3,
                icount: 1000,
                nanoseconds: 64,
                stage,
            };
            assert_eq!(
                news_from_annotation(&annotation_from_news(&news)),
                Some(news)
            );
        }
        let noted = |key: &str, value: &str| Record::Annotation {
            icount: 1,
            key: key.to_owned(),
            value: value.as_bytes().to_vec(),
        };
        let good = r#"{"number":1,"nanoseconds":2,"stage":"answered","status":200}"#;
        assert!(news_from_annotation(&noted("fetch", good)).is_some());
        assert!(news_from_annotation(&noted("other", good)).is_none());
        let begun = FetchNews {
            number: 1,
            icount: 1,
            nanoseconds: 1,
            stage: FetchStage::Begun {
                method: "GET".to_owned(),
                url: "http://a/".to_owned(),
            },
        };
        assert_eq!(text_bytes(&begun), 12);
        for bad in ["", "{}", "[1]", &good[..20], &good.replace("200", "99999")] {
            assert!(
                news_from_annotation(&noted("fetch", bad)).is_none(),
                "{bad}"
            );
        }
        let long = format!("{good}{}", " ".repeat(BYTES_MAX));
        assert!(news_from_annotation(&noted("fetch", &long)).is_none());
    }
}
