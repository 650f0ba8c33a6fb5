//! Subscriptions as a specification ([`rules`]) and under random schedules ([`simulation`]).

mod client;
mod rules;
mod simulation;
mod world;
