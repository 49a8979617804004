//! Writes inputs for the fuzz targets to start from into seeds/: `cargo run --example make_seeds`. Each takes a target
//! past its first checks, which chance alone would take long for.

use std::{fs, path::Path};

use algorithms::{PrivateKey, ecdsa::Curve, ed25519, ml_dsa, ml_dsa::ParameterSet, rsa};
use cryptoki_sys as ck;
use document_maker::{Authority, Draft, payload};
use hsm_backends::{Attributes, Value};
use trellis_pkcs11::{attribute::ATTRIBUTES, mechanism::MECHANISMS};

fn main() -> std::io::Result<()> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for (target, inputs) in [
        ("attestation", attestation()),
        ("envelopes", envelopes()),
        ("frames", frames()),
        ("key_import", key_import()),
        ("records", records()),
        ("mechanisms", mechanisms()),
        ("templates", templates()),
    ] {
        fs::create_dir_all(seeds.join(target))?;
        for (name, input) in inputs {
            fs::write(seeds.join(target).join(name), input)?;
        }
    }
    Ok(())
}

type Seeds = Vec<(String, Vec<u8>)>;

/// A document, its payload, its certificates, a user_data of each layout, and a change of one byte.
fn attestation() -> Seeds {
    let authority = Authority::new(1_770_091_506);
    let mut draft = Draft::new(1_770_091_506_789);
    let parts: [&[u8]; 4] = [&[1; 32], &[2; 32], &[0, 1, b'u', 0, 1, b'k', 1, b'a'], &[0; 8]];
    draft.user_data = Some([&b"pqs-birth\0\x01"[..], &parts.concat()].concat());
    let chain = authority.issue();
    let mut seeds = Vec::new();
    let mut add = |name: &str, kind: u8, bytes: &[u8]| {
        seeds.push((name.to_owned(), [&[kind], bytes].concat()));
    };
    add("document", 0, &draft.sign(&authority));
    add("tagged", 0, &[&[0xd2], &draft.sign(&authority)[..]].concat());
    add("payload", 1, &payload(draft.fields(&chain)));
    for (at, certificate) in chain.iter().enumerate() {
        add(&format!("certificate-{at}"), 3, certificate);
        if let Some(above) = at.checked_sub(1) {
            // Kinds that are 2 modulo 6, and choose this place in the chain.
            let kind = (2..255).step_by(6).find(|kind| usize::from(kind / 6) % 4 == above);
            add(&format!("issued-{at}"), kind.expect("there is one"), certificate);
        }
    }
    add("v1", 4, draft.user_data.as_deref().expect("it was set"));
    add("v0", 4, &[&[1; 32][..], &[2; 32], b"uka", &1_770_091_506u64.to_be_bytes()].concat());
    add("edited", 5, &[0, 100, 0]);
    seeds
}

/// An envelope to another key, one of its own, and changes of one byte in it.
fn envelopes() -> Seeds {
    let reader = enclave::emulated::Reader::new().expect("an RSA key");
    let envelope = kms_double::envelope::seal(reader.spki(), &[7; 32]).expect("an envelope");
    let mut seeds = vec![("other".to_owned(), [&[0], &envelope[..]].concat()), ("own".to_owned(), vec![1])];
    for at in (0..).step_by(20).take_while(|at| usize::from(*at) < envelope.len()) {
        let [high, low] = u16::to_be_bytes(at);
        seeds.push((format!("edited-{at}"), vec![1, high, low, 0x30]));
    }
    seeds
}

