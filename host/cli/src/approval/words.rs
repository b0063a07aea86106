//! An approval in plain words, for the person who is about to sign it or wonders what it says.
//!
//! In scope: every member that has a meaning. What is shown is read from the very bytes that are signed.

use openexec_core::approval::v1::Artifact;
use openexec_core::approval::v2::Body;
use openexec_core::digest::Digest;
use openexec_core::dsse::Envelope;
use openexec_core::json;
use openexec_core::request::Payload;

/// Lines of a label and a value.
#[derive(Default)]
pub(super) struct Lines(String);

impl Lines {
    fn add(&mut self, label: &str, value: &dyn std::fmt::Display) {
        self.0.push_str(&format!("{label:<14} {value}\n"));
    }

    fn add_optional(&mut self, label: &str, value: Option<&impl std::fmt::Display>) {
        if let Some(value) = value {
            self.add(label, value);
        }
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// What a body approves, with the payload itself where it is known.
pub(super) fn of_body(body: &Body, payload: Option<&Payload>, reference: Digest) -> Lines {
    let mut lines = Lines::default();
    lines.add("action", &body.action);
    if let Some(payload) = payload {
        // The canonical text: what the handler will receive. ASCII, so that nothing in it moves the cursor or hides.
        lines.add("payload", &json::pyjson_compact(payload.value()));
    }
    lines.add("payload sha256", &body.payload);
    lines.add("nonce", &body.nonce);
    lines.add("tenant", &body.tenant);
    lines.add("host", &body.audience);
    lines.add("requested by", &body.requester);
    lines.add("issued by", &body.issuer);
    lines.add("good from", &body.not_before);
    lines.add("good until", &body.expires_at);
    lines.add_optional("only code", body.component.as_ref());
    let ceilings = body.ceilings;
    for (label, ceiling) in [
        ("at most fuel", ceilings.max_fuel),
        ("at most memory", ceilings.max_memory_bytes),
        ("at most output", ceilings.max_output_bytes),
        ("at most ms", ceilings.max_wall_ms),
    ] {
        lines.add_optional(label, ceiling.as_ref());
    }
    if let Some(quorum) = &body.quorum {
        lines.add("class", &format!("{}, at least {} approvers", quorum.class, quorum.threshold));
    }
    lines.add_optional("policy", body.policy_bundle.as_ref());
    lines.add_optional("preview", body.preview.as_ref());
    if let Some(decision) = &body.decision {
        lines.add("decision", &decision.id);
        lines.add_optional("trace", decision.trace_id.as_ref());
    }
    lines.add("approval id", &body.approval_id);
    lines.add("approval ref", &reference);
    lines
}

/// Who signed an envelope, by what it says itself.
pub(super) fn add_signatures(lines: &mut Lines, envelope: &Envelope) {
    for signature in envelope.signatures() {
        match signature.key_id {
            Some(key_id) => lines.add("signature by", &format!("{key_id} (not verified)")),
            None => lines.add("signature by", &"nobody it names (not verified)"),
        }
    }
}

/// What an artifact approves.
pub(super) fn of_artifact(artifact: &Artifact, reference: Digest) -> Lines {
    let mut lines = Lines::default();
    lines.add("format", &"v1: binds neither nonce nor host; the first nonce that comes with it uses it up");
    lines.add("tenant", &artifact.tenant_id);
    lines.add("action hash", &artifact.action_hash);
    lines.add("issued", &artifact.issued_at);
    lines.add("good until", &artifact.expires_at);
    lines.add("approval id", &artifact.approval_id);
    lines.add("approval ref", &reference);
    lines
}
