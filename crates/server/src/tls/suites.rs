//! The names of TLS versions and cipher suites.

use rustls::{
    SupportedCipherSuite, SupportedProtocolVersion,
    crypto::{CryptoProvider, ring, ring::cipher_suite},
    version,
};

use crate::config::Config;

/// The cipher suites of TLS 1.2, as OpenSSL names them, the most preferred one first.
const TLS_12: [(&str, SupportedCipherSuite); 6] = [
    ("ECDHE-ECDSA-AES256-GCM-SHA384", cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES128-GCM-SHA256", cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// The cipher suites of TLS 1.3, the most preferred one first.
const TLS_13: [(&str, SupportedCipherSuite); 3] = [
    ("TLS_AES_256_GCM_SHA384", cipher_suite::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", cipher_suite::TLS13_AES_128_GCM_SHA256),
    ("TLS_CHACHA20_POLY1305_SHA256", cipher_suite::TLS13_CHACHA20_POLY1305_SHA256),
];

/// Names of OpenSSL for sets of suites that include all of ours.
const SETS: [&str; 3] = ["DEFAULT", "ALL", "HIGH"];

/// The cryptography, with the cipher suites that the settings allow in their order.
///
/// # Errors
/// A sentence for the log.
pub fn provider(config: &Config) -> Result<CryptoProvider, String> {
    let mut cipher_suites = chosen(&config.tls_ciphersuites, &TLS_13, "ciphersuites")?;
    cipher_suites.extend(chosen(&config.tls_ciphers, &TLS_12, "ciphers")?);
    Ok(CryptoProvider { cipher_suites, ..ring::default_provider() })
}

/// The versions that `tls-protocols` names.
///
/// # Errors
/// A sentence for the log.
pub fn versions(names: &[u8]) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let names = String::from_utf8_lossy(names);
    let mut versions: Vec<&'static SupportedProtocolVersion> = Vec::new();
    for name in names.split(' ').filter(|name| !name.is_empty()) {
        let version = match name.to_ascii_lowercase().as_str() {
            "tlsv1.2" => &version::TLS12,
            "tlsv1.3" => &version::TLS13,
            _ => {
                return Err(format!(
                    "Invalid tls-protocols specified: '{name}'. Use a combination of 'TLSv1.2' and 'TLSv1.3'."
                ));
            }
        };
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    Ok(if versions.is_empty() { vec![&version::TLS13, &version::TLS12] } else { versions })
}

/// The suites of a list as OpenSSL has it: names between colons, commas or spaces. `!` and `-` in front of a name take the suite away.
fn chosen(
    list: &[u8],
    known: &[(&'static str, SupportedCipherSuite)],
    what: &str,
) -> Result<Vec<SupportedCipherSuite>, String> {
    let list = String::from_utf8_lossy(list);
    let mut names = list.split([':', ',', ' ']).filter(|name| !name.is_empty()).peekable();
    let all = || known.iter().map(|(_, suite)| *suite);
    if names.peek().is_none() {
        return Ok(all().collect());
    }
    let mut chosen: Vec<SupportedCipherSuite> = Vec::new();
    for name in names {
        let find =
            |name: &str| known.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, suite)| *suite);
        if let Some(name) = name.strip_prefix(['!', '-']) {
            // A set that has none of ours, such as `!aNULL`, takes nothing away.
            let taken = find(name);
            chosen.retain(|suite| Some(*suite) != taken);
        } else if SETS.contains(&name) {
            let missing: Vec<_> = all().filter(|suite| !chosen.contains(suite)).collect();
            chosen.extend(missing);
        } else if let Some(suite) = find(name) {
            if !chosen.contains(&suite) {
                chosen.push(suite);
            }
        } else {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            return Err(format!("Failed to configure {what}: '{name}' is not one of {}", names.join(", ")));
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_chosen_as_in_openssl() {
        #[track_caller]
        fn check(list: &str, expected: &[usize]) {
            let expected: Vec<_> = expected.iter().map(|&index| TLS_12[index].1).collect();
            assert_eq!(chosen(list.as_bytes(), &TLS_12, "ciphers").unwrap(), expected, "{list}");
        }
        check("", &[0, 1, 2, 3, 4, 5]);
        check("DEFAULT:!MEDIUM", &[0, 1, 2, 3, 4, 5]);
        check("ECDHE-RSA-AES128-GCM-SHA256 ecdhe-ecdsa-aes128-gcm-sha256", &[4, 1]);
        check("ECDHE-RSA-AES128-GCM-SHA256,HIGH", &[4, 0, 1, 2, 3, 5]);
        check("ALL:!ECDHE-RSA-CHACHA20-POLY1305:-ECDHE-RSA-AES256-GCM-SHA384:!aNULL", &[0, 1, 2, 4]);
        let error = chosen(b"TLS_AES_256_GCM_SHA384:RC4", &TLS_13, "ciphersuites").unwrap_err();
        assert_eq!(
            error,
            "Failed to configure ciphersuites: 'RC4' is not one of TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256, \
             TLS_CHACHA20_POLY1305_SHA256"
        );
    }

    #[test]
    fn versions_are_chosen_and_old_ones_refused() {
        assert_eq!(versions(b"").unwrap(), [&version::TLS13, &version::TLS12]);
        assert_eq!(versions(b"TLSv1.2 tlsv1.2").unwrap(), [&version::TLS12]);
        for old in ["TLSv1", "TLSv1.1 TLSv1.2", "SSLv3"] {
            assert!(versions(old.as_bytes()).unwrap_err().ends_with("Use a combination of 'TLSv1.2' and 'TLSv1.3'."));
        }
    }
}
