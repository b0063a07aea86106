//! Every limit of the host, with its unit and its reason.
//!
//! In scope: bounds that are the same for every deployment, and the defaults of a pin.
//! Out of scope: what a registry may set per action (`registry::Limits`), what an operator may set per host (flags).

/// Largest request body read from a socket, enforced before parsing. The predecessor had no bound; real payloads are
/// a few KiB.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// Deepest nesting of arrays and objects. Bounds the recursion of the reader and of every writer.
pub const JSON_DEPTH_MAX: usize = 64;

/// Deepest nesting of what a client presents to have it verified: the deepest result, inside one object.
pub const PRESENTED_DEPTH_MAX: usize = JSON_DEPTH_MAX + 1;

/// Deepest nesting of evidence, and of an answer with it: the deepest body of an effect, in the effect, in their list.
pub const EVIDENCE_DEPTH_MAX: usize = JSON_DEPTH_MAX + 3;

/// Largest integer that every JSON reader keeps exactly: 2^53 − 1 (RFC 7493).
pub const JSON_INTEGER_MAX: i64 = 9_007_199_254_740_991;

/// Longest nonce. Bounds the ledger's index entry; longer nonces are refused at the door, not at insert.
pub const NONCE_BYTES_MAX: usize = 256;

/// Longest action name.
pub const ACTION_BYTES_MAX: usize = 128;

/// Longest tenant name.
pub const TENANT_BYTES_MAX: usize = 128;

/// Longest audience name.
pub const AUDIENCE_BYTES_MAX: usize = 256;

/// Most effects of one run: a handler that needs more is doing several actions.
pub const EFFECTS_MAX: usize = 64;

/// Largest body of one effect.
pub const EFFECT_BODY_BYTES_MAX: usize = 64 * 1024;

/// Longest kind of an effect.
pub const EFFECT_KIND_BYTES_MAX: usize = 128;

/// Longest text of a handler's refusal that is kept. Longer texts are cut at a character: a refusal is a sentence,
/// and what it says must not become a second, unlimited output.
pub const FAILURE_TEXT_BYTES_MAX: usize = 1024;

/// Most actions in one registry. Each is compiled and holds code in memory.
pub const ACTIONS_MAX: usize = 1024;

/// Default fuel of a pin, in Wasm operators: covers a small action in every language that was measured (the hungriest
/// used 1.8 million) and stops an endless loop within tens of milliseconds.
pub const FUEL_DEFAULT: u64 = 10_000_000;

/// Largest fuel a pin may set. Together with `DEADLINE_MS_MAX` it bounds how long one run can hold a thread.
pub const FUEL_MAX: u64 = 100_000_000_000;

/// Default memory of a pin, summed over all linear memories of the component.
pub const MEMORY_BYTES_DEFAULT: u64 = 16 * 1024 * 1024;

/// Largest memory a pin may set.
pub const MEMORY_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Default size of a result.
pub const OUTPUT_BYTES_DEFAULT: u64 = 64 * 1024;

/// Largest result a pin may allow. The ledger keeps results and replays read them whole.
pub const OUTPUT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Default wall-clock deadline of a run. Fuel is the budget; the deadline is the net below it.
pub const DEADLINE_MS_DEFAULT: u64 = 1_000;

/// Longest deadline a pin may set.
pub const DEADLINE_MS_MAX: u64 = 60_000;

const _: () = assert!(FUEL_DEFAULT <= FUEL_MAX);
const _: () = assert!(MEMORY_BYTES_DEFAULT <= MEMORY_BYTES_MAX);
const _: () = assert!(OUTPUT_BYTES_DEFAULT <= OUTPUT_BYTES_MAX);
const _: () = assert!(DEADLINE_MS_DEFAULT <= DEADLINE_MS_MAX);
// A payload that fits into a request fits into the memory of the smallest default pin several times over.
const _: () = assert!((REQUEST_BYTES_MAX as u64) * 8 <= MEMORY_BYTES_DEFAULT);

/// Largest payload of an envelope. An approval has about 600 bytes; four names at their longest make 1.5 KiB.
pub const ENVELOPE_PAYLOAD_BYTES_MAX: usize = 16 * 1024;

/// Most signatures of one envelope. Bounds what verifying one can cost (about 40 µs a signature).
pub const ENVELOPE_SIGNATURES_MAX: usize = 16;

/// Largest registry or lock that can be signed: 1,024 actions with descriptions as large as real ones are have 8 MiB.
pub const SIGNED_FILE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Longest free text in an approval: issuer, requester, ids of decisions.
pub const APPROVAL_TEXT_BYTES_MAX: usize = 256;

