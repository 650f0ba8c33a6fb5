//! Hostname patterns, in a form whose order is the order of their tree.

use std::fmt;

use weir_config::model::{Domain, ServerName};

/// A set of hostnames: one name, all names below a suffix (one or more labels deep), or all.
///
/// It is held as its labels from right to left, `com.acme.shop` for `shop.acme.com`, with a `.` at
/// the end where it is a wildcard, `com.acme.` for `*.acme.com`, and empty for `*`. So a wildcard
/// is a prefix of all that it covers, what it covers lies behind it in one range, and of two
/// patterns that match one host the longer is the more specific.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(String);

impl Pattern {
    /// `*`
    pub const ANY: Pattern = Pattern(String::new());

    /// Reads `shop.acme.com`, `*.acme.com` or `*`, in any case.
    ///
    /// # Errors
    /// What is wrong with the text, as the end of a sentence that begins with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text == "*" {
            return Ok(Self::ANY);
        }
        let (wildcard, name) = match text.strip_prefix("*.") {
            Some(suffix) => (true, suffix),
            None => (false, text),
        };
        if name.len() > 253 {
            return Err("is longer than a DNS name may be (253)");
        }
        let mut key = String::with_capacity(name.len() + 1);
        for label in name.rsplit('.') {
            let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            if label.is_empty() || label.len() > 63 || !label.bytes().all(good) {
                return Err("is no hostname: write `name.example`, `*.example` or `*`");
            }
            if !key.is_empty() {
                key.push('.');
            }
            key.push_str(&label.to_ascii_lowercase());
        }
        if wildcard {
            key.push('.');
        }
        Ok(Self(key))
    }

    /// Whether it stands for more than one name.
    pub fn is_wildcard(&self) -> bool {
        self.0.is_empty() || self.0.ends_with('.')
    }

    /// How specific it is, among patterns that match one host.
    pub fn specificity(&self) -> usize {
        self.0.len()
    }

    /// Whether every name of `other` is one of its own; it covers itself.
    pub fn covers(&self, other: &Pattern) -> bool {
        self == other || (self.is_wildcard() && other.0.starts_with(&self.0))
    }

    /// The names that both have: the narrower one, or nothing.
    pub fn intersect(&self, other: &Pattern) -> Option<Pattern> {
        if self.covers(other) {
            Some(other.clone())
        } else if other.covers(self) {
            Some(self.clone())
        } else {
            None
        }
    }

    /// The wildcards that cover it, without itself, the most specific first.
    pub fn wider(&self) -> impl Iterator<Item = Pattern> {
        let own = self.0.strip_suffix('.').unwrap_or(&self.0);
        let cuts: Vec<usize> = own.match_indices('.').map(|(at, _)| at + 1).collect();
        let any = (!self.0.is_empty()).then_some(Pattern::ANY);
        cuts.into_iter().rev().map(|cut| Pattern(self.0[..cut].to_owned())).chain(any)
    }

    /// As the domain of a virtual host.
    pub fn domain(&self) -> Domain {
        match self.0.strip_suffix('.') {
            _ if self.0.is_empty() => Domain::Any,
            Some(_) => Domain::Suffix(self.name()),
            None => Domain::Exact(self.name()),
        }
    }

    /// As an SNI name; none for `*`.
    pub fn server_name(&self) -> Option<ServerName> {
        match self.domain() {
            Domain::Exact(name) => Some(ServerName::Exact(name)),
            Domain::Suffix(suffix) => Some(ServerName::Suffix(suffix)),
            Domain::Any => None,
        }
    }

    /// The names that an SNI name of a chain stands for.
    pub fn of_server_name(name: &ServerName) -> Self {
        let (name, end) = match name {
            ServerName::Exact(name) => (name, ""),
            ServerName::Suffix(suffix) => (suffix, "."),
        };
        Self(name.rsplit('.').collect::<Vec<_>>().join(".") + end)
    }

    fn name(&self) -> String {
        let own = self.0.strip_suffix('.').unwrap_or(&self.0);
        own.rsplit('.').collect::<Vec<_>>().join(".")
    }
}

/// `shop.acme.com`, `*.acme.com`, `*`
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.domain() {
            Domain::Exact(name) => f.write_str(&name),
            Domain::Suffix(suffix) => write!(f, "*.{suffix}"),
            Domain::Any => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn text_survives() {
        for text in ["*", "a", "*.a", "shop.acme.com", "*.acme.com"] {
            assert_eq!(pattern(text).to_string(), text);
        }
        assert_eq!(pattern("Shop.ACME.com"), pattern("shop.acme.com"));
        for bad in ["", "*.", ".a", "a.", "a..b", "a.*.b", "**", "a/b", "a:80", "*a.b"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wildcard_covers_any_depth_but_not_its_own_suffix() {
        let wild = pattern("*.acme.com");
        for inside in ["a.acme.com", "b.a.acme.com", "*.a.acme.com", "*.acme.com"] {
            assert!(wild.covers(&pattern(inside)), "{inside}");
        }
        for outside in ["acme.com", "xacme.com", "*.com", "*", "acme.com.org"] {
            assert!(!wild.covers(&pattern(outside)), "{outside}");
        }
        assert!(Pattern::ANY.covers(&wild));
        assert!(!pattern("acme.com").covers(&pattern("a.acme.com")));
    }

    #[test]
    fn wider_patterns_come_narrowest_first() {
        let wider = |text| pattern(text).wider().map(|p| p.to_string()).collect::<Vec<_>>();
        assert_eq!(wider("b.a.com"), ["*.a.com", "*.com", "*"]);
        assert_eq!(wider("*.a.com"), ["*.com", "*"]);
        assert_eq!(wider("com"), ["*"]);
        assert_eq!(wider("*"), Vec::<String>::new());
    }

    #[test]
    fn an_intersection_is_the_narrower_one() {
        assert_eq!(pattern("*.com").intersect(&pattern("a.com")), Some(pattern("a.com")));
        assert_eq!(pattern("a.com").intersect(&Pattern::ANY), Some(pattern("a.com")));
        assert_eq!(pattern("a.com").intersect(&pattern("*.a.com")), None);
    }
}
