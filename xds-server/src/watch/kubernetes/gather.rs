//! All watches together: what they report becomes batches of events. Pure, so that a simulation can report
//! anything in any order.
//!
//! The first batch is everything: it comes once each kind was listed completely, or is known not to exist in the
//! cluster, or, of Secrets and ConfigMaps alone, is forbidden. Until then there are only findings that say what is waited for.

use std::collections::BTreeSet;
use std::mem;

use weir_config::FieldError;
use weir_config::kinds::{GROUP, Kind, ObjectKey};

use super::known::Known;
use super::target::Target;
use super::wire::Item;
use crate::apiserver::{Cause, Failure};
use crate::seen::Digest;
use crate::watch::{Batch, Event, Finding, SecretsRead};

/// Findings of objects that are told; above it, their number.
const FINDINGS: usize = 1000;

/// What one watch reports.
#[derive(Clone, Debug)]
pub(crate) enum Report {
    /// Everything that there is, at this version.
    Listed(Vec<Item>, String),
    /// An object is new or different.
    Changed(Item),
    /// An object is gone, as of this version.
    Gone(ObjectKey, String),
    /// Nothing happened up to this version.
    Bookmark(String),
    /// The cluster does not have the kind.
    Missing,
    /// It cannot be read at the moment, and is tried again.
    Failing(Failure),
    /// The watch works.
    Working,
}

/// What is known of one watch.
#[derive(Debug)]
struct Watch {
    target: Target,
    known: Known,
    standing: Standing,
    trouble: Option<Failure>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing is known yet.
    Unknown,
    /// It was listed, and what was listed is served.
    Listed,
    /// The cluster does not have the kind.
    Missing,
    /// Secrets or ConfigMaps that may not be read.
    Forbidden,
}

/// All watches.
#[derive(Debug)]
pub(crate) struct Gather {
    watches: Vec<Watch>,
    events: Vec<Event>,
    statuses: Vec<(ObjectKey, Digest)>,
    secrets: SecretsRead,
    ready: bool,
    /// What findings were told; none before the first batch.
    told: Option<Vec<Finding>>,
    /// Whether findings may be others than those told.
    doubt: bool,
}

impl Gather {
    /// Watches of which nothing is known.
    pub(crate) fn new(targets: Vec<Target>) -> Self {
        let watch = |target| Watch { target, known: Known::default(), standing: Standing::Unknown, trouble: None };
        let watches = targets.into_iter().map(watch).collect();
        Self {
            watches,
            events: Vec::new(),
            statuses: Vec::new(),
            secrets: SecretsRead::All,
            ready: false,
            told: None,
            doubt: true,
        }
    }

    /// Takes a report of the watch `index` in.
    pub(crate) fn take(&mut self, index: usize, report: Report) {
        let Some(watch) = self.watches.get_mut(index) else { return };
        match report {
            Report::Listed(items, version) => {
                self.statuses.extend(items.iter().filter_map(status));
                self.events.extend(watch.known.list(items, &version));
                watch.become_(Standing::Listed, None);
                self.doubt = true;
            }
            Report::Changed(item) => {
                self.doubt |= !item.problems.is_empty() || watch.known.problems().next().is_some();
                let status = status(&item);
                let event = watch.known.changed(item);
                self.statuses.extend(status.filter(|_| event.is_some()));
                self.events.extend(event);
            }
            Report::Gone(key, version) => {
                self.doubt |= watch.known.problems().next().is_some();
                self.events.extend(watch.known.gone(key, &version));
            }
            Report::Bookmark(version) => watch.known.bookmark(&version),
            Report::Missing => {
                self.events.extend(watch.known.list(Vec::new(), ""));
                watch.become_(Standing::Missing, None);
                self.doubt = true;
            }
            Report::Failing(failure) => {
                // Secrets that were read stay, and so does that they can be read, until the next start.
                let optional = matches!(watch.target.kind, Kind::Secret | Kind::ConfigMap);
                let forbidden = optional && failure.cause() == Cause::Forbidden;
                let standing = if forbidden { Standing::Forbidden } else { watch.standing };
                watch.become_(standing, Some(failure));
                self.doubt = true;
            }
            Report::Working => {
                self.doubt |= watch.trouble.is_some();
                watch.trouble = None;
            }
        }
    }

    /// Events that wait for the next batch.
    pub(crate) fn waiting(&self) -> usize {
        self.events.len()
    }

