//! Proves that encrypted connections are served as others are, that certificates can be replaced while clients are connected, and that
//! handshakes hold up nobody.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ochre_testkit::server::free_port;
use ochre_testkit::{Client, Launch, Reply, Server, eventually, new_folder, poll, references, until};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, StreamOwned,
    SupportedProtocolVersion, version,
};

const NOT_UPDATED: &str = "Unable to update TLS configuration. Check server logs.";

/// An authority, and a folder with files of certificates that it has issued.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    folder: PathBuf,
}

impl Authority {
    /// Its certificate is the file NAME.crt.
    fn new(name: &str, folder: &Path) -> Authority {
        let mut params = parameters(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.join(format!("{name}.crt")), certificate.pem()).unwrap();
        Authority {
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
            folder: folder.to_path_buf(),
        }
    }

    /// Issues a certificate as the files NAME.crt and NAME.key.
    fn issue(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        self.issue_for(name, &key);
        fs::write(self.folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn issue_for(&self, name: &str, key: &KeyPair) {
        let certificate = parameters(name).signed_by(key, &self.issuer).unwrap();
        fs::write(self.folder.join(format!("{name}.crt")), certificate.pem()).unwrap();
    }

    /// A client that trusts this authority, with its own certificate if it has one.
    fn client(&self, own: Option<&str>, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let path = |extension: &str| self.folder.join(format!("{}.{extension}", own.unwrap_or_default()));
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(_) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_file(path("crt")).unwrap()],
                    PrivateKeyDer::from_pem_file(path("key")).unwrap(),
                )
                .unwrap(),
        };
        Arc::new(config)
    }
}

/// All certificates are for localhost. Their common name tells them apart.
fn parameters(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A server with a plain port, one for TLS and a Unix socket.
struct Subject {
    server: Server,
    operator: Client,
    authority: Authority,
    tls_port: u16,
}

impl Subject {
    fn start(auth_clients: &str) -> Subject {
        Subject::with(auth_clients, &[], 2)
    }

    fn with(auth_clients: &str, directives: &[(&str, &str)], threads: usize) -> Subject {
        let folder = new_folder(ochre_testkit::Kind::subject());
        let authority = Authority::new("ca", &folder);
        for name in ["server", "client"] {
            authority.issue(name);
        }
        let tls_port = free_port();
        let path = |name: &str| folder.join(name).display().to_string();
        let mut launch = Launch::subject()
            .threads(threads)
            .unix_socket()
            .directive("tls-port", &tls_port.to_string())
            .directive("tls-cert-file", &path("server.crt"))
            .directive("tls-key-file", &path("server.key"))
            .directive("tls-ca-cert-file", &path("ca.crt"))
            .directive("tls-auth-clients", auth_clients);
        for (name, value) in directives {
            launch = launch.directive(name, value);
        }
        let server = launch.start();
        let operator = Client::connect_unix(server.unix_socket().unwrap()).unwrap();
        Subject { server, operator, authority, tls_port }
    }

    fn path(&self, name: &str) -> String {
        self.authority.folder.join(name).display().to_string()
    }

    /// Connects over TLS with the client's certificate.
    #[track_caller]
    fn client(&self) -> Client {
        self.try_client(Some("client"))
            .unwrap_or_else(|error| panic!("no connection over TLS: {error}; the log:\n{}", self.server.log()))
    }

    /// Connects over TLS, and has PING answered.
    fn try_client(&self, own: Option<&str>) -> std::io::Result<Client> {
        self.try_client_with(self.authority.client(own, rustls::ALL_VERSIONS))
    }

    fn try_client_with(&self, config: Arc<ClientConfig>) -> std::io::Result<Client> {
        let mut client = Client::connect_tls(self.tls_port, config)?;
        assert_eq!(client.call(&["PING"])?.to_string(), "+PONG");
        Ok(client)
    }

    /// The common name of the certificate that new connections are shown.
    #[track_caller]
    fn shown_certificate(&self) -> Vec<u8> {
        self.client().tls().unwrap().peer_certificates().unwrap()[0].to_vec()
    }

    #[track_caller]
    fn set(&mut self, words: &[&str], expected: &str) {
        let reply = self.operator.call(&[&["CONFIG", "SET"], words].concat()).unwrap().to_string();
        assert_eq!(reply, expected, "CONFIG SET {words:?}; the log:\n{}", self.server.log());
    }

    #[track_caller]
    fn refuses(&mut self, words: &[&str], name: &str, reason: &str, logged: &str) {
        self.set(words, &format!("-ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}"));
        assert!(self.server.log().contains(logged), "{logged} is not in the log:\n{}", self.server.log());
    }

    fn info(&mut self, field: &str) -> String {
        let text = self.operator.run("INFO everything").to_text();
        let line = text.lines().find_map(|line| line.trim_end().strip_prefix(&format!("{field}:")).map(str::to_owned));
        line.unwrap_or_else(|| panic!("INFO has no {field}: {text}"))
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.authority.folder);
    }
}

