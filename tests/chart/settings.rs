//! The settings that the chart writes are such as the two halves read, and agree with each other and with the pods.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;
use weir_config::bootstrap::{ProxyBootstrap, ServerBootstrap};

use crate::support::helm::{NAMESPACE, Rendered, cases, out, render};

#[test]
fn both_halves_read_their_settings_and_agree() {
    for case in cases() {
        let rendered = render(&case.values);
        let server = ServerBootstrap::parse(rendered.file("weir-server", "server.yaml"))
            .unwrap_or_else(|errors| panic!("{}: server.yaml: {errors:?}", case.name));
        assert!(server.reviews_tokens() && server.xds.tls.is_some() && server.admin.address.is_local());
        assert_eq!(server.authentication.audience, "weir");

        // Every class has the service account of its name, and every one of an edge's is of a class.
        let classes: BTreeSet<_> = server.classes().iter().map(|class| class.service_account.to_string()).collect();
        let accounts = rendered.of("ServiceAccount").filter(|account| is_edge(account)).map(|account| {
            assert_eq!(account["automountServiceAccountToken"], false);
            format!("{NAMESPACE}/{}", text(&account["metadata"]["name"]))
        });
        assert_eq!(accounts.collect::<BTreeSet<_>>(), classes, "{}", case.name);

        // What a class names as the way in, or to its pods, is there; and Gateways have a Service of their own, or share one.
        for class in server.classes() {
            let Some(service) = &class.service else { continue };
            assert_ne!(service.per_gateway, service.name.is_some(), "{}", case.name);
            for named in service.name.iter().chain(&service.pods) {
                let found = rendered.of("Service").find(|found| found["metadata"]["name"] == *named.name).unwrap();
                assert_eq!(found["metadata"]["labels"]["weir.dev/edge"], *class.name, "{}", case.name);
                assert_eq!(named.namespace, NAMESPACE);
            }
            let own = format!("weir-{}", class.name);
            assert_eq!(rendered.of("Service").any(|found| found["metadata"]["name"] == *own), !service.per_gateway);
        }

        for (object, pod) in rendered.pods().filter(|(object, _)| is_edge(object)) {
            edge(&rendered, &server, object, &pod["spec"]);
        }
    }
}

fn edge(rendered: &Rendered, server: &ServerBootstrap, object: &Value, pod: &Value) {
    let name = text(&object["metadata"]["name"]);
    let proxy = ProxyBootstrap::parse(rendered.file(name, "proxy.yaml")).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    let class = server.classes().into_iter().find(|class| class.name == proxy.node.cluster).unwrap();
    assert_eq!(pod["serviceAccountName"], class.service_account.name, "{name} proves what it says it is");
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(proxy.xds.address.to_string(), format!("weir-server.{NAMESPACE}.svc:18000"));

    // What the settings name is mounted, and nothing of a token or key is written where it should not be.
    let container = &pod["containers"][0];
    let mounts: Vec<_> = list(&container["volumeMounts"]).iter().map(|mount| text(&mount["mountPath"])).collect();
    let mounted = |path: &std::path::Path| mounts.iter().any(|mount| path.starts_with(mount));
    assert!(mounted(&proxy.state_dir));
    assert!(mounted(&proxy.xds.tls.as_ref().unwrap().ca_file));
    assert!(mounted(proxy.xds.token_file.as_ref().unwrap()));
    assert!(mounted(proxy.secrets_dir.as_ref().unwrap()));
    let volume = |name: &str| list(&pod["volumes"]).iter().find(|volume| volume["name"] == name).unwrap();
    assert_eq!(volume("keys")["emptyDir"]["medium"], "Memory");
    let token = &volume("token")["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(token["audience"], server.authentication.audience);
    assert_eq!(text(&token["path"]), proxy.xds.token_file.as_ref().unwrap().file_name().unwrap());

    // It is not killed while it drains.
    let before = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap_or(0);
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(grace > before + proxy.drain_timeout.0.as_secs(), "{name}: {grace} s are too few");

    // Probes ask where the settings listen for them.
    let port = proxy.admin.metrics_address.as_ref().unwrap().to_string();
    let metrics = list(&container["ports"]).iter().find(|port| port["name"] == "metrics").unwrap();
    assert!(port.ends_with(&format!(":{}", metrics["containerPort"])));
    assert_eq!(container["readinessProbe"]["httpGet"]["port"], "metrics");
}

#[test]
fn the_certificate_that_the_chart_makes_is_of_its_authority_and_has_the_servers_name() {
    let rendered = render("");
    let folder = tempfile::tempdir().unwrap();
    let secret = &rendered.get("Secret", "weir-xds-tls")["data"];
    for (name, value) in secret.as_object().unwrap() {
        let decoded = folder.path().join(name);
        std::fs::write(folder.path().join("base64"), text(value)).unwrap();
        let plain = out(Command::new("base64").arg("-d").arg(folder.path().join("base64")));
        std::fs::write(decoded, plain).unwrap();
    }
    let ca = std::fs::read_to_string(folder.path().join("ca.crt")).unwrap();
    assert_eq!(rendered.file("weir-xds-ca", "ca.crt").trim(), ca.trim());
    let proxy = ProxyBootstrap::parse(rendered.file("weir-edge", "proxy.yaml")).unwrap();
    let host = proxy.xds.address.to_string().rsplit_once(':').unwrap().0.to_owned();
    let said = out(Command::new("openssl")
        .args(["verify", "-x509_strict", "-verify_hostname", &host, "-CAfile", "ca.crt", "tls.crt"])
        .current_dir(folder.path()));
    assert_eq!(said.trim(), "tls.crt: OK");
}

fn is_edge(object: &Value) -> bool {
    object["metadata"]["labels"]["app.kubernetes.io/component"] == "edge"
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}
