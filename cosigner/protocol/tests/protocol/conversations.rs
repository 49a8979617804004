//! Conversations over real sockets, with well-behaved and other peers.

use std::{
    fs::OpenOptions,
    io::{Read, Write},
    net::TcpListener,
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    thread,
    time::Duration,
};

use cosigner_protocol::{
    Address, Bytes, Error, KmsKey, Listener, Secret, Timeouts, Transport, UserId,
    frame::{self, LONGEST},
    message::{Class, Failure, FromEnclave, Input, KmsRefusal, Layer, Request, Response, ToEnclave},
};

const LONG: Duration = Duration::from_secs(60);
const TIMEOUTS: Timeouts = Timeouts { connect: LONG, frame: LONG };
/// For what never comes.
const SHORT: Timeouts = Timeouts { connect: Duration::from_millis(50), frame: Duration::from_millis(50) };

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("socket")
    }

    fn address(&self) -> Address {
        Address::Unix(self.path())
    }
}

fn user() -> UserId {
    UserId::try_from("somebody".to_owned()).unwrap()
}

/// A host that answers every request with as many bytes as the message has.
fn echo(mut transport: Transport) -> Error {
    loop {
        let request = match transport.next_request(LONG) {
            Ok(request) => request,
            Err(error) => return error,
        };
        let Request::Sign { input: Input::Message { message, .. }, .. } = request else {
            panic!("{request:?}")
        };
        transport.say(&Response::Signature { signature: Bytes(message.expose().to_vec()) }).unwrap();
    }
}

fn converse(address: &Address, listener: Listener) {
    let host = thread::spawn(move || echo(Transport::accept(&listener, TIMEOUTS).unwrap()));
    let mut client = Transport::connect(address, TIMEOUTS).unwrap();
    for length in [0, 1, 1000, 190_000] {
        let message = vec![0x5a; length];
        let input = Input::Message { context: Bytes(vec![]), message: Secret::new(message.clone()) };
        let answer: Response =
            client.ask(&Request::Sign { user_id: user(), input, deterministic: false }).unwrap();
        assert_eq!(answer, Response::Signature { signature: Bytes(message) });
    }
    drop(client);
    assert!(matches!(host.join().unwrap(), Error::Closed));
}

#[test]
fn over_a_unix_socket() {
    let folder = Folder::new();
    converse(&folder.address(), Listener::bind(&folder.address()).unwrap());
    // The path is still there; nobody listens.
    let refused = Transport::connect(&folder.address(), TIMEOUTS);
    assert!(matches!(refused, Err(Error::Connect(_))), "{refused:?}");
    let missing = Transport::connect(&Address::Unix(folder.0.path().join("missing")), TIMEOUTS);
    assert!(matches!(missing, Err(Error::Connect(_))), "{missing:?}");
}

#[test]
fn over_tcp() {
    // A port that was free a moment ago may be taken by somebody else.
    let (address, listener) = (0..100)
        .find_map(|_| {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            Some((Address::Tcp(port), Listener::bind(&Address::Tcp(port)).ok()?))
        })
        .unwrap();
    converse(&address, listener);
    let refused = Transport::connect(&address, TIMEOUTS);
    assert!(matches!(refused, Err(Error::Connect(_))), "{refused:?}");
}

#[test]
fn over_vsock() {
    // 1 is this machine, where the kernel has vsock_loopback.
    let address = Address::Vsock { cid: 1, port: 50_505 };
    match Listener::bind(&address) {
        Ok(listener) => converse(&address, listener),
        Err(error) => {
            let reason = format!("over_vsock: this machine has no vsock to itself: {error}\n");
            std::io::stderr().write_all(format!("NOT RUN: {reason}").as_bytes()).unwrap();
            if let Some(path) = std::env::var_os("TRELLIS_TESTS_NOT_RUN") {
                let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
                file.write_all(format!("optional: {reason}").as_bytes()).unwrap();
            }
            let refused = Transport::connect(&address, TIMEOUTS);
            assert!(matches!(refused, Err(Error::Connect(_) | Error::TimedOut)), "{refused:?}");
        }
    }
}

