use proptest::prelude::*;

use super::{normalise, scan};

fn normal(path: &str) -> String {
    let mut out = String::new();
    normalise(path, &mut out).unwrap();
    out
}

/// What Envoy 1.40 makes of it with `normalize_path`, tried on the program itself.
const ENVOY: &[(&str, &str)] = &[
    ("/", "/"),
    ("/a/b", "/a/b"),
    ("/a/b/", "/a/b/"),
    ("/.", "/"),
    ("/..", "/"),
    ("/a/.", "/a/"),
    ("/a/./", "/a/"),
    ("/a/..", "/"),
    ("/a/../", "/"),
    ("/a/./b", "/a/b"),
    ("/a/b/c/./../../g", "/a/g"),
    ("/public/../admin", "/admin"),
    // Above the root there is nothing.
    ("/../../a", "/a"),
    ("/a/../../../b", "/b"),
    // Dots that are no dot segments.
    ("/...", "/..."),
    ("/.a/..b/c../d.", "/.a/..b/c../d."),
    ("/a/..%2e/b", "/a/.../b"),
    // Escaped dots.
    ("/a/%2e/b", "/a/b"),
    ("/a/%2E%2e/b", "/b"),
    ("/a/.%2e/b", "/b"),
    ("/a/%2E.", "/"),
    ("/a/%252e%252e/b", "/a/%252e%252e/b"),
    ("/%2ehidden", "/.hidden"),
    // Parameters of dot segments.
    ("/a/..;/b", "/b"),
    ("/a/..;x=1/b", "/b"),
    ("/a/.;../b", "/a/b"),
    ("/a/..;%2fx/b", "/b"),
    ("/a/b/..;x", "/a/"),
    ("/a/...;/b", "/a/...;/b"),
    ("/a;../b", "/a;../b"),
    ("/a;b/../c", "/c"),
    ("/a/..%3b/b", "/a/..%3b/b"),
    // Backslashes.
    ("/a\\b\\", "/a/b/"),
    ("/a\\..\\b", "/b"),
    ("/\\a", "//a"),
    // Repeated slashes stay, and are segments.
    ("//", "//"),
    ("///a//b///", "///a//b///"),
    ("/a//../b", "/a/b"),
    ("/a/b//..//c", "/a/b//c"),
    ("//..", "/"),
    ("//.", "//"),
    ("/.//a", "//a"),
    ("/a/..//../b", "/b"),
    // Escaped slashes stay, and are none.
    ("/a%2f..%2Fb", "/a%2f..%2Fb"),
    ("/a%5c..%5Cb", "/a%5c..%5Cb"),
    // Unreserved characters are not escaped; others stay as they came.
    ("/%7euser/%7Euser", "/~user/~user"),
    ("/%41%5a%7a%30%2d%5f%2e%7e", "/AZz0-_.~"),
    ("/%3a%3A%20%C3%A4%c3", "/%3a%3A%20%C3%A4%c3"),
    ("/%c0%ae%c0%ae/b", "/%c0%ae%c0%ae/b"),
    // Escapes that are none, and what must not become one.
    ("/%zz/a%/%2", "/%zz/a%/%2"),
    ("/a%2g/../b", "/b"),
    ("/%25%32%65/", "/%252e/"),
    ("/%2%65%2%65/b", "/%252e%252e/b"),
    ("/%%32e%%32%65/b", "/%252e%252e/b"),
    // What may not stand bare.
    ("/a\"b<c>", "/a%22b%3Cc%3E"),
    ("/a{b}|c^d`e", "/a%7Bb%7D%7Cc%5Ed%60e"),
    ("/a!$&'()*+,;=:@[b]", "/a!$&'()*+,;=:@[b]"),
];

#[test]
fn paths_are_as_envoy_makes_them() {
    for (path, expected) in ENVOY {
        assert_eq!(normal(path), *expected, "{path}");
    }
}

/// Here Envoy gives `/a/..;/b` and `/c/`: the first is a dot segment to servers that drop parameters.
#[test]
fn no_parameter_hides_a_dot_segment() {
    assert_eq!(normal("/a/%2e%2e;/b"), "/b");
    assert_eq!(normal("/c/a/..;\\b"), "/c/b");
}

#[test]
fn an_escaped_nul_is_refused() {
    for path in ["/%00", "/a%00b", "/a/../%00", "/.%00./b"] {
        assert_eq!(normalise(path, &mut String::new()).unwrap_err().status, 400, "{path}");
    }
}

#[test]
fn most_paths_are_not_copied() {
    for path in ["/", "/a/b.c", "/a?/../%2e", "/a;b/c,d:e@f", "//a..b/"] {
        assert!(scan(path.as_bytes()).unwrap().1, "{path}");
    }
}

fn paths() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "\\", ".", "..", "%2e", "%2E", "%", "%%", "2", "e", "%32", "%65", ";", "a", "|", "%2f", "%5C", "%7e", "~",
    ]);
    prop::collection::vec(piece, 0..16).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn a_normal_path_stays_and_hides_nothing(path in prop_oneof![paths(), "/[!-~&&[^?#]]{0,24}"]) {
        prop_assume!(!path.contains("%00"));
        let once = normal(&path);
        prop_assert_eq!(&normal(&once), &once);
        prop_assert!(once.starts_with('/') && !once.contains('\\'), "{}", once);
        let decoded = once.replace("%2e", ".").replace("%2E", ".");
        for segment in decoded.split('/') {
            let name = segment.split(';').next().unwrap();
            prop_assert!(name != "." && name != "..", "{}", once);
        }
        if scan(path.as_bytes()).unwrap().1 {
            prop_assert_eq!(once, path);
        }
    }
}
