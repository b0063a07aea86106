//! What can go wrong, and whose fault it is: of a start, of the host, of what a handler says of itself.
//!
//! In scope: texts that say what to do.
//! Out of scope: faults of a run, which are outcomes (`core::outcome`).

use openexec_core::digest::Digest;
use openexec_core::names::Action;
use openexec_core::outcome::Fault;
use openexec_core::registry::Profile;

use crate::{ArtifactError, Sandbox, SchemaError};

/// Why the sandbox does not start. The text names the file and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The bytes are not the pinned ones.
    #[error(
        "{path}: SHA-256 is {found}, but action '{action}' pins {pinned}: restore the pinned file, or pin the new one if you mean to run it"
    )]
    DigestMismatch {
        /// The file.
        path: String,
        /// The action that pins it.
        action: Action,
        /// In the registry.
        pinned: Digest,
        /// Of the file.
        found: Digest,
    },
    /// A core module.
    #[error("{path}: a core WebAssembly module, not a component: encode it with `wasm-tools component new`")]
    CoreModule {
        /// The file.
        path: String,
    },
    /// Compiled code.
    #[error(
        "{path}: compiled code (.cwasm), not a component: pin the component that it was made of; `openexec registry compile` compiles it, and only registry.lock names compiled code"
    )]
    CompiledCode {
        /// The file.
        path: String,
    },
    /// There is no compiler in this build.
    #[error(
        "this openexec was built without a compiler and runs only code that a lock names: let an openexec of the same version with a compiler run `openexec registry compile`, and start with the registry.lock that it writes (beside the registry, or --registry-lock FILE); what runs a component of your own choosing, such as `receipt verify --replay`, needs an openexec with a compiler"
    )]
    NoCompiler,
    /// The compiler cannot be set up.
    #[error(
        "the compiler cannot be set up ({cause}): name a target of this machine's architecture, such as {}",
        Sandbox::target()
    )]
    CannotCompile {
        /// What wasmtime said.
        cause: String,
    },
    /// A lock, or an artifact that it names, is not what it must be.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// Does not compile under the engine's settings.
    #[error("{path}: not an acceptable component: {cause}")]
    NotAcceptable {
        /// The file.
        path: String,
        /// What the compiler said.
        cause: String,
    },
    /// Imports something that its profile does not link.
    #[error("{path}: imports {imports}: {}", cure_of_imports(*.profile, *.wasi_links_them))]
    Imports {
        /// The file.
        path: String,
        /// What, comma-separated.
        imports: String,
        /// The profile of the pin.
        profile: Profile,
        /// Whether the profile `wasi` links all of them.
        wasi_links_them: bool,
    },
    /// Imports an interface of WASI that is not what this host has under its name.
    #[error(
        "{path}: imports WASI 0.2 otherwise than this host has it ({cause}): build it with released tools of WASI 0.2, or so that it imports nothing"
    )]
    NotLinked {
        /// The file.
        path: String,
        /// What differs.
        cause: String,
    },
    /// Does not export the contract.
    #[error(
        "{path}: does not export the interface openexec:handler/guest@1.0.0 as wit/handler.wit defines it ({cause}): build it against that file"
    )]
    NotAHandler {
        /// The file.
        path: String,
        /// What differs.
        cause: String,
    },
    /// Cannot start within its pin or within the pool.
    #[error("{path}: needs {what} {needed}, and {limit} {allowed}: {remedy}")]
    TooLarge {
        /// The file.
        path: String,
        /// Of what.
        what: &'static str,
        /// How much it needs.
        needed: u64,
        /// Which limit.
        limit: &'static str,
        /// How much that allows.
        allowed: u64,
        /// What to do.
        remedy: &'static str,
    },
    /// The registry's description has a schema that cannot be used.
    #[error("action '{action}': {cause}")]
    Schema {
        /// The action.
        action: Action,
        /// Which schema, and what is wrong with it.
        cause: SchemaError,
    },
    /// The handler does not say of itself what the registry says of it.
    #[error(
        "action '{action}': its description in the registry is not what its component says of itself: run `openexec registry pin` again, which writes down what it says"
    )]
    DescribedOtherwise {
        /// The action.
        action: Action,
    },
    /// The handler could not be asked, or does not say the same twice.
    #[error(
        "action '{action}': {cause}; build the handler so that it does and run `openexec registry pin` again, or leave out its [action.NAME.description]"
    )]
    NotDescribed {
        /// The action.
        action: Action,
        /// Why.
        cause: DescribeError,
    },
    /// The engine could not be made.
    #[error(
        "the WebAssembly engine cannot be set up ({cause}): the pool reserves {reserved_gib} GiB of address space; raise `ulimit -v`, or lower --concurrency"
    )]
    Engine {
        /// What wasmtime said.
        cause: String,
        /// Address space the pool asks for.
        reserved_gib: u64,
    },
    /// Deadlines would not be kept.
    #[error("the deadline clock does not move: an endless loop was not stopped within {0} s; is this machine stalled?")]
    Ticker(u64),
    /// The system refused a thread.
    #[error("the deadline clock cannot be started: {0}")]
    TickerThread(std::io::Error),
}

/// The host, not the handler, could not go on. Nothing came of the run, and it may be repeated.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox could not run: {0}")]
pub struct SandboxError(pub(crate) String);

/// A handler did not say what it is.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// No such action.
    #[error("no handler is pinned for the action '{0}'")]
    Unknown(Action),
    /// It was stopped.
    #[error(
        "`describe` ended with the fault '{0}': it must return within the limits of the pin, and depend on nothing"
    )]
    Faulted(Fault),
    /// Two calls gave two answers.
    #[error("`describe` gave two different answers: it must depend on nothing")]
    Unstable,
    /// The host could not go on.
    #[error(transparent)]
    Host(#[from] SandboxError),
}

impl SandboxError {
    /// The host could not even call the sandbox, because of this.
    #[must_use]
    pub fn host(cause: impl std::error::Error) -> Self {
        Self(cause.to_string())
    }
}

/// What to do about imports that a profile does not link.
fn cure_of_imports(profile: Profile, wasi_links_them: bool) -> &'static str {
    match (profile, wasi_links_them) {
        (Profile::Pure, false) => {
            "the profile 'pure' links nothing at all; build the handler so that it imports nothing (take time from `issued-at`, ids from `exec-id`)"
        }
        (Profile::Pure, true) => {
            "the profile 'pure' links nothing at all; build the handler so that it imports nothing (take time from `issued-at`, ids from `exec-id`), or put a WASI stub inside the component; if nobody can, pin it with --profile wasi (profile = \"wasi\" in the registry), which links a virtual WASI"
        }
        (Profile::Wasi, _) => {
            "the profile 'wasi' links io, clocks, random, cli, filesystem and sockets of WASI 0.2, all of them virtual, and nothing else; build the handler so that it does not import these"
        }
    }
}