#[test]
fn an_enclave_asks_within_a_request() {
    let folder = Folder::new();
    let listener = Listener::bind(&folder.address()).unwrap();
    let failure = Failure { class: Class::SigningFailed, layer: Layer::KmsContext };
    let kms_key = KmsKey::try_from("arn:k".to_owned()).unwrap();
    let enclave = thread::spawn(move || {
        let mut host = Transport::accept(&listener, TIMEOUTS).unwrap();
        while let Ok(request) = host.next_request(LONG) {
            let ToEnclave::Generate { user_id, kms_key, .. } = request else { panic!("{request:?}") };
            let attestation = Bytes(vec![1]);
            host.say(&FromEnclave::KmsGenerateDataKey { kms_key, user_id, attestation }).unwrap();
            let reply: ToEnclave = host.hear().unwrap();
            assert_eq!(reply, ToEnclave::KmsError { reason: KmsRefusal::Denied });
            host.say(&FromEnclave::Failed(failure)).unwrap();
        }
    });
    let mut transport = Transport::connect(&folder.address(), TIMEOUTS).unwrap();
    for _ in 0..3 {
        let algorithm = cosigner_protocol::Algorithm::MlDsa65;
        let request = ToEnclave::Generate { user_id: user(), algorithm, kms_key: kms_key.clone() };
        let question: FromEnclave = transport.ask(&request).unwrap();
        assert!(matches!(question, FromEnclave::KmsGenerateDataKey { .. }), "{question:?}");
        transport.say(&ToEnclave::KmsError { reason: KmsRefusal::Denied }).unwrap();
        assert_eq!(transport.hear::<FromEnclave>().unwrap(), FromEnclave::Failed(failure));
    }
    drop(transport);
    enclave.join().unwrap();
}

/// A client whose peer does what the test says, after it has read the request.
fn with_peer(timeouts: Timeouts, peer: impl FnOnce(UnixStream) + Send + 'static) -> (Error, Error) {
    let folder = Folder::new();
    let listener = UnixListener::bind(folder.path()).unwrap();
    let peer = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        frame::read(&mut stream).unwrap();
        peer(stream);
    });
    let mut client = Transport::connect(&folder.address(), timeouts).unwrap();
    let first = client.ask::<_, Response>(&Request::Health {}).unwrap_err();
    let second = client.ask::<_, Response>(&Request::Health {}).unwrap_err();
    drop(client);
    peer.join().unwrap();
    (first, second)
}

/// The client's first error when the peer sends these bytes and closes; the second must be that it is over.
fn answered(bytes: &[u8]) -> Error {
    let bytes = bytes.to_vec();
    let (first, second) = with_peer(TIMEOUTS, move |mut stream| stream.write_all(&bytes).unwrap());
    assert!(matches!(second, Error::Ended), "{second:?}");
    first
}

fn framed(json: &str) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write(&mut out, json.as_bytes()).unwrap();
    out
}

#[test]
fn an_answer_that_breaks_the_rules_ends_the_conversation() {
    assert!(matches!(answered(b""), Error::Closed));
    assert!(matches!(answered(b"\0\0"), Error::Truncated));
    assert!(matches!(answered(b"\0\0\0\x05{"), Error::Truncated));
    assert!(matches!(answered(b"\0\0\0\0"), Error::FrameLength(0)));
    assert!(matches!(answered(b"\0\x04\0\x01"), Error::FrameLength(262_145)));
    assert!(matches!(answered(b"HTTP/1.1 400"), Error::FrameLength(0x4854_5450)));
    let good = r#"{"v":1,"number":1,"message":{"Destroyed":{}}}"#;
    assert!(matches!(answered(&framed(&good.replace("1,\"m", "2,\"m"))), Error::OtherRequest(2, 1)));
    assert!(matches!(answered(&framed(&good.replace("1,\"m", "0,\"m"))), Error::OtherRequest(0, 1)));
    for bad in [
        good.replace("\"v\":1", "\"v\":2"),
        good.replace("\"v\":1,", ""),
        good.replace("\"v\":1", "\"v\":1,\"x\":1"),
        good.replace("\"v\":1", "\"v\":1,\"v\":1"),
        good.replace("Destroyed", "secret word"),
        good.replace("}}}", "}}"),
        good.to_owned() + "{}",
        "\u{feff}".to_owned() + good,
        "[".repeat(LONGEST),
    ] {
        let error = answered(&framed(&bad));
        assert!(matches!(error, Error::Message(_)), "{bad:.100}: {error}");
        // The error does not repeat what a stranger has sent.
        assert!(!error.to_string().contains("secret word"), "{error}");
    }
}