#[test]
fn plain_encrypted_and_local_connections_share_the_data() {
    let mut subject = Subject::start("yes");
    let (mut plain, mut tls) = (subject.server.client(), subject.client());
    assert_eq!(plain.run("SET key value").to_string(), "+OK");
    assert_eq!(tls.run("GET key").to_text(), "value");
    assert_eq!(tls.run("SUBSCRIBE news").to_string(), "[\"subscribe\", \"news\", :1]");
    assert_eq!(subject.operator.run("PUBLISH news hello").to_string(), ":1");
    assert_eq!(tls.read_reply().unwrap().to_string(), "[\"message\", \"news\", \"hello\"]");
    let fields = tls.call(&["UNSUBSCRIBE"]).and_then(|_| tls.call(&["CLIENT", "INFO"])).unwrap().to_text();
    assert!(fields.contains(&format!("laddr=127.0.0.1:{} ", subject.tls_port)), "{fields}");
    let listener = format!("name=tls,bind=127.0.0.1,port={}", subject.tls_port);
    assert_eq!(subject.info("listener2"), listener);
    assert!(subject.server.log().contains("Ready to accept connections tls"));
}

#[test]
fn long_values_and_long_pipelines_arrive_whole() {
    let subject = Subject::start("yes");
    for versions in [&[&version::TLS12][..], &[&version::TLS13]] {
        let mut client = subject.try_client_with(subject.authority.client(Some("client"), versions)).unwrap();
        // The length is no multiple of a record or a chunk.
        let value: Vec<u8> = (0..9_000_001_usize).map(|index| (index * index / 7) as u8).collect();
        assert_eq!(client.call(&[&b"SET"[..], b"long", &value]).unwrap().to_string(), "+OK");
        client.send(&["GET", "long"]).unwrap();
        let header = format!("${}\r\n", value.len());
        assert_eq!(client.read_bytes(header.len()).unwrap(), header.as_bytes());
        assert!(client.read_bytes(value.len()).unwrap() == value, "the value came back changed");
        assert_eq!(client.read_bytes(2).unwrap(), b"\r\n");
        let commands: Vec<Vec<Vec<u8>>> =
            (0..20_000).map(|number| vec![b"ECHO".to_vec(), format!("{number}").into_bytes()]).collect();
        for (number, reply) in client.pipeline(&commands).unwrap().iter().enumerate() {
            assert_eq!(reply.to_text(), number.to_string());
        }
    }
}

#[test]
fn a_server_may_listen_for_tls_only() {
    let subject = Subject::start("no");
    let path = |name: &str| subject.path(name);
    let port = free_port();
    let launch = Launch::subject()
        .directive("port", "0")
        .directive("tls-port", &port.to_string())
        .directive("tls-cert-file", &path("server.crt"))
        .directive("tls-key-file", &path("server.key"))
        .directive("tls-auth-clients", "no");
    let server = launch.spawn();
    let config = subject.authority.client(None, rustls::ALL_VERSIONS);
    let connected = until(poll::PATIENCE, || Client::connect_tls(port, config.clone()).ok());
    let mut client = connected.unwrap_or_else(|| panic!("{}", server.log()));
    let info = client.run("INFO server").to_text();
    assert!(info.contains(&format!("tcp_port:{port}\r\n")), "{info}");
    assert!(info.contains(&format!("listener0:name=tls,bind=127.0.0.1,port={port}\r\n")), "{info}");
}