/// How far an approver's clock may be ahead of the host's.
pub const CLOCK_SKEW_MS: u64 = 30_000;

/// Longest lifetime of an approval v2 whose action is in no class, in seconds.
pub const APPROVAL_LIFETIME_S_DEFAULT: u64 = 900;

/// Longest lifetime of an approval v1, in seconds, unless the operator says otherwise. 0.1.10 had no bound.
pub const LEGACY_LIFETIME_S_DEFAULT: u64 = 24 * 60 * 60;

/// Longest lifetime that an operator may allow, in seconds: a week.
pub const APPROVAL_LIFETIME_S_MAX: u64 = 7 * 24 * 60 * 60;

/// Most keys of a trust file.
pub const TRUSTED_KEYS_MAX: usize = 1024;

/// Largest threshold of a class: no envelope has room for more signatures.
pub const THRESHOLD_MAX: u64 = ENVELOPE_SIGNATURES_MAX as u64;

// An approval fits into a request several times over, beside the largest payload worth sending.
const _: () = assert!(ENVELOPE_PAYLOAD_BYTES_MAX * 16 < REQUEST_BYTES_MAX);
const _: () = assert!(LEGACY_LIFETIME_S_DEFAULT <= APPROVAL_LIFETIME_S_MAX);

/// Most leaves of a log: what a signed 64-bit integer holds, as databases and other tools keep sizes in one.
pub const LOG_SIZE_MAX: u64 = i64::MAX as u64;

/// Longest name of a log or witness key, and longest origin: cosignatures of later kinds prefix both with one byte.
pub const KEY_NAME_BYTES_MAX: usize = 255;

/// Most signature lines of a note. C2SP asks for 16 at least; a log has one line, the others are its witnesses'.
pub const NOTE_SIGNATURES_MAX: usize = 32;

/// Largest note: 16 signatures of the largest kind in sight, 5 KB each, fit in base64.
pub const NOTE_BYTES_MAX: usize = 128 * 1024;

/// Most hashes of an inclusion proof: one for each level of the largest tree.
pub const PROOF_HASHES_MAX: usize = 63;

/// Largest inclusion proof in a file: the largest note, and before it its hashes of 45 bytes each and two short lines.
pub const PROOF_BYTES_MAX: usize = NOTE_BYTES_MAX + 4 * 1024;

const _: () = assert!(NOTE_SIGNATURES_MAX >= 16);
const _: () = assert!(NOTE_BYTES_MAX >= 16 * 5 * 1024 * 4 / 3);
const _: () = assert!(LOG_SIZE_MAX.leading_zeros() as usize + PROOF_HASHES_MAX == 64);
const _: () = assert!(PROOF_HASHES_MAX * 45 + 64 < PROOF_BYTES_MAX - NOTE_BYTES_MAX);

/// Largest evidence: the largest result and all effects at their largest, each character escaped, which triples them.
pub const EVIDENCE_BYTES_MAX: usize = 72 * 1024 * 1024;

const _: () = assert!(
    EVIDENCE_BYTES_MAX as u64
        > 3 * (OUTPUT_BYTES_MAX + (EFFECTS_MAX * EFFECT_BODY_BYTES_MAX + REQUEST_BYTES_MAX) as u64)
            + PROOF_BYTES_MAX as u64
);

/// Largest schema of a payload or a result, as text. The largest that was seen in a handler has 3 KiB.
pub const SCHEMA_BYTES_MAX: usize = 64 * 1024;

/// Most references in one schema: bounds how deep compiling it can go.
pub const SCHEMA_REFERENCES_MAX: usize = 256;

/// How often a schema may make the host look at one place of a value: alternatives that lead to one another multiply,
/// and 64 levels of two are more than any machine does. The shipped schemas look once or twice.
pub const SCHEMA_VISITS_MAX: u64 = 256;

/// How many schemas may be entered within one another while one value is validated: bounds the stack. A schema of any
/// JSON needs five for each of the `JSON_DEPTH_MAX` levels.
pub const SCHEMA_CHAIN_MAX: u64 = 640;

/// Largest compiled pattern of a schema. Bounds how much work one character of a text can be.
pub const SCHEMA_PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// Most violations that are reported at once: whoever has more has sent something else altogether.
pub const VIOLATIONS_MAX: usize = 32;

/// Longest title and longest summary of a description.
pub const DESCRIPTION_TEXT_BYTES_MAX: usize = 4 * 1024;

const _: () = assert!(SCHEMA_CHAIN_MAX >= 5 * JSON_DEPTH_MAX as u64);
