//! The resources as one stream may see them. Pure.

use std::sync::Arc;

use weir_config::model::ResourceType;

use super::change::Change;
use super::encoded::Encoded;
use super::form::Form;
use super::held::{Held, below, first_part, is_root};
use super::resources::Resources;
use crate::scope::Scope;

/// The resources of a scope, in a form. What lies outside the scope does not exist here.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    resources: &'a Resources,
    form: Form,
    scope: &'a Scope,
    /// What the scope holds by reference; none for all and nothing.
    held: Option<&'a Held>,
}

impl<'a> View<'a> {
    /// What a stream of that form and scope may see. A scope is empty but for what bears its name, unless
    /// some stream has it ([`Store::enter`](super::Store::enter)).
    pub fn new(resources: &'a Resources, form: Form, scope: &'a Scope) -> Self {
        Self { resources, form, scope, held: resources.held(scope) }
    }

    /// The form.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The scope.
    pub fn scope(&self) -> &'a Scope {
        self.scope
    }

    /// Number of the newest change, in whatever scope; 0: none yet.
    pub fn sequence(&self) -> u64 {
        self.resources.sequence()
    }

    /// The resource of that name.
    pub fn get(&self, kind: ResourceType, name: &str) -> Option<&'a Arc<Encoded>> {
        if self.holds(kind, name) { self.resources.get(kind, self.form, name) } else { None }
    }

    /// All of a type, by name.
    pub fn of(&self, kind: ResourceType) -> Box<dyn Iterator<Item = &'a Arc<Encoded>> + 'a> {
        let (resources, form) = (self.resources, self.form);
        match self.scope {
            Scope::Everything => Box::new(resources.of(kind, form)),
            Scope::Edge(first) | Scope::Tenant(first) if is_root(self.scope, kind) => {
                Box::new(below(resources.map(kind, form), first).map(move |resource| resource.in_style(form.style)))
            }
            Scope::Edge(_) | Scope::Tenant(_) => {
                let names = self.held.into_iter().flat_map(move |held| held.names(kind));
                Box::new(names.filter_map(move |name| resources.get(kind, form, name)))
            }
            Scope::Nothing => Box::new(std::iter::empty()),
        }
    }

    /// VirtualHosts of one RouteConfiguration, by name.
    pub fn hosts<'b>(&self, routes: &'b str) -> impl Iterator<Item = &'a Arc<Encoded>> + use<'a, 'b> {
        let inside = self.holds(ResourceType::VirtualHost, &format!("{routes}/"));
        let resources = self.resources;
        inside.then(|| resources.hosts(routes)).into_iter().flatten()
    }

    /// Changes after `sequence` of whatever scope and form ([`Change::concerns`] tells); none if the log does
    /// not reach back so far.
    pub fn changes_since(&self, sequence: u64) -> Option<Vec<Arc<[Change]>>> {
        self.resources.since(sequence)
    }

    /// Whether a resource of that name, if there is one, is in the scope.
    fn holds(&self, kind: ResourceType, name: &str) -> bool {
        match self.scope {
            Scope::Everything => true,
            Scope::Edge(first) | Scope::Tenant(first) if is_root(self.scope, kind) => {
                first_part(name) == Some(&**first)
            }
            Scope::Edge(_) | Scope::Tenant(_) => self.held.is_some_and(|held| held.has(kind, name)),
            Scope::Nothing => false,
        }
    }
}

impl Change {
    /// Whether it is one for this view: of its form, and of its scope or of whatever scope.
    pub fn concerns(&self, view: &View<'_>) -> bool {
        self.inline.is_none_or(|inline| inline == view.form.is_inline())
            && self.scope.as_ref().is_none_or(|scope| scope == view.scope)
    }
}
