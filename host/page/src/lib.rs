//! The verifier behind the page at `/verify`, as a WebAssembly module: a question in JSON in, a report in JSON out.
//!
//! In scope: answering one question (`report`), how it is spelled (`question`), and how its bytes get in and out
//! (`exports`).
//! Out of scope: verifying (`openexec-core`), asking and showing (`page.html`, `page.js`), serving (`openexec-server`).
//!
//! Invariants
//! - The module imports nothing: it reads no clock, asks nobody and keeps nothing.
//! - Every function is total: no input makes it trap.

mod exports;
mod question;

use openexec_core::evidence::Report;
use question::Question;

/// The report on one question, as the page asks it.
fn report(question: &str) -> String {
    match Question::parse(question) {
        Ok(Question { evidence, keys }) => evidence.verify(&keys, None).to_json(),
        Err(why) => Report::unreadable(&why),
    }
}

#[cfg(test)]
mod tests {
    use super::report;

    #[test]
    fn every_question_gets_a_report() {
        for question in ["", "{}", "{", "null", "\u{0}"] {
            assert!(report(question).starts_with(r#"{"verdict":"unreadable","#), "{question:?}");
        }
    }
}
