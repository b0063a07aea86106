//! `openexec approval verify` and `inspect`.
//!
//! In scope: the very function that the host uses, with trust, request and time from the command line.
//! Out of scope: whether nonce and approval are unused; only the ledger of the host knows.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use openexec_core::approval::v2::Body;
use openexec_core::approval::{Approval, Call, VerifiedApproval};
use openexec_core::digest::Digest;
use openexec_core::keys::{KeyId, PublicKey};
use openexec_core::limits::LEGACY_LIFETIME_S_DEFAULT;
use openexec_core::names::{Audience, Tenant};
use openexec_core::refusal::Refusal;
use openexec_core::request::{Identity, Request};
use openexec_core::time::Timestamp;
use openexec_core::trust::{LegacyTrust, Trust, TrustFile};
use openexec_server::clock::{Clock, SystemClock};
use serde_json::json;

use super::{parse_approval, parse_request, read, words};
use crate::args::DEFAULT_AUDIENCE;
use crate::args::approval::{InspectOptions, VerifyOptions};
use crate::logging::say;

/// Shows what an approval says.
pub(crate) fn inspect(options: &InspectOptions) -> Result<ExitCode, Box<dyn Error>> {
    let approval = parse_approval(&read(&options.approval)?)?;
    let reference = approval.reference();
    let lines = match &approval {
        Approval::V1(artifact) => words::of_artifact(artifact, reference),
        Approval::V2(envelope) => {
            let mut lines = words::of_body(&Body::parse(envelope.payload())?, None, reference);
            words::add_signatures(&mut lines, envelope);
            lines
        }
    };
    say(lines.into_text().trim_end());
    Ok(ExitCode::SUCCESS)
}

/// Whose approvals count, by the files of the command line.
pub(crate) fn read_trust(
    file: Option<&Path>,
    clawshield_public_key: Option<&Path>,
    tenant: Option<&Tenant>,
) -> Result<Option<Trust>, Box<dyn Error>> {
    let text = |path| Ok::<_, Box<dyn Error>>(String::from_utf8(read(path)?)?);
    let file = file.map(|path| Ok::<_, Box<dyn Error>>(TrustFile::parse(&text(path)?)?)).transpose()?;
    let legacy = match (clawshield_public_key, tenant) {
        (Some(path), Some(tenant)) => Some(LegacyTrust {
            key: PublicKey::parse_pem(&text(path)?)?,
            tenant: tenant.clone(),
            lifetime_s_max: LEGACY_LIFETIME_S_DEFAULT,
        }),
        (Some(_), None) => return Err("an approval v1 is checked for one tenant: give --tenant".into()),
        (None, _) => None,
    };
    Ok(Trust::of(legacy, file))
}

/// What is checked: everything that is read before the approval is.
struct Question {
    trust: Trust,
    audience: Audience,
    tenant: Option<Tenant>,
    component: Option<Digest>,
    now: Timestamp,
}

/// Checks an approval as the host would.
pub(crate) fn verify(options: &VerifyOptions) -> Result<ExitCode, Box<dyn Error>> {
    let question = Question::of(options)?;
    let (request, approval) = (read(&options.request)?, read(&options.approval)?);
    match question.answer(&request, &approval) {
        Ok((request, approval)) => {
            say(&question.accepted(&request, &approval, options.json));
            Ok(ExitCode::SUCCESS)
        }
        Err(refusal) => {
            say(&refused(&refusal).to_string());
            Ok(ExitCode::FAILURE)
        }
    }
}

/// A refusal as the host's problems have it.
fn refused(refusal: &Refusal) -> serde_json::Value {
    let (code, detail) = (refusal.code(), refusal.to_string());
    match refusal.member() {
        Some(member) => json!({"ok": false, "code": code, "detail": detail, "member": member.as_str()}),
        None => json!({"ok": false, "code": code, "detail": detail}),
    }
}

impl Question {
    fn of(options: &VerifyOptions) -> Result<Self, Box<dyn Error>> {
        let tenant = options.tenant.as_deref().map(Tenant::parse_governed).transpose()?;
        let (file, legacy) = (options.trust.as_deref(), options.clawshield_public_key.as_deref());
        let trust = read_trust(file, legacy, tenant.as_ref())?;
        let trust = trust.ok_or("whose approvals count? give --trust or --clawshield-public-key")?;
        let audience = trust.file().map(|file| file.audience().clone());
        Ok(Self {
            audience: audience.map_or_else(|| Audience::parse(DEFAULT_AUDIENCE), Ok)?,
            trust,
            tenant,
            component: options.component_digest.as_deref().map(Digest::parse).transpose()?,
            now: options.now.as_deref().map_or_else(|| Ok(SystemClock.now()), Timestamp::parse_utc)?,
        })
    }

    fn answer(&self, request: &[u8], approval: &[u8]) -> Result<(Request, VerifiedApproval), Refusal> {
        let request = parse_request(request)?;
        let approval = parse_approval(approval)?;
        let (audience, tenant, component) = (&self.audience, self.tenant.as_ref(), self.component);
        let call = Call { request: &request, audience, tenant, component };
        let approval = approval.verify(&self.trust, call, self.now).map_err(|not| not.refusal)?;
        approval.require_timely(self.now)?;
        Ok((request, approval))
    }

    fn accepted(&self, request: &Request, approval: &VerifiedApproval, as_json: bool) -> String {
        let Identity { fingerprint, exec_id, record: _ } = request.identity(&self.audience, approval.tenant());
        let signers: Vec<_> = approval.signers().iter().map(KeyId::to_string).collect();
        let kept = approval.kept();
        if as_json {
            return json!({
                "ok": true,
                "format": kept.facts.format.as_str(),
                "approval_ref": kept.facts.reference.to_string(),
                "tenant": approval.tenant().as_str(),
                "action": request.action.as_str(),
                "nonce": request.nonce.as_str(),
                "payload": {"sha256": request.payload.digest().to_string()},
                "fingerprint": fingerprint.to_string(),
                "exec_id": exec_id.to_string(),
                "signers": signers,
                "expires_at": approval.expires_at().to_string(),
            })
            .to_string();
        }
        format!(
            "ok: an approval {} of {} for tenant {}, by {}, good until {}\napproval ref {}\nexecution id {exec_id}",
            kept.facts.format.as_str(),
            request.action,
            approval.tenant(),
            signers.join(" and "),
            approval.expires_at(),
            kept.facts.reference,
        )
    }
}
