//! Whom the uplink believes to be the cloud: certificates of the pinned CA.
//!
//! # Invariants
//!
//! - A certificate that had ended at the latest time that is sure is refused.
//! - While the clock cannot be right, in 1970 without a battery or in 2099 by a mistake, certificates
//!   are judged at that time, and one that has not begun by then is accepted: else the machine would
//!   never learn the time, since who could tell it is refused. The CA is pinned, so a stranger gains
//!   nothing from it.

use std::sync::Arc;
use std::time::Duration;

use fieldgate_protocol::clock::SystemClock;
use rumqttc::TlsConfiguration;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use thiserror::Error;
use tokio::sync::watch;

use crate::clock::ClockStatus;

/// Certificates of a chain that may each begin later than the one before: more than any CA of ours
/// hands out.
const CHAIN_MAX: usize = 4;

/// Why nobody can be believed.
#[derive(Debug, Error)]
pub(super) enum TrustError {
    /// The credentials have no CA that can be read.
    #[error("read the CA of the credentials")]
    Ca(#[from] rustls::pki_types::pem::Error),
    /// TLS refuses the CA.
    #[error("trust the CA of the credentials")]
    Roots(#[from] Error),
    /// TLS cannot verify with it.
    #[error("verify with the CA of the credentials")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

/// TLS that believes certificates of the CA in `pem`.
pub(super) fn believing(
    pem: &str,
    clock: watch::Receiver<ClockStatus>,
) -> Result<TlsConfiguration, TrustError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate?)?;
    }
    let strict = WebPkiServerVerifier::builder(Arc::new(roots)).build()?;
    let verifier = Arc::new(Patient { strict, clock });
    let config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(TlsConfiguration::Rustls(Arc::new(config)))
}

/// Verifies as everybody does while the clock can be right, else at the latest time that is sure.
#[derive(Debug)]
struct Patient {
    strict: Arc<WebPkiServerVerifier>,
    clock: watch::Receiver<ClockStatus>,
}

impl ServerCertVerifier for Patient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let known = *self.clock.borrow();
        let unsure = match known.system {
            SystemClock::Believed => false,
            SystemClock::Unset | SystemClock::Doubted => true,
        };
        let floor = Duration::from_millis(u64::try_from(known.floor.0).unwrap_or(0));
        let mut at = if unsure { UnixTime::since_unix_epoch(floor) } else { now };
        for _ in 0..CHAIN_MAX {
            match self.strict.verify_server_cert(end_entity, intermediates, name, ocsp, at) {
                Err(Error::InvalidCertificate(CertificateError::NotValidYetContext {
                    not_before,
                    ..
                })) if unsure && at < not_before => at = not_before,
                decided => return decided,
            }
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidYet))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.strict.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.strict.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.strict.supported_verify_schemes()
    }
}
