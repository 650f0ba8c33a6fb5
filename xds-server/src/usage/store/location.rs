//! Where the database is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use sqlx::postgres::PgConnectOptions;
use weir_config::bootstrap::ServerUsage;

/// Variable that goes before the settings.
const VARIABLE: &str = "WEIR_DATABASE_URL";
/// File of the state directory, where nothing else is said.
const FILE: &str = "usage.db";

/// Where a store is. Shown without user and password.
#[derive(Clone)]
pub enum Location {
    /// A file.
    Sqlite(PathBuf),
    /// A server.
    Postgres(Box<PgConnectOptions>),
}

impl Location {
    /// As the environment says, else the settings, else `usage.db` in `state_dir`.
    pub(super) fn find(usage: &ServerUsage, state_dir: &Path) -> anyhow::Result<Self> {
        Self::choose(std::env::var(VARIABLE).ok(), usage, state_dir)
    }

    fn choose(variable: Option<String>, usage: &ServerUsage, state_dir: &Path) -> anyhow::Result<Self> {
        if let Some(url) = variable.filter(|url| !url.is_empty()) {
            return url.parse::<Self>().with_context(|| format!("the environment's {VARIABLE}"));
        }
        if let Some(path) = &usage.database_file {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("usage.databaseFile: cannot read {}", path.display()))?;
            return text.trim().parse::<Self>().with_context(|| format!("usage.databaseFile {}", path.display()));
        }
        match &usage.database {
            Some(url) => url.parse::<Self>().context("usage.database"),
            None => Ok(Self::Sqlite(state_dir.join(FILE))),
        }
    }
}

impl FromStr for Location {
    type Err = anyhow::Error;

    /// A URL. No error repeats it: it may hold a password.
    fn from_str(url: &str) -> anyhow::Result<Self> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            anyhow::ensure!(
                !path.is_empty(),
                "sqlite:// needs the path of a file, as in sqlite:///var/lib/weir/usage.db"
            );
            anyhow::ensure!(!path.contains('?'), "the path after sqlite:// takes no parameters");
            return Ok(Self::Sqlite(path.into()));
        }
        anyhow::ensure!(
            url.starts_with("postgres://") || url.starts_with("postgresql://"),
            "must be a URL: sqlite://PATH or postgres://USER@HOST/NAME"
        );
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| anyhow::anyhow!("cannot be read as a URL: postgres://USER:PASSWORD@HOST:PORT/NAME"))?;
        Ok(Self::Postgres(Box::new(options)))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "SQLite, {}", path.display()),
            Self::Postgres(options) => {
                let place = options.get_socket().map(|path| path.display().to_string());
                let place = place.unwrap_or_else(|| options.get_host().to_owned());
                write!(f, "PostgreSQL, {place}:{}", options.get_port())?;
                options.get_database().map_or(Ok(()), |name| write!(f, "/{name}"))
            }
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(variable: Option<&str>, usage: &ServerUsage) -> String {
        match Location::choose(variable.map(str::to_owned), usage, Path::new("/state")) {
            Ok(location) => location.to_string(),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn the_environment_goes_before_the_file_and_the_setting() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("url");
        std::fs::write(&file, "postgres://weir:secret@db.example:5433/usage\n").unwrap();
        let nothing = ServerUsage::default();
        let setting = ServerUsage { database: Some("sqlite:///data/weir.db".into()), ..ServerUsage::default() };
        let in_file = ServerUsage { database_file: Some(file), ..ServerUsage::default() };

        assert_eq!(shown(None, &nothing), "SQLite, /state/usage.db");
        assert_eq!(shown(Some(""), &setting), "SQLite, /data/weir.db");
        assert_eq!(shown(None, &in_file), "PostgreSQL, db.example:5433/usage");
        assert_eq!(shown(Some("sqlite://here.db"), &in_file), "SQLite, here.db");
    }

    #[test]
    fn no_error_shows_a_password() {
        let usage = ServerUsage::default();
        for url in ["postgres://weir:secret@db:port/x", "mysql://weir:secret@db/x", "postgres://weir:secret@[::/x"] {
            let error = shown(Some(url), &usage);
            assert!(error.contains("WEIR_DATABASE_URL") && !error.contains("secret"), "{error}");
        }
        let location: Location = "postgres://weir:secret@db/x".parse().unwrap();
        assert!(!format!("{location:?}").contains("secret"));
    }
}
