use weir_config::model::{FilterConfig, LocalRateLimit, TokenBucket};

use super::*;

fn bucket(max_tokens: u32) -> TokenBucket {
    TokenBucket { max_tokens, tokens_per_fill: 1, fill_interval_ms: 3_600_000 }
}

fn plans(plans: &[(&str, u32)]) -> LocalRateLimit {
    LocalRateLimit {
        plans: plans.iter().map(|(plan, max)| ((*plan).into(), bucket(*max))).collect(),
        max_dynamic_descriptors: 1024,
        ..Default::default()
    }
}

fn filter(config: LocalRateLimit) -> Resource {
    FilterConfig { name: "limits".into(), config }.into()
}

fn on_plan(domain: &str, tenant: &str, plan: &str) -> VirtualHost {
    let mut host = host(domain, tenant, to("web"));
    host.routes[0].owner = owner(tenant, Some(plan));
    host
}

fn world() -> World {
    World::new(vec![
        edge(),
        vhds(),
        filter(plans(&[("gold", 10)])),
        host("a", "acme", to("web")).into(),
        host("b", "acme", to("web")).into(),
        host("c", "globex", to("web")).into(),
    ])
}

#[test]
fn all_hosts_of_a_tenant_share_one_bucket_and_tenants_share_none() {
    let world = world();
    assert_eq!(world.granted("a", 6), 6);
    assert_eq!(world.granted("b", 6), 4);
    assert_eq!(world.granted("a", 1), 0);
    assert_eq!(world.granted("c", 12), 10);
    assert_eq!(world.ask("a", "/"), "acme RateLimited");
}

#[test]
fn all_listeners_share_a_tenants_bucket() {
    let mut world = world();
    assert_eq!(world.granted("a", 7), 7);
    let limits = vec![HttpFilter::Discovered("limits".into())];
    world.set(vec![Listener { name: "k".into(), ..listener(vec![chain("c", limits)]) }.into()]);
    let other = world.live.listeners().borrow()["k"].chains[0].clone();
    let granted = (0..9).filter(|_| world.ask_at(&other, "a", "/") == "acme -> web?").count();
    assert_eq!(granted, 3);
}

#[test]
fn a_bucket_outlives_what_is_not_of_its_own_rate() {
    let mut world = world();
    assert_eq!(world.granted("a", 10), 10);
    let edits: [(&str, Vec<Resource>); 6] = [
        ("a new tenant", vec![host("d", "initech", to("web")).into()]),
        ("an edited route", vec![host("a", "acme", to("next")).into()]),
        ("a new plan", vec![filter(plans(&[("gold", 10), ("silver", 5)]))]),
        (
            "more descriptors",
            vec![filter(LocalRateLimit { max_dynamic_descriptors: 4096, headers: true, ..plans(&[("gold", 10)]) })],
        ),
        (
            "another plan of the same rate",
            vec![filter(plans(&[("gold", 10), ("gold/acme", 10)])), on_plan("a", "acme", "gold/acme").into()],
        ),
        (
            "an edited listener",
            vec![
                listener(vec![{
                    let mut chain = chain("c", vec![HttpFilter::Discovered("limits".into())]);
                    chain.http_mut().unwrap().access_log = true;
                    chain
                }])
                .into(),
            ],
        ),
    ];
    for (what, edit) in edits {
        world.set(edit);
        assert_eq!(world.granted("a", 3), 0, "{what} must not refill the bucket");
    }
    for name in ["r/a", "r/b"] {
        world.remove(ResourceType::VirtualHost, name);
    }
    world.set(vec![host("a", "acme", to("web")).into()]);
    assert_eq!(world.granted("a", 3), 0, "nor does a removal and a return");
    world.remove(ResourceType::FilterConfig, "limits");
    assert_eq!(world.granted("a", 30), 30, "no filter, no limit");
    world.set(vec![filter(plans(&[("gold", 10)]))]);
    assert_eq!(world.granted("a", 3), 0, "nor the filter's");
    world.set(vec![filter(plans(&[("gold", 20)]))]);
    assert_eq!(world.granted("a", 30), 20, "its own rate does");
    assert_eq!(world.granted("c", 30), 20);
}

#[test]
fn a_tenant_moves_to_another_rate_alone() {
    let mut world = world();
    assert_eq!(world.granted("a", 10), 10);
    assert_eq!(world.granted("c", 4), 4);
    world.set(vec![filter(plans(&[("gold", 10), ("gold/acme", 3)])), on_plan("a", "acme", "gold/acme").into()]);
    assert_eq!(world.granted("a", 9), 3);
    assert_eq!(world.granted("c", 9), 6);
}

#[test]
fn without_a_plan_or_with_an_unknown_one_nothing_is_limited() {
    let mut free = host("d", "initech", to("web"));
    free.routes[0].owner = owner("initech", None);
    let mut world = world();
    world.set(vec![on_plan("e", "umbrella", "platinum").into(), free.into()]);
    assert_eq!(world.granted("d", 50), 50);
    assert_eq!(world.granted("e", 50), 50);
}

