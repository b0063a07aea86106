//! `openexec approval mint` and `cosign`: making a signature that somebody has thought about.
//!
//! In scope: filling the body, showing it, asking, signing exactly what was shown.
//! Out of scope: whether the signer is trusted anywhere (`verify` says so).

use std::error::Error;
use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use openexec_core::approval::v2::{Body, Decision, PAYLOAD_TYPE, Quorum};
use openexec_core::approval::{Approval, Ceilings};
use openexec_core::digest::Digest;
use openexec_core::dsse::Envelope;
use openexec_core::json::{self, Members, Value};
use openexec_core::names::{Audience, Label, Note, Principal, Tenant};
use openexec_core::request::Request;
use openexec_core::time::Timestamp;
use openexec_server::clock::{Clock, SystemClock};
use uuid::Uuid;

use super::{parse_approval, parse_request, read, words};
use crate::args::approval::{CosignOptions, MintOptions, SignOptions};
use crate::keys;
use crate::logging::say;

/// Signs a new approval.
pub(crate) fn mint(options: &MintOptions) -> Result<ExitCode, Box<dyn Error>> {
    let request = parse_request(&read(&options.sign.request)?)?;
    let bytes = body(options, &request, SystemClock.now())?.spell();
    sign(Envelope::unsigned(PAYLOAD_TYPE, bytes), &request, &options.sign)
}

/// Adds a signature to an approval.
pub(crate) fn cosign(options: &CosignOptions) -> Result<ExitCode, Box<dyn Error>> {
    let request = parse_request(&read(&options.sign.request)?)?;
    match parse_approval(&read(&options.approval)?)? {
        Approval::V2(envelope) => sign(envelope, &request, &options.sign),
        Approval::V1(_) => Err("an approval v1 has one signature, ClawShield's; only approvals v2 are cosigned".into()),
    }
}

/// Shows what will be signed, asks, signs.
fn sign(envelope: Envelope, request: &Request, options: &SignOptions) -> Result<ExitCode, Box<dyn Error>> {
    envelope.require_type(PAYLOAD_TYPE)?;
    // Read from the bytes that will be signed, by the rules that the host will read them by.
    let body = Body::parse(envelope.payload())?;
    let is_for_request =
        body.action == request.action && body.nonce == request.nonce && body.payload == request.payload.digest();
    if !is_for_request {
        return Err("the approval is for another call than this request: sign nothing that you cannot see".into());
    }
    let key = keys::read(&options.key)?;
    let key_id = key.public().id();
    if envelope.signatures().iter().any(|signature| signature.key_id == Some(key_id)) {
        return Err("this key has signed the approval already".into());
    }
    let shown = words::of_body(&body, Some(&request.payload), envelope.reference()).into_text();
    let mut terminal = io::stderr();
    writeln!(terminal, "{shown}signing key    {key_id}")?;
    if !options.yes && !asked_and_agreed(&mut terminal)? {
        writeln!(terminal, "nothing was signed")?;
        return Ok(ExitCode::FAILURE);
    }
    let signature = key.sign(&envelope.pre_authentication_encoding());
    let approval = envelope.signed(key_id, signature).to_value();
    say(&json::jcs(&if options.as_request { with_approval(request, approval) } else { approval }));
    Ok(ExitCode::SUCCESS)
}

fn asked_and_agreed(terminal: &mut impl Write) -> Result<bool, Box<dyn Error>> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err("nobody is there to ask: run this on a terminal, or say --yes".into());
    }
    write!(terminal, "Sign this? [y/N] ")?;
    terminal.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The body of `POST /execute`.
fn with_approval(request: &Request, approval: Value) -> Value {
    let members = vec![
        ("action".to_owned(), Value::String(request.action.to_string())),
        ("payload".to_owned(), request.payload.value().clone()),
        ("nonce".to_owned(), Value::String(request.nonce.to_string())),
        ("approval_artifact".to_owned(), approval),
    ];
    Value::Object(Members::new(members).unwrap_or_default())
}

fn body(options: &MintOptions, request: &Request, now: Timestamp) -> Result<Body, Box<dyn Error>> {
    let issued_at = Timestamp::from_unix_ms(now.unix_ms() / 1000 * 1000); // approvals count whole seconds
    let not_before = options.not_before.as_deref().map(Timestamp::parse_utc).transpose()?.unwrap_or(issued_at);
    let digest = |text: &Option<String>| text.as_deref().map(Digest::parse).transpose();
    let quorum = options.class.as_deref().zip(options.threshold);
    let quorum =
        quorum.map(|(class, threshold)| Ok::<_, Box<dyn Error>>(Quorum { class: Label::parse(class)?, threshold }));
    let decision = options.decision_id.as_deref().map(|id| {
        let trace_id = options.trace_id.as_deref().map(Note::parse).transpose()?;
        Ok::<_, Box<dyn Error>>(Decision { id: Note::parse(id)?, trace_id })
    });
    Ok(Body {
        approval_id: Uuid::new_v4().to_string(),
        issuer: Principal::parse(&options.issuer)?,
        requester: Principal::parse(&options.requester)?,
        audience: Audience::parse(&options.audience)?,
        tenant: Tenant::parse_governed(&options.tenant)?,
        action: request.action.clone(),
        nonce: request.nonce.clone(),
        payload: request.payload.digest(),
        issued_at,
        not_before,
        expires_at: issued_at.plus_ms(options.lifetime_s * 1000),
        component: digest(&options.component_digest)?,
        ceilings: Ceilings {
            max_fuel: options.max_fuel,
            max_memory_bytes: options.max_memory_bytes,
            max_output_bytes: options.max_output_bytes,
            max_wall_ms: options.max_wall_ms,
        },
        quorum: quorum.transpose()?,
        policy_bundle: digest(&options.policy_bundle)?,
        preview: digest(&options.preview)?,
        decision: decision.transpose()?,
    })
}
