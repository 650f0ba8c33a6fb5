//! `SessionPersistence` to the session of a route.

use std::time::Duration;

use weir_config::FieldError;
use weir_config::kinds::gateway::SessionPersistence as Asked;
use weir_config::model::{PathMatch, SessionPersistence};

use super::duration;

/// Translates what a rule asks for; `rule` is what tells it from all others, for sessions without a name.
///
/// # Errors
/// The field that cannot be honoured, seen from the settings: what ends a session (`absoluteTimeout`) is kept by the
/// client alone, as the life of a permanent cookie.
pub(crate) fn translate(asked: &Asked, rule: &str, matched: &[PathMatch]) -> Result<SessionPersistence, FieldError> {
    let name = match asked.session_name.as_deref() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => format!("weir-session-{:08x}", digest(rule)),
    };
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !name.bytes().all(token) {
        return Err(FieldError::new("sessionName", format!("`{name}` is no name of a cookie or header")));
    }
    let life =
        match asked.absolute_timeout.as_deref() {
            Some(text) => Some(duration::parse(text).filter(|life| !life.is_zero()).ok_or_else(|| {
                FieldError::new("absoluteTimeout", format!("`{text}` is no duration that can be kept"))
            })?),
            None => None,
        };
    let untracked = || {
        FieldError::new("absoluteTimeout", "is supported with a cookie of lifetimeType Permanent alone")
            .hint("leave it out, or set cookieConfig.lifetimeType: Permanent")
    };
    match asked.type_.as_deref().unwrap_or("Cookie") {
        "Header" if life.is_some() => Err(untracked()),
        "Header" => Ok(SessionPersistence::Header { name: name.to_ascii_lowercase() }),
        "Cookie" => {
            let lifetime = asked.cookie_config.as_ref().and_then(|cookie| cookie.lifetime_type.as_deref());
            let ttl = match (lifetime.unwrap_or("Session"), life) {
                ("Permanent", Some(life)) => whole_seconds(life),
                ("Permanent", None) => return Err(FieldError::new("absoluteTimeout", "is missing")),
                (_, Some(_)) => return Err(untracked()),
                (_, None) => Duration::ZERO,
            };
            Ok(SessionPersistence::Cookie { name, path: cookie_path(matched), ttl })
        }
        other => Err(FieldError::new("type", format!("`{other}` is not supported"))),
    }
}

/// A cookie's life is counted in seconds, and one of none would end at once.
fn whole_seconds(life: Duration) -> Duration {
    Duration::from_secs(life.as_secs() + u64::from(life.subsec_nanos() > 0))
}

/// The path of a rule that has one, so that another rule's session of the same name is another cookie.
fn cookie_path(matched: &[PathMatch]) -> String {
    match matched {
        [PathMatch::Exact(path) | PathMatch::SegmentPrefix(path)] if !path.contains(';') => path.clone(),
        _ => "/".to_owned(),
    }
}

/// FNV-1a, 32 bits: the same for a rule in every server.
fn digest(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use weir_config::kinds::gateway::CookieConfig;

    use super::*;

    #[test]
    fn a_cookie_lives_for_its_time_in_whole_seconds() {
        let asked = Asked {
            session_name: Some("cart".into()),
            absolute_timeout: Some("1500ms".into()),
            cookie_config: Some(CookieConfig { lifetime_type: Some("Permanent".into()) }),
            ..Asked::default()
        };
        let path = [PathMatch::SegmentPrefix("/shop".into())];
        let cookie =
            SessionPersistence::Cookie { name: "cart".into(), path: "/shop".into(), ttl: Duration::from_secs(2) };
        assert_eq!(translate(&asked, "a/b/0", &path).unwrap(), cookie);
    }

    #[test]
    fn a_session_without_name_has_one_of_its_own() {
        let name = |rule| match translate(&Asked::default(), rule, &[PathMatch::default()]).unwrap() {
            SessionPersistence::Cookie { name, path, .. } => {
                assert_eq!(path, "/");
                name
            }
            other => panic!("{other:?}"),
        };
        assert_ne!(name("a/b/0"), name("a/b/1"));
        assert_eq!(name("a/b/0"), name("a/b/0"));
    }

    #[test]
    fn what_only_the_proxy_could_end_is_refused() {
        let timed = Asked { absolute_timeout: Some("1h".into()), ..Asked::default() };
        let header = Asked { type_: Some("Header".into()), ..timed.clone() };
        for asked in [timed, header] {
            assert_eq!(translate(&asked, "", &[]).unwrap_err().field, "absoluteTimeout");
        }
    }
}
