//! TLS: what encrypted connections are made with.
//!
//! | file | what it holds |
//! |---|---|
//! | `files.rs` | the files of certificates and keys |
//! | `suites.rs` | the names of protocols and cipher suites |
//! | `session_cache.rs` | the sessions that clients can resume |
//! | `certificate.rs` | what is shown of a certificate |
//!
//! A [`Keys`] is made from the settings as a whole and never modified. A change makes a new one, which is used for the connections that are
//! accepted from then on. If it cannot be made, the old one stays.

pub mod certificate;
mod files;
mod session_cache;
mod suites;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};

use self::{certificate::Certificate, files::Files, session_cache::SessionCache};
use crate::config::{Config, TlsAuthClients};

/// What new encrypted connections use.
#[derive(Default)]
pub struct Tls {
    /// `None` while no port for TLS is listened on. A plain mutex, since only the acceptor and changes take it, for a moment.
    keys: Mutex<Option<Arc<Keys>>>,
    failed_handshakes: AtomicU64,
}

/// The certificates and keys of one moment, with the rules of their use.
pub struct Keys {
    /// What a connection is made with.
    pub server_config: Arc<ServerConfig>,
    /// The server's certificate.
    pub certificate: Option<Certificate>,
    /// Of the authorities' certificates, the one that expires first.
    pub authority: Option<Certificate>,
    /// Tells whether the files have changed since.
    files_digest: [u8; 20],
}

impl Tls {
    /// What connections that are accepted now use.
    pub fn keys(&self) -> Option<Arc<Keys>> {
        self.keys.lock().clone()
    }

    /// Uses other keys from now on. Returns those that were in use.
    pub fn replace(&self, keys: Option<Arc<Keys>>) -> Option<Arc<Keys>> {
        std::mem::replace(&mut self.keys.lock(), keys)
    }

    /// Reads the files again if a port for TLS is listened on, and uses what they hold. An error is logged, and the old keys stay.
    ///
    /// The caller sees to it that the configuration does not change meanwhile.
    pub fn reload(&self, config: &Config, what: Reload) {
        let Some(keys) = self.keys() else { return };
        let files = match Files::read(config) {
            Ok(files) => files,
            Err(error) => return log_kept(&error),
        };
        if what == Reload::IfChanged && files.digest() == keys.files_digest {
            return;
        }
        match Keys::of_files(config, files) {
            Ok(keys) => {
                self.replace(Some(Arc::new(keys)));
                tracing::info!("TLS certificates and keys reloaded");
            }
            Err(error) => log_kept(&error),
        }
    }

    /// Counts a handshake that failed.
    pub fn count_failure(&self) {
        self.failed_handshakes.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of handshakes that failed since the start or CONFIG RESETSTAT.
    pub fn failed_handshakes(&self) -> u64 {
        self.failed_handshakes.load(Ordering::Relaxed)
    }

    /// Sets the counter back to zero.
    pub fn reset(&self) {
        self.failed_handshakes.store(0, Ordering::Relaxed);
    }
}

/// When [`Tls::reload`] replaces the keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reload {
    /// In any case.
    Always,
    /// If a file is not as it was.
    IfChanged,
}

impl Keys {
    /// Reads the files that the settings name. `None` if no port for TLS is set.
    ///
    /// # Errors
    /// A sentence for the log.
    pub fn load(config: &Config) -> Result<Option<Arc<Keys>>, String> {
        if config.tls_port == 0 {
            return Ok(None);
        }
        let keys = Keys::of_files(config, Files::read(config)?)?;
        Ok(Some(Arc::new(keys)))
    }

    fn of_files(config: &Config, files: Files) -> Result<Keys, String> {
        let files_digest = files.digest();
        let provider = Arc::new(suites::provider(config)?);
        let versions = suites::versions(&config.tls_protocols)?;
        let (chain, key) = (files.certificates()?, files.key(config.tls_key_file_pass.as_deref())?);
        let authorities = files.authorities()?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions)
            .map_err(|error| format!("Failed to configure TLS protocols and ciphers: {error}"))?;
        let builder = match client_verifier(config.tls_auth_clients, &authorities, provider.clone())? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let certificate = Certificate::parse(&chain[0]);
        let key = certified_key(chain, key, &provider)?;
        let mut server_config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        server_config.ignore_client_order = config.tls_prefer_server_ciphers;
        server_config.session_storage = if config.tls_session_caching {
            Arc::new(SessionCache::new(config.tls_session_cache_size, config.tls_session_cache_timeout_s))
        } else {
            server_config.send_tls13_tickets = 0;
            Arc::new(NoServerSessionStorage {})
        };
        let authorities = authorities.iter().filter_map(|der| Certificate::parse(der));
        let authority = authorities.min_by_key(|certificate| certificate.expires_s);
        Ok(Keys { server_config: Arc::new(server_config), certificate, authority, files_digest })
    }
}

/// A certificate with its key. rustls would refuse a certificate of version 1, which many tools make, although it is for clients to judge.
fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let failed = |reason: &str| format!("Failed to use certificate and private key: {reason}");
    let key = provider.key_provider.load_private_key(key).map_err(|error| failed(&error.to_string()))?;
    let public_key = certificate::public_key(&chain[0]).ok_or_else(|| failed("the certificate is malformed"))?;
    match key.public_key() {
        Some(of_key) if of_key.as_ref() != public_key => Err(failed("the key is not that of the certificate")),
        _ => Ok(CertifiedKey::new(chain, key)),
    }
}

/// What checks the certificates of clients; `None` if they are not asked for one.
fn client_verifier(
    auth: TlsAuthClients,
    authorities: &[CertificateDer<'static>],
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    if auth == TlsAuthClients::No {
        return Ok(None);
    }
    let mut roots = rustls::RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(authorities.iter().cloned());
    if added == 0 {
        return Err("Failed to configure CA certificate(s) file/directory: it holds no certificate".to_owned());
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if auth == TlsAuthClients::Optional { builder.allow_unauthenticated() } else { builder };
    let verifier =
        builder.build().map_err(|error| format!("Failed to configure CA certificate(s) file/directory: {error}"))?;
    Ok(Some(verifier))
}

fn log_kept(error: &str) {
    tracing::warn!("{error}");
    tracing::warn!("TLS certificates and keys could not be reloaded: those in use stay");
}
