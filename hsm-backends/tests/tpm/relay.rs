//! A way to a TPM that sees every command before the TPM does, and may keep it waiting.

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use crate::swtpm::message;

/// A relay on loopback: one connection at a time, as swtpm.
#[derive(Debug)]
pub(crate) struct Relay {
    port: u16,
    ends: Arc<AtomicBool>,
    running: Option<JoinHandle<()>>,
}

impl Relay {
    /// `seen` gets each command, and the connection to the TPM for commands of its own; without its consent the connection
    /// ends there.
    pub(crate) fn start(
        tpm: u16,
        mut seen: impl FnMut(&[u8], &mut TcpStream) -> bool + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ends = Arc::new(AtomicBool::new(false));
        let told = ends.clone();
        let running = std::thread::spawn(move || {
            for client in listener.incoming() {
                if told.load(Ordering::Acquire) {
                    return;
                }
                let mut client = client.unwrap();
                let mut tpm = TcpStream::connect(("127.0.0.1", tpm)).unwrap();
                while let Ok(command) = message(&mut client) {
                    if !seen(&command, &mut tpm) {
                        break;
                    }
                    tpm.write_all(&command).unwrap();
                    if client.write_all(&message(&mut tpm).unwrap()).is_err() {
                        break;
                    }
                }
            }
        });
        Self { port, ends, running: Some(running) }
    }

    pub(crate) fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        if std::thread::panicking() {
            // What it waits for may never come.
            return;
        }
        let woken = TcpStream::connect(("127.0.0.1", self.port));
        if let (Some(running), true) = (self.running.take(), woken.is_ok()) {
            let _ = running.join();
        }
    }
}
