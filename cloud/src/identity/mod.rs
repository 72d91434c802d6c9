//! What this instance is called, the authority that gateways pin, and the secrets they log in with.
//!
//! # Invariants
//!
//! - A lost or damaged authority is an error, never a silent new one: every gateway has pinned it.
//! - A private key is readable by its owner alone, from the moment its file exists.

mod credentials;
mod files;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fieldgate_model::{InstanceId, UtcMillis};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, date_time_ymd,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

pub use credentials::{Credentials, CredentialsError, new_secret, secret_hash, secret_matches};
use files::{make_folder, read_text, write_private};

/// The authority outlives the machines it is pinned on.
const VALID_YEARS: i32 = 20;

/// A gateway without a clock battery wakes up in 1970, and has to connect to learn the time.
const VALID_FROM_YEAR: i32 = 1970;

/// Names under which a listener can always be reached from its own machine.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Why an identity cannot be opened or made.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file or folder of the identity cannot be read, made or written.
    #[error("cannot {verb} `{}`", path.display())]
    File {
        /// What was tried: `read`, `write`, `create`.
        verb: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// One part of the authority is there and the other is not, or cannot be used.
    #[error("authority in `{}` is damaged: {what} (restore it from a backup)", path.display())]
    Damaged {
        /// The file that is wrong.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A public name is neither an address nor a DNS name.
    #[error("public name `{0}` is neither an address nor a DNS name")]
    Name(String),
    /// A certificate cannot be issued.
    #[error("cannot issue a certificate")]
    Issue(#[source] rcgen::Error),
    /// A TLS configuration cannot be made of the server's certificate.
    #[error("cannot use the server certificate")]
    Tls(#[source] rustls::Error),
}

/// The instance's id, its pinned authority and its listener's certificate.
#[derive(Debug)]
pub struct Identity {
    instance: InstanceId,
    ca: String,
    server: Arc<rustls::ServerConfig>,
}

impl Identity {
    /// Opens the identity in `data/identity`, and makes what is missing.
    ///
    /// `public_names` are DNS names or addresses by which gateways reach the listener; when they
    /// change, the server certificate is issued again under the same authority.
    pub fn open(
        data: &Path,
        public_names: &[String],
        now: UtcMillis,
    ) -> Result<Self, IdentityError> {
        let folder = data.join("identity");
        make_folder(&folder)?;
        let names = all_names(public_names)?;
        let instance = open_instance_id(&folder)?;
        let authority = Authority::open(&folder, &instance, now)?;
        let server = open_server(&folder, &authority, &names, now)?;
        Ok(Self { instance, ca: authority.certificate, server })
    }

    /// The instance's id.
    pub fn instance(&self) -> &InstanceId {
        &self.instance
    }

    /// The authority's certificate, PEM: what a gateway pins.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// The configuration of the TLS listeners: the server certificate, TLS 1.2 and 1.3.
    pub fn server_config(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.server)
    }
}

/// The one provider of cryptography in the process, named so that none is guessed.
pub fn crypto_provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// `BYTES` random bytes from the kernel, as lower-case hex.
fn random_hex<const BYTES: usize>() -> String {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).expect("a kernel that has booted has random bytes");
    credentials::hex(&bytes)
}

fn all_names(public_names: &[String]) -> Result<Vec<String>, IdentityError> {
    let mut names: Vec<String> = LOCAL_NAMES.map(String::from).to_vec();
    for name in public_names {
        if ServerName::try_from(name.as_str()).is_err() {
            return Err(IdentityError::Name(name.clone()));
        }
        names.push(name.to_ascii_lowercase());
    }
    names.sort();
    names.dedup();
    Ok(names)
}

fn open_instance_id(folder: &Path) -> Result<InstanceId, IdentityError> {
    let path = folder.join("instance-id");
    let text = if let Some(text) = read_text(&path)? {
        text
    } else {
        let text = random_hex::<16>();
        write_private(&path, &text)?;
        text
    };
    InstanceId::new(text.trim())
        .map_err(|error| IdentityError::Damaged { path, what: error.to_string() })
}

/// The instance's own certificate authority.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn open(folder: &Path, instance: &InstanceId, now: UtcMillis) -> Result<Self, IdentityError> {
        let key_path = folder.join("ca.key");
        let certificate_path = folder.join("ca.pem");
        let parameters = authority_parameters(instance, now);
        let Some(certificate) = read_text(&certificate_path)? else {
            // The certificate is written last, so without it nobody can have pinned the key.
            let key =
                KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(IdentityError::Issue)?;
            let certificate = parameters.self_signed(&key).map_err(IdentityError::Issue)?.pem();
            write_private(&key_path, &key.serialize_pem())?;
            write_private(&certificate_path, &certificate)?;
            return Ok(Self { certificate, issuer: Issuer::new(parameters, key) });
        };
        let damaged =
            |path: &Path, what: String| IdentityError::Damaged { path: path.to_owned(), what };
        let key = read_text(&key_path)?
            .ok_or_else(|| damaged(&key_path, String::from("the key is missing")))?;
        let key = KeyPair::from_pem(&key).map_err(|error| damaged(&key_path, error.to_string()))?;
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|error| damaged(&certificate_path, error.to_string()))?;
        let public = key.public_key_raw();
        if !der.as_ref().windows(public.len()).any(|window| window == public) {
            return Err(damaged(&key_path, String::from("it is not the key of `ca.pem`")));
        }
        Ok(Self { certificate, issuer: Issuer::new(parameters, key) })
    }
}

