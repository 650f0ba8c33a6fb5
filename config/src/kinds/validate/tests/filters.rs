//! Settings of filters, retries and sessions.

use serde_json::{Value, json};

use super::{each_accepted, each_refused, route};

#[test]
fn what_filters_say() {
    let at = |rest: &str| format!("spec.rules[0].filters[0].{rest}");
    let filter = "/spec/rules/0/filters/0";
    let of = |type_: &str, field: &str, settings: Value| json!({ "type": type_, field: settings });
    let rewrite = |settings| of("URLRewrite", "urlRewrite", settings);
    let path = |path| rewrite(json!({ "path": path }));
    let mirror = |rest: Value| {
        let mut settings = json!({ "backendRef": { "name": "a", "port": 80 } });
        settings.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        of("RequestMirror", "requestMirror", settings)
    };
    let cors = |settings| of("CORS", "cors", settings);
    for (field, bad) in [
        ("urlRewrite.hostname", rewrite(json!({ "hostname": "*.a.com" }))),
        ("urlRewrite.hostname", rewrite(json!({ "hostname": "a.com:80" }))),
        ("urlRewrite.path.type", path(json!({ "type": "Replace" }))),
        ("urlRewrite.path.replaceFullPath", path(json!({ "type": "ReplaceFullPath" }))),
        (
            "urlRewrite.path.replaceFullPath",
            path(json!({ "type": "ReplacePrefixMatch", "replacePrefixMatch": "/", "replaceFullPath": "/" })),
        ),
        (
            "urlRewrite.path.replacePrefixMatch",
            path(json!({ "type": "ReplacePrefixMatch", "replacePrefixMatch": "x".repeat(1025) })),
        ),
        ("requestMirror.percent", mirror(json!({ "percent": 101 }))),
        ("requestMirror.fraction", mirror(json!({ "percent": 1, "fraction": { "numerator": 1 } }))),
        ("requestMirror.fraction.numerator", mirror(json!({ "fraction": { "numerator": 101 } }))),
        ("requestMirror.fraction.denominator", mirror(json!({ "fraction": { "numerator": 0, "denominator": 0 } }))),
        (
            "requestMirror.backendRef.port",
            of("RequestMirror", "requestMirror", json!({ "backendRef": { "name": "a" } })),
        ),
        ("cors.allowOrigins[0]", cors(json!({ "allowOrigins": ["example.com"] }))),
        ("cors.allowOrigins[0]", cors(json!({ "allowOrigins": ["https://a.*.com"] }))),
        ("cors.allowOrigins", cors(json!({ "allowOrigins": ["*", "https://a.com"] }))),
        ("cors.allowMethods[0]", cors(json!({ "allowMethods": ["get"] }))),
        ("cors.allowHeaders[1]", cors(json!({ "allowHeaders": ["a", "a"] }))),
        ("cors.maxAge", cors(json!({ "maxAge": 0 }))),
    ] {
        each_refused(&route(), filter, &at(field), &[bad]);
    }
    each_accepted(
        &route(),
        filter,
        &[
            mirror(json!({ "fraction": { "numerator": 1, "denominator": 1000 } })),
            cors(json!({ "allowOrigins": ["https://*.a.com:8443", "http://*", "https://a.com"], "allowMethods": ["*"],
                "allowHeaders": ["*"], "exposeHeaders": ["x-a", "*"], "allowCredentials": true, "maxAge": 60 })),
        ],
    );
    let mut redirect = route();
    redirect["spec"]["rules"][0].as_object_mut().unwrap().remove("backendRefs");
    let to = |settings| of("RequestRedirect", "requestRedirect", settings);
    each_refused(&redirect, filter, &at("requestRedirect.statusCode"), &[to(json!({ "statusCode": 300 }))]);
    each_refused(&redirect, filter, &at("requestRedirect.scheme"), &[to(json!({ "scheme": "ftp" }))]);
    each_refused(&redirect, filter, &at("requestRedirect.port"), &[to(json!({ "port": 0 }))]);
    each_accepted(&redirect, filter, &[to(json!({ "scheme": "https", "statusCode": 308 })), to(json!({}))]);
}

#[test]
fn retries_and_sessions() {
    let rule = "/spec/rules/0";
    let at = |rest: &str| format!("spec.rules[0].{rest}");
    let retry = format!("{rule}/retry");
    each_refused(&route(), &retry, &at("retry.codes[0]"), &[json!({ "codes": [399] }), json!({ "codes": [600] })]);
    each_refused(&route(), &retry, &at("retry.codes[1]"), &[json!({ "codes": [500, 500] })]);
    each_refused(&route(), &retry, &at("retry.attempts"), &[json!({ "attempts": 0 })]);
    each_refused(&route(), &retry, &at("retry.backoff"), &[json!({ "backoff": "1" })]);
    each_accepted(&route(), &retry, &[json!({}), json!({ "codes": [503], "attempts": 3, "backoff": "10ms" })]);
    let session = format!("{rule}/sessionPersistence");
    let at = |rest: &str| at(&format!("sessionPersistence.{rest}"));
    each_refused(&route(), &session, &at("type"), &[json!({ "type": "Body" })]);
    each_refused(
        &route(),
        &session,
        &at("absoluteTimeout"),
        &[json!({ "absoluteTimeout": "1d" }), json!({ "cookieConfig": { "lifetimeType": "Permanent" } })],
    );
    each_refused(&route(), &session, &at("cookieConfig"), &[json!({ "type": "Header", "cookieConfig": {} })]);
    each_refused(
        &route(),
        &session,
        &at("cookieConfig.lifetimeType"),
        &[json!({ "cookieConfig": { "lifetimeType": "Ever" } })],
    );
    each_accepted(
        &route(),
        &session,
        &[
            json!({}),
            json!({ "sessionName": "a", "type": "Header" }),
            json!({ "type": "Cookie", "absoluteTimeout": "1h", "cookieConfig": { "lifetimeType": "Permanent" } }),
        ],
    );
}
