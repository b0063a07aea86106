//! `openexec witness`: the composition root of the witness, and looking at its state.
//!
//! In scope: its key, the order of a start, how often it looks, what it says.
//! Out of scope: what a look does (`openexec_witness`).

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use openexec_core::keys::encode_base64;
use openexec_core::log::WitnessKey;
use openexec_core::log::checkpoint::SignedCheckpoint;
use openexec_core::log::note::{Algorithm, KeyName, VerifierKey};
use openexec_server::clock::{Clock as _, SystemClock};
use openexec_witness::remote::{LogUrl, RemoteError, RemoteLog};
use openexec_witness::state::{Alarm, State};
use openexec_witness::{Look, LookError, Witness, serve};
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::witness::{IdentityOptions, StateOptions, WitnessCommand, WitnessOptions};
use crate::logging::say;
use crate::{keys, logging};

/// Largest file with an authority's certificate.
const CERTIFICATE_BYTES_MAX: u64 = 64 * 1024;

pub(crate) fn run(options: &WitnessOptions) -> Result<ExitCode, Box<dyn Error>> {
    match &options.command {
        Some(WitnessCommand::Key(identity)) => print_key(identity),
        Some(WitnessCommand::Status(state)) => status(state),
        None => watch(options),
    }
}

/// Looks at the log, once or until told to stop.
fn watch(options: &WitnessOptions) -> Result<ExitCode, Box<dyn Error>> {
    logging::start(&options.log)?;
    let witness = build(options)?;
    tracing::info!(
        witness = %witness.key.verifier_key(),
        log = witness.log_key.name().as_str(),
        "this is the verifier key of the witness: configure it where its cosignatures count"
    );
    if options.once {
        return Ok(match witness.look(now_s())? {
            Look::Cosigned(_) | Look::Unchanged(_) => ExitCode::SUCCESS,
            Look::Caught(_) => ExitCode::FAILURE,
        });
    }
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(stay(options, Arc::new(witness)))?;
    // A look that is under way ends with the process, as in a crash: what it remembered is durable or was never shown.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

/// Wires a witness: keys, memory, log, in the order in which they may refuse.
fn build(options: &WitnessOptions) -> Result<Witness, Box<dyn Error>> {
    let url = LogUrl::parse(given(options.log_url.as_ref(), "--log-url")?)?;
    let log_key = VerifierKey::parse(given(options.log_key.as_ref(), "--log-key")?)
        .map_err(|error| format!("--log-key: {error}"))?;
    match log_key.algorithm() {
        Algorithm::Log => {}
        Algorithm::Witness => return Err("--log-key: this is a witness's key; give the log's".into()),
    }
    let path = given(options.identity.key.as_ref(), "--key")?;
    let state_path = &options.state.state;
    if !path.exists() && state_path.exists() {
        return Err(format!(
            "{}: there is no such file, but this witness has cosigned before ({}): restore the key; for another witness, \
             give another state as well",
            path.display(),
            state_path.display(),
        )
        .into());
    }
    let key = identity(&options.identity)?;
    if key.verifier_key().key() == log_key.key() {
        return Err("the witness's key is also the log's: a witness must not be the log it watches".into());
    }
    let authority = options.log_ca.as_deref().map(read_certificate).transpose()?;
    let log = RemoteLog::new(url, authority.as_deref())?;
    let state = State::open(state_path)?;
    Ok(Witness::new(log, log_key, key, state, !options.no_post)?)
}

/// Looks at the log every interval, and shows what was cosigned.
async fn stay(options: &WitnessOptions, witness: Arc<Witness>) -> Result<(), Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shown = witness.shown.clone();
    let serving = async {
        let Some(address) = options.listen else { return Ok(std::future::pending().await) };
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| format!("cannot listen on {address}: {error}: choose another --listen"))?;
        tracing::info!(address = %listener.local_addr()?, "listening");
        Ok::<_, Box<dyn Error>>(serve::serve(listener, shown).await)
    };
    let interval = Duration::from_secs(options.interval_s);
    let looking = tokio::task::spawn_blocking(move || look_for_ever(&witness, interval));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        served = serving => match served? {},
        looked = looking => match looked? {},
    }
    tracing::info!("stopped");
    Ok(())
}

fn look_for_ever(witness: &Witness, interval: Duration) -> std::convert::Infallible {
    loop {
        match witness.look(now_s()) {
            Ok(Look::Cosigned(_) | Look::Unchanged(_) | Look::Caught(_)) => {} // it has said what it found
            Err(error) if is_passing(&error) => tracing::warn!(%error, "the log could not be looked at"),
            Err(error) => tracing::error!(%error, "nothing is cosigned"),
        }
        std::thread::sleep(interval);
    }
}

/// Whether waiting is all there is to do.
fn is_passing(error: &LookError) -> bool {
    match error {
        LookError::Remote(RemoteError::Unreachable { .. } | RemoteError::Status { status: 500.., .. }) => true,
        LookError::Remote(
            RemoteError::Status { .. }
            | RemoteError::TooLarge { .. }
            | RemoteError::NotText { .. }
            | RemoteError::Tile(_)
            | RemoteError::Certificate(_),
        )
        | LookError::Checkpoint(_)
        | LookError::Tiles(_)
        | LookError::State(_) => false,
    }
}

/// Prints the verifier key.
fn print_key(options: &IdentityOptions) -> Result<ExitCode, Box<dyn Error>> {
    say(&identity(options)?.verifier_key().to_string());
    Ok(ExitCode::SUCCESS)
}

/// Prints what is remembered.
fn status(options: &StateOptions) -> Result<ExitCode, Box<dyn Error>> {
    let state = State::open_to_look(&options.state)?;
    for note in state.notes()? {
        let parsed = SignedCheckpoint::parse(&note)?;
        let checkpoint = parsed.checkpoint();
        say(&format!("{}: cosigned up to {} receipts\n\n{note}", checkpoint.origin(), checkpoint.size()));
    }
    let alarms = state.alarms()?;
    for Alarm { origin, breach, raised_at, ours, theirs, found } in &alarms {
        let breach = breach.as_str();
        say(&format!(
            "ALARM {breach}: {origin}, noticed at {raised_at}\n\nthis witness had cosigned\n\n{ours}\nand then saw\n\n{theirs}"
        ));
        if let Some(root) = found {
            say(&format!("whose tree has this root at the size cosigned before: {}\n", encode_base64(root)));
        }
    }
    Ok(if alarms.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn identity(options: &IdentityOptions) -> Result<WitnessKey, Box<dyn Error>> {
    let path = given(options.key.as_ref(), "--key")?;
    let name = KeyName::parse(given(options.name.as_ref(), "--name")?).map_err(|error| format!("--name: {error}"))?;
    let key = if path.exists() { keys::read_private(path)? } else { keys::create(path, "cosignatures")? };
    Ok(WitnessKey::new(name, key))
}

fn read_certificate(path: &Path) -> Result<String, Box<dyn Error>> {
    let unreadable = |error: std::io::Error| format!("{}: cannot be read: {error}", path.display());
    if fs::metadata(path).map_err(unreadable)?.len() > CERTIFICATE_BYTES_MAX {
        return Err(format!("{}: larger than any certificate", path.display()).into());
    }
    Ok(fs::read_to_string(path).map_err(unreadable)?)
}

/// What clap requires unless there is a subcommand.
fn given<'a, T>(value: Option<&'a T>, flag: &str) -> Result<&'a T, String> {
    value.ok_or_else(|| format!("{flag} is missing"))
}

fn now_s() -> u64 {
    SystemClock.now().unix_ms() / 1000
}
