//! `openexec execute`: one request, without HTTP, along the same path.
//!
//! Out of scope: recovery. What a stopped host left behind is completed by that host, with its own registry.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use openexec_core::json::{self, Value};
use openexec_core::names::{Action, Nonce};
use openexec_core::request::{Payload, Request, Submission};
use openexec_server::executor::ExecuteError;
use openexec_server::http::reply::Reply;
use tokio::runtime;
use uuid::Uuid;

use crate::args::ExecuteOptions;
use crate::logging;
use crate::serve::{self, Built};

pub(crate) fn run(options: &ExecuteOptions) -> Result<ExitCode, Box<dyn Error>> {
    logging::start(&options.host.log)?;
    let payload = match json::read(options.payload.as_bytes()) {
        Ok(Value::Object(members)) => Payload::of(members),
        Ok(other) => return Err(format!("the payload must be a JSON object, not {}", other.kind()).into()),
        Err(error) => return Err(format!("the payload is not acceptable JSON: {error}").into()),
    };
    let nonce = options.nonce.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
    let approval = options.approval.as_deref().map(read_approval).transpose()?;
    let request = Request { action: Action::parse(&options.action)?, payload, nonce: Nonce::parse(&nonce)? };
    let Built { executor, log, ledger: _ledger } = serve::build(&options.host, 1)?;
    let runtime = runtime::Builder::new_current_thread().enable_time().build()?;
    let reply = Reply::to(match executor.admit(Submission { request, approval }) {
        Ok(admitted) => runtime.block_on(executor.perform(admitted)),
        Err(refusal) => Err(ExecuteError::Refused(refusal)),
    });
    logging::say(&String::from_utf8_lossy(reply.body()));
    // The execution is done, whatever becomes of the log: what is missing there is added by the next start.
    if let Err(error) = log.integrate_once() {
        tracing::warn!(%error, "the receipt is not logged yet");
    }
    Ok(if reply.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read_approval(path: &Path) -> Result<Value, Box<dyn Error>> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(json::read(&bytes).map_err(|error| format!("{}: not acceptable JSON: {error}", path.display()))?)
}