#[test]
fn a_server_without_certificates_does_not_start() {
    let mut server = Launch::subject().directive("tls-port", &free_port().to_string()).spawn();
    assert!(!server.wait().success());
    let log = server.log();
    assert!(log.contains("# No tls-cert-file configured!"), "{log}");
    assert!(log.contains("# Failed to configure TLS. Check logs for more info."), "{log}");
}

#[test]
fn the_port_opens_and_closes() {
    const NO_PORT: &str = "Unable to listen on this port. Check server logs.";
    let mut subject = Subject::start("yes");
    let (tls, plain) = (subject.tls_port.to_string(), subject.server.port().to_string());
    let mut connected = subject.client();
    subject.set(&["tls-port", "0"], "+OK");
    assert!(TcpStream::connect(("127.0.0.1", subject.tls_port)).is_err());
    assert_eq!(connected.run("PING").to_string(), "+PONG", "connections stay");
    // Without the port nothing reads the files.
    subject.set(&["tls-cert-file", ""], "+OK");
    subject.refuses(&["tls-port", &tls], "tls-port", NOT_UPDATED, "No tls-cert-file configured!");
    assert!(TcpStream::connect(("127.0.0.1", subject.tls_port)).is_err());
    let certificate = subject.path("server.crt");
    subject.set(&["tls-port", &tls, "tls-cert-file", &certificate], "+OK");
    subject.client();
    subject.refuses(&["tls-port", &plain], "tls-port", NO_PORT, "bind: Address already in use");
    subject.refuses(&["port", &tls], "port", NO_PORT, "bind: Address already in use");
    subject.client();
    // The ports change places.
    subject.set(&["port", &tls, "tls-port", &plain], "+OK");
    assert_eq!(Client::connect(subject.tls_port).unwrap().run("PING").to_string(), "+PONG");
    subject.tls_port = subject.server.port();
    subject.client();
}

#[test]
fn certificates_are_replaced_while_clients_are_connected() {
    let mut subject = Subject::start("yes");
    let mut connected = subject.client();
    let first = subject.shown_certificate();
    let serial = subject.info("tls_server_cert_serial");
    assert_ne!(serial, "none");
    assert!(subject.info("tls_server_cert_expires_in_seconds").parse::<u64>().unwrap() > 1_000_000);
    assert_ne!(subject.info("tls_ca_cert_serial"), "none");
    assert_eq!(subject.info("tls_client_cert_serial"), "none");

    // The same names again: the files have changed.
    subject.authority.issue("server");
    assert_eq!(subject.shown_certificate(), first, "nothing has read the files");
    let (certificate, key) = (subject.path("server.crt"), subject.path("server.key"));
    subject.set(&["tls-cert-file", &certificate], "+OK");
    let second = subject.shown_certificate();
    assert_ne!(second, first);
    assert_ne!(subject.info("tls_server_cert_serial"), serial);

    subject.authority.issue("server");
    subject.server.signal(libc::SIGHUP);
    eventually("the signal has the files read", || subject.shown_certificate() != second);
    let third = subject.shown_certificate();

    subject.authority.issue("server");
    subject.set(&["tls-auto-reload-interval", "1"], "+OK");
    eventually("the interval has the files read", || subject.shown_certificate() != third);
    assert_eq!(connected.run("PING").to_string(), "+PONG");

    subject.set(&["tls-auto-reload-interval", "0"], "+OK");
    subject.authority.issue("other");
    let (other_certificate, other_key) = (subject.path("other.crt"), subject.path("other.key"));
    let fourth = subject.shown_certificate();
    subject.set(&["tls-cert-file", &other_certificate, "tls-key-file", &other_key], "+OK");
    assert_ne!(subject.shown_certificate(), fourth);
    subject.set(&["tls-cert-file", &certificate, "tls-key-file", &key], "+OK");
    assert_eq!(connected.run("PING").to_string(), "+PONG");
}

