//! Certificates of clients, both ways: those that clients show at a Gateway's HTTPS listeners (`spec.tls.frontend`), and
//! the one that a Gateway shows to backends (`spec.tls.backend`).

use weir_config::kinds::Kind;
use weir_config::kinds::gateway::{FrontendValidation, Gateway, ObjectReference};
use weir_config::model::{ClientCertificates, Roots};

use super::authorities;
use super::facts::Facts;
use super::port_plan::PortPlan;
use crate::index::NsName;
use crate::index::references::{Party, permitted};

/// Reason and sentence.
pub(crate) type Problem = (&'static str, String);

/// What a Gateway asks of clients at a port.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) clients: Option<Box<ClientCertificates>>,
    /// Why nobody can be let in.
    pub(crate) refused: Option<Problem>,
    /// What is wrong with the references.
    pub(crate) unresolved: Option<Problem>,
}

/// What is asked of clients at a port; what the answer depends on is added to `plan`.
pub(crate) fn asked(facts: &Facts, id: &NsName, gateway: &Gateway, port: u16, plan: &mut PortPlan) -> Asked {
    let Some(validation) = validation(gateway, port) else { return Asked::default() };
    let (mut bundles, mut problems) = (Vec::new(), Vec::new());
    for reference in &validation.ca_certificate_refs {
        match bundle(facts, &id.0, reference, plan) {
            Ok(bundle) => bundles.push(bundle),
            Err(problem) => problems.push(problem),
        }
    }
    let messages: Vec<&str> = problems.iter().map(|(_, message)| message.as_str()).collect();
    let messages = messages.join("; ");
    let unresolved = problems.first().map(|(reason, _)| (*reason, messages.clone()));
    if bundles.is_empty() {
        let message = format!("no CA certificate for clients can be used: {messages}");
        return Asked { clients: None, refused: Some(("NoValidCACertificate", message)), unresolved };
    }
    let lenient = validation.mode.as_deref() == Some("AllowInsecureFallback");
    let roots = Roots::Pem(authorities::joined(&bundles));
    let clients = ClientCertificates { roots, required: !lenient, untrusted: lenient };
    Asked { clients: Some(Box::new(clients)), refused: None, unresolved }
}

fn validation(gateway: &Gateway, port: u16) -> Option<&FrontendValidation> {
    let frontend = gateway.spec.tls.as_ref()?.frontend.as_ref()?;
    match frontend.per_port.iter().find(|one| one.port == port) {
        Some(one) => one.tls.validation.as_ref(),
        None => frontend.default.validation.as_ref(),
    }
}

fn bundle(facts: &Facts, namespace: &str, reference: &ObjectReference, plan: &mut PortPlan) -> Result<String, Problem> {
    let target = reference.namespace.as_deref().unwrap_or(namespace);
    let called = format!("{} {target}/{}", reference.kind, reference.name);
    if (reference.group.as_str(), reference.kind.as_str()) != ("", "ConfigMap") {
        return Err(("InvalidCACertificateKind", format!("{called} is not a ConfigMap")));
    }
    if target != namespace {
        plan.grants.insert(target.to_owned());
        let from = Party { kind: Kind::Gateway, namespace };
        if !permitted(&facts.objects, from, Party { kind: Kind::ConfigMap, namespace: target }, &reference.name) {
            let message = format!("no ReferenceGrant in {target} lets this Gateway refer to {called}");
            return Err(("RefNotPermitted", message));
        }
    }
    plan.authorities.insert((target.to_owned(), reference.name.clone()));
    match facts.objects.config_map(target, &reference.name).map(authorities::read) {
        None => Err(("InvalidCACertificateRef", format!("there is no {called}"))),
        Some(Err(problem)) => Err(("InvalidCACertificateRef", format!("{called} {problem}"))),
        Some(Ok(bundle)) => Ok(bundle),
    }
}

/// The Secret that a Gateway refers to for its certificate toward backends, whatever becomes of it.
pub(crate) fn referred(gateway: &Gateway) -> Option<NsName> {
    let reference = gateway.spec.tls.as_ref()?.backend.as_ref()?.client_certificate_ref.as_ref()?;
    let namespace = reference.namespace.clone().or_else(|| gateway.metadata.namespace.clone()).unwrap_or_default();
    Some((namespace, reference.name.clone()))
}

/// The certificate that a Gateway shows to backends; none: it shows none.
pub(crate) fn shown(facts: &Facts, gateway: &Gateway) -> Option<Result<NsName, Problem>> {
    let reference = gateway.spec.tls.as_ref()?.backend.as_ref()?.client_certificate_ref.as_ref()?;
    let id = referred(gateway)?;
    let own = gateway.metadata.namespace.as_deref().unwrap_or_default();
    let kind = reference.kind.as_deref().unwrap_or("Secret");
    let called = format!("{kind} {}/{}", id.0, id.1);
    if (reference.group.as_deref().unwrap_or_default(), kind) != ("", "Secret") {
        return Some(Err(("InvalidClientCertificateRef", format!("{called} is not a Secret"))));
    }
    let from = Party { kind: Kind::Gateway, namespace: own };
    if !permitted(&facts.objects, from, Party { kind: Kind::Secret, namespace: &id.0 }, &id.1) {
        let message = format!("no ReferenceGrant in {} lets this Gateway refer to {called}", id.0);
        return Some(Err(("RefNotPermitted", message)));
    }
    Some(match facts.certificates.get(&id) {
        None if !facts.secrets_read.includes(&id.0) => {
            Err(("InvalidClientCertificateRef", format!("the server does not read Secrets of namespace {}", id.0)))
        }
        None => Err(("InvalidClientCertificateRef", format!("there is no {called}"))),
        Some(Err(problem)) => Err(("InvalidClientCertificateRef", format!("{called} {problem}"))),
        Some(Ok(_)) => Ok(id),
    })
}
