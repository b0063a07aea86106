//! The log, over HTTP: the one place of the project that opens a connection to somebody else.
//!
//! In scope: three requests (checkpoint, tile, cosignature), each bounded in time and size.
//! Out of scope: believing anything that was answered (`witness`).
//!
//! Invariants
//! - One origin is spoken to, the configured one: redirects are not followed, proxies and variables are not asked.
//! - A connection that cannot be made, a slow, oversized or malformed answer is an error, and never evidence.

use std::time::Duration;

use openexec_core::digest::Digest;
use openexec_core::limits::NOTE_BYTES_MAX;
use openexec_core::log::checkpoint::SignedCheckpoint;
use openexec_core::log::prove::Tiles;
use openexec_core::log::tile::{self, TILE_WIDTH, TileId};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Time for one request: names, connection, TLS, the whole answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest head of an answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a complete tile.
const TILE_BYTES_MAX: usize = TILE_WIDTH as usize * 32;

/// Largest answer to a cosignature that is read, to reuse the connection. It says nothing that is needed.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Where a log is: `http://` or `https://`, a host, perhaps a port and a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogUrl(String);

/// The text is not where a log can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a log's URL is http:// or https://, a host, and perhaps a port and a path, without user, query or fragment")]
pub struct LogUrlSpelling;

/// Why the log did not answer as a log does.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// No answer, or none in time.
    #[error("{path}: no answer: {cause}")]
    Unreachable {
        /// What was asked for.
        path: String,
        /// What went wrong.
        cause: String,
    },
    /// Another status than 200.
    #[error("{path}: answered with status {status}")]
    Status {
        /// What was asked for.
        path: String,
        /// The status.
        status: u16,
    },
    /// More than such an answer can have.
    #[error("{path}: the answer has more than {bytes_max} bytes")]
    TooLarge {
        /// What was asked for.
        path: String,
        /// The most it can have.
        bytes_max: usize,
    },
    /// Not text.
    #[error("{path}: the answer is not text in UTF-8")]
    NotText {
        /// What was asked for.
        path: String,
    },
    /// Not the hashes of the tile.
    #[error("{0}: the answer is not as many hashes as the tile has")]
    Tile(TileId),
    /// The authority for TLS cannot be read.
    #[error("not a certificate in PEM: {0}")]
    Certificate(String),
}

/// What the log said to a cosignature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// It has it.
    Accepted,
    /// It does not want it, and sending it again would change nothing.
    Refused {
        /// The status.
        status: u16,
    },
}

/// The log.
#[derive(Clone, Debug)]
pub struct RemoteLog {
    url: LogUrl,
    agent: ureq::Agent,
}

impl LogUrl {
    /// Reads a URL. A slash at the end makes no difference.
    ///
    /// # Errors
    /// `LogUrlSpelling`.
    pub fn parse(text: &str) -> Result<Self, LogUrlSpelling> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or(LogUrlSpelling)?;
        let plain = rest.bytes().all(|b| b.is_ascii_graphic() && !b"@?#\\\"<>".contains(&b));
        let has_host = !rest.is_empty() && !rest.starts_with(['/', ':']);
        match plain && has_host {
            true => Ok(Self(text.trim_end_matches('/').to_owned())),
            false => Err(LogUrlSpelling),
        }
    }
}

