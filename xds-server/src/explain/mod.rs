//! What there is about one host: whose it is, which listeners could take it, which routes name it and
//! what became of each, and the resources by which a proxy decides. Pure.
//!
//! It does not say what happens to a request: that is for the code that serves, given these resources
//! (`weir explain` asks it). What is here comes from the very functions that translate, so that it
//! cannot disagree with what is sent; and it is of one host, so that its size does not grow with the
//! fleet.

mod candidates;
mod listeners;
mod names;
mod policies;
mod question;
mod resources;
mod scene;
mod search;

pub use candidates::{Tried, is_before, step, step_of_claims};
pub use question::{Question, Traffic};
pub use scene::{
    Call, Candidate, Certificate, Chain, GatewayListener, LeftOff, ListenerScene, MatchPlace, NearName, Owner, Parent,
    Place, Policy, PolicyTarget, PortScene, Rate, Scene, Setting, Spoken, TenantScene, Trouble, Unresolved,
};
pub use search::{Found, Search};

pub use crate::translate::{Open, Step};

use crate::translate::World;

/// Everything about one host.
pub fn scene(world: &World, question: &Question) -> Scene {
    finish(world, question, Search::begin(world, question).find(question))
}

/// Everything about one host, of which `found` was found: of a route that is gone by now nothing is said.
pub fn finish(world: &World, question: &Question, found: Found) -> Scene {
    let mut scene = Scene { host: question.host.clone(), ..Scene::default() };
    let chosen = listeners::choose(world, question, &mut scene);
    listeners::describe(world, question, &chosen, &mut scene);
    let mut services = candidates::judge_all(world, question, found, &mut scene);
    services.extend(resources::gather(world, question, &chosen, &mut scene));
    policies::gather(world.facts(), &services, &mut scene);
    names::tenants(world, question, &mut scene);
    scene
}