/// One message of each direction, bare and in a frame.
fn frames() -> Seeds {
    let messages = [
        r#"{"Sign":{"user_id":"u","input":{"Message":{"context":"","message":"aGVsbG8="}}}}"#,
        r#"{"Keys":{"keys":[{"user_id":"u","algorithm":"Ed25519","public_key":"AQ=="}],"more":true}}"#,
        r#"{"Generate":{"user_id":"u","algorithm":"ML-DSA-87","kms_key":"arn:k"}}"#,
        r#"{"KmsGenerateDataKey":{"kms_key":"arn:k","user_id":"u","attestation":"AQ=="}}"#,
    ];
    let mut seeds = Vec::new();
    for (kind, message) in (0u8..).zip(messages) {
        let length = u32::try_from(message.len()).expect("a short message").to_be_bytes();
        seeds.push((format!("{kind}-bare"), [&[kind], message.as_bytes()].concat()));
        seeds.push((format!("{kind}-framed"), [&[kind | 4], &length[..], message.as_bytes()].concat()));
    }
    seeds
}

fn key_import() -> Seeds {
    let mut keys = vec![
        PrivateKey::Ed25519(ed25519::PrivateKey::generate().expect("randomness")),
        PrivateKey::Rsa(rsa::PrivateKey::generate(2048, &[1, 0, 1]).expect("an RSA key")),
    ];
    for curve in Curve::ALL {
        keys.push(PrivateKey::Ecdsa(algorithms::ecdsa::PrivateKey::generate(curve).expect("an EC key")));
    }
    for set in ParameterSet::ALL {
        keys.push(PrivateKey::MlDsa(ml_dsa::PrivateKey::generate(set).expect("an ML-DSA key")));
    }
    let mut seeds = Vec::new();
    for (number, key) in keys.iter().enumerate() {
        let mut add = |kind: u8, bytes: &[u8]| {
            seeds.push((format!("{number}-{kind}"), [&[kind], bytes].concat()));
        };
        add(0, key.to_pkcs8().expect("an encoding").expose());
        let public = key.public_key().expect("its public half");
        add(4, &public.to_spki().expect("an encoding"));
        match key {
            PrivateKey::Ed25519(key) => add(1, key.seed().expose()),
            PrivateKey::Ecdsa(key) => {
                let curve = Curve::ALL.iter().position(|curve| *curve == key.public_key().curve());
                add(2 + 5 * curve.expect("one of them") as u8, key.scalar().expect("its scalar").expose());
            }
            PrivateKey::MlDsa(key) => {
                let set = 5 * key.parameter_set() as u8;
                add(3 + set, key.expanded().expect("its expanded form").expose());
            }
            PrivateKey::Rsa(key) => add(4 + 5 * 3, key.public_key().modulus()),
        }
    }
    seeds
}

fn records() -> Seeds {
    let inner: Attributes = [(ck::CKA_SIGN, Value::Bool(true))].into_iter().collect();
    let all: Attributes = [
        (ck::CKA_CLASS, Value::Ulong(ck::CKO_PRIVATE_KEY)),
        (ck::CKA_TOKEN, Value::Bool(true)),
        (ck::CKA_LABEL, Value::Bytes(b"label".to_vec())),
        (ck::CKA_ALLOWED_MECHANISMS, Value::Ulongs(vec![ck::CKM_ML_DSA, ck::CKM_EDDSA])),
        (ck::CKA_UNWRAP_TEMPLATE, Value::Template(inner)),
    ]
    .into_iter()
    .collect();
    let encoded = |list: &Attributes| list.encode().expect("a list").to_vec();
    let mut seeds = vec![("empty".into(), encoded(&Attributes::new())), ("all".into(), encoded(&all))];
    for (kind, value) in all.iter() {
        let one: Attributes = [(kind, value.clone())].into_iter().collect();
        seeds.push((format!("{kind:x}"), encoded(&one)));
    }
    seeds
}

