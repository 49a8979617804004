//! Who may talk to the enclave at once, and for how long.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use cosigner_protocol::{Error, Listener, Timeouts, Transport};

use crate::{nsm::Nsm, options::Settings, service::Service};

/// One of the connections that are allowed at once.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(taken: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let more = |count: usize| (count < most).then_some(count + 1);
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self(taken.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Listens, and serves for ever. One line on standard error says that it listens.
pub fn serve(nsm: Box<dyn Nsm>, settings: &Settings) -> io::Result<()> {
    let service = Service::start(nsm, settings)?;
    let listener = Listener::bind(&settings.listen)?;
    eprintln!("trellis-enclave: listening on {}", settings.listen);
    let taken = Arc::new(AtomicUsize::new(0));
    let timeouts = Timeouts { frame: settings.frame, ..Timeouts::default() };
    loop {
        let transport = match Transport::accept(&listener, timeouts) {
            Ok(transport) => transport,
            // Out of files or memory: not for ever, and nothing is gained by asking at once again.
            Err(error) => {
                eprintln!("trellis-enclave: {error}");
                std::thread::sleep(std::time::Duration::from_millis(100));
                continue;
            }
        };
        let Some(place) = Place::take(&taken, settings.connections) else {
            eprintln!("trellis-enclave: {} connections are open; one more was closed", settings.connections);
            continue;
        };
        let (service, settings) = (service.clone(), settings.clone());
        let serve = move || {
            match service.converse(transport, &settings) {
                Error::Closed => {}
                error => eprintln!("trellis-enclave: a connection was given up: {error}"),
            }
            drop(place);
        };
        if let Err(error) = std::thread::Builder::new().name("connection".into()).spawn(serve) {
            eprintln!("trellis-enclave: no thread for a connection: {error}");
        }
    }
}
