//! The other end: how a container asks its own listener whether it is alive.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme};

/// Whether the listener shows the certificate that it is told to.
#[derive(Debug, Clone, Default)]
pub struct Witness(Arc<AtomicBool>);

impl Witness {
    /// Whether it showed another one.
    pub fn saw_another(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A client for the listener of one's own machine, and nobody else: it takes whatever certificate is shown, as long as its key is
/// held.
///
/// The certificate is for the names that others call the gateway by, not for the address that it is probed at. And a gateway that
/// still shows the one before, because the files cannot be used, is alive: to say otherwise would have it restarted with them.
/// So the one that is expected is only compared. Nothing secret may be sent.
pub fn own_listener(
    expected: Option<CertificateDer<'static>>,
) -> Result<(ClientConfig, Witness), TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let witness = Witness::default();
    let verifier = Verifier {
        expected,
        provider: Arc::clone(&provider),
        witness: witness.clone(),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok((config, witness))
}

struct Verifier {
    expected: Option<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
    witness: Witness,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        if self.expected.as_ref() != Some(shown) {
            self.witness.0.store(true, Ordering::Relaxed);
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