#[test]
fn a_peer_that_says_nothing_or_little_is_given_up() {
    let (silent, ended) = with_peer(SHORT, |mut stream| drop(stream.read(&mut [0])));
    assert!(matches!((&silent, &ended), (Error::TimedOut, Error::Ended)), "{silent:?}, {ended:?}");
    // A byte from time to time does not buy more of it.
    let (slow, _) = with_peer(SHORT, |mut stream| {
        let frame = framed(&" ".repeat(100_000));
        for byte in frame {
            if stream.write_all(&[byte]).is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
    });
    assert!(matches!(slow, Error::TimedOut), "{slow:?}");
}

#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    let folder = Folder::new();
    let listener = UnixListener::bind(folder.path()).unwrap();
    let mut client = Transport::connect(&folder.address(), SHORT).unwrap();
    let (stream, _) = listener.accept().unwrap();
    let request = Response::Signature { signature: Bytes(vec![0; 190_000]) };
    let error = (0..1000).find_map(|_| client.say(&request).err()).unwrap();
    assert!(matches!(error, Error::TimedOut), "{error:?}");
    drop(stream);
    // A listener that accepts nobody: its queue fills up.
    let mut waiting = Vec::new();
    let error = (0..100_000).find_map(|_| match Transport::connect(&folder.address(), SHORT) {
        Ok(transport) => {
            waiting.push(transport);
            None
        }
        Err(error) => Some(error),
    });
    assert!(matches!(error, Some(Error::TimedOut)), "{error:?}");
}

#[test]
fn writing_to_a_closed_connection_is_an_error_and_no_signal() {
    let folder = Folder::new();
    let listener = UnixListener::bind(folder.path()).unwrap();
    let mut client = Transport::connect(&folder.address(), TIMEOUTS).unwrap();
    drop(listener.accept().unwrap());
    let error = client.say(&Request::Health {}).unwrap_err();
    assert!(matches!(error, Error::Io(_)), "{error:?}");
}

#[test]
fn a_request_that_is_sent_twice_is_refused() {
    let folder = Folder::new();
    let listener = Listener::bind(&folder.address()).unwrap();
    let request =
        |number: u64| framed(&format!(r#"{{"v":1,"number":{number},"message":{{"Health":{{}}}}}}"#));
    // Numbers grow; which they are does not matter.
    for (numbers, refused) in [(&[1, 1][..], 1), (&[5, 9, 5], 5), (&[u64::MAX, 1], 1), (&[0], 0)] {
        let mut client = UnixStream::connect(folder.path()).unwrap();
        let mut host = Transport::accept(&listener, TIMEOUTS).unwrap();
        let (last, good) = numbers.split_last().unwrap();
        for number in good {
            client.write_all(&request(*number)).unwrap();
            assert_eq!(host.next_request::<Request>(LONG).unwrap(), Request::Health {});
        }
        client.write_all(&request(*last)).unwrap();
        let error = host.next_request::<Request>(LONG).unwrap_err();
        assert!(matches!(error, Error::Replayed(found) if found == refused), "{error:?}");
        assert!(matches!(host.next_request::<Request>(LONG), Err(Error::Ended)));
    }
}

#[test]
fn a_message_too_long_for_a_frame_is_not_sent() {
    let folder = Folder::new();
    let _listener = UnixListener::bind(folder.path()).unwrap();
    let mut client = Transport::connect(&folder.address(), TIMEOUTS).unwrap();
    let too_long = Response::Signature { signature: Bytes(vec![0; 200_000]) };
    assert!(matches!(client.say(&too_long), Err(Error::FrameLength(length)) if length > LONGEST as u64));
}
