//! A resource as it goes over the wire, made once and shared by all streams.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint};
use sha2::{Digest, Sha256};
use weir_config::model::{Resource, ResourceType, references as references_of};
use weir_config::xds::{Sources, Style};

/// Version of a resource: the first half of the SHA-256 of its bytes, so that every replica and
/// every restart gives equal resources equal versions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(u128);

impl Version {
    /// The version of these bytes.
    pub fn of(body: &[u8]) -> Self {
        let digest = Sha256::digest(body);
        Self(digest.iter().take(16).fold(0, |sum, byte| (sum << 8) | u128::from(*byte)))
    }

    /// Reads what [`Display`](fmt::Display) wrote; none for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Another resource that one refers to.
pub type Reference = (ResourceType, Arc<str>);

/// Resources of one type.
pub(super) type ByName = BTreeMap<Arc<str>, Arc<Encoded>>;

/// A resource, encoded.
#[derive(Clone)]
pub struct Encoded {
    /// Type.
    pub kind: ResourceType,
    /// Name.
    pub name: Arc<str>,
    /// Version.
    pub version: Version,
    /// The message, as the `value` of its `Any`.
    pub body: Bytes,
    /// What it refers to, without repetition.
    pub references: Arc<[Reference]>,
    /// Of a RouteConfiguration with VHDS: the message without `vhds`, to which virtual hosts are
    /// appended for a client that has no VHDS.
    inline_head: Option<Bytes>,
    /// Itself in other styles, each made when a client first wants it.
    styled: OnceLock<Box<[OnceLock<Arc<Encoded>>; STYLES]>>,
}

/// Without its bytes, which may hold a key.
impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, version, .. } = self;
        f.debug_struct("Encoded")
            .field("kind", kind)
            .field("name", name)
            .field("version", version)
            .finish_non_exhaustive()
    }
}

/// `RouteConfiguration.virtual_hosts`.
const VIRTUAL_HOSTS_FIELD: u32 = 2;

impl Encoded {
    /// Encodes `resource`.
    pub fn new(resource: &Resource) -> Self {
        let inline_head = match resource {
            Resource::RouteConfiguration(routes) if routes.vhds => {
                let mut head = routes.as_ref().clone();
                head.vhds = false;
                Some(weir_config::xds::encode(&head.into()))
            }
            _ => None,
        };
        let mut references = BTreeSet::new();
        references_of(resource, &mut |kind, name| {
            references.insert((kind, name.into()));
        });
        let body = weir_config::xds::encode(resource);
        Self::assemble(resource.kind(), resource.name().into(), body, references, inline_head)
    }

    /// The resource as it is written for a client that wants this style.
    pub(super) fn in_style(self: &Arc<Self>, style: Style) -> &Arc<Self> {
        let Some(place) = place(self.kind, style) else { return self };
        let styled = self.styled.get_or_init(Default::default);
        styled[place].get_or_init(|| Arc::new(self.written(style)))
    }

    /// The versions of every style that some client wanted so far.
    pub(super) fn versions(&self) -> impl Iterator<Item = Version> {
        let styled = self.styled.get().into_iter().flat_map(|styled| styled.iter()).filter_map(OnceLock::get);
        std::iter::once(self.version).chain(styled.map(|styled| styled.version))
    }

    /// What the body says is written anew: no client that wants another style is so common that each resource
    /// should be kept as a value for it.
    fn written(&self, style: Style) -> Self {
        match weir_config::xds::decode(self.kind, &self.body) {
            Ok(resource) => self.with_body(weir_config::xds::encode_in(&resource, style)),
            Err(errors) => {
                let (kind, name, error) = (self.kind.message(), &*self.name, errors.first().map(ToString::to_string));
                tracing::error!(r#type = kind, name, error, "a resource of this server's own does not read back");
                self.clone()
            }
        }
    }

    fn with_body(&self, body: Bytes) -> Self {
        Self { version: Version::of(&body), body, styled: OnceLock::new(), ..self.clone() }
    }

    /// The inline form of a RouteConfiguration: itself with `hosts` inside and without `vhds`.
    ///
    /// Fields of a message that stand one after the other are one message (Protocol Buffers,
    /// encoding, "Last One Wins"), so hosts are appended as they were encoded.
    pub fn inline<'a>(&self, hosts: impl Iterator<Item = &'a Arc<Encoded>>) -> Self {
        let Some(head) = &self.inline_head else { return self.clone() };
        let mut body = BytesMut::from(&head[..]);
        let mut references: BTreeSet<Reference> = self.references.iter().cloned().collect();
        for host in hosts {
            encode_key(VIRTUAL_HOSTS_FIELD, WireType::LengthDelimited, &mut body);
            encode_varint(host.body.len() as u64, &mut body);
            body.extend_from_slice(&host.body);
            references.extend(host.references.iter().cloned());
        }
        Self::assemble(self.kind, Arc::clone(&self.name), body.freeze(), references, None)
    }

    fn assemble(
        kind: ResourceType,
        name: Arc<str>,
        body: Bytes,
        references: BTreeSet<Reference>,
        inline_head: Option<Bytes>,
    ) -> Self {
        let version = Version::of(&body);
        Self {
            kind,
            name,
            version,
            body,
            references: references.into_iter().collect(),
            inline_head,
            styled: OnceLock::new(),
        }
    }
}

/// Styles of a Listener, which has the most.
const STYLES: usize = 12;

/// The place of a style of a type; none for the one that is stored, where the type has no other.
fn place(kind: ResourceType, style: Style) -> Option<usize> {
    let sources = match style.sources {
        Sources::Ads => 0,
        Sources::Delta => 1,
        Sources::World => 2,
    };
    let place = match kind {
        ResourceType::Listener => usize::from(style.reporting) + 2 * usize::from(style.on_demand) + 4 * sources,
        ResourceType::Cluster | ResourceType::RouteConfiguration => sources,
        ResourceType::LoadAssignment
        | ResourceType::Secret
        | ResourceType::FilterConfig
        | ResourceType::VirtualHost => 0,
    };
    (place > 0).then_some(place)
}

#[cfg(test)]
impl Encoded {
    /// A resource of any bytes, for tests of what does not look into them.
    pub(crate) fn fake(kind: ResourceType, name: &str, body: &[u8], references: &[(ResourceType, &str)]) -> Self {
        let references = references.iter().map(|(kind, name)| (*kind, Arc::from(*name))).collect();
        let inline_head = (kind == ResourceType::RouteConfiguration).then(|| Bytes::copy_from_slice(body));
        let whole = Self::assemble(kind, name.into(), Bytes::copy_from_slice(body), references, inline_head);
        let reporting = place(kind, Style { reporting: true, ..Style::default() });
        if let Some(reporting) = reporting {
            let styled = Arc::new(whole.with_body([body, b"reporting"].concat().into()));
            whole.styled.get_or_init(Default::default)[reporting].get_or_init(|| styled);
        }
        whole
    }
}
