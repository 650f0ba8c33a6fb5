use super::*;

fn remove_host(world: &mut World, domain: &str) {
    world.remove(ResourceType::VirtualHost, &format!("r/{domain}"));
}

#[test]
fn a_request_goes_where_the_routes_say() {
    let mut world = World::new(vec![edge(), cluster("web", "web")]);
    assert_eq!(world.ask("a", "/"), "- NoHost", "nothing is sent yet");
    let mut shop = host("a", "acme", to("web"));
    shop.routes = vec![
        route("old", "/old", owner("globex", None), RouteAction::Direct { status: 410 }),
        route("all", "/o", owner("acme", None), to("web")),
        route("lost", "/new", None, to("nobody's")),
    ];
    world.set(vec![routes(vec![shop, host("*.b", "globex", to("web"))]).into()]);
    assert_eq!(world.ask("a", "/old/1"), "globex 410", "the first that matches");
    assert_eq!(world.ask("a", "/o"), "acme -> web");
    assert_eq!(world.ask("a", "/new"), "- -> nobody's?");
    assert_eq!(world.ask("a", "/"), "acme NoRoute", "charged to the virtual host's tenant");
    assert_eq!(world.ask("x.y.b", "/"), "globex -> web");
    assert_eq!(world.ask("b", "/"), "- NoHost");
}

#[test]
fn timeouts_are_envoys_where_none_is_given() {
    let timeout = |timeout| {
        let action = RouteAction::Forward(Forward { timeout, ..Forward::to(Split::One("web".into())) });
        let world = World::new(vec![edge(), routes(vec![host("a", "acme", action)]).into()]);
        world.chain().http.routes.load().find("a").unwrap().routes[0].timeout
    };
    assert_eq!(timeout(None), Some(Duration::from_secs(15)));
    assert_eq!(timeout(Some(Duration::ZERO)), None);
    assert_eq!(timeout(Some(Duration::from_millis(20))), Some(Duration::from_millis(20)));
}

#[test]
fn an_edit_is_seen_by_connections_that_are_open() {
    let mut world = World::new(vec![edge(), routes(vec![host("a", "acme", to("old"))]).into()]);
    let open = world.chain();
    let listeners = world.live.listeners();
    world.set(vec![routes(vec![host("a", "acme", to("new")), host("b", "acme", to("new"))]).into()]);
    assert_eq!(world.ask_at(&open, "a", "/"), "acme -> new?");
    assert_eq!(world.ask_at(&open, "b", "/"), "acme -> new?");
    world.remove(ResourceType::RouteConfiguration, "r");
    assert_eq!(world.ask_at(&open, "a", "/"), "- NoHost");
    assert!(!listeners.has_changed().unwrap(), "no listener was touched");
    world.set(vec![routes(vec![host("a", "acme", to("again"))]).into()]);
    assert_eq!(world.ask_at(&open, "a", "/"), "acme -> again?");
}

#[test]
fn hosts_come_and_go_by_vhds_in_any_order() {
    let mut world = World::new(vec![host("a", "acme", to("web")).into(), edge()]);
    assert_eq!(world.ask("a", "/"), "- NoHost", "its configuration is not there");
    world.set(vec![vhds()]);
    assert_eq!(world.ask("a", "/"), "acme -> web?");
    world.set(vec![host("b", "globex", to("web")).into(), host("a", "acme", to("next")).into()]);
    assert_eq!((world.ask("a", "/"), world.ask("b", "/")), ("acme -> next?".into(), "globex -> web?".into()));
    remove_host(&mut world, "a");
    assert_eq!((world.ask("a", "/"), world.ask("b", "/")), ("- NoHost".into(), "globex -> web?".into()));
    world.remove(ResourceType::RouteConfiguration, "r");
    assert_eq!(world.ask("b", "/"), "- NoHost");
    world.set(vec![vhds()]);
    assert_eq!(world.ask("b", "/"), "globex -> web?", "what was sent stands");
    world.set(vec![routes(vec![host("c", "acme", to("web"))]).into()]);
    assert_eq!((world.ask("b", "/"), world.ask("c", "/")), ("- NoHost".into(), "acme -> web?".into()));
}