impl RemoteLog {
    /// The log at this URL. Its TLS certificate must be by the public authorities, or by this one (PEM) alone.
    ///
    /// # Errors
    /// `RemoteError::Certificate`.
    pub fn new(url: LogUrl, authority: Option<&str>) -> Result<Self, RemoteError> {
        let roots = match authority {
            None => RootCerts::WebPki,
            Some(pem) => {
                let certificate = Certificate::from_pem(pem.as_bytes());
                let certificate = certificate.map_err(|error| RemoteError::Certificate(error.to_string()))?;
                RootCerts::new_with_certs(&[certificate])
            }
        };
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(REQUEST_TIMEOUT))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .http_status_as_error(false)
            .max_response_header_size(HEAD_BYTES_MAX)
            .user_agent("openexec-witness")
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build();
        Ok(Self { url, agent: config.new_agent() })
    }

    /// The text that the log shows as its latest checkpoint.
    ///
    /// # Errors
    /// `RemoteError`.
    pub fn checkpoint(&self) -> Result<String, RemoteError> {
        let path = "/log/checkpoint";
        String::from_utf8(self.get(path, NOTE_BYTES_MAX)?).map_err(|_| RemoteError::NotText { path: path.to_owned() })
    }

    /// Hands a checkpoint with its cosignature to the log.
    ///
    /// # Errors
    /// `RemoteError` when it is worth trying again.
    pub fn post(&self, note: &SignedCheckpoint) -> Result<Posted, RemoteError> {
        let path = "/log/cosignatures";
        let request = self.agent.post(self.address(path)).content_type("text/plain; charset=utf-8");
        let mut response = request.send(note.to_string()).map_err(|error| unreachable(path, &error))?;
        // Read for the connection's sake only.
        let _ = read(path, response.body_mut(), ANSWER_BYTES_MAX);
        match response.status().as_u16() {
            200 | 204 => Ok(Posted::Accepted),
            status @ (408 | 425 | 429) => Err(RemoteError::Status { path: path.to_owned(), status }),
            status @ 400..=499 => Ok(Posted::Refused { status }),
            status => Err(RemoteError::Status { path: path.to_owned(), status }),
        }
    }

    fn get(&self, path: &str, bytes_max: usize) -> Result<Vec<u8>, RemoteError> {
        let mut response = self.agent.get(self.address(path)).call().map_err(|error| unreachable(path, &error))?;
        match response.status().as_u16() {
            200 => read(path, response.body_mut(), bytes_max),
            status => Err(RemoteError::Status { path: path.to_owned(), status }),
        }
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.url.0)
    }
}

impl Tiles for RemoteLog {
    type Error = RemoteError;

    fn tile(&self, id: TileId) -> Result<Vec<Digest>, RemoteError> {
        let found = self.get(&format!("/log/{id}"), TILE_BYTES_MAX);
        let is_gone = matches!(found, Err(RemoteError::Status { status: 404, .. })) && !id.is_complete();
        // A log may drop a partial tile once the complete one is there (tlog-tiles).
        let (bytes, read_as) = match TileId::new(id.level(), id.index(), TILE_WIDTH).filter(|_| is_gone) {
            Some(complete) => (self.get(&format!("/log/{complete}"), TILE_BYTES_MAX)?, complete),
            None => (found?, id),
        };
        let mut hashes = tile::parse_hashes(&bytes, read_as.width()).ok_or(RemoteError::Tile(read_as))?;
        hashes.truncate(id.width().into());
        Ok(hashes)
    }
}

fn read(path: &str, body: &mut ureq::Body, bytes_max: usize) -> Result<Vec<u8>, RemoteError> {
    // One byte more than there may be: a limit of exactly that would refuse what just fits.
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let too_large = || RemoteError::TooLarge { path: path.to_owned(), bytes_max };
    match body.with_config().limit(limit).read_to_vec() {
        Ok(bytes) if bytes.len() <= bytes_max => Ok(bytes),
        Ok(_) | Err(ureq::Error::BodyExceedsLimit(_)) => Err(too_large()),
        Err(error) => Err(unreachable(path, &error)),
    }
}

fn unreachable(path: &str, error: &ureq::Error) -> RemoteError {
    RemoteError::Unreachable { path: path.to_owned(), cause: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_where_a_plain_url_says() {
        for (text, url) in [
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
            ("https://log.example/", "https://log.example"),
            ("https://log.example:8443/below/", "https://log.example:8443/below"),
        ] {
            assert_eq!(LogUrl::parse(text), Ok(LogUrl(url.to_owned())), "{text}");
        }
        for text in [
            "",
            "log.example",
            "ftp://log.example",
            "file:///etc/passwd",
            "http://",
            "http:///log",
            "http://:5000",
            "https://user@log.example",
            "https://user:secret@log.example",
            "https://log.example?x=1",
            "https://log.example#x",
            "https://log.example/a b",
            "https://log.example/\n",
            "HTTP://log.example",
        ] {
            assert_eq!(LogUrl::parse(text), Err(LogUrlSpelling), "{text}");
        }
    }
}
