//! TLS as libpq's `sslmode` means it, over rustls.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::Error;

/// How far a server is trusted: libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SslMode {
    /// Never encrypt.
    Disable,
    /// Encrypt if the server can; verify nothing. The default, as in libpq.
    Prefer,
    /// Encrypt; verify the certificate's chain only if a root certificate is given.
    Require,
    /// Encrypt, and verify that the certificate descends from a trusted root.
    VerifyCa,
    /// Encrypt, and verify chain and host name. The mode to use over a network.
    VerifyFull,
}

impl SslMode {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        Ok(match text {
            "disable" => SslMode::Disable,
            // `allow` tries plain text first, which only a server that refuses it would notice.
            "allow" | "prefer" => SslMode::Prefer,
            "require" => SslMode::Require,
            "verify-ca" => SslMode::VerifyCa,
            "verify-full" => SslMode::VerifyFull,
            other => {
                return Err(Error::configuration(format!(
                    "unknown sslmode `{other}`: use disable, allow, prefer, require, verify-ca or \
                     verify-full"
                )));
            }
        })
    }
}

/// Builds the connector for a mode, `None` where nothing is to be encrypted.
pub(super) fn connector(
    mode: SslMode,
    root: Option<&Path>,
) -> Result<Option<MakeRustlsConnect>, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match mode {
        SslMode::Disable => return Ok(None),
        SslMode::VerifyFull => chain_verifier(&provider, root)?,
        SslMode::Prefer | SslMode::Require | SslMode::VerifyCa => {
            // As in libpq, `require` with a root certificate verifies the chain.
            let verifies = mode == SslMode::VerifyCa || root.is_some();
            let chain = verifies.then(|| chain_verifier(&provider, root)).transpose()?;
            Arc::new(Lenient { chain, provider: Arc::clone(&provider) })
        }
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::configuration(format!("TLS: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Some(MakeRustlsConnect::new(config)))
}

fn chain_verifier(
    provider: &Arc<CryptoProvider>,
    root: Option<&Path>,
) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    match root {
        Some(path) => {
            for certificate in read_certificates(path)? {
                roots.add(certificate).map_err(|error| bad_root(path, &error))?;
            }
        }
        None => {
            let native = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(native.certs);
        }
    }
    if roots.is_empty() {
        let place = root.map_or("the system's store".into(), |path: &Path| {
            format!("`{}`", PathBuf::from(path).display())
        });
        return Err(Error::configuration(format!(
            "no root certificate in {place}: name one with `sslrootcert`"
        )));
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| Error::configuration(format!("TLS roots: {error}")))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let file = File::open(path).map_err(|error| bad_root(path, &error))?;
    CertificateDer::pem_reader_iter(BufReader::new(file))
        .collect::<Result<_, _>>()
        .map_err(|error| bad_root(path, &error))
}

fn bad_root(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::configuration(format!("sslrootcert `{}`: {error}", path.display()))
}

/// Verifies less than rustls would: the chain without the host name, or nothing.
#[derive(Debug)]
struct Lenient {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is checked last, so the chain was found good.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
