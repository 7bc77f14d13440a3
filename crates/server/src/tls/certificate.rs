//! What is shown of a certificate.

use x509_cert::der::{Decode, asn1::ObjectIdentifier};

/// The common name in the name of a subject (X.520).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// What INFO shows of a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// In hexadecimal digits, as OpenSSL writes it.
    pub serial: String,
    /// When it expires, in seconds since 1970.
    pub expires_s: i64,
}

impl Certificate {
    /// Reads a certificate. `None` if it is malformed.
    pub fn parse(der: &[u8]) -> Option<Certificate> {
        let certificate = x509_cert::Certificate::from_der(der).ok()?.tbs_certificate;
        let digits: String = certificate.serial_number.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect();
        // A leading zero byte only says that the number is positive.
        let serial = match digits.strip_prefix("00") {
            Some(rest) if !rest.is_empty() => rest.to_owned(),
            _ => digits,
        };
        Some(Certificate { serial, expires_s: certificate.validity.not_after.to_unix_duration().as_secs() as i64 })
    }
}

/// The common name of a certificate's subject. If there are several, it is the first.
pub fn common_name(der: &[u8]) -> Option<String> {
    let certificate = x509_cert::Certificate::from_der(der).ok()?;
    let names = certificate.tbs_certificate.subject.0.iter().flat_map(|names| names.0.iter());
    let name = names.filter(|name| name.oid == COMMON_NAME).map(|name| name.value.value()).next()?;
    String::from_utf8(name.to_vec()).ok()
}
