//! The guest's TLS, ended here: where what is behind the gateway is HTTP alone, the gateway has to be the server that the
//! guest's encrypted connections lead to.
//!
//! An [`Authority`] is made for one recording and never kept: it signs a certificate for each name that the guest asks for, and the guest
//! trusts it because its certificate is put into the guest's store ([`AUTHORITY_PATH`]). A [`TlsEnd`] is the server's side of one
//! connection.
//!
//! # Invariants
//! - No socket, clock or thread. Time is what the authority was made with; randomness is the host's (ring), so nothing here may be
//!   part of a replay, and nothing is: a recording logs the frames.
//! - What a guest can make it hold is bounded: some hundred certificates, and for each connection some 100 KiB.
//! - There is no resumption: tickets would need a clock, and save nothing that a person would notice.

mod authority;

pub use authority::{AUTHORITY_SUBJECT, Authority};

use rustls::ServerConnection;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use thiserror::Error;

/// The start's file with which the guest is handed an authority's certificate, as PEM (RFC 7468). `guest/init` puts it into
/// the guest's trust store, and makes no such file.
pub const AUTHORITY_PATH: &str = "/.reprise-authority";

/// Plaintext of the guest's that waits to be read.
const PLAINTEXT_BYTES_MAX: usize = 32 << 10;

/// Ciphertext for the guest that waits to be taken, beyond what is being written.
const CIPHERTEXT_BYTES_MAX: usize = 64 << 10;

/// Why a connection or an authority cannot be.
#[derive(Debug, Error)]
pub enum TlsError {
    /// There is no authority.
    #[error("no certificate authority can be made: {0}")]
    Authority(#[from] rcgen::Error),
    /// What the guest sent is not TLS, or none that this server speaks, or it said that it does not trust the certificate.
    #[error("the guest's TLS ended: {0}")]
    Guest(#[from] rustls::Error),
    /// More was handed over than there was room for.
    #[error("more of the guest's TLS came than there is room for")]
    TooMuch,
}

/// The server's side of one TLS connection (RFC 8446, RFC 5246), whose bytes the caller carries.
///
/// The caller hands over what the guest sent ([`take`](Self::take)), passes on what is for it
/// ([`next_ciphertext`](Self::next_ciphertext)), and between the two reads and writes plaintext.
#[derive(Debug)]
pub struct TlsEnd {
    connection: ServerConnection,
    /// What the guest has sent and nobody has read.
    plaintext: VecDeque<u8>,
    /// What is for the guest.
    ciphertext: VecDeque<u8>,
    /// The guest sends no more.
    is_read_out: bool,
    /// Nothing is taken or written any more: it was closed here, or the guest broke the protocol.
    is_closed: bool,
    /// How the guest broke the protocol.
    fault: Option<rustls::Error>,
}

impl TlsEnd {
    fn new(connection: ServerConnection) -> Self {
        Self {
            connection,
            plaintext: VecDeque::new(),
            ciphertext: VecDeque::new(),
            is_read_out: false,
            is_closed: false,
            fault: None,
        }
    }

    /// How many bytes [`take`](Self::take) takes. It is 0 until enough was read.
    #[must_use]
    pub fn room_to_take(&self) -> usize {
        PLAINTEXT_BYTES_MAX.saturating_sub(self.plaintext.len())
    }

    /// Takes what the guest sent, at most [`room_to_take`](Self::room_to_take) bytes; any cut is fine. What comes after the guest's
    /// close_notify is dropped (RFC 8446 6.1).
    ///
    /// # Errors
    /// When the guest breaks the protocol, or has done so before. What [`next_ciphertext`](Self::next_ciphertext) then has, an alert mostly, is to be sent before the
    /// connection is ended. What was sent before that is good.
    pub fn take(&mut self, ciphertext: &[u8]) -> Result<(), TlsError> {
        if ciphertext.len() > self.room_to_take() {
            return Err(TlsError::TooMuch);
        }
        if let Some(fault) = &self.fault {
            return Err(fault.clone().into());
        }
        let mut rest = ciphertext;
        while !rest.is_empty() && !self.is_read_out && !self.is_closed {
            let took = self.connection.read_tls(&mut rest);
            let state = match took {
                Ok(_) => self.connection.process_new_packets(),
                Err(_) => Err(rustls::Error::General("a message is too long".to_owned())),
            };
            self.collect();
            let state = state.inspect_err(|fault| {
                self.is_closed = true;
                self.fault = Some(fault.clone());
            })?;
            self.is_read_out = state.peer_has_closed();
            self.receive(state.plaintext_bytes_to_read());
        }
        Ok(())
    }

    /// The guest's next bytes, at most `bytes_max`.
    pub fn read(&mut self, bytes_max: usize) -> Vec<u8> {
        front(&mut self.plaintext, bytes_max)
    }

    /// Whether the guest has said that it sends no more, and all of it was read. A guest that ends its connection without
    /// saying so has been cut off, as far as TLS can tell.
    #[must_use]
    pub fn is_read_out(&self) -> bool {
        self.is_read_out && self.plaintext.is_empty()
    }

    /// How many bytes [`write`](Self::write) takes: none before the handshake is done.
    #[must_use]
    pub fn room(&self) -> usize {
        match self.is_closed || self.connection.is_handshaking() {
            true => 0,
            false => CIPHERTEXT_BYTES_MAX.saturating_sub(self.ciphertext.len()),
        }
    }

    /// Takes bytes for the guest: how many, which is fewer than given while what was written is not taken.
    pub fn write(&mut self, plaintext: &[u8]) -> usize {
        let bytes = plaintext.len().min(self.room());
        if bytes == 0 {
            return 0;
        }
        let written = self.connection.writer().write(&plaintext[..bytes]);
        self.collect();
        // It writes to memory, and refuses nothing.
        written.unwrap_or(0)
    }

    /// What is to be sent to the guest next, at most `bytes_max`.
    pub fn next_ciphertext(&mut self, bytes_max: usize) -> Vec<u8> {
        front(&mut self.ciphertext, bytes_max)
    }

    /// Whether there is something to be sent to the guest.
    #[must_use]
    pub fn has_ciphertext(&self) -> bool {
        !self.ciphertext.is_empty()
    }

    /// Tells the guest that nothing else comes (close_notify, RFC 8446 6.1); it is sent behind what was written.
    pub fn close(&mut self) {
        if !self.is_closed {
            self.is_closed = true;
            self.connection.send_close_notify();
            self.collect();
        }
    }

    /// The name that the guest asked for (SNI, RFC 6066 3), in lower case; `None` before it has said so, and if it does not.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.connection.server_name()
    }

    /// Takes what the connection has for the guest, so that its own buffers stay empty.
    fn collect(&mut self) {
        while self.connection.wants_write() {
            if self.connection.write_tls(&mut self.ciphertext).is_err() {
                // It writes to memory.
                break;
            }
        }
    }

    fn receive(&mut self, bytes: usize) {
        let mut plaintext = vec![0; bytes];
        let mut reader = self.connection.reader();
        if reader.read_exact(&mut plaintext).is_ok() {
            self.plaintext.extend(plaintext);
        }
    }
}

/// Takes at most so many bytes off the front.
fn front(from: &mut VecDeque<u8>, bytes_max: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(bytes_max.min(from.len()));
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    // It reads from memory.
    let _: io::Result<usize> = from.take(limit).read_to_end(&mut bytes);
    bytes
}

#[cfg(test)]
pub(super) mod tests;
