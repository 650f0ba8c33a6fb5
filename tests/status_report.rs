//! `weir status` of a directory: what it would come to, cut to what a person reads.

use std::fmt::Write as _;
use std::process::Output;

use serde_json::Value;

use crate::support::site::{Site, repository, weir};

fn status(dir: &std::path::Path, args: &[&str]) -> Output {
    weir().arg("status").arg("--dir").arg(dir).args(args).env("NO_COLOR", "1").output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_directory_is_shown_without_a_server() {
    let quickstart = repository("config/examples/quickstart");
    let output = status(&quickstart, &[]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for expected in ["Tenants (2)", "acme-shop/shop", "weir-system/public", "shop-tls", "ok nothing is wrong"] {
        assert!(text.contains(expected), "`{expected}` is not in:\n{text}");
    }
    let text = said(&status(&quickstart, &["--tenant", "acme"]));
    assert!(text.contains("acme-shop/shop") && !text.contains("globex"), "{text}");
    let text = said(&status(&quickstart, &["--kind", "httproutes"]));
    assert!(text.contains("globex-web/web") && text.contains("Tenants (0)"), "{text}");
    let output = status(&quickstart, &["--kind", "Nothing"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}

/// Of many tenants a few are shown, the one that is wrong among them, and the others are counted.
#[test]
fn what_is_wrong_is_shown_first_and_the_rest_is_counted() {
    let site = Site::new();
    let mut text = "apiVersion: weir.dev/v1alpha1\nkind: Plan\nmetadata: {name: pro}\nspec: {}\n".to_owned();
    for n in 0..60 {
        let plan = if n == 57 { "typo" } else { "pro" };
        write!(
            text,
            "---\napiVersion: weir.dev/v1alpha1\nkind: Tenant\nmetadata: {{name: t{n:02}}}\nspec: {{plan: {plan}}}\n"
        )
        .unwrap();
    }
    site.write("tenants.yaml", &text);
    let output = status(&site.manifests(), &[]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for expected in ["Tenants (60)", "t57", "no: PlanNotFound", "and 40 more (--all)", "there is no Plan typo"] {
        assert!(text.contains(expected), "`{expected}` is not in:\n{text}");
    }
    assert!(text.lines().count() < 50 && !text.contains("t56"), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.contains("PlanNotFound"), "what is wrong does not stand last:\n{text}");
    let all = said(&status(&site.manifests(), &["--all"]));
    assert!(all.contains("t56") && !all.contains("more (--all)"), "{all}");
    let json: Value = serde_json::from_slice(&status(&site.manifests(), &["--output", "json"]).stdout).unwrap();
    assert_eq!(json["counts"]["Tenant"], serde_json::json!({"total": 60, "wrong": 1, "shown": 60}));
}
