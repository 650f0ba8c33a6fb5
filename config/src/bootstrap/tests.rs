use std::time::Duration;

use super::*;

#[test]
fn an_empty_proxy_file_is_a_file_of_defaults() {
    let settings = ProxyBootstrap::parse("").unwrap();
    assert_eq!(settings, ProxyBootstrap::default());
    assert_eq!(settings.xds.address.to_string(), "127.0.0.1:18000");
    assert_eq!(settings.admin.address.to_string(), "127.0.0.1:9901");
    assert_eq!(settings.max_staleness.0, Duration::from_secs(86400));
}

#[test]
fn a_server_needs_only_its_source() {
    let settings = ServerBootstrap::parse("source: {directory: /etc/weir}\n").unwrap();
    assert_eq!(settings, ServerBootstrap::new("/etc/weir"));
    assert_eq!(settings.admin.address.to_string(), "127.0.0.1:18001");
}

#[test]
fn every_setting_can_be_written() {
    let text = "
node: {id: edge-0, cluster: public}
xds: {address: 'unix:/run/weir/xds.sock'}
admin: {address: '127.0.0.1:0'}
stateDir: /var/lib/weir
secretsDir: /dev/shm/weir
workers: 4
maxStaleness: 12h
drainTimeout: 1m30s
certificates: {parsedKeys: 100, held: 1000}
usage: {window: 500ms, server: {address: 'weir-usage.weir-system.svc:18000'}, logBytes: 8Mi, prometheusTenants: 0}
";
    let settings = ProxyBootstrap::parse(text).unwrap();
    assert_eq!(settings.xds.address, Target::Address(Address::Unix("/run/weir/xds.sock".into())));
    assert_eq!(settings.drain_timeout, Period::seconds(90));
    assert_eq!(settings.usage.window.0, Duration::from_millis(500));
    let again = ProxyBootstrap::parse(&serde_json::to_string(&settings).unwrap()).unwrap();
    assert_eq!(again, settings, "settings written out are read back");
}

#[test]
fn unknown_fields_are_all_named_with_the_nearest_name() {
    let errors = ProxyBootstrap::parse("node: {idd: a}\nstate_dir: x\n").unwrap_err();
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "node.idd: there is no such field (did you mean `id`?)",
            "state_dir: there is no such field (did you mean `stateDir`?)"
        ]
    );
    let errors = ServerBootstrap::parse("source: {directory: d}\nedge: {zzz: 1}").unwrap_err();
    let known = "known here: `name`, `accessLog`, `addresses`, `bindAddresses`, `service`, `maxFilterChains`";
    assert_eq!(errors[0].to_string(), format!("edge.zzz: there is no such field ({known})"));
}

#[test]
fn a_bad_value_is_named_by_its_path() {
    let field = |errors: Vec<crate::FieldError>| errors[0].field.clone();
    assert_eq!(field(ProxyBootstrap::parse("xds: {address: localhost}").unwrap_err()), "xds.address");
    assert_eq!(field(ProxyBootstrap::parse("drainTimeout: 10").unwrap_err()), "drainTimeout");
    assert_eq!(field(ProxyBootstrap::parse("workers: 0").unwrap_err()), "workers");
    assert_eq!(field(ServerBootstrap::parse("source: {directory: ''}").unwrap_err()), "source.directory");
    assert_eq!(
        field(
            ServerBootstrap::parse(
                "source: {directory: d}\nxds: {address: '0.0.0.0:1'}\nauthentication: {anonymous: true}"
            )
            .unwrap_err()
        ),
        "authentication.anonymous"
    );
}

#[test]
fn an_edge_has_at_least_one_filter_chain() {
    let settings =
        |bound: usize| ServerBootstrap::parse(&format!("source: {{directory: d}}\nedge: {{maxFilterChains: {bound}}}"));
    assert_eq!(settings(1).unwrap().classes()[0].max_filter_chains, Some(1));
    assert_eq!(settings(0).unwrap_err()[0].to_string(), "edge.maxFilterChains: must be at least 1");
}

#[test]
fn a_proxy_holds_at_least_one_certificate_and_parsed_key() {
    let settings = ProxyBootstrap::parse("certificates: {parsedKeys: 1}").unwrap();
    assert_eq!(settings.certificates.parsed_keys, 1);
    for field in ["parsedKeys", "held"] {
        let errors = ProxyBootstrap::parse(&format!("certificates: {{{field}: 0}}")).unwrap_err();
        assert_eq!(errors[0].to_string(), format!("certificates.{field}: must be at least 1"));
    }
}

