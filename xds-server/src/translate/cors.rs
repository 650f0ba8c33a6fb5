//! `HTTPCORSFilter` to [`Cors`].

use weir_config::kinds::gateway::CorsFilter;
use weir_config::model::{Cors, StringMatch};

use super::paths::quote;

/// Seconds for which a preflight's answer holds where nothing is said.
const MAX_AGE: u32 = 5;

/// Translates a policy. With credentials `*` is a header's name like any other (Fetch standard, section 3.3.4):
/// of methods and headers a proxy then names what was asked for, and of headers to expose there is none to name.
pub(crate) fn translate(filter: &CorsFilter) -> Cors {
    let credentials = filter.allow_credentials.unwrap_or_default();
    let exposed = filter.expose_headers.iter().filter(|name| !(credentials && *name == "*"));
    Cors {
        origins: filter.allow_origins.iter().map(|origin| self::origin(origin)).collect(),
        methods: filter.allow_methods.clone(),
        headers: filter.allow_headers.clone(),
        expose: exposed.cloned().collect(),
        max_age: Some(filter.max_age.unwrap_or(MAX_AGE)),
        credentials,
    }
}

/// An origin as browsers write it: in lower case, without its scheme's own port. A wildcard is one or more labels.
fn origin(text: &str) -> StringMatch {
    let text = text.to_ascii_lowercase();
    if text == "*" {
        return StringMatch::Regex(".*".to_owned());
    }
    let own = if text.starts_with("https:") { ":443" } else { ":80" };
    let text = text.strip_suffix(own).unwrap_or(&text);
    match text.split_once('*') {
        Some((scheme, rest)) => StringMatch::Regex(format!("{}[^/:]+{}", quote(scheme), quote(rest))),
        None => StringMatch::Exact(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use weir_config::model::pattern;

    use super::*;

    #[test]
    fn origins_are_matched_as_browsers_write_them() {
        for (given, asked, expected) in [
            ("https://a.com", "https://a.com", true),
            ("https://A.com:443", "https://a.com", true),
            ("https://a.com:80", "https://a.com", false),
            ("http://a.com:8080", "http://a.com:8080", true),
            ("https://*.a.com", "https://x.y.a.com", true),
            ("https://*.a.com", "https://a.com", false),
            ("https://*.a.com", "https://x-a.com", false),
            ("https://*.a.com", "https://x.a.com:8443", false),
            ("https://*.a.com:8443", "https://x.a.com:8443", true),
            ("https://*.a.com", "https://evil.com/.a.com", false),
            ("http://*", "http://any.thing", true),
            ("http://*", "https://any.thing", false),
            ("*", "null", true),
        ] {
            let matches = match origin(given) {
                StringMatch::Exact(text) => text == asked,
                StringMatch::Regex(text) => pattern::regex(&text).unwrap().is_match(asked.as_bytes()),
                other => panic!("{other:?}"),
            };
            assert_eq!(matches, expected, "{asked} by {given}");
        }
    }
}