#[test]
fn what_cannot_be_used_is_refused_and_the_old_stays() {
    let mut subject = Subject::start("yes");
    let before = subject.shown_certificate();
    subject.authority.issue("other");
    let path = |name: &str| subject.path(name);
    let (other, missing, empty, folder) = (path("other.key"), path("missing"), path("empty"), path(""));
    fs::write(&empty, "nothing").unwrap();
    let known = "is not one of ECDHE-ECDSA-AES256-GCM-SHA384, ECDHE-ECDSA-AES128-GCM-SHA256, ECDHE-ECDSA-CHACHA20-POLY1305, \
        ECDHE-RSA-AES256-GCM-SHA384, ECDHE-RSA-AES128-GCM-SHA256, ECDHE-RSA-CHACHA20-POLY1305";
    for (name, value, logged) in [
        ("tls-cert-file", &missing[..], "Failed to load certificate: "),
        ("tls-cert-file", &empty, "the file holds no certificate in PEM"),
        ("tls-cert-file", "", "No tls-cert-file configured!"),
        ("tls-key-file", &other, "Failed to use certificate and private key: "),
        ("tls-key-file", &empty, "the file holds no private key in PEM"),
        ("tls-key-file", "", "No tls-key-file configured!"),
        ("tls-ca-cert-file", &empty, "it holds no certificate"),
        ("tls-ca-cert-file", "", "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when "),
        ("tls-ca-cert-dir", &missing, "No such file or directory"),
        ("tls-protocols", "TLSv1.1 TLSv1.2", "Use a combination of 'TLSv1.2' and 'TLSv1.3'."),
        ("tls-ciphers", "AES128-SHA", known),
        ("tls-ciphersuites", "RC4", "'RC4' is not one of TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256, "),
    ] {
        subject.refuses(&[name, value], name, NOT_UPDATED, logged);
    }
    assert_eq!(subject.shown_certificate(), before);
    // The files of the folder are authorities too, those that hold certificates.
    subject.set(&["tls-ca-cert-file", "", "tls-ca-cert-dir", &folder], "+OK");
    assert_eq!(subject.shown_certificate(), before);

    // A file that has become unusable is not used.
    fs::write(subject.path("server.crt"), "broken").unwrap();
    subject.server.signal(libc::SIGHUP);
    eventually("the log says so", || subject.server.log().contains("could not be reloaded: those in use stay"));
    assert_eq!(subject.shown_certificate(), before);
}

#[test]
fn versions_and_cipher_suites_are_those_that_are_set() {
    let mut subject = Subject::start("yes");
    let connect =
        |subject: &Subject, version| subject.try_client_with(subject.authority.client(Some("client"), &[version]));
    let suite = |client: &Client| format!("{:?}", client.tls().unwrap().negotiated_cipher_suite().unwrap().suite());
    subject.set(&["tls-protocols", "TLSv1.3", "tls-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"], "+OK");
    assert!(connect(&subject, &version::TLS12).is_err());
    assert_eq!(suite(&connect(&subject, &version::TLS13).unwrap()), "TLS13_CHACHA20_POLY1305_SHA256");
    subject.set(&["tls-protocols", "tlsv1.2", "tls-ciphers", "ECDHE-ECDSA-CHACHA20-POLY1305:!aNULL"], "+OK");
    assert!(connect(&subject, &version::TLS13).is_err());
    let client = connect(&subject, &version::TLS12).unwrap();
    assert_eq!(client.tls().unwrap().protocol_version(), Some(ProtocolVersion::TLSv1_2));
    assert_eq!(suite(&client), "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256");
    let ordered = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";
    subject.set(&["tls-protocols", "", "tls-ciphersuites", ordered, "tls-prefer-server-ciphers", "yes"], "+OK");
    assert_eq!(suite(&connect(&subject, &version::TLS13).unwrap()), "TLS13_CHACHA20_POLY1305_SHA256");
}