#[test]
fn hosts_of_both_ways_stand_beside_each_other() {
    let inline = RouteConfiguration { vhds: true, ..routes(vec![host("a", "acme", to("inline"))]) };
    let mut world = World::new(vec![edge(), inline.clone().into(), host("b", "acme", to("vhds")).into()]);
    assert_eq!((world.ask("a", "/"), world.ask("b", "/")), ("acme -> inline?".into(), "acme -> vhds?".into()));
    world.set(vec![RouteConfiguration { virtual_hosts: Vec::new(), ..inline }.into()]);
    assert_eq!((world.ask("a", "/"), world.ask("b", "/")), ("- NoHost".into(), "acme -> vhds?".into()));
}

#[test]
fn a_domain_claimed_twice_stays_with_its_holder_until_it_goes() {
    let mut second = host("b", "globex", to("second"));
    second.domains.push(Domain::Exact("a".into()));
    let mut world = World::new(vec![edge(), vhds(), host("a", "acme", to("first")).into()]);
    world.set(vec![second.into()]);
    assert_eq!((world.ask("a", "/"), world.ask("b", "/")), ("acme -> first?".into(), "globex -> second?".into()));
    remove_host(&mut world, "a");
    assert_eq!(world.ask("a", "/"), "globex -> second?");
    remove_host(&mut world, "b");
    assert_eq!((world.ask("a", "/"), world.ask("b", "/")), ("- NoHost".into(), "- NoHost".into()));
}

#[test]
fn a_domain_may_move_between_hosts_in_one_change() {
    let mut giver = host("b", "acme", to("giver"));
    giver.domains.push(Domain::Exact("z".into()));
    let mut taker = host("a", "globex", to("taker"));
    let mut world = World::new(vec![edge(), vhds(), giver.clone().into(), taker.clone().into()]);
    assert_eq!(world.ask("z", "/"), "acme -> giver?");
    taker.domains.append(&mut giver.domains.split_off(1));
    world.set(vec![taker.into(), giver.into()]);
    assert_eq!((world.ask("z", "/"), world.ask("b", "/")), ("globex -> taker?".into(), "acme -> giver?".into()));
}

#[test]
fn an_expression_that_does_not_compile_changes_nothing() {
    let mut bad = host("a", "acme", to("new"));
    bad.routes[0].matches.path = PathMatch::Regex("(".into());
    let mut world = World::new(vec![edge(), vhds(), host("a", "acme", to("old")).into()]);
    world.set(vec![bad.into(), host("b", "globex", to("web")).into()]);
    assert_eq!((world.ask("a", "/"), world.ask("b", "/")), ("acme -> old?".into(), "globex -> web?".into()));
}

fn shares(world: &World, n: usize, edit: impl Fn(&mut World, usize)) -> [usize; 2] {
    let mut world = World { live: Live::new(world.meter.clone()).unwrap(), meter: world.meter.clone() };
    world.set(vec![edge(), vhds(), host("a", "acme", split(&[("stable", 90), ("canary", 10)])).into()]);
    let mut counts = [0, 0];
    for at in 0..n {
        edit(&mut world, at);
        counts[usize::from(world.ask("a", "/").contains("canary"))] += 1;
    }
    counts
}

#[test]
fn weights_are_exact_over_time_however_often_the_route_is_edited() {
    let world = World::new(Vec::new());
    assert_eq!(shares(&world, 50, |_, _| {}), [45, 5]);
    let edit = |world: &mut World, at: usize| {
        let mut edited = host("a", "acme", split(&[("stable", 90), ("canary", 10)]));
        edited.routes.insert(0, route(&format!("n{at}"), "/none", None, to("none")));
        world.set(vec![edited.into()]);
    };
    assert_eq!(shares(&world, 50, edit), [45, 5]);
}

#[test]
fn a_weight_of_zero_gets_nothing() {
    let action = split(&[("stable", 3), ("canary", 0)]);
    let world = World::new(vec![edge(), routes(vec![host("a", "acme", action)]).into()]);
    assert!((0..10).all(|_| world.ask("a", "/") == "acme -> stable?"));
}
