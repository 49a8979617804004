//! Addresses: one spelling each.

use cosigner_protocol::{Address, AddressError};
use proptest::prelude::*;

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        (1..=u32::MAX, 0..u32::MAX).prop_map(|(cid, port)| Address::Vsock { cid, port }),
        "/[ -~é]{0,50}".prop_map(|path| Address::Unix(path.into())),
        (1..=u16::MAX).prop_map(Address::Tcp),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_displayed_is_parsed(address in address()) {
        prop_assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
    }

    #[test]
    fn what_is_parsed_is_displayed(text in "(vsock://|tcp://127.0.0.1:|unix:/?|[a-z]{0,6}:/{0,2})[0-9:+. /]{0,12}") {
        if let Ok(address) = text.parse::<Address>() {
            prop_assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn any_text_is_an_address_or_an_error(text in any::<String>()) {
        if let Ok(address) = text.parse::<Address>() {
            prop_assert_eq!(address.to_string(), text);
        }
    }
}

#[test]
fn examples() {
    let parse = |text: &str| text.parse::<Address>();
    assert_eq!(parse("vsock://16:5005"), Ok(Address::Vsock { cid: 16, port: 5005 }));
    assert_eq!(parse("vsock://4294967295:0"), Ok(Address::Vsock { cid: u32::MAX, port: 0 }));
    assert_eq!(parse("unix:/run/trellis/host"), Ok(Address::Unix("/run/trellis/host".into())));
    assert_eq!(parse("tcp://127.0.0.1:5005"), Ok(Address::Tcp(5005)));
    for text in [
        "vsock://0:1",
        "vsock://1:4294967295",
        "vsock://1",
        "vsock://01:1",
        "vsock://1:+1",
        "vsock://4294967296:1",
    ] {
        assert_eq!(parse(text), Err(AddressError::Vsock), "{text}");
    }
    let long = format!("unix:/{}", "a".repeat(107));
    for text in ["unix:", "unix:run/host", "unix:/a\0b", &long] {
        assert_eq!(parse(text), Err(AddressError::Unix), "{text}");
    }
    assert!(parse(&long[..long.len() - 1]).is_ok());
    // Another machine, another name for this one, no port, a port that is none.
    for text in [
        "tcp://10.0.0.1:5005",
        "tcp://localhost:5005",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:65536",
    ] {
        assert_eq!(parse(text), Err(AddressError::Tcp), "{text}");
    }
    for text in ["", "5005", "http://127.0.0.1:5005", "VSOCK://16:5005", " unix:/run/host", "/run/host"] {
        assert_eq!(parse(text), Err(AddressError::Scheme), "{text}");
    }
}
