//! What the operator has stopped.
//!
//! In scope: the SQL of controls. `reserve` and `seal` ask inside their own transactions, so a control that is durable,
//! whoever wrote it, is seen by every transaction after it.
//! Out of scope: what a control means (`openexec_core::control`).

use openexec_core::control::{Control, Stop, Target};
use openexec_core::names::{Action, Note, Tenant};
use openexec_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::batch::Batch;
use crate::LedgerError;

/// The words of a target: its kind, and its name if it has one.
fn words(target: &Target) -> (&'static str, &str) {
    match target {
        Target::Host => ("host", ""),
        Target::Tenant(tenant) => ("tenant", tenant.as_str()),
        Target::Action(action) => ("action", action.as_str()),
    }
}

/// Stops a target; whether it was not stopped already.
pub(super) fn stop(
    batch: &Batch<'_>,
    target: &Target,
    since: Timestamp,
    reason: Option<&Note>,
) -> Result<bool, LedgerError> {
    let (kind, name) = words(target);
    let since = i64::try_from(since.unix_ms()).unwrap_or(i64::MAX);
    batch.controls_have_changed();
    let n_inserted = batch
        .prepare_cached(
            "INSERT INTO control (kind, name, since, reason) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        )?
        .execute((kind, name, since, reason.map(Note::as_str)))?;
    Ok(n_inserted == 1)
}

/// Releases a target; whether it was stopped.
pub(super) fn release(batch: &Batch<'_>, target: &Target) -> Result<bool, LedgerError> {
    batch.controls_have_changed();
    let mut delete = batch.prepare_cached("DELETE FROM control WHERE kind = ?1 AND name = ?2")?;
    Ok(delete.execute(words(target))? == 1)
}

/// Everything that is stopped.
pub(super) fn all(connection: &Connection) -> Result<Vec<Control>, LedgerError> {
    let mut statement = connection.prepare_cached("SELECT kind, name, since, reason FROM control")?;
    let mut rows = statement.query([])?;
    let mut controls = Vec::new();
    while let Some(row) = rows.next()? {
        let (kind, name, since): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let broken = || LedgerError::Broken("a control that this host never wrote".to_owned());
        let target = match kind.as_str() {
            "host" => Target::Host,
            "tenant" => Target::Tenant(Tenant::parse(&name).map_err(|_| broken())?),
            "action" => Target::Action(Action::parse(&name).map_err(|_| broken())?),
            _ => return Err(broken()),
        };
        let since = Timestamp::from_unix_ms(u64::try_from(since).map_err(|_| broken())?);
        let reason: Option<String> = row.get(3)?;
        let reason = reason.map(|text| Note::parse(&text).map_err(|_| broken())).transpose()?;
        controls.push(Control { target, since, reason });
    }
    controls.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(controls)
}

/// Whether nothing is stopped.
pub(super) fn is_empty(connection: &Connection) -> Result<bool, LedgerError> {
    Ok(!connection.prepare_cached("SELECT 1 FROM control LIMIT 1")?.exists([])?)
}

/// What stops this action of this tenant.
pub(super) fn stop_of(batch: &Batch<'_>, tenant: &str, action: &str) -> Result<Option<Stop>, LedgerError> {
    if batch.nothing_is_stopped()? {
        return Ok(None);
    }
    let is_halt: Option<bool> = batch
        .prepare_cached(
            "SELECT kind = 'host' FROM control
             WHERE (kind = 'host' AND name = '') OR (kind = 'tenant' AND name = ?1) OR (kind = 'action' AND name = ?2)
             ORDER BY kind = 'host' DESC LIMIT 1",
        )?
        .query_row((tenant, action), |row| row.get(0))
        .optional()?;
    Ok(is_halt.map(|is_halt| if is_halt { Stop::Halted } else { Stop::Quarantined }))
}
