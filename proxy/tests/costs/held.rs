//! What a tenant keeps of memory in a whole proxy: what was accepted, with its versions and references,
//! what is live of it, and its tables.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, Resource as Wire};
use envoy_types::pb::google::protobuf::Any;
use stats_alloc::Region;
use weir_config::model::{Delta, Resource, ResourceType as T};
use weir_config::xds::{decode, encode};
use weir_proxy::live::{Compiles, Live};
use weir_proxy::meter::Meter;
use weir_proxy::xds::client::Client;
use weir_proxy::xds::persist::Store;
use weir_proxy::xds::pipeline::Pipeline;

use crate::{ALLOCATOR, edge, tenant};

/// Tenants that come on top of the first [`FEW`], which fill what is there once.
const MORE: usize = 9_000;
const FEW: usize = 1_000;

fn wire(resource: &Resource) -> Wire {
    Wire {
        name: resource.name().into(),
        version: "0123456789abcdef".into(),
        resource: Some(Any { type_url: resource.kind().url().into(), value: encode(resource).to_vec() }),
        ..Wire::default()
    }
}

/// Takes in what a server sends, type by type.
fn serve(pipeline: &mut Pipeline, resources: &[Resource], now: Instant) {
    for kind in [T::Cluster, T::LoadAssignment, T::FilterConfig, T::Listener, T::RouteConfiguration, T::VirtualHost] {
        let of_kind: Vec<_> = resources.iter().filter(|r| r.kind() == kind).map(wire).collect();
        let response = DeltaDiscoveryResponse { type_url: kind.url().into(), resources: of_kind, ..Default::default() };
        let replies = pipeline.receive(response, now, SystemTime::now());
        assert!(replies.iter().all(|reply| reply.error_detail.is_none()), "{replies:?}");
    }
}

fn held(region: &Region<'_, std::alloc::System>) -> usize {
    let change = region.change();
    change.bytes_allocated.saturating_sub(change.bytes_deallocated)
}

/// The bytes that stay for each tenant, after its messages are dropped.
pub(crate) fn a_tenant_is_held_in_little() {
    let dir = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let mut live = Live::new(Arc::new(Meter::new(1))).unwrap();
    let apply = Box::new(move |delta: &Delta| live.apply(delta));
    let client = Client::new("edge-0", "edge", Arc::new(Compiles));
    let store = Store::new(dir.path(), None).unwrap();
    let mut pipeline = Pipeline::new(client, apply, Some(store), Duration::from_secs(86_400));
    pipeline.open();
    pipeline.opened(now, SystemTime::now());
    serve(&mut pipeline, &edge(), now);
    serve(&mut pipeline, &(0..FEW).flat_map(tenant).collect::<Vec<_>>(), now);

    let region = Region::new(ALLOCATOR);
    serve(&mut pipeline, &(FEW..FEW + MORE).flat_map(tenant).collect::<Vec<_>>(), now);
    pipeline.finish(now);
    let each = held(&region) / MORE;
    println!("a tenant holds {each} bytes in all");
    let live = &pipeline.overview().sizes;
    assert_eq!((live[&T::VirtualHost], live[&T::LoadAssignment]), (FEW + MORE, 2 * (FEW + MORE)), "all are live");
    assert!(each < 6_500, "{each} bytes a tenant");
}

/// What is read from messages has no more room than a copy of it: not that of the messages.
pub(crate) fn what_is_read_has_no_room_to_spare() {
    for resource in tenant(0) {
        let bytes = encode(&resource);
        // What is made once for all is made now.
        decode(resource.kind(), &bytes).unwrap();
        let region = Region::new(ALLOCATOR);
        let read = decode(resource.kind(), &bytes).unwrap();
        let read_holds = held(&region);
        assert_eq!(read, resource);
        let region = Region::new(ALLOCATOR);
        let copy = match &read {
            Resource::VirtualHost(host) => (**host).clone().into(),
            Resource::Cluster(cluster) => (**cluster).clone().into(),
            Resource::LoadAssignment(assignment) => (**assignment).clone().into(),
            other => other.clone(),
        };
        let copy_holds = held(&region);
        // Short texts have room for eight bytes.
        assert!(read_holds <= copy_holds + 64, "{}: {read_holds} over {copy_holds}", copy.name());
    }
}

/// What the whole way of an edit allocates, from the message to what is written to disk, in an edge of so many
/// tenants: how often, and how many bytes.
fn edit(tenants: usize) -> (usize, usize) {
    const EDITS: usize = 50;
    let dir = tempfile::tempdir().unwrap();
    let mut now = Instant::now();
    let mut live = Live::new(Arc::new(Meter::new(1))).unwrap();
    let apply = Box::new(move |delta: &Delta| live.apply(delta));
    let client = Client::new("edge-0", "edge", Arc::new(Compiles));
    let store = Store::new(dir.path(), None).unwrap();
    let mut pipeline = Pipeline::new(client, apply, Some(store), Duration::from_secs(86_400));
    pipeline.open();
    pipeline.opened(now, SystemTime::now());
    serve(&mut pipeline, &edge(), now);
    serve(&mut pipeline, &(0..tenants).flat_map(tenant).collect::<Vec<_>>(), now);
    let mut one = |number: usize| {
        let Some(Resource::VirtualHost(host)) = tenant(number * 37 % tenants).into_iter().next() else { panic!() };
        let mut host = (*host).clone();
        host.routes[0].name = format!("edit {number}");
        let response = DeltaDiscoveryResponse {
            type_url: T::VirtualHost.url().into(),
            resources: vec![wire(&host.into())],
            ..Default::default()
        };
        pipeline.receive(response, now, SystemTime::now());
        now = pipeline.deadline().unwrap();
        pipeline.tick(now, SystemTime::now());
    };
    (0..5).for_each(&mut one);
    let region = Region::new(ALLOCATOR);
    (0..EDITS).for_each(|number| one(1_000 + number));
    let change = region.change();
    (change.allocations / EDITS, change.bytes_allocated / EDITS)
}

/// An edit is taken in, made live and written at a cost that does not grow with the edge.
pub(crate) fn an_edit_costs_no_more_at_a_large_edge() {
    let ((few, few_bytes), (many, many_bytes)) = (edit(500), edit(5_000));
    println!("an edit allocates {few} times, {few_bytes} bytes with 500 tenants, and {many}, {many_bytes} with 5,000");
    assert!(few > 10 && many * 5 <= few * 6, "{few} allocations with 500 tenants, {many} with 5,000");
    // The spine of the table of hosts is copied: a pointer for some two hundred tenants.
    assert!(many_bytes <= few_bytes + few_bytes / 5 + 4_096, "{few_bytes} with 500 tenants, {many_bytes} with 5,000");
}
