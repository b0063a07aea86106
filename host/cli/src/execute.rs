//! `openexec execute`: one request, without HTTP, along the same path.

use std::error::Error;
use std::process::ExitCode;

use openexec_core::json::{self, Value};
use openexec_core::names::{Action, Nonce};
use openexec_core::request::{Payload, Request};
use openexec_server::executor::ExecuteError;
use openexec_server::http::reply::Reply;
use tokio::runtime;
use uuid::Uuid;

use crate::args::ExecuteOptions;
use crate::{logging, serve};

pub(crate) fn run(options: &ExecuteOptions) -> Result<ExitCode, Box<dyn Error>> {
    logging::start(&options.host.log)?;
    let payload = match json::read(options.payload.as_bytes()) {
        Ok(Value::Object(members)) => Payload::of(members),
        Ok(other) => return Err(format!("the payload must be a JSON object, not {}", other.kind()).into()),
        Err(error) => return Err(format!("the payload is not acceptable JSON: {error}").into()),
    };
    let nonce = options.nonce.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
    let request = Request { action: Action::parse(&options.action)?, payload, nonce: Nonce::parse(&nonce)? };
    let executor = serve::build(&options.host, 1)?;
    let runtime = runtime::Builder::new_current_thread().build()?;
    let reply = runtime.block_on(async {
        executor.recover().await?;
        let performed = match executor.admit(request) {
            Ok(admitted) => executor.perform(admitted).await,
            Err(refusal) => Err(refusal.into()),
        };
        Ok::<_, ExecuteError>(Reply::to(performed))
    })?;
    logging::say(&String::from_utf8_lossy(reply.body()));
    Ok(if reply.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
