//! Sums by hour and by day.

use std::sync::LazyLock;

use weir_config::usage::Units;

use super::upsert::{self, DAYS, HOURS};
use super::{Result, Store, read};
use crate::usage::span::{DAY_MS, HOUR_MS, ceil};

/// Which sums to read, a page at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Those that begin at or after this, in milliseconds since 1970,
    pub since_ms: i64,
    /// and before this.
    pub until_ms: i64,
    /// Of this tenant; none: of all.
    pub tenant: Option<String>,
    /// After this row: the last of the page before ([`UsageRow::key`]).
    pub after: Option<(i64, String)>,
    /// Rows at most.
    pub limit: u32,
}

/// What a tenant used in an hour or a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// Begin of the hour or day (UTC), in milliseconds since 1970.
    pub start_ms: i64,
    /// The tenant; `-` is traffic of none.
    pub tenant: String,
    /// Amounts. `i64::MAX` stands for that and all above.
    pub units: Units,
}

impl UsageRow {
    /// Its place in the order of pages.
    pub fn key(&self) -> (i64, String) {
        (self.start_ms, self.tenant.clone())
    }
}

type Columns = (i64, String, i64, i64, i64, i64, i64, i64, i64, i64);

/// Statements for one table.
struct Statements {
    /// Begin of the first row and of the last.
    ends: String,
    of_all: String,
    /// Rows are kept by begin and tenant, so that those of one tenant are looked up one by one. A second index
    /// would take as much again as the rows.
    of_one: String,
}

impl Statements {
    fn new(table: &str, length: i64) -> Self {
        let columns = upsert::columns();
        Self {
            ends: format!("SELECT min(start_ms), max(start_ms) FROM {table}"),
            of_all: format!(
                "SELECT {columns} FROM {table} WHERE start_ms >= $1 AND start_ms < $2 AND (start_ms, tenant) > ($3, $4) \
                 ORDER BY start_ms, tenant LIMIT $5"
            ),
            of_one: format!(
                "WITH RECURSIVE starts(start) AS \
                     (SELECT CAST($1 AS BIGINT) UNION ALL SELECT start + {length} FROM starts WHERE start + {length} <= $2) \
                 SELECT {columns} FROM starts JOIN {table} ON start_ms = start AND tenant = $3 ORDER BY start LIMIT $4"
            ),
        }
    }
}

static OF_HOURS: LazyLock<Statements> = LazyLock::new(|| Statements::new(HOURS, HOUR_MS));
static OF_DAYS: LazyLock<Statements> = LazyLock::new(|| Statements::new(DAYS, DAY_MS));

impl Store {
    /// Sums by hour, in order of begin and tenant.
    ///
    /// # Errors
    /// The database is away or fails.
    pub async fn hours(&self, query: &Query) -> Result<Vec<UsageRow>> {
        self.sums(&OF_HOURS, HOUR_MS, query).await
    }

    /// Sums by day (UTC), in order of begin and tenant.
    ///
    /// # Errors
    /// The database is away or fails.
    pub async fn days(&self, query: &Query) -> Result<Vec<UsageRow>> {
        self.sums(&OF_DAYS, DAY_MS, query).await
    }

    async fn sums(&self, statements: &'static Statements, length: i64, query: &Query) -> Result<Vec<UsageRow>> {
        let rows: Vec<Columns> = match &query.tenant {
            Some(tenant) => self.of_one(statements, length, query, tenant).await?,
            None => {
                let (start, tenant) = query.after.clone().unwrap_or((i64::MIN, String::new()));
                read!(self, pool => {
                    let page = sqlx::query_as(statements.of_all.as_str()).bind(query.since_ms).bind(query.until_ms);
                    page.bind(start).bind(&tenant).bind(i64::from(query.limit)).fetch_all(pool).await?
                })
            }
        };
        let row = |(start_ms, tenant, a, b, c, d, e, f, g, h): Columns| UsageRow {
            start_ms,
            tenant,
            units: upsert::units([a, b, c, d, e, f, g, h]),
        };
        Ok(rows.into_iter().map(row).collect())
    }

    async fn of_one(
        &self,
        statements: &'static Statements,
        length: i64,
        query: &Query,
        tenant: &str,
    ) -> Result<Vec<Columns>> {
        let (first, last): (Option<i64>, Option<i64>) =
            read!(self, pool => sqlx::query_as(statements.ends.as_str()).fetch_one(pool).await?);
        let (Some(first), Some(last)) = (first, last) else { return Ok(Vec::new()) };
        let after = query.after.as_ref().map_or(i64::MIN, |(start, _)| start.saturating_add(1));
        let begin = ceil(query.since_ms.max(after), length).max(first);
        let end = last.min(query.until_ms.saturating_sub(1));
        if begin > end {
            return Ok(Vec::new());
        }
        Ok(read!(self, pool => {
            let page = sqlx::query_as(statements.of_one.as_str()).bind(begin).bind(end);
            page.bind(tenant).bind(i64::from(query.limit)).fetch_all(pool).await?
        }))
    }
}
