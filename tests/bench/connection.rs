//! One keep-alive HTTP/1.1 connection to a host.
//!
//! In scope: resolving a URL once; posting a body and reading the whole answer.
//! Out of scope: deciding what to send and when (`load`); TLS.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::error::BenchError;

/// Set by a host that answers from an earlier execution instead of running the handler.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A host: where it listens and how to name it in requests.
#[derive(Debug)]
pub(crate) struct Target {
    authority: String,
    host: HeaderValue,
    address: SocketAddr,
    prefix: String,
    execute: Uri,
    ready: Uri,
}

impl Target {
    /// Parses `url` and looks its host up, once, so that no lookup is ever measured.
    pub(crate) async fn resolve(url: &str) -> Result<Self, BenchError> {
        let malformed = || BenchError::Url { url: url.to_owned() };
        let uri: Uri = url.parse().map_err(|_| malformed())?;
        let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(malformed());
        };
        let name = authority.host().trim_matches(['[', ']']);
        let unreachable = |source| BenchError::Connect { authority: authority.to_string(), source };
        let address = tokio::net::lookup_host((name, authority.port_u16().unwrap_or(80)))
            .await
            .map_err(unreachable)?
            .next()
            .ok_or_else(malformed)?;
        let prefix = uri.path().trim_end_matches('/');
        Ok(Self {
            authority: authority.to_string(),
            host: HeaderValue::from_str(authority.as_str()).map_err(|_| malformed())?,
            address,
            prefix: prefix.to_owned(),
            execute: format!("{prefix}/execute").parse().map_err(|_| malformed())?,
            ready: format!("{prefix}/ready").parse().map_err(|_| malformed())?,
        })
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) replayed: bool,
    pub(crate) body: Bytes,
}

/// An open connection. Requests on it follow one another.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    prefix: String,
    execute: Uri,
    ready: Uri,
}

impl Connection {
    /// Connects. Must run inside a `LocalSet`, where the connection lives until this value is dropped.
    pub(crate) async fn open(target: &Target) -> Result<Self, BenchError> {
        let refused = |source| BenchError::Connect { authority: target.authority.clone(), source };
        let stream = TcpStream::connect(target.address).await.map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|source| BenchError::Http { authority: target.authority.clone(), source })?;
        // An error of the driver also reaches the request in flight, where it is counted.
        tokio::task::spawn_local(driver);
        Ok(Self {
            sender,
            host: target.host.clone(),
            prefix: target.prefix.clone(),
            execute: target.execute.clone(),
            ready: target.ready.clone(),
        })
    }

    /// Waits until the connection can carry a request. An error says that the host has closed it.
    pub(crate) async fn idle(&mut self) -> Result<(), hyper::Error> {
        self.sender.ready().await
    }

    /// Asks for one execution.
    pub(crate) async fn post_execute(&mut self, body: Bytes) -> Result<Answer, hyper::Error> {
        self.send(Method::POST, self.execute.clone(), body).await
    }

    /// Asks whether the host is ready.
    pub(crate) async fn get_ready(&mut self) -> Result<Answer, hyper::Error> {
        self.send(Method::GET, self.ready.clone(), Bytes::new()).await
    }

    /// Asks for another path, which must be one.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Answer, hyper::Error> {
        let uri = format!("{}{path}", self.prefix).parse().unwrap_or_else(|_| self.ready.clone());
        self.send(Method::GET, uri, Bytes::new()).await
    }

    async fn send(&mut self, method: Method, uri: Uri, body: Bytes) -> Result<Answer, hyper::Error> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        request.headers_mut().insert(HOST, self.host.clone());
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        Ok(Answer {
            status: head.status,
            replayed: head.headers.contains_key(REPLAYED),
            body: body.collect().await?.to_bytes(),
        })
    }
}