#[test]
fn sessions_are_resumed_unless_caching_is_off() {
    let mut subject = Subject::start("yes");
    let kinds = |versions: &[&'static SupportedProtocolVersion]| {
        let config = subject.authority.client(Some("client"), versions);
        let connect = || subject.try_client_with(config.clone()).unwrap().tls().unwrap().handshake_kind().unwrap();
        [connect(), connect()]
    };
    for version in [&version::TLS12, &version::TLS13] {
        assert_eq!(kinds(&[version]), [HandshakeKind::Full, HandshakeKind::Resumed]);
    }
    subject.set(&["tls-session-caching", "no"], "+OK");
    let config = subject.authority.client(Some("client"), rustls::ALL_VERSIONS);
    for _ in 0..2 {
        let client = subject.try_client_with(config.clone()).unwrap();
        assert_eq!(client.tls().unwrap().handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[test]
fn clients_show_certificates_as_they_must() {
    let mut subject = Subject::start("yes");
    let foreign_folder = new_folder(ochre_testkit::Kind::subject());
    Authority::new("foreign", &foreign_folder).issue("stranger");
    for name in ["stranger.crt", "stranger.key"] {
        fs::copy(foreign_folder.join(name), subject.path(name)).unwrap();
    }
    fs::remove_dir_all(&foreign_folder).unwrap();
    for (auth, with, without, stranger) in
        [("yes", true, false, false), ("optional", true, true, false), ("no", true, true, true)]
    {
        subject.set(&["tls-auth-clients", auth], "+OK");
        assert_eq!(subject.try_client(Some("client")).is_ok(), with, "{auth}");
        assert_eq!(subject.try_client(None).is_ok(), without, "{auth}");
        assert_eq!(subject.try_client(Some("stranger")).is_ok(), stranger, "{auth}");
    }
    assert_eq!(subject.info("tls_failed_handshakes"), "3");
    let log = subject.server.log();
    assert_eq!(log.matches("# Error accepting a client connection: ").count(), 3, "{log}");
    assert_eq!(subject.operator.run("CONFIG RESETSTAT").to_string(), "+OK");
    assert_eq!(subject.info("tls_failed_handshakes"), "0");
}

#[test]
fn redis_py_is_served() {
    let subject = Subject::start("yes");
    let references = references::set_up().unwrap_or_else(|error| panic!("no Python: {error}"));
    // -B: no bytecode files beside the scripts.
    let output = Command::new(references.python)
        .arg("-B")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/encrypted.py"))
        .args([subject.tls_port.to_string(), subject.path("")])
        .output()
        .expect("the Python that was just set up starts");
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), subject.server.log());
}

/// A key of a curve, as `openssl genpkey` and `openssl pkcs8 -topk8` write it. The password is `a secret`.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg1TkZ9bGZzbVKKsmj\n\
    gwFMtl5EwfdI7+b8kQM9p1DQfAKhRANCAAQzpqSWbW00yIwYebMkQoAz67VQalqh\n\
    LJl4hPlSvj0b1GrY+ZwdEe+8S3HpkWe5xJ41JF1bsDsll0/64+YBYK7N\n\
    -----END PRIVATE KEY-----\n";
const ENCRYPTED_KEY: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n\
    MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgjwjfc+5PM+wICCAAw\n\
    DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEPfAIiW/p1RW3FDnuUtfLlwEgZCU\n\
    Tj6i2q0DrvO8rYAfjTeWeI0XihgeCSkfyUfXU6PkjYpVch1aol5/b7TFKxan1JGr\n\
    9X2p4K7tfsC1WyS7z51ZB7KrDKb7Fiqd3eQiEDDt7zeCF2n8paE45mbYKOpL/SPr\n\
    sKWfmb3jlzBNoF2pH4dV6m7HxjcDVSCsPdwXQWO6TrMW+iUj03uKaagbcCGlzzA=\n\
    -----END ENCRYPTED PRIVATE KEY-----\n";

#[test]
fn a_key_may_be_encrypted() {
    let mut subject = Subject::start("yes");
    subject.authority.issue_for("protected", &KeyPair::from_pem(KEY).unwrap());
    let (certificate, key) = (subject.path("protected.crt"), subject.path("protected.key"));
    fs::write(&key, ENCRYPTED_KEY).unwrap();
    let before = subject.shown_certificate();
    let files = ["tls-cert-file", &certificate, "tls-key-file", &key];
    subject.refuses(&files, "tls-cert-file", NOT_UPDATED, "the key is encrypted, and tls-key-file-pass is not set");
    let wrong = [&files[..], &["tls-key-file-pass", "wrong"]].concat();
    subject.refuses(&wrong, "tls-cert-file", NOT_UPDATED, "the password is wrong, or the encryption is not supported");
    assert_eq!(subject.shown_certificate(), before);
    let right = [&files[..], &["tls-key-file-pass", "a secret"]].concat();
    subject.set(&right, "+OK");
    assert_ne!(subject.shown_certificate(), before);
}

/// A connection over TCP that takes part in no handshake.
fn raw(subject: &Subject) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", subject.tls_port)).unwrap();
    stream.set_read_timeout(Some(poll::PATIENCE)).unwrap();
    stream
}

