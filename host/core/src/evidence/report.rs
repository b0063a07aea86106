//! What came of checking a bundle: a verdict for each aspect, one for all of them, and why.
//!
//! In scope: the closed sets of verdicts and aspects, the summary, the report as JSON.
//! Out of scope: the checks (`verify`).

use std::fmt;

use crate::json::quoted;
use crate::receipt::Receipt;

/// What is checked, each apart from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// A receipt key that is trusted signed the receipt.
    ReceiptSignature,
    /// Whoever had to has approved this very call.
    Approval,
    /// The receipt is about this very request.
    Request,
    /// Payload, result and effects are those that the receipt commits to.
    Openings,
    /// The receipt stands in a log.
    Inclusion,
    /// The log's key signed that log.
    LogSignature,
    /// Enough witnesses have seen that log.
    Cosignatures,
    /// The component does the same again.
    Reexecution,
}

impl Aspect {
    /// Every aspect, in the order of a report.
    pub const ALL: [Self; 8] = [
        Self::ReceiptSignature,
        Self::Approval,
        Self::Request,
        Self::Openings,
        Self::Inclusion,
        Self::LogSignature,
        Self::Cosignatures,
        Self::Reexecution,
    ];

    /// Its stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReceiptSignature => "receipt-signature",
            Self::Approval => "approval",
            Self::Request => "request",
            Self::Openings => "openings",
            Self::Inclusion => "inclusion",
            Self::LogSignature => "log-signature",
            Self::Cosignatures => "cosignatures",
            Self::Reexecution => "re-execution",
        }
    }

    /// Its name for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::ReceiptSignature => "Signature of the receipt",
            Self::Approval => "Approval",
            Self::Request => "Request",
            Self::Openings => "Payload, result and effects",
            Self::Inclusion => "Place in the log",
            Self::LogSignature => "Signature of the log",
            Self::Cosignatures => "Witnesses",
            Self::Reexecution => "Repeated run",
        }
    }

    /// Whether nothing is verified without it. The others only add to it.
    fn is_required(self) -> bool {
        match self {
            Self::ReceiptSignature | Self::Request | Self::Openings | Self::Inclusion | Self::LogSignature => true,
            Self::Approval | Self::Cosignatures | Self::Reexecution => false,
        }
    }
}

/// The verdict of one aspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// Nobody knows: something was not given.
    NotChecked,
    /// Nobody will ever know: the host has erased what it takes.
    Erased,
}

impl Verdict {
    /// The stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotChecked => "not-checked",
            Self::Erased => "erased",
        }
    }
}

/// The verdict of all aspects together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overall {
    /// Everything that must hold does, and so does everything else that was asked for.
    Verified,
    /// Something does not hold.
    Failed,
    /// Nothing failed, and not everything was checked.
    Incomplete,
}

impl Overall {
    /// The stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Failed => "failed",
            Self::Incomplete => "incomplete",
        }
    }
}

/// What was found about one aspect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which aspect.
    pub aspect: Aspect,
    /// Whether it holds.
    pub verdict: Verdict,
    /// Why, in a sentence.
    pub detail: String,
    /// Whether whoever asked has given what it takes, and so wants to know.
    pub(super) is_asked_for: bool,
}

/// What was found about a bundle.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// All of it in one word.
    pub overall: Overall,
    /// One finding for every aspect, in the order of `Aspect::ALL`.
    pub findings: Vec<Finding>,
    /// What the receipt says; `None` unless its signature verified.
    pub receipt: Option<Receipt>,
}

