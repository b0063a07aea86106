//! Refusal receipts: the signed statement that an authentic approval was refused, and that nothing was done.
//!
//! In scope: what it says, its spelling, reading it back.
//! Out of scope: why a request is refused (`refusal`).
//!
//! Only whoever holds an authentic approval gets one; everybody else's attempts are counted and leave nothing. It is given
//! to the caller and kept nowhere: a refusal leaves no trace in the ledger. Its `predicateType` is its own, so that nobody
//! takes it for the receipt of an execution.

use super::STATEMENT_TYPE;
use super::statement::{SUBJECT, StatementError, mode_of, read_sha256, read_subject};
use crate::approval::ApprovalFacts;
use crate::digest::Digest;
use crate::json::{self, Fields};
use crate::names::{Action, Tenant};
use crate::request::ExecId;
use crate::time::Timestamp;

/// `predicateType` of a refusal receipt.
const PREDICATE_TYPE: &str = "urn:openexec:refusal:v2";

/// What was refused, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalReceipt {
    /// The id that the execution would have had.
    pub exec_id: ExecId,
    /// Identity of the request that was refused.
    pub fingerprint: Digest,
    /// On whose behalf the approval was given.
    pub tenant: Tenant,
    /// What was asked for.
    pub action: Action,
    /// SHA-256 of the nonce.
    pub nonce: Digest,
    /// The approval that was refused. Its signers are those that the host trusts, whether or not they were enough.
    pub approval: ApprovalFacts,
    /// The stable code of the refusal.
    pub code: String,
    /// What of the approval differs, where something does.
    pub member: Option<String>,
    /// When.
    pub refused_at: Timestamp,
}

impl RefusalReceipt {
    /// The statement, in its one spelling.
    #[must_use]
    pub fn spell(&self) -> String {
        let Self { exec_id, fingerprint, tenant, action, nonce, approval, code, member, refused_at } = self;
        format!(
            r#"{{"_type":"{STATEMENT_TYPE}","predicate":{{"action":{action},"approval":{approval_text},"code":{code},"exec_id":"{exec_id}","member":{member},"mode":"{mode}","nonce":{{"sha256":"{nonce}"}},"refused_at_ms":{refused_at},"tenant":{tenant}}},"predicateType":"{PREDICATE_TYPE}","subject":[{{"digest":{{"sha256":"{fingerprint}"}},"name":"{SUBJECT}"}}]}}"#,
            action = json::quoted(action.as_str()),
            approval_text = approval.spell(),
            code = json::quoted(code),
            member = member.as_deref().map_or_else(|| "null".to_owned(), json::quoted),
            mode = mode_of(Some(approval)),
            refused_at = refused_at.unix_ms(),
            tenant = json::quoted(tenant.as_str()),
        )
    }

    /// Reads a statement.
    ///
    /// # Errors
    /// `StatementError` for anything that `spell` does not write.
    pub fn parse(text: &str) -> Result<Self, StatementError> {
        let mut statement = Fields::of("the statement", json::read(text.as_bytes())?)?;
        let fingerprint = read_subject(&mut statement)?;
        let mut fields = statement.object("predicate")?;
        let receipt = Self {
            exec_id: ExecId::parse(&fields.text("exec_id")?)?,
            fingerprint,
            tenant: Tenant::parse(&fields.text("tenant")?)?,
            action: Action::parse(&fields.text("action")?)?,
            nonce: read_sha256(fields.object("nonce")?)?,
            approval: ApprovalFacts::read(fields.any("approval")?)?,
            code: fields.text("code")?,
            member: fields.nullable_text("member")?,
            refused_at: Timestamp::from_unix_ms(fields.count("refused_at_ms")?),
        };
        if receipt.spell() == text { Ok(receipt) } else { Err(StatementError::NotCanonical) }
    }
}