    /// What is new since the last batch; none: nothing is.
    pub(crate) fn batch(&mut self) -> Option<Batch> {
        if !mem::take(&mut self.doubt) && self.events.is_empty() {
            return None;
        }
        let was_ready = self.ready;
        self.ready |= self.watches.iter().all(|watch| watch.standing != Standing::Unknown);
        let findings = self.findings();
        let unchanged = self.told.as_ref() == Some(&findings);
        if !self.ready {
            if unchanged {
                return None;
            }
            self.told = Some(findings.clone());
            return Some(Batch { events: Vec::new(), findings, waiting: true, statuses: Vec::new() });
        }
        let read = self.secrets_read();
        if read != self.secrets {
            self.events.push(Event::SecretsRead(read.clone()));
            self.secrets = read;
        }
        if was_ready && unchanged && self.events.is_empty() {
            return None;
        }
        self.told = Some(findings.clone());
        let (events, statuses) = (mem::take(&mut self.events), mem::take(&mut self.statuses));
        Some(Batch { events, findings, waiting: false, statuses })
    }

    fn secrets_read(&self) -> SecretsRead {
        let read = || {
            let secrets = self.watches.iter().filter(|watch| watch.target.kind == Kind::Secret);
            secrets.filter(|watch| watch.standing == Standing::Listed).map(|watch| &watch.target.namespace)
        };
        match read().any(Option::is_none) {
            true => SecretsRead::All,
            false => SecretsRead::Only(read().flatten().cloned().collect()),
        }
    }

    fn findings(&self) -> Vec<Finding> {
        // What concerns the API server as a whole is said once.
        let mut findings: BTreeSet<Finding> = self
            .watches
            .iter()
            .filter_map(|watch| Some(Finding::without_file(None, watch.problem(self.ready)?)))
            .collect();
        let mut objects = self.watches.iter().flat_map(|watch| watch.known.problems());
        for (key, problem) in objects.by_ref().take(FINDINGS) {
            findings.insert(Finding::without_file(Some(key.clone()), problem.clone()));
        }
        let more = objects.count();
        if more > 0 {
            let problem = FieldError::new("", format!("{more} more problems of objects are not listed"));
            findings.insert(Finding::without_file(None, problem));
        }
        findings.into_iter().collect()
    }
}

impl Watch {
    fn become_(&mut self, standing: Standing, trouble: Option<Failure>) {
        (self.standing, self.trouble) = (standing, trouble);
    }

    /// What is wrong with it as a whole.
    fn problem(&self, ready: bool) -> Option<FieldError> {
        let kind = self.target.kind;
        if self.standing == Standing::Missing {
            return Some(missing(kind));
        }
        let failure = self.trouble.as_ref()?;
        let what = match &self.target.namespace {
            Some(namespace) => format!("{} of namespace {namespace}", kind.plural()),
            None => kind.plural(),
        };
        Some(match failure.cause() {
            // The same for all.
            Cause::Unreachable | Cause::Slow | Cause::Busy | Cause::Unauthenticated => {
                FieldError::new("", failure.to_string()).hint(consequence(ready))
            }
            Cause::Forbidden if self.standing == Standing::Forbidden => {
                let problem = format!("{what} cannot be read: {failure}");
                FieldError::new("", problem).hint(match kind {
                    Kind::Secret => "TLS listeners whose Secrets were not read yet are not served",
                    _ => "what refers to a CA in one of them is not served",
                })
            }
            _ => FieldError::new("", format!("{what} cannot be read: {failure}")).hint(consequence(ready)),
        })
    }
}

/// What an object that is used has for a status.
fn status(item: &Item) -> Option<(ObjectKey, Digest)> {
    item.object.as_ref()?;
    Some((item.key.clone(), item.status?))
}

fn consequence(ready: bool) -> &'static str {
    if ready { "what was read before is served on" } else { "the server is not ready until everything was read" }
}

fn missing(kind: Kind) -> FieldError {
    let group = kind.group();
    let problem = format!("the cluster has no kind {} ({group}/{})", kind.name(), kind.versions()[0]);
    FieldError::new("", problem).hint(match group {
        GROUP => "install Weir's CRDs: the chart's, or what `weir crds` prints",
        _ => "install the CRDs of the Gateway API, https://gateway-api.sigs.k8s.io",
    })
}