/// Every operation with every mechanism that does it: operation, two keys, parts, mechanism, how, zeros.
fn mechanisms() -> Seeds {
    let operations = [
        ck::CKF_SIGN,
        ck::CKF_VERIFY,
        ck::CKF_VERIFY,
        ck::CKF_DIGEST,
        ck::CKF_ENCRYPT,
        ck::CKF_DECRYPT,
        ck::CKF_SIGN,
        ck::CKF_VERIFY,
        ck::CKF_WRAP,
        ck::CKF_WRAP,
        ck::CKF_UNWRAP,
        ck::CKF_UNWRAP,
    ];
    let mut seeds = Vec::new();
    for (index, mechanism) in MECHANISMS.iter().enumerate() {
        // The order of `Module::keys`: public and private key of each kind, then AES and generic secret.
        let pair = match mechanism.key_type {
            ck::CKK_ML_DSA => 0,
            ck::CKK_EC_EDWARDS => 2,
            ck::CKK_EC => 4,
            ck::CKK_RSA => 6,
            ck::CKK_AES => 8,
            _ => 9,
        };
        for (operation, flag) in operations.into_iter().enumerate() {
            if mechanism.flags & flag == 0 {
                continue;
            }
            let key = if pair < 8 && flag == ck::CKF_SIGN { pair + 1 } else { pair };
            let mut input = vec![operation as u8, key, 9, (index % 2) as u8, index as u8, 0];
            // A block where a parameter may have one, then small numbers; then data and signature.
            input.extend([1, 12, 0].iter().chain(&[7; 40]).chain(&[32, 0]).chain(&[1; 66]));
            seeds.push((format!("{}-{operation}", mechanism.name), input));
        }
    }
    seeds
}

/// Objects of each class by well-formed templates, then a look at what was made.
fn templates() -> Seeds {
    let attribute = |kind: u64, value: &[u8]| {
        let index = ATTRIBUTES.iter().position(|row| row.kind == kind).expect("an attribute of the table");
        let mut out = vec![u8::try_from(index).expect("a small table"), 3, value.len() as u8, 0];
        out.extend(value);
        out
    };
    let ulong = |value: ck::CK_ULONG| value.to_ne_bytes();
    let input_with = |what: u8, attributes: &[Vec<u8>], more: &[u8]| {
        let mut out = vec![what, 0, attributes.len() as u8];
        out.extend(attributes.concat());
        out.extend(more);
        // Read, copy, search: C_GetAttributeValue, C_CopyObject and C_FindObjectsInit with little in their templates.
        for step in [6, 4, 7] {
            out.extend([step, 0, 1]);
            out.extend(attribute(ck::CKA_LABEL, b"name"));
        }
        out
    };
    let input = |what, attributes: &[Vec<u8>]| input_with(what, attributes, &[]);
    let class = |class| attribute(ck::CKA_CLASS, &ulong(class));
    let key_type = |kind| attribute(ck::CKA_KEY_TYPE, &ulong(kind));
    let ed25519 = ed25519::PrivateKey::generate().expect("randomness");
    let parameters = attribute(ck::CKA_EC_PARAMS, &[0x06, 0x03, 0x2b, 0x65, 0x70]);
    vec![
        ("data".into(), input(0, &[class(ck::CKO_DATA), attribute(ck::CKA_VALUE, b"value")])),
        (
            "secret".into(),
            input(
                0,
                &[
                    class(ck::CKO_SECRET_KEY),
                    key_type(ck::CKK_AES),
                    attribute(ck::CKA_VALUE, &[1; 16]),
                    attribute(ck::CKA_SENSITIVE, &[0]),
                ],
            ),
        ),
        (
            "public".into(),
            input(
                0,
                &[
                    class(ck::CKO_PUBLIC_KEY),
                    key_type(ck::CKK_EC_EDWARDS),
                    parameters.clone(),
                    attribute(ck::CKA_EC_POINT, ed25519.public_key().as_bytes()),
                ],
            ),
        ),
        (
            "private".into(),
            input(
                0,
                &[
                    class(ck::CKO_PRIVATE_KEY),
                    key_type(ck::CKK_EC_EDWARDS),
                    parameters.clone(),
                    attribute(ck::CKA_VALUE, ed25519.seed().expose()),
                ],
            ),
        ),
        // Which mechanism, and for the pair an empty template of the private key.
        ("aes".into(), input_with(2, &[attribute(ck::CKA_VALUE_LEN, &ulong(32))], &[0])),
        ("pair".into(), input_with(3, &[parameters], &[1, 0])),
    ]
}
