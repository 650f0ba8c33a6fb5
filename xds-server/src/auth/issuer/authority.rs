//! The certificate authority of the own issuer, and the certificate of the xDS port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use weir_config::bootstrap::Address;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use super::folder::Folder;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// The authority lives as long as the state directory, as far as anybody plans.
const AUTHORITY_LIFE: Duration = Duration::from_secs(3650 * DAY.as_secs());
/// The certificate is made anew in time; nobody has to know.
const CERTIFICATE_LIFE: Duration = Duration::from_secs(90 * DAY.as_secs());
/// Certificates begin earlier than they are made, for clocks that are behind.
const EARLY: Duration = DAY;
/// Names that the certificate always has.
const NAMES: [&str; 2] = ["localhost", "weir-server"];

/// The authority.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// The one in `folder`, which is made if it is not there, or is over.
    pub(super) fn open(folder: &Folder, now: SystemTime) -> anyhow::Result<Self> {
        let key = folder.kept("ca.key", || Ok(KeyPair::generate()?.serialize_pem()))?;
        let key = KeyPair::from_pem(&key).with_context(|| format!("cannot use {}", folder.path("ca.key").display()))?;
        let certificate = match folder.read("ca.crt")? {
            Some(pem) if lasts(&pem, &key, AUTHORITY_LIFE, now) => pem,
            _ => {
                let mut params = lasting(AUTHORITY_LIFE, now);
                params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
                params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
                params.distinguished_name.push(DnType::CommonName, "weir-server's own authority");
                let pem = params.self_signed(&key)?.pem();
                folder.write(&folder.path("ca.crt"), pem.as_bytes())?;
                pem
            }
        };
        let issuer = Issuer::from_ca_cert_pem(&certificate, key)
            .with_context(|| format!("cannot use {}", folder.path("ca.crt").display()))?;
        Ok(Self { issuer })
    }

    /// Makes the certificate of the xDS port anew, if it is not there, half of its life is over, it is another
    /// authority's, or it does not have the name of `address`.
    pub(super) fn renew(&self, folder: &Folder, address: &Address, now: SystemTime) -> anyhow::Result<()> {
        let ips = ips(address);
        if let (Some(key), Some(pem)) = (folder.read("server.key")?, folder.read("server.crt")?)
            && let Ok(key) = KeyPair::from_pem(&key)
            && lasts(&pem, &key, CERTIFICATE_LIFE, now)
            && self.names(&pem, &ips)
        {
            return Ok(());
        }
        let mut params = lasting(CERTIFICATE_LIFE, now);
        params.subject_alt_names =
            NAMES.iter().map(|name| Ok(SanType::DnsName((*name).try_into()?))).collect::<anyhow::Result<_>>()?;
        params.subject_alt_names.extend(ips.into_iter().map(SanType::IpAddress));
        params.distinguished_name.push(DnType::CommonName, "weir-server");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        // A kill between the two leaves a pair that does not fit: then both are made anew.
        folder.write(&folder.path("server.key"), key.serialize_pem().as_bytes())?;
        folder.write(&folder.path("server.crt"), certificate.pem().as_bytes())?;
        tracing::info!(certificate = %folder.path("server.crt").display(), "the xDS port has a new certificate");
        Ok(())
    }

    /// Whether a certificate is this authority's and for all of `ips`.
    fn names(&self, pem: &str, ips: &[IpAddr]) -> bool {
        let Ok(der) = CertificateDer::from_pem_slice(pem.as_bytes()) else { return false };
        let Ok((_, certificate)) = X509Certificate::from_der(&der) else { return false };
        let own = CertificateParams::default().key_identifier(self.issuer.key());
        let issued = certificate.extensions().iter().any(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(by) => by.key_identifier.as_ref().is_some_and(|id| id.0 == own),
            _ => false,
        });
        let Ok(Some(names)) = certificate.subject_alternative_name() else { return false };
        let has = |ip: &IpAddr| {
            let bytes = match ip {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            names.value.general_names.iter().any(|name| matches!(name, GeneralName::IPAddress(one) if *one == bytes))
        };
        issued && ips.iter().all(has)
    }
}

/// Parameters of a certificate that lives for `life` from now on.
fn lasting(life: Duration, now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = (now - EARLY).into();
    params.not_after = (now + life).into();
    params
}

/// The addresses that the certificate is for.
fn ips(address: &Address) -> Vec<IpAddr> {
    let mut ips: Vec<IpAddr> = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    if let Address::Tcp(address) = address
        && !address.ip().is_unspecified()
        && !ips.contains(&address.ip())
    {
        ips.push(address.ip());
    }
    ips
}

/// Whether a certificate is `key`'s, and is within the first half of its life.
fn lasts(pem: &str, key: &KeyPair, life: Duration, now: SystemTime) -> bool {
    let Ok(der) = CertificateDer::from_pem_slice(pem.as_bytes()) else { return false };
    let Ok((_, certificate)) = X509Certificate::from_der(&der) else { return false };
    let seconds = |time: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(time).unwrap_or(0));
    let validity = certificate.validity();
    let begun = now >= seconds(validity.not_before.timestamp());
    let lasts = now + life / 2 < seconds(validity.not_after.timestamp());
    begun && lasts && certificate.public_key().raw == key.subject_public_key_info()
}
