//! A document or blob on its way, which goes on where it broke off.

use super::{Fault, Registry};
use anyhow::anyhow;
use std::io::{self, ErrorKind, Read};
use std::thread;
use ureq::BodyReader;
use ureq::http::StatusCode;

/// Bytes that are read to be thrown away.
const SKIPPED_BYTES: usize = 64 << 10;

/// Reads what is at a URL of a registry. When the connection breaks off, [`ErrorKind::Interrupted`] says that the next read tries again.
pub(super) struct Download<'a> {
    registry: &'a Registry,
    url: String,
    accept: Option<&'static str>,
    /// How many bytes there must be; without it, what the server says is believed.
    bytes: Option<u64>,
    /// Of the next byte.
    position: u64,
    body: Option<BodyReader<'static>>,
    /// Tries that broke off.
    broken: u32,
}

impl<'a> Download<'a> {
    pub(super) fn new(
        registry: &'a Registry,
        url: String,
        accept: Option<&'static str>,
        bytes: Option<u64>,
    ) -> Self {
        Self {
            registry,
            url,
            accept,
            bytes,
            position: 0,
            body: None,
            broken: 0,
        }
    }

    /// Asks for what is missing.
    fn open(&self) -> Result<BodyReader<'static>, Fault> {
        let (registry, position) = (self.registry, self.position);
        if let Some(doublings) = self.broken.checked_sub(1) {
            thread::sleep(
                registry
                    .patience
                    .pause
                    .saturating_mul(1 << doublings.min(8)),
            );
        }
        let response = registry.ask(&self.url, self.accept, position)?;
        let range = response.headers().get("content-range");
        let range = range.and_then(|range| range.to_str().ok());
        let is_part = response.status() == StatusCode::PARTIAL_CONTENT;
        // RFC 9110 14.4.
        let is_rest = range.is_some_and(|range| range.starts_with(&format!("bytes {position}-")));
        if is_part && !is_rest {
            let host = registry.host();
            return Err(Fault::Final(anyhow!(
                "{host} gave another part of it than was asked for"
            )));
        }
        let mut body = response.into_body().into_reader();
        if !is_part {
            self.skip(&mut body)?;
        }
        Ok(body)
    }

    /// Reads over what was read before, for a server that has no parts. Whether that was the same is seen by the digest.
    fn skip(&self, body: &mut BodyReader<'static>) -> Result<(), Fault> {
        let mut left = self.position;
        let mut dropped = vec![0; if left > 0 { SKIPPED_BYTES } else { 0 }];
        while left > 0 {
            let piece = usize::try_from(left).map_or(dropped.len(), |left| left.min(dropped.len()));
            match body.read(&mut dropped[..piece]) {
                Ok(0) => return Err(Fault::Passing(self.cut_off())),
                Ok(length) => left -= length as u64,
                Err(error) => return Err(Fault::Passing(self.broke_off(&error))),
            }
        }
        Ok(())
    }

    fn cut_off(&self) -> String {
        format!("{} sent too little", self.registry.host())
    }

    fn broke_off(&self, error: &io::Error) -> String {
        format!(
            "the connection to {} broke off: {error}",
            self.registry.host()
        )
    }

    /// Counts a try that failed: the next read tries again, or there was one too many.
    fn broke(&mut self, reason: String) -> io::Error {
        self.body = None;
        self.broken += 1;
        if self.broken > self.registry.patience.tries {
            let tries = self.broken;
            return io::Error::other(format!("{reason}; it was tried {tries} times"));
        }
        self.registry.retries.borrow_mut().push(reason);
        io::Error::from(ErrorKind::Interrupted)
    }
}

impl Read for Download<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.bytes.map(|bytes| bytes - self.position);
        let room = left.and_then(|left| usize::try_from(left).ok());
        let room = room.map_or(into.len(), |room| room.min(into.len()));
        if room == 0 {
            return Ok(0);
        }
        let body = match &mut self.body {
            Some(body) => body,
            None => match self.open() {
                Ok(body) => self.body.insert(body),
                Err(Fault::Final(error)) => return Err(io::Error::other(format!("{error:#}"))),
                Err(Fault::Passing(reason)) => return Err(self.broke(reason)),
            },
        };
        match body.read(&mut into[..room]) {
            Ok(0) if left.is_some() => {
                let reason = self.cut_off();
                Err(self.broke(reason))
            }
            Ok(length) => {
                self.position += length as u64;
                Ok(length)
            }
            Err(error) => {
                let reason = self.broke_off(&error);
                Err(self.broke(reason))
            }
        }
    }
}