impl Report {
    pub(super) fn of(findings: Vec<Finding>, receipt: &Receipt) -> Self {
        let is_open = |finding: &Finding| {
            let is_needed = finding.aspect.is_required();
            match finding.verdict {
                Verdict::Pass => false,
                Verdict::Fail => true,
                Verdict::NotChecked => is_needed || finding.is_asked_for,
                Verdict::Erased => is_needed,
            }
        };
        let overall = match &findings {
            findings if findings.iter().any(|finding| finding.verdict == Verdict::Fail) => Overall::Failed,
            findings if findings.iter().any(is_open) => Overall::Incomplete,
            _ => Overall::Verified,
        };
        let is_signed = findings
            .iter()
            .any(|finding| finding.aspect == Aspect::ReceiptSignature && finding.verdict == Verdict::Pass);
        Self { overall, findings, receipt: is_signed.then(|| receipt.clone()) }
    }

    /// The verdict of one aspect.
    #[must_use]
    pub fn verdict_of(&self, aspect: Aspect) -> Option<Verdict> {
        self.findings.iter().find(|finding| finding.aspect == aspect).map(|finding| finding.verdict)
    }

    /// All of it in a sentence or two, for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let named = |wanted: &[Verdict]| {
            let of_these = |finding: &&Finding| wanted.contains(&finding.verdict);
            self.findings.iter().filter(of_these).map(|finding| finding.aspect.title()).collect::<Vec<_>>().join(", ")
        };
        let open = named(&[Verdict::NotChecked, Verdict::Erased]);
        let but = if open.is_empty() { String::new() } else { format!(" Not checked: {open}.") };
        match self.overall {
            Overall::Failed => format!("Do not rely on this. Failed: {}.", named(&[Verdict::Fail])),
            Overall::Incomplete => {
                format!("Nothing failed, but this is not verified: not everything could be checked.{but}")
            }
            Overall::Verified => match &self.receipt {
                Some(receipt) => format!("{}{but}", told(receipt)),
                None => but, // a report without a signed receipt is never verified
            },
        }
    }

    /// The report as JSON: `{"verdict", "summary", "execution", "aspects": [{"aspect", "title", "verdict", "detail"}]}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let execution = self.receipt.as_ref().map_or_else(|| "null".to_owned(), execution);
        let aspects: Vec<_> = self.findings.iter().map(Finding::to_json).collect();
        format!(
            r#"{{"verdict":"{}","summary":{},"execution":{execution},"aspects":[{}]}}"#,
            self.overall.as_str(),
            quoted(&self.summary()),
            aspects.join(","),
        )
    }

    /// The same for a document that is no evidence.
    #[must_use]
    pub fn unreadable(why: &dyn fmt::Display) -> String {
        let summary = quoted(&format!("Nothing was checked: {why}."));
        format!(r#"{{"verdict":"unreadable","summary":{summary},"execution":null,"aspects":[]}}"#)
    }
}

impl Finding {
    fn to_json(&self) -> String {
        format!(
            r#"{{"aspect":"{}","title":{},"verdict":"{}","detail":{}}}"#,
            self.aspect.as_str(),
            quoted(self.aspect.title()),
            self.verdict.as_str(),
            quoted(&self.detail),
        )
    }
}

/// What was done, in a sentence.
fn told(receipt: &Receipt) -> String {
    let by = if receipt.approval.is_some() { "with an approval" } else { "in demo mode, without any approval" };
    format!(
        "{} {} for tenant {} {by}, sealed {}, and its receipt stands in the log.",
        receipt.action.as_str(),
        receipt.outcome.as_str(),
        receipt.tenant.as_str(),
        receipt.sealed_at,
    )
}

fn execution(receipt: &Receipt) -> String {
    format!(
        r#"{{"exec_id":"{}","tenant":{},"action":{},"outcome":"{}","fault":{},"component":"{}","reserved_at":"{}","sealed_at":"{}"}}"#,
        receipt.exec_id,
        quoted(receipt.tenant.as_str()),
        quoted(receipt.action.as_str()),
        receipt.outcome.as_str(),
        receipt.fault.map_or_else(|| "null".to_owned(), |fault| format!("\"{fault}\"")),
        receipt.component,
        receipt.reserved_at,
        receipt.sealed_at,
    )
}