/// Waits until the server closes the connection.
#[track_caller]
fn is_closed(stream: &mut TcpStream) {
    // If the server has not read all bytes, the connection is reset.
    if let Err(error) = stream.read_to_end(&mut Vec::new()) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}

#[test]
fn a_client_that_speaks_no_tls_is_disconnected() {
    let mut subject = Subject::start("yes");
    let mut stream = raw(&subject);
    stream.write_all(b"*1\r\n$4\r\nPING\r\n").unwrap();
    is_closed(&mut stream);
    assert!(subject.server.log().contains("# Error accepting a client connection: received corrupt message"));
    assert_eq!(subject.info("tls_failed_handshakes"), "1");
    assert_eq!(subject.info("connected_clients"), "1");
}

/// The beginning of a ClientHello: a record that is longer than what follows.
const HALF_HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];

#[test]
fn a_silent_handshake_is_ended_and_holds_up_nobody() {
    let mut subject = Subject::with("yes", &[("tls-handshake-timeout", "1")], 1);
    let (mut silent, mut half) = (raw(&subject), raw(&subject));
    half.write_all(HALF_HELLO).unwrap();
    assert_eq!(subject.client().run("PING").to_string(), "+PONG");
    is_closed(&mut silent);
    is_closed(&mut half);
    assert_eq!(subject.info("tls_failed_handshakes"), "2");
    assert!(subject.server.log().contains("# Error accepting a client connection: no TLS handshake within 1 seconds"));
    eventually("only the operator is left", || subject.info("connected_clients") == "1");
    // CLIENT KILL ends a handshake too.
    subject.set(&["tls-handshake-timeout", "3600"], "+OK");
    let mut silent = raw(&subject);
    eventually("it is listed", || subject.info("connected_clients") == "2");
    assert_eq!(subject.operator.run("CLIENT KILL TYPE normal SKIPME yes").to_string(), ":1");
    is_closed(&mut silent);
}

/// More clients connect at once than a core can compute in the longest time that a request may take.
#[test]
fn many_handshakes_at_once_hold_up_nobody() {
    const CLIENTS: usize = 500;
    const THREADS: usize = 10;
    let mut subject = Subject::with("yes", &[], 1);
    subject.set(&["tls-session-caching", "no"], "+OK");
    let config = subject.authority.client(Some("client"), rustls::ALL_VERSIONS);
    let (port, is_over) = (subject.tls_port, AtomicBool::new(false));
    let mut pings = Vec::new();
    thread::scope(|scope| {
        let connect = |_| {
            let config = config.clone();
            scope.spawn(move || {
                let clients: Vec<Client> =
                    (0..CLIENTS / THREADS).map(|_| Client::connect_tls(port, config.clone()).unwrap()).collect();
                clients.into_iter().for_each(|mut client| assert_eq!(client.run("PING").to_string(), "+PONG"));
            })
        };
        let connecting: Vec<_> = (0..THREADS).map(connect).collect();
        let operator = &mut subject.operator;
        let is_over = &is_over;
        let pinging = scope.spawn(move || {
            let mut times = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let began = Instant::now();
                assert_eq!(operator.run("PING").to_string(), "+PONG");
                times.push(began.elapsed());
            }
            times
        });
        connecting.into_iter().for_each(|thread| thread.join().unwrap());
        is_over.store(true, Ordering::Relaxed);
        pings = pinging.join().unwrap();
    });
    pings.sort();
    let median = pings[pings.len() / 2];
    assert!(median < Duration::from_millis(50), "half of the pings took longer than {median:?}");
    assert_eq!(subject.info("tls_failed_handshakes"), "0");
}

