//! Whole-system tests: real processes, real peers. One program, so that it is linked once.
#![allow(missing_docs, reason = "a test program has no readers of its documentation outside its files")]
#![allow(unreachable_pub, reason = "modules of a test program export to each other")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod architecture;
mod asleep;
mod attempts;
mod authentication;
mod cases;
mod chaos;
mod chart;
mod clock_steps;
mod counting;
mod drain;
mod edges;
mod envoy_metering;
mod explain;
mod foreign;
mod gateway_services;
mod http2;
mod kubernetes;
mod l4_by_routes;
mod layer4;
mod no_failed_request;
mod on_demand;
mod pushes;
mod python_peers;
mod readme;
mod replicas;
mod status;
mod status_report;
mod support;
mod token_review;
mod usage_out;
mod usage_reported;
mod ways;
