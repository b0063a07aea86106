//! What an examination found, for people and for programs.
//!
//! In scope: the findings, their spelling as JSON and as lines.
//! Out of scope: finding them (`examine`).

use openexec_core::digest::Digest;
use openexec_core::registry::Description;
use serde::{Deserialize, Serialize};

/// All that was found of one component.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// SHA-256 of the bytes that were examined.
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
    pub(crate) findings: Vec<Finding>,
    /// What the handler says of itself, if it could be asked.
    pub(crate) description: Option<Said>,
    /// What it takes of the pool.
    pub(crate) needs: Vec<OfPool>,
    /// What came of the made-up payloads.
    pub(crate) runs: Vec<Tried>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Finding {
    pub(crate) check: String,
    pub(crate) verdict: Weight,
    pub(crate) found: String,
    /// What to do about it.
    pub(crate) fix: Option<String>,
}

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Weight {
    /// As it must be.
    Ok,
    /// Worth knowing; it can be pinned.
    Note,
    /// It cannot be pinned.
    Problem,
}

/// A description, spelled as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Said {
    pub(crate) title: String,
    pub(crate) summary: String,
    pub(crate) payload_schema: String,
    pub(crate) output_schema: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OfPool {
    pub(crate) what: String,
    pub(crate) needed: u64,
    pub(crate) allowed: u64,
}

/// One made-up payload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Tried {
    pub(crate) payload: String,
    pub(crate) outcome: String,
    pub(crate) fuel: u64,
    pub(crate) memory_bytes: u64,
    /// Whether the second run gave the same, fuel included.
    pub(crate) repeated: bool,
}

impl Report {
    /// Nothing found yet.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self {
            sha256: Digest::of(bytes).to_string(),
            bytes: bytes.len() as u64,
            findings: Vec::new(),
            description: None,
            needs: Vec::new(),
            runs: Vec::new(),
        }
    }

    pub(crate) fn ok(&mut self, check: &str, found: impl Into<String>) {
        self.add(check, Weight::Ok, found.into(), None);
    }

    pub(crate) fn note(&mut self, check: &str, found: impl Into<String>, fix: impl Into<String>) {
        self.add(check, Weight::Note, found.into(), Some(fix.into()));
    }

    pub(crate) fn problem(&mut self, check: &str, found: impl Into<String>, fix: impl Into<String>) {
        self.add(check, Weight::Problem, found.into(), Some(fix.into()));
    }

    fn add(&mut self, check: &str, verdict: Weight, found: String, fix: Option<String>) {
        self.findings.push(Finding { check: check.to_owned(), verdict, found, fix });
    }

    /// Whether it can be pinned.
    pub(crate) fn is_acceptable(&self) -> bool {
        self.findings.iter().all(|finding| finding.verdict != Weight::Problem)
    }

    /// A line for each finding of at least this weight, and one for what to do about it.
    pub(crate) fn lines(&self, least: Weight) -> Vec<String> {
        let weighs = |finding: &&Finding| finding.verdict as u8 >= least as u8;
        let mut lines = Vec::new();
        for finding in self.findings.iter().filter(weighs) {
            let word = match finding.verdict {
                Weight::Ok => "ok",
                Weight::Note => "note",
                Weight::Problem => "PROBLEM",
            };
            lines.push(format!("  {word:<8} {:<12} {}", finding.check, plain(&finding.found)));
            lines.extend(finding.fix.iter().map(|fix| format!("  {:<8} {:<12} fix: {}", "", "", plain(fix))));
        }
        lines
    }
}

impl From<Description> for Said {
    fn from(description: Description) -> Self {
        let Description { title, summary, payload_schema, output_schema } = description;
        Self { title, summary, payload_schema, output_schema }
    }
}

impl Said {
    /// Its parts, by their keys in the registry.
    pub(crate) fn parts(&self) -> [(&'static str, &str); 4] {
        [
            ("title", &self.title),
            ("summary", &self.summary),
            ("payload_schema", &self.payload_schema),
            ("output_schema", &self.output_schema),
        ]
    }
}

/// On one line: what others wrote cannot move the cursor or hide.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}
