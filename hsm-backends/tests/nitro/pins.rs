//! A PIN is said again only where nobody can have judged it: the enclave counts each time.

use std::{
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use cosigner_protocol::{
    Listener, Timeouts, Transport,
    message::{Class, Failure, Layer, Request, Response},
};
use hsm_backends::{
    KeyStore, PinState, Role, StoreError,
    conformance::Fixture,
    nitro::{NitroStore, Options},
};

use crate::fixture::Nitro;

/// A host that takes these steps, one for each PIN it is told: an answer, or none and the connection's end. When there
/// are no more, it ends connections. Each PIN is reported.
fn scripted(address: &str, steps: Vec<Option<Response>>) -> Receiver<()> {
    let listener = Listener::bind(&address.parse().unwrap()).unwrap();
    let (said, told) = channel();
    thread::spawn(move || {
        let mut steps = steps.into_iter();
        while let Ok(mut transport) = Transport::accept(&listener, Timeouts::default()) {
            while let Ok(request) = transport.next_request::<Request>(Duration::from_secs(60)) {
                assert!(matches!(request, Request::OpenToken { .. }), "{request:?}");
                if said.send(()).is_err() {
                    return;
                }
                let Some(answer) = steps.next().flatten() else { break };
                transport.say(&answer).unwrap();
            }
        }
    });
    told
}

#[test]
fn a_pin_is_never_said_twice() {
    let token = Nitro::new();
    let failed = |layer| Some(Response::Failed(Failure { class: Class::InternalError, layer }));
    for (case, (steps, times)) in [
        // The connection breaks when the PIN has been said.
        (vec![None], 1),
        // Who answers cannot know what the enclave has done.
        (vec![failed(Layer::Transport)], 1),
        (vec![failed(Layer::Enclave)], 1),
        // Without KMS nothing was judged. The second time it may have been, over a connection that was kept or a new one.
        (vec![failed(Layer::KmsService), None], 2),
    ]
    .into_iter()
    .enumerate()
    {
        let directory = tempfile::tempdir().unwrap();
        let address = format!("unix:{}/host", directory.path().display());
        let told = scripted(&address, steps);
        let options = Options { host: address.parse().unwrap(), ..token.options("token") };
        let store = NitroStore::new(options);
        let error = store.unlock(Role::User, &token.user_pin()).unwrap_err();
        let StoreError::Device(text) = &error else { panic!("{case}: {error:?}") };
        assert!(text.contains("may have counted"), "{case}: {text}");
        assert_eq!(told.try_iter().count(), times, "{case}");
        assert_eq!(store.description().unwrap().user_pin, PinState::Good);
    }
    token.open().unlock(Role::User, &token.user_pin()).unwrap();
}
