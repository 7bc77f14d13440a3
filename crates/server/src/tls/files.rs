//! The files of certificates and keys, as they are at one moment.

use std::{fs, io, path::Path};

use pkcs8::{EncryptedPrivateKeyInfo, SecretDocument};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem, pem::PemObject};
use sha1::{Digest, Sha1};

use crate::config::{Config, TlsAuthClients, system_text};

/// What the files hold that the settings name.
pub struct Files {
    certificate: File,
    key: File,
    authorities: Vec<File>,
}

/// A file and its bytes.
struct File {
    /// For errors.
    name: String,
    bytes: Vec<u8>,
}

impl Files {
    /// Reads the files.
    ///
    /// # Errors
    /// A sentence for the log, in Redis's words where Redis has the error too.
    pub fn read(config: &Config) -> Result<Files, String> {
        let certificate = config.tls_cert_file.as_deref().ok_or("No tls-cert-file configured!")?;
        let key = config.tls_key_file.as_deref().ok_or("No tls-key-file configured!")?;
        let mut authorities = Vec::new();
        if config.tls_auth_clients != TlsAuthClients::No {
            if config.tls_ca_cert_file.is_none() && config.tls_ca_cert_dir.is_none() {
                return Err("Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, \
                    tls-replication or tls-auth-clients are enabled!"
                    .to_owned());
            }
            const WHAT: &str = "Failed to configure CA certificate(s) file/directory";
            if let Some(path) = &config.tls_ca_cert_file {
                authorities.push(File::read(path, WHAT)?);
            }
            if let Some(path) = &config.tls_ca_cert_dir {
                authorities.extend(read_folder(path).map_err(|error| failed(WHAT, path, &error))?);
            }
        }
        Ok(Files {
            certificate: File::read(certificate, "Failed to load certificate")?,
            key: File::read(key, "Failed to load private key")?,
            authorities,
        })
    }

    /// A digest of all bytes, to tell whether they have changed.
    pub fn digest(&self) -> [u8; 20] {
        let mut digest = Sha1::new();
        for file in [&self.certificate, &self.key].into_iter().chain(&self.authorities) {
            digest.update(file.bytes.len().to_le_bytes());
            digest.update(&file.bytes);
        }
        digest.finalize().into()
    }

    /// The server's certificate, and those of the authorities between it and the one that clients trust. There is at least one.
    ///
    /// # Errors
    /// A sentence for the log.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let error = |reason: &str| format!("Failed to load certificate: {}: {reason}", self.certificate.name);
        let chain = self.certificate.certificates().map_err(|reason| error(&reason))?;
        if chain.is_empty() { Err(error("the file holds no certificate in PEM")) } else { Ok(chain) }
    }

    /// The key of the server's certificate. `password` is for an encrypted one.
    ///
    /// # Errors
    /// A sentence for the log.
    pub fn key(&self, password: Option<&[u8]>) -> Result<PrivateKeyDer<'static>, String> {
        parse_key(&self.key.bytes, password)
            .map_err(|reason| format!("Failed to load private key: {}: {reason}", self.key.name))
    }

    /// The certificates of the authorities that may issue certificates of clients. A file of the folder without certificates is passed over.
    ///
    /// # Errors
    /// A sentence for the log.
    pub fn authorities(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let mut all = Vec::new();
        for file in &self.authorities {
            let found = file.certificates().map_err(|reason| {
                format!("Failed to configure CA certificate(s) file/directory: {}: {reason}", file.name)
            })?;
            all.extend(found);
        }
        Ok(all)
    }
}

impl File {
    fn read(path: &Path, what: &str) -> Result<File, String> {
        let bytes = fs::read(path).map_err(|error| failed(what, path, &error))?;
        Ok(File { name: path.display().to_string(), bytes })
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        CertificateDer::pem_slice_iter(&self.bytes).collect::<Result<_, _>>().map_err(|error| error.to_string())
    }
}

/// The files of a folder, in the order of their names.
fn read_folder(folder: &Path) -> io::Result<Vec<File>> {
    let mut paths: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.retain(|path| path.is_file());
    paths.sort();
    let read = |path: &Path| Ok(File { name: path.display().to_string(), bytes: fs::read(path)? });
    paths.iter().map(|path| read(path)).collect()
}

fn failed(what: &str, path: &Path, error: &io::Error) -> String {
    format!("{what}: {}: {}", path.display(), system_text(error))
}

/// A key in PEM: PKCS#8, encrypted or not, or the older forms of RSA and EC keys without encryption.
fn parse_key(bytes: &[u8], password: Option<&[u8]>) -> Result<PrivateKeyDer<'static>, String> {
    let text = String::from_utf8_lossy(bytes);
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err("this form of encryption is not supported; convert the key with `openssl pkcs8 -topk8`".to_owned());
    }
    const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
    let Some(begin) = text.find(BEGIN) else {
        return PrivateKeyDer::from_pem_slice(bytes).map_err(|error| match error {
            pem::Error::NoItemsFound => "the file holds no private key in PEM".to_owned(),
            error => error.to_string(),
        });
    };
    let password = password.ok_or("the key is encrypted, and tls-key-file-pass is not set")?;
    let is_wrong = "the password is wrong, or the encryption is not supported";
    let (_, encrypted) = SecretDocument::from_pem(text[begin..].trim_end()).map_err(|error| error.to_string())?;
    let encrypted = EncryptedPrivateKeyInfo::try_from(encrypted.as_bytes()).map_err(|error| error.to_string())?;
    let key = encrypted.decrypt(password).map_err(|error| format!("{is_wrong} ({error})"))?;
    Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec())))
}
