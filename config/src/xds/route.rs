//! `RouteConfiguration`.

use xds_api::pb::envoy::config::route::v3::{RouteConfiguration as ProtoRoutes, Vhds};

use super::read::{At, Problems, fields, fitting};
use super::style::Style;
use super::{scalar, virtual_host};
use crate::model::RouteConfiguration;

pub(super) fn write(value: &RouteConfiguration, style: Style) -> ProtoRoutes {
    ProtoRoutes {
        name: value.name.clone(),
        virtual_hosts: value.virtual_hosts.iter().map(virtual_host::write).collect(),
        vhds: value.vhds.then(|| Vhds { config_source: Some(style.source_of_hosts()) }),
        // Hosts match without their port, and the Host header goes on as it came: stripping it in
        // the connection manager would change what backends see.
        ignore_port_in_host_matching: true,
        ..Default::default()
    }
}

pub(super) fn read(message: ProtoRoutes, at: &At<'_>, problems: &mut Problems) -> Option<RouteConfiguration> {
    fields!(message => ProtoRoutes, at, problems;
        read name virtual_hosts vhds;
        refuse internal_only_headers response_headers_to_add response_headers_to_remove request_headers_to_add
            request_headers_to_remove cluster_specifier_plugins request_mirror_policies
            ignore_path_parameters_in_path_matching typed_per_filter_config;
        pass most_specific_header_mutations_wins validate_clusters max_direct_response_body_size_bytes
            ignore_port_in_host_matching metadata;);
    let hosts = virtual_hosts.into_iter().enumerate();
    let hosts =
        fitting(hosts.filter_map(|(index, host)| virtual_host::read(host, &at.item("virtual_hosts", index), problems)));
    let on_demand = vhds.is_some();
    if let Some(Vhds { config_source }) = vhds {
        scalar::read_ads(config_source, &at.field("vhds").field("config_source"), problems);
    }
    Some(RouteConfiguration { name, virtual_hosts: hosts, vhds: on_demand })
}