/// Protected mode refuses an encrypted connection when it can be told so.
#[test]
fn protected_mode_refuses_encrypted_connections_too() {
    // Nothing is sent to find the address. A machine without a network has none.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let Ok(Ok(own)) = socket.connect("192.0.2.1:9").map(|()| socket.local_addr()) else { return };
    let mut subject = Subject::with("no", &[("bind", "*")], 1);
    let config = subject.authority.client(None, rustls::ALL_VERSIONS);
    let stream = TcpStream::connect((own.ip(), subject.tls_port)).unwrap();
    stream.set_read_timeout(Some(poll::PATIENCE)).unwrap();
    let session = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    let mut text = String::new();
    StreamOwned::new(session, stream).read_to_string(&mut text).unwrap();
    assert!(text.starts_with("-DENIED Ochre is running in protected mode"), "{text}");
    assert_eq!(subject.info("rejected_connections"), "1");
    eventually("only the operator is left", || subject.info("connected_clients") == "1");
}

#[test]
fn a_client_that_does_not_read_is_bounded_as_without_encryption() {
    let mut subject = Subject::with("yes", &[("client-output-buffer-limit", "normal 4mb 0 0")], 1);
    let mut client = subject.client();
    let value = "x".repeat(1 << 20);
    assert_eq!(client.call(&["SET", "key", &value]).unwrap().to_string(), "+OK");
    let id = client.run("CLIENT ID").to_string().trim_start_matches(':').to_owned();
    for _ in 0..1000 {
        if client.send(&["GET", "key"]).is_err() {
            break;
        }
        let waiting = subject.operator.run(&format!("CLIENT LIST ID {id}")).to_text();
        let Some(waiting) = waiting.split("omem=").nth(1) else { break };
        let bytes: u64 = waiting.split(' ').next().unwrap().parse().unwrap();
        assert!(bytes <= 6 << 20, "{bytes}");
    }
    assert_eq!(subject.info("client_output_buffer_limit_disconnections"), "1");
    assert!(
        subject.server.log().contains("to be closed ASAP for overcoming of output buffer limits"),
        "{}",
        subject.server.log()
    );
}

#[test]
fn a_client_that_reads_late_gets_everything() {
    let subject = Subject::start("yes");
    let mut client = subject.client();
    let value = "y".repeat(100_000);
    assert_eq!(client.call(&["SET", "key", &value]).unwrap().to_string(), "+OK");
    for _ in 0..300 {
        client.send(&["GET", "key"]).unwrap();
    }
    let mut other = subject.client();
    assert_eq!(other.run("PING").to_string(), "+PONG");
    for _ in 0..300 {
        assert!(client.read_reply().unwrap().to_text() == value, "a reply is damaged");
    }
}

#[test]
fn a_certificate_names_the_user_of_its_client() {
    let mut subject = Subject::start("optional");
    subject.authority.issue("stranger");
    for line in ["CONFIG SET tls-auth-clients-user CN requirepass secret", "ACL SETUSER client on >unused ~* +@all"] {
        assert_eq!(subject.operator.run(line), Reply::ok());
    }
    let connect = |own: Option<&str>| {
        Client::connect_tls(subject.tls_port, subject.authority.client(own, rustls::ALL_VERSIONS)).unwrap()
    };
    let mut client = connect(Some("client"));
    assert_eq!(client.run("ACL WHOAMI"), Reply::Bulk(b"client".to_vec()));
    // Without a certificate, or with one that names no user, it has to authenticate.
    for own in [None, Some("stranger")] {
        assert_eq!(connect(own).run("PING"), Reply::Error(b"NOAUTH Authentication required.".to_vec()), "{own:?}");
    }
    // A user that is off cannot connect, and one that is removed loses its clients.
    assert_eq!(subject.operator.run("ACL SETUSER client off"), Reply::ok());
    assert!(matches!(connect(Some("client")).run("PING"), Reply::Error(_)));
    assert_eq!(subject.operator.run("ACL DELUSER client"), Reply::Integer(1));
    assert!(client.read_to_end().is_ok_and(|bytes| bytes.is_empty()));
}