#[test]
fn usage_settings_are_checked() {
    let texts = |errors: Vec<crate::FieldError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        texts(ProxyBootstrap::parse("usage: {window: 0s, logBytes: 10, prometheusTenants: 10001}").unwrap_err()),
        [
            "usage.window: must be longer than zero",
            "usage.logBytes: must be at least 1Mi",
            "usage.prometheusTenants: must be at most 10000"
        ]
    );
    let server = |usage: &str| ServerBootstrap::parse(&format!("source: {{directory: d}}\nusage: {usage}"));
    assert_eq!(
        texts(server("{database: mysql, events: {url: 'ftp://x', batchSize: 0}}").unwrap_err()),
        [
            "usage.database: must be a URL: sqlite://PATH or postgres://USER@HOST/NAME",
            "usage.events.url: must be an http:// or https:// URL",
            "usage.events.batchSize: must be from 1 to 10000"
        ]
    );
    assert_eq!(
        texts(server("{retention: {batches: 3h, hours: 2h}}").unwrap_err()),
        ["usage.retention: batches, hours and days: each at least as long as the one before"]
    );
    let settings = server("{events: {url: 'http://127.0.0.1:8888/api/v1/events'}}").unwrap();
    assert_eq!(settings.usage.events.unwrap().interval, Period::seconds(60));
}

#[test]
fn a_server_in_a_cluster_names_its_proxies() {
    let settings = ServerBootstrap::parse(
        "source: {kubernetes: {secretNamespaces: [infra]}}
xds: {address: '0.0.0.0:18000', tls: {certificateFile: /tls/tls.crt, keyFile: /tls/tls.key}}
operators: [weir-system/oncall]
proxyClasses:
- {name: edge, serviceAccount: weir-system/weir-edge}
- {name: acme, serviceAccount: acme-edge/weir-edge, gateways: ['acme-edge/*']}",
    )
    .unwrap();
    assert!(settings.reviews_tokens() && !settings.has_own_issuer());
    assert_eq!(settings.classes()[0].gateways, ["*"]);
    assert_eq!(settings.classes()[1].service_account.to_string(), "acme-edge/weir-edge");
    let alone = ServerBootstrap::parse("source: {directory: d}\nedge: {name: e}").unwrap();
    assert!(alone.has_own_issuer() && !alone.reviews_tokens());
    assert_eq!((alone.classes().len(), alone.classes()[0].name.as_str()), (1, "e"));
}

#[test]
fn access_that_cannot_be_told_apart_is_refused() {
    let fields = |text: &str| {
        let errors = ServerBootstrap::parse(text).unwrap_err();
        errors.into_iter().map(|error| error.field).collect::<Vec<_>>()
    };
    assert_eq!(fields("source: {}"), ["source"]);
    assert_eq!(fields("source: {directory: d, kubernetes: {}}"), ["source"]);
    assert_eq!(fields("source: {kubernetes: {}}\nxds: {address: '0.0.0.0:1'}"), ["xds.tls"]);
    assert_eq!(fields("source: {directory: d}\nauthentication: {tokenReview: true}"), ["authentication.tokenReview"]);
    let classes = "source: {directory: d}\noperators: [a/b]\nproxyClasses: [{name: x, serviceAccount: a/b}, {name: x, serviceAccount: a/c, gateways: ['*', q]}]";
    assert_eq!(
        fields(classes),
        [
            "proxyClasses[0].serviceAccount",
            "proxyClasses[1].name",
            "proxyClasses[1].gateways[0]",
            "proxyClasses[1].gateways[1]"
        ]
    );
}

#[test]
fn services_of_an_edge_are_checked() {
    let text = |source: &str, service: &str| {
        let text = format!("source: {source}\nedge: {{service: {service}}}");
        match ServerBootstrap::parse(&text) {
            Ok(settings) => settings.classes()[0].service.as_ref().map(|s| s.per_gateway.to_string()).unwrap(),
            Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        }
    };
    let cluster = "{kubernetes: {}}";
    assert_eq!(text(cluster, "{perGateway: true, pods: weir-system/weir-edge-pods, type: ClusterIP}"), "true");
    assert_eq!(text(cluster, "{name: weir-system/weir-edge}"), "false");
    for (source, service, field) in [
        (cluster, "{perGateway: true}", "edge.service.pods"),
        (cluster, "{perGateway: true, pods: a/b, name: a/b}", "edge.service.name"),
        (cluster, "{name: weir-edge}", "edge.service.name"),
        ("{directory: d}", "{perGateway: true, pods: a/b}", "edge.service.perGateway"),
        ("{kubernetes: {status: false}}", "{perGateway: true, pods: a/b}", "edge.service.perGateway"),
    ] {
        assert!(text(source, service).starts_with(field), "{service}: {}", text(source, service));
    }
}
