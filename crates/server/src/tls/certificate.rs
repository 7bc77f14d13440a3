//! What is shown of a certificate.

use x509_cert::der::{Decode, Encode, asn1::ObjectIdentifier};

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

/// The public key of a certificate, as DER (SubjectPublicKeyInfo).
pub fn public_key(der: &[u8]) -> Option<Vec<u8>> {
    x509_cert::Certificate::from_der(der).ok()?.tbs_certificate.subject_public_key_info.to_der().ok()
}

/// The common name of a certificate's subject. If there are several, it is the first.
pub fn common_name(der: &[u8]) -> Option<String> {
    let certificate = x509_cert::Certificate::from_der(der).ok()?;
    let names = certificate.tbs_certificate.subject.0.iter().flat_map(|names| names.0.iter());
    let name = names.filter(|name| name.oid == COMMON_NAME).map(|name| name.value.value()).next()?;
    String::from_utf8(name.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SerialNumber, date_time_ymd};

    use super::*;

    #[test]
    fn a_certificate_is_read() {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "alice");
        params.serial_number = Some(SerialNumber::from(vec![0xf0, 0x01, 0x0a]));
        params.not_after = date_time_ymd(2033, 5, 18);
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
        // 2033-05-18 begins at this second.
        let expected = Certificate { serial: "F0010A".to_owned(), expires_s: 1_999_987_200 };
        assert_eq!(Certificate::parse(&der), Some(expected));
        assert_eq!(common_name(&der).as_deref(), Some("alice"));
        assert_eq!((Certificate::parse(&der[1..]), common_name(b"")), (None, None));
    }
}
