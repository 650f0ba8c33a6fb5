//! Subscriptions as a specification ([`rules`]) and under random schedules ([`simulation`]); streams by who
//! opened them ([`roles`]).

mod client;
mod demand;
mod forms;
mod grpc;
mod hostile;
mod roles;
mod rules;
mod simulation;
mod world;
mod world_rules;
