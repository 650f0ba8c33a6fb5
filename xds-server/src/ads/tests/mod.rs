//! Subscriptions as a specification ([`rules`]) and under random schedules ([`simulation`]).

mod client;
mod demand;
mod forms;
mod grpc;
mod hostile;
mod rules;
mod simulation;
mod world;
mod world_rules;
