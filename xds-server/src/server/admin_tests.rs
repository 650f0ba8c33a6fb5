//! Whatever is asked of the admin endpoint is answered, and is no fault of the server's.

use proptest::prelude::*;
use weir_config::kinds::manifest;
use weir_config::testing::soak;

use super::*;

/// Parts of queries: names that are known, and what breaks readers.
fn part() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "host=",
        "tls=true",
        "port=80",
        "port=",
        "sni=",
        "gateway=",
        "tenant=",
        "since=",
        "until=",
        "by=hour",
        "by=",
        "format=csv",
        "format=",
        "limit=",
        "limit=0",
        "kind=Tenant",
        "kind=",
        "after=",
        "after=-1",
        "&",
        "=",
        "&&",
        "shop.acme.test",
        "*.",
        "..",
        "[::1]",
        "a.",
        "weir-system/public",
        "1h",
        "2026-01-01T00:00:00Z",
        "99999999999999999999",
    ]);
    let odd = prop_oneof![
        "%[0-9A-F]{2}".prop_map(|escape| escape),
        "[!-~]{1,8}".prop_map(|text| text.replace('#', "")),
        "[a-z.]{200,400}",
        Just("%00".to_owned()),
        Just("%C3%A4".to_owned()),
        Just("%FF".to_owned()),
    ];
    prop_oneof![3 => known.prop_map(str::to_owned), 1 => odd]
}

fn request() -> impl Strategy<Value = String> {
    let page = prop::sample::select(vec![
        "/v1/explain",
        "/v1/status",
        "/v1/usage",
        "/v1/usage/follow",
        "/v1/usage/audit",
        "/config_dump",
        "/ready",
        "/",
    ]);
    let first = prop::sample::select(vec!["", "host=shop.acme.test&", "host="]);
    (page, first, prop::collection::vec(part(), 0..8))
        .prop_map(|(page, first, parts)| format!("{page}?{first}{}", parts.concat()))
}

/// What a directory of two tenants says, so that there is something to find.
fn quickstart() -> Batch {
    let text = include_str!("../../../config/examples/quickstart/platform.yaml").to_owned()
        + "\n---\n"
        + include_str!("../../../config/examples/quickstart/acme.yaml");
    let objects = manifest::objects(&text).unwrap();
    Batch { events: objects.into_iter().map(Event::Apply).collect(), ..Batch::default() }
}

#[test]
fn soak_whatever_is_asked_of_the_admin_endpoint_is_answered() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(start());
    runtime.block_on(async {
        server.batches.send(quickstart()).await.unwrap();
        while !server.page("/ready").await.starts_with("HTTP/1.1 200") {}
    });
    soak::property(&request(), |request| {
        let answer = runtime.block_on(server.page(&request));
        let status = answer.get(9..12).unwrap_or_default();
        prop_assert!(["200", "400", "503"].contains(&status), "{}: {}", request, answer);
        Ok(())
    });
    runtime.block_on(server.finish());
}

#[tokio::test]
async fn what_is_known_of_a_host_is_given_and_nothing_of_another() {
    let server = start().await;
    assert!(server.page("/v1/explain?host=shop.acme.test").await.starts_with("HTTP/1.1 503"));
    server.batches.send(quickstart()).await.unwrap();
    while !server.page("/ready").await.starts_with("HTTP/1.1 200") {}
    let answer = server.page("/v1/explain?host=shop.acme.test&port=8080").await;
    for expected in ["\"entry\":\"shop.acme.test\"", "acme-shop", "edge/127.0.0.1/8080/http/shop.acme.test"] {
        assert!(answer.contains(expected), "{expected} is not in {answer}");
    }
    assert!(!answer.contains("globex") && !answer.contains("PRIVATE KEY"), "{answer}");
    for (query, advice) in
        [("", "host"), ("host=", "host"), ("host=a&gateway=b", "namespace/name"), ("host=a&x=1", "x")]
    {
        let answer = server.page(&format!("/v1/explain?{query}")).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains(advice), "{query}: {answer}");
    }
    server.finish().await;
}