fn authority_parameters(instance: &InstanceId, now: UtcMillis) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.remove(DnType::CommonName);
    parameters.distinguished_name.push(DnType::CommonName, format!("fieldgate {instance}"));
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut parameters, now);
    parameters
}

fn set_validity(parameters: &mut CertificateParams, now: UtcMillis) {
    parameters.not_before = date_time_ymd(VALID_FROM_YEAR, 1, 1);
    parameters.not_after = date_time_ymd(year_of(now) + VALID_YEARS, 1, 1);
}

/// The calendar year, to within a day: good enough for a validity of decades.
fn year_of(now: UtcMillis) -> i32 {
    /// Mean length of a Gregorian year.
    const MILLIS_A_YEAR: i64 = 31_556_952_000;
    i32::try_from(now.0.div_euclid(MILLIS_A_YEAR)).unwrap_or(0).clamp(0, 8_000) + 1970
}

/// The listener's certificate and key share one file, so that a crash cannot mix two issues.
fn open_server(
    folder: &Path,
    authority: &Authority,
    names: &[String],
    now: UtcMillis,
) -> Result<Arc<rustls::ServerConfig>, IdentityError> {
    let path = folder.join("server.pem");
    // Text outside the armour is a comment to every PEM reader.
    let header = format!("names: {}\n", names.join(" "));
    if let Some(text) = read_text(&path)?
        && text.starts_with(&header)
        && let Ok(config) = server_config(&text)
    {
        return Ok(config);
    }
    let text = header + &issue_server(authority, names, now)?;
    write_private(&path, &text)?;
    server_config(&text)
}

fn issue_server(
    authority: &Authority,
    names: &[String],
    now: UtcMillis,
) -> Result<String, IdentityError> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.remove(DnType::CommonName);
    parameters.distinguished_name.push(DnType::CommonName, "fieldgate listener");
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.use_authority_key_identifier_extension = true;
    set_validity(&mut parameters, now);
    for name in names {
        let name = match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.as_str().try_into().map_err(IdentityError::Issue)?),
        };
        parameters.subject_alt_names.push(name);
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(IdentityError::Issue)?;
    let certificate =
        parameters.signed_by(&key, &authority.issuer).map_err(IdentityError::Issue)?;
    Ok(certificate.pem() + &key.serialize_pem())
}

fn server_config(text: &str) -> Result<Arc<rustls::ServerConfig>, IdentityError> {
    let unusable = |error: rustls::pki_types::pem::Error| {
        IdentityError::Tls(rustls::Error::General(error.to_string()))
    };
    let certificate = CertificateDer::from_pem_slice(text.as_bytes()).map_err(unusable)?;
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(unusable)?;
    let config = rustls::ServerConfig::builder_with_provider(crypto_provider())
        .with_safe_default_protocol_versions()
        .map_err(IdentityError::Tls)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(IdentityError::Tls)?;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;
