//! What the PKCS#11 side may not say.

use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
};

use cosigner_host::LONGEST_MESSAGE;
use cosigner_protocol::message::{Class, Layer, Response};

use crate::parts::{Setup, failed, frame, is_key, signing};

#[test]
fn a_connection_that_breaks_a_rule_is_closed_and_the_others_go_on() {
    let setup = Setup::new();
    let mut client = setup.client();
    let health = frame(r#"{"v":1,"number":1,"message":{"Health":{}}}"#);
    let twice = [&health[..], &health[..]].concat();
    for (bytes, reason) in [
        (vec![0, 4, 0, 1], "a frame has 262145 bytes"),
        (vec![255; 4], "a frame has 4294967295 bytes"),
        (vec![0; 4], "a frame has 0 bytes"),
        (health[..20].to_vec(), "closed the connection inside a frame"),
        (vec![0; 2], "closed the connection inside a frame"),
        (frame("no"), "not JSON"),
        (frame(r#"{"v":2,"number":1,"message":{"Health":{}}}"#), "another version"),
        (frame(r#"{"v":1,"number":0,"message":{"Health":{}}}"#), "request 0 came twice"),
        (twice.clone(), "request 1 came twice"),
    ] {
        let before = setup.host.log().matches(reason).count();
        let mut stream = UnixStream::connect(&setup.host.socket).unwrap();
        stream.write_all(&bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        // Closed, with nothing said but to what was in order.
        let mut answer = Vec::new();
        if let Err(error) = stream.read_to_end(&mut answer) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        assert_eq!(answer.is_empty(), bytes != twice, "{reason}");
        crate::parts::until(reason, || setup.host.log().matches(reason).count() > before);
    }
    assert!(is_key(&client.generate("me")));
}

#[test]
fn a_message_that_fits_into_no_frame_is_refused_before_the_enclave_is_asked() {
    let mut setup = Setup::new();
    let mut client = setup.client();
    assert!(is_key(&client.generate("me")));
    let answer = client.ask(&signing("me", &vec![7; LONGEST_MESSAGE]));
    assert!(matches!(answer, Response::Signature { .. }), "{answer:?}");
    let answer = client.ask(&signing("me", &vec![7; LONGEST_MESSAGE + 1]));
    assert_eq!(answer, failed(Class::MalformedRequest, Layer::Request));
    assert_eq!(setup.double.calls("Decrypt"), 1);
    assert!(matches!(client.sign("me"), Response::Signature { .. }));
}
