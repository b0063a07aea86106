//! The page at `/verify`, where a person checks an evidence file in the browser.
//!
//! In scope: putting its parts (`host/page`) into one response, and the policy that the response puts the browser under.
//! Out of scope: what the page says, asks and shows, and every check: they run in the browser.
//!
//! Invariants
//! - The page is the same for everybody, and one response: it names nothing that a browser would load.
//! - The policy permits exactly the style and the script that are in the page, by their digests. The script holds the
//!   verifier, so its digest covers that too.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use openexec_core::digest::Digest;
use openexec_core::keys::encode_base64;

use super::problem::Problem;

const HTML: &str = include_str!("../../../page/page.html");
const STYLE: &str = include_str!("../../../page/page.css");
const SCRIPT: &str = include_str!("../../../page/page.js");
const VERIFIER: &[u8] = include_bytes!("../../../page/verify.wasm");

/// `None` could only be for want of a header that can be sent. Without its policy there is no page.
static PAGE: LazyLock<Option<Page>> = LazyLock::new(Page::assemble);

struct Page {
    html: Bytes,
    policy: HeaderValue,
    tag: HeaderValue,
}

impl Page {
    fn assemble() -> Option<Self> {
        let script = SCRIPT.replace("{{verifier}}", &encode_base64(VERIFIER));
        let html = HTML.replace("{{style}}", STYLE).replace("{{script}}", &script);
        // The verifier needs 'wasm-unsafe-eval', which permits compiling WebAssembly and no evaluation of text.
        let policy = format!(
            "default-src 'none'; script-src '{}' 'wasm-unsafe-eval'; style-src '{}'; img-src data:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
            source(&script),
            source(STYLE),
        );
        let tag = format!("\"{}\"", Digest::of(html.as_bytes()));
        Some(Self { html: html.into(), policy: policy.try_into().ok()?, tag: tag.try_into().ok()? })
    }
}

/// How a policy names an inline text.
fn source(text: &str) -> String {
    format!("sha256-{}", encode_base64(Digest::of(text.as_bytes()).as_bytes()))
}

/// The page, or 304 for a browser that has it.
pub(super) async fn page(headers: HeaderMap) -> Result<Response, Problem> {
    let page = PAGE.as_ref().ok_or(Problem::Internal)?;
    let mut response = if headers.get(header::IF_NONE_MATCH) == Some(&page.tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        ([(header::CONTENT_TYPE, html)], page.html.clone()).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, page.policy.clone());
    headers.insert(header::ETAG, page.tag.clone());
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache")); // kept, and asked for again each time
    Ok(response)
}
