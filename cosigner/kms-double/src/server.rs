//! The service behind a port of this machine.

use std::{
    io::{self, BufReader},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use serde_json::json;

use crate::{
    KmsError, Service,
    http::{self, Request},
};

const JSON: &str = "application/x-amz-json-1.1";

/// A service that listens. It goes on as long as the process.
#[derive(Debug)]
pub struct Server {
    port: u16,
    service: Arc<Service>,
}

impl Server {
    /// Listens on 127.0.0.1, on a port that is free, with a thread for each connection.
    pub fn start(service: Service) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let service = Arc::new(service);
        let serving = service.clone();
        thread::Builder::new().name("listener".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                let service = serving.clone();
                // A connection that cannot have a thread is closed.
                let _ = thread::Builder::new().spawn(move || converse(&service, &stream));
            }
        })?;
        Ok(Self { port, service })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What is served.
    pub fn service(&self) -> &Service {
        &self.service
    }
}

/// Until the client closes the connection, or something on it is no HTTP.
fn converse(service: &Service, stream: &TcpStream) {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream);
    while let Ok(Some(request)) = Request::read(&mut reader) {
        let (status, body) = match answer(service, &request) {
            Ok(body) => (200, body),
            Err(error) => {
                let body = json!({"__type": error.code, "message": error.message}).to_string();
                (error.status(), body.into_bytes())
            }
        };
        let id = format!("{:08x}-0000-4000-8000-000000000000", NUMBER.fetch_add(1, Ordering::Relaxed));
        let bytes = http::response(status, &[("content-type", JSON), ("x-amzn-requestid", &id)], &body);
        if service.faults.cuts() {
            let _ = http::write(&mut &*stream, &bytes[..bytes.len() / 2]);
            return;
        }
        if http::write(&mut &*stream, &bytes).is_err() {
            return;
        }
    }
}

fn answer(service: &Service, request: &Request) -> Result<Vec<u8>, KmsError> {
    if (request.method.as_str(), request.path.as_str()) != ("POST", "/")
        || request.header("content-type") != JSON
    {
        return Err(KmsError::new(
            "UnknownOperationException",
            "KMS takes POST / with application/x-amz-json-1.1",
        ));
    }
    let operation = request.header("x-amz-target").strip_prefix("TrentService.");
    let operation = operation.ok_or_else(|| KmsError::new("UnknownOperationException", "no X-Amz-Target"))?;
    let signature = request.header("authorization").strip_prefix("AWS4-HMAC-SHA256 Credential=");
    let signature = signature.ok_or_else(|| {
        KmsError::new("MissingAuthenticationTokenException", "Missing Authentication Token")
    })?;
    service.faults.signed_by(signature.split(',').next().unwrap_or_default());
    service.call(operation, &request.body)
}
