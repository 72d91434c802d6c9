//! Columns to nouns and back, and the statements that several operations share.

use fieldgate_model::{GatewayId, IdError, TenantId, UtcMillis};
use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};

use crate::store::StoreError;

/// A text column that holds an id.
pub(super) fn id<T>(
    row: &Row<'_>,
    column: &str,
    make: fn(String) -> Result<T, IdError>,
) -> rusqlite::Result<T> {
    make(row.get(column)?).map_err(damaged)
}

/// A time, `NULL` for none.
pub(super) fn time(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<UtcMillis>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(UtcMillis))
}

/// The error for a column that nothing here would have written.
pub(super) fn damaged(
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, cause.into())
}

/// A counter as `SQLite` keeps it; beyond 2^63 it stays at the end of the range.
pub(super) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A counter as it was kept.
pub(super) fn number(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(damaged)
}

/// Turns a violated uniqueness into the error that says what is taken.
pub(super) fn or_exists<T>(
    result: rusqlite::Result<T>,
    what: &'static str,
    id: &str,
) -> Result<T, StoreError> {
    result.map_err(|error| {
        let unique = error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
            && error.sqlite_error().is_some_and(|cause| {
                cause.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE
                    || cause.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            });
        if unique {
            StoreError::Exists { what, id: id.to_owned() }
        } else {
            StoreError::Database(error)
        }
    })
}

/// Refuses for a tenant that does not exist.
pub(super) fn require_tenant(connection: &Connection, tenant: &TenantId) -> Result<(), StoreError> {
    let found = connection
        .prepare_cached("SELECT 1 FROM tenant WHERE id = ?1")?
        .exists(params![tenant.as_str()])?;
    if found { Ok(()) } else { Err(not_found("tenant", tenant.as_str())) }
}

/// Whose gateway it is.
pub(super) fn tenant_of(
    connection: &Connection,
    gateway: &GatewayId,
) -> Result<Option<TenantId>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT tenant FROM gateway WHERE id = ?1")?;
    let tenant =
        statement.query_row(params![gateway.as_str()], |row| id(row, "tenant", TenantId::new));
    Ok(tenant.optional()?)
}

/// The error for an id that does not exist, or is another tenant's.
pub(super) fn not_found(what: &'static str, id: &str) -> StoreError {
    StoreError::NotFound { what, id: id.to_owned() }
}

/// What a person changed.
pub(super) struct Change<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) by: &'a str,
    pub(super) action: &'a str,
    pub(super) target: &'a str,
    pub(super) detail: &'a str,
}

/// Adds a row to the audit.
pub(super) fn audit(
    connection: &Connection,
    change: &Change<'_>,
    now: UtcMillis,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO audit (tenant, at, actor, action, target, detail)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            change.tenant.as_str(),
            now.0,
            change.by,
            change.action,
            change.target,
            change.detail
        ])?;
    Ok(())
}