/// Tried on Envoy 1.40: a tenant's request draws on both, a refused one on its own only, and the
/// default bucket serves requests without a route too.
#[test]
fn the_default_bucket_is_one_for_all() {
    let config = LocalRateLimit { default_bucket: Some(bucket(8)), headers: true, ..plans(&[("gold", 3)]) };
    let mut world = world();
    world.set(vec![filter(config.clone())]);
    assert_eq!(world.granted("a", 5), 3);
    assert_eq!(world.granted("c", 2), 2);
    assert_eq!(world.granted("nobody", 9), 3);
    assert_eq!(world.ask("c", "/"), "globex RateLimited");
    world.set(vec![filter(LocalRateLimit { max_dynamic_descriptors: 2, ..config.clone() })]);
    assert_eq!(world.granted("nobody", 9), 0, "it outlives what is not of its rate");
    world.set(vec![filter(LocalRateLimit { default_bucket: Some(bucket(2)), ..config })]);
    assert_eq!(world.granted("nobody", 9), 2);
}

#[test]
fn the_scarcest_budget_is_told_where_the_filter_asks_for_it() {
    let mut world = world();
    let budget = |world: &World, host: &str| {
        let chain = world.chain();
        let hosts = chain.http.routes.load();
        let headers: &[httparse::Header<'_>] = &[];
        match decide(&chain.http, &hosts, &Head { method: "GET", host, path: "/", query: None, headers }, 0) {
            Decision::Forward { budget, .. }
            | Decision::Redirect { budget, .. }
            | Decision::Direct { budget, .. }
            | Decision::Refuse { budget, .. } => budget.map(|b| (b.limit, b.remaining, b.headers)),
        }
    };
    assert_eq!(budget(&world, "a"), Some((10, 9, false)));
    world.set(vec![filter(LocalRateLimit {
        headers: true,
        default_bucket: Some(bucket(5)),
        ..plans(&[("gold", 10)])
    })]);
    assert_eq!(budget(&world, "a"), Some((5, 4, true)));
    assert_eq!(budget(&world, "nobody"), Some((5, 3, true)));
}

#[test]
fn filters_that_come_with_a_listener_limit_and_outlive_its_edits() {
    let with = |max, access_log| -> Resource {
        let config = LocalRateLimit { default_bucket: Some(bucket(max)), ..Default::default() };
        let mut chain = chain("c", vec![HttpFilter::LocalRateLimit { name: "own".into(), config }]);
        chain.http_mut().unwrap().access_log = access_log;
        listener(vec![chain]).into()
    };
    let mut world = World::new(vec![with(4, false), routes(vec![host("a", "acme", to("web"))]).into()]);
    let open = world.chain();
    assert_eq!(world.granted("a", 9), 4);
    world.set(vec![with(4, true)]);
    assert_eq!(world.granted("a", 9), 0);
    world.set(vec![with(6, true)]);
    assert_eq!(world.ask_at(&open, "a", "/"), "acme -> web?", "open connections see the new limit");
    assert_eq!(world.granted("a", 9), 5);
}

#[test]
fn what_nobody_needs_is_forgotten_little_by_little() {
    let mut world = world();
    let hosts: Vec<_> = (0..300).map(|n| host(&format!("h{n}"), &format!("t{n}"), to("web"))).collect();
    world.set(hosts.iter().map(|h| h.clone().into()).collect());
    assert_eq!(world.granted("h7", 12), 10);
    for host in &hosts {
        world.remove(ResourceType::VirtualHost, &host.name);
    }
    for _ in 0..20 {
        world.live.apply(&Delta::default());
    }
    let (owners, buckets) = world.live.limits.sizes();
    assert_eq!(owners, 2, "acme and globex");
    assert_eq!(buckets, 3, "and the bucket of t7, which is not full");
}

/// A tenant goes, and its place among the counters goes to another: what it had spent does not.
#[test]
fn a_place_that_is_reused_brings_no_bucket_with_it() {
    let mut world = world();
    assert_eq!(world.granted("a", 10), 10);
    for name in ["r/a", "r/b"] {
        world.remove(ResourceType::VirtualHost, name);
    }
    let gone = world.meter.counted().into_iter().find(|counted| &*counted.tenant == "acme").unwrap();
    assert!(gone.leaving, "no table holds it");
    assert!(world.meter.free(gone.place, gone.incarnation));
    world.set(vec![host("d", "initech", to("web")).into()]);
    assert_eq!(world.meter.tenant("initech").id(), gone.place);
    assert_eq!(world.granted("d", 12), 10);
    // And who comes back finds its bucket as it left it.
    world.set(vec![host("a", "acme", to("web")).into()]);
    assert_eq!(world.granted("a", 1), 0);
}
