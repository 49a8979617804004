//! What is between the host and the real KMS: HTTPS, and the credentials of the instance's role.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread,
};

use cosigner_protocol::message::{Class, Layer};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

use crate::parts::{Host, KEY, Setup, failed, is_key, until};

/// A certificate for `localhost` that only who is told believes: its file in PEM, and what serves with it.
fn certificate(folder: &Path, name: &str) -> (PathBuf, ServerConfig) {
    let path = |suffix: &str| folder.join(format!("{name}.{suffix}"));
    let openssl = |arguments: &[&str], files: &[(&str, &str)]| {
        let mut command = Command::new("openssl");
        command.args(arguments);
        for (option, suffix) in files {
            command.arg(option).arg(path(suffix));
        }
        let output = command.output().expect("openssl can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    openssl(
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ],
        &[("-keyout", "key.pem"), ("-out", "pem")],
    );
    openssl(&["x509", "-outform", "DER"], &[("-in", "pem"), ("-out", "der")]);
    openssl(&["pkcs8", "-topk8", "-nocrypt", "-outform", "DER"], &[("-in", "key.pem"), ("-out", "key.der")]);
    let chain = vec![CertificateDer::from(fs::read(path("der")).unwrap())];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(fs::read(path("key.der")).unwrap()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    (path("pem"), config)
}

/// Ends TLS in front of a plain server, one call for each connection; its address.
fn tls(config: ServerConfig, endpoint: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (config, plain) = (Arc::new(config), endpoint.strip_prefix("http://").unwrap().to_owned());
    thread::spawn(move || {
        for stream in listener.incoming().map(Result::unwrap) {
            let (config, plain) = (config.clone(), plain.clone());
            thread::spawn(move || {
                // Whoever does not believe the certificate goes away.
                let _ = forward(config, stream, &plain);
            });
        }
    });
    format!("https://localhost:{port}")
}

fn forward(config: Arc<ServerConfig>, stream: TcpStream, plain: &str) -> io::Result<()> {
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut outside = BufReader::new(StreamOwned::new(connection, stream));
    let (head, body) = request(&mut outside)?;
    let mut inside = TcpStream::connect(plain)?;
    inside.write_all(head.as_bytes())?;
    inside.write_all(&body)?;
    inside.shutdown(std::net::Shutdown::Write)?;
    let mut answer = Vec::new();
    inside.read_to_end(&mut answer)?;
    // The client would send the next call on this connection.
    let answer = String::from_utf8_lossy(&answer).replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let outside = outside.get_mut();
    outside.write_all(answer.as_bytes())?;
    outside.conn.send_close_notify();
    outside.flush()
}

/// The head of a request, with the empty line at its end, and its body.
fn request(from: &mut impl BufRead) -> io::Result<(String, Vec<u8>)> {
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        head += &line;
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok((head, body))
}

#[test]
fn kms_is_asked_over_https_and_must_prove_who_it_is() {
    let setup = Setup::new();
    let folder = setup.folder.path();
    let (believed, config) = certificate(folder, "kms");
    let endpoint = tls(config, &setup.double.endpoint);
    let (_, impostor) = certificate(folder, "impostor");
    let impostors = tls(impostor, &setup.double.endpoint);
    let start = |endpoint: &str, name: &str| {
        let believed = believed.to_str().unwrap();
        let environment = [
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "none"),
            ("SSL_CERT_FILE", believed),
        ];
        let host = Host::spawn_with(&setup.folder, endpoint, name, &[], &environment);
        until("the host to listen", || host.log().contains("listens at"));
        host
    };
    let host = start(&endpoint, "https");
    assert!(is_key(&host.client().generate("me")));
    assert!(is_key(&host.client().generate("you")));
    let host = start(&impostors, "deceived");
    assert_eq!(host.client().generate("him"), failed(Class::InternalError, Layer::KmsService));
    assert!(host.log().to_ascii_lowercase().contains("certificate"), "{}", host.log());
}

/// The metadata service of an instance (version 2: nothing without a token) with a role. Its address.
fn instance() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().map(Result::unwrap) {
            thread::spawn(move || {
                let mut reader = BufReader::new(&stream);
                while let Ok((head, _)) = request(&mut reader) {
                    let answer = metadata(&head);
                    let length = answer.1.len();
                    let ttl = "x-aws-ec2-metadata-token-ttl-seconds: 21600";
                    let answer = format!(
                        "HTTP/1.1 {}\r\ncontent-length: {length}\r\n{ttl}\r\n\r\n{}",
                        answer.0, answer.1
                    );
                    (&stream).write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
    address
}

fn metadata(head: &str) -> (&'static str, &'static str) {
    const ROLE: &str = "/latest/meta-data/iam/security-credentials/";
    const CREDENTIALS: &str = r#"{"Code":"Success","LastUpdated":"2026-01-01T00:00:00Z","Type":"AWS-HMAC",
        "AccessKeyId":"ASIAOFTHEROLE","SecretAccessKey":"none","Token":"t","Expiration":"2090-01-01T00:00:00Z"}"#;
    let mut words = head.split_whitespace();
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let known = head.to_ascii_lowercase().contains("x-aws-ec2-metadata-token: secret");
    match (method, path.strip_prefix(ROLE)) {
        ("PUT", None) if path == "/latest/api/token" => ("200 OK", "secret"),
        _ if !known => ("401 Unauthorized", ""),
        ("GET", Some("")) => ("200 OK", "parent"),
        ("GET", Some("parent")) => ("200 OK", CREDENTIALS),
        _ => ("404 Not Found", ""),
    }
}

#[test]
fn the_instances_role_signs_in_the_region_of_the_key() {
    let mut setup = Setup::new();
    let address = instance();
    let environment = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", address.as_str())];
    let host = Host::spawn_with(&setup.folder, &setup.double.endpoint, "instance", &[], &environment);
    until("the host to listen", || host.log().contains("listens at"));
    let answer = host.client().generate("me");
    assert!(is_key(&answer), "{answer:?}: {}", host.log());
    let credential = setup.double.command("credential");
    let region = KEY.split(':').nth(3).unwrap();
    assert!(credential.starts_with("ASIAOFTHEROLE/"), "{credential}");
    assert!(credential.ends_with(&format!("/{region}/kms/aws4_request")), "{credential}");
}

#[test]
fn without_credentials_the_log_says_so() {
    let mut setup = Setup::new();
    let environment = [("AWS_EC2_METADATA_DISABLED", "true")];
    let host = Host::spawn_with(&setup.folder, &setup.double.endpoint, "nobody", &[], &environment);
    until("the host to listen", || host.log().contains("listens at"));
    assert_eq!(host.client().generate("me"), failed(Class::InternalError, Layer::KmsService));
    assert!(host.log().contains("no credentials found in chain"), "{}", host.log());
    assert_eq!(setup.double.calls("GenerateDataKey"), 0);
}
