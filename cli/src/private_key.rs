//! Private keys from files, as the templates that C_CreateObject takes: PKCS#8 (RFC 5958, 8410, 5915, 8017, 9881)
//! and raw bytes.

use cryptoki::object::{Attribute, ObjectClass};
use der::asn1::{AnyRef, BitStringRef, ContextSpecific, OctetStringRef, UintRef};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, pem};
use pkcs8::PrivateKeyInfoRef;
use zeroize::{Zeroize, Zeroizing};

use crate::algorithm::{
    Algorithm, Curve, EC_PUBLIC_KEY, ED25519, ED25519_KEY, ML_DSA, ML_DSA_SEED, RSA_ENCRYPTION, der_of,
};
use crate::error::{Error, Result};
use crate::pem::{first_pem_block, pem_start};
use crate::public_key::{PublicKey, curve_of, damaged, unknown};

/// Attributes with secret values, erased when dropped.
pub(crate) struct SecretTemplate(Vec<Attribute>);

/// A private or secret key, ready for import.
pub(crate) struct PrivateKey {
    pub(crate) algorithm: Algorithm,
    /// Key type, parameters and secret values; no label, CKA_ID or policy.
    pub(crate) template: SecretTemplate,
    /// The public half, where the file tells it.
    pub(crate) public: Option<PublicKey>,
}

impl PrivateKey {
    /// Reads PEM or DER PKCS#8, or with `raw` the bare bytes of a key: a 32-byte seed, an expanded ML-DSA key,
    /// an AES key.
    pub(crate) fn from_file(bytes: &[u8], raw: Option<Algorithm>) -> Result<Self> {
        if let Some(start) = pem_start(bytes) {
            return Self::from_pem(first_pem_block(&bytes[start..]));
        }
        match raw {
            // A DER file begins with a SEQUENCE; by chance a raw key may too, so its exact length decides first.
            Some(algorithm) => match Self::from_raw(bytes, algorithm)? {
                Some(key) => Ok(key),
                None => Self::from_pkcs8(bytes).map_err(|_| {
                    Error::format(format!("the file is no {algorithm} private key ({} bytes)", bytes.len()))
                        .remedy(raw_forms(algorithm))
                }),
            },
            None => Self::from_pkcs8(bytes).map_err(|error| {
                error.remedy("a PKCS#8 file, or for the bare bytes of a key say which with --algorithm")
            }),
        }
    }

    fn from_pem(block: &[u8]) -> Result<Self> {
        // Its lines are longer than RFC 7468 has them, so that it is told before it is decoded.
        if block.starts_with(b"-----BEGIN OPENSSH PRIVATE KEY-----") {
            return Err(openssh());
        }
        let mut der = Zeroizing::new(vec![0; block.len()]);
        let (label, der) = pem::decode(block, &mut der).map_err(|error| {
            Error::format(format!("the PEM text is damaged: {error}")).remedy("copy the file again")
        })?;
        match label {
            "PRIVATE KEY" => Self::from_pkcs8(der),
            "ENCRYPTED PRIVATE KEY" => Err(Error::unsupported("the private key is encrypted").remedy(
                "openssl pkey -in FILE | trellis key import - (the key is then never on disk in clear)",
            )),
            "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
                Err(Error::unsupported("the key is in its old form, not PKCS#8")
                    .remedy("openssl pkcs8 -topk8 -nocrypt -in FILE | trellis key import -"))
            }
            other => Err(Error::format(format!("a PEM file of type `{other}` holds no private key"))
                .remedy("a file with BEGIN PRIVATE KEY")),
        }
    }

    fn from_raw(bytes: &[u8], algorithm: Algorithm) -> Result<Option<Self>> {
        Ok(match algorithm {
            Algorithm::MlDsa(set) if bytes.len() == ML_DSA_SEED => {
                Some(Self::ml_dsa(algorithm, set.parameter_set().into(), Some(bytes), None))
            }
            Algorithm::MlDsa(set) if bytes.len() == set.private_key => {
                Some(Self::ml_dsa(algorithm, set.parameter_set().into(), None, Some(bytes)))
            }
            Algorithm::Ed25519 if bytes.len() == ED25519_KEY => Some(Self::ed25519(bytes, None)),
            Algorithm::Aes(bits) if bytes.len() * 8 == bits as usize => Some(Self {
                algorithm,
                template: SecretTemplate(vec![
                    Attribute::Class(ObjectClass::SECRET_KEY),
                    Attribute::KeyType(algorithm.key_type()),
                    Attribute::Value(bytes.to_vec()),
                ]),
                public: None,
            }),
            _ => None,
        })
    }

    /// Reads the DER of a PKCS#8 PrivateKeyInfo.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self> {
        let info = PrivateKeyInfoRef::try_from(der).map_err(|error| damaged("private key", error))?;
        let key = info.private_key.as_bytes();
        let oid = info.algorithm.oid;
        match oid {
            RSA_ENCRYPTION => rsa(key).map_err(|error| damaged("RSA private key", error)),
            EC_PUBLIC_KEY => {
                let curve = curve_of(info.algorithm.parameters)?;
                let curve = curve.ok_or_else(|| unknown(oid))?;
                ec(key, curve).map_err(|error| damaged("EC private key", error))
            }
            ED25519 => {
                let seed = <&OctetStringRef>::from_der(key).map_err(|error| damaged("Ed25519 key", error))?;
                if seed.as_bytes().len() != ED25519_KEY {
                    return Err(Error::format("the Ed25519 private key has a wrong length"));
                }
                let public = info.public_key.and_then(|bits| bits.as_bytes().map(<[u8]>::to_vec));
                Ok(Self::ed25519(seed.as_bytes(), public.filter(|key| key.len() == ED25519_KEY)))
            }
            _ => {
                let set = ML_DSA.iter().find(|set| set.oid == oid).ok_or_else(|| unknown(oid))?;
                let MlDsaParts { seed, expanded } =
                    ml_dsa_parts(key).map_err(|error| damaged("ML-DSA private key", error))?;
                let wrong = seed.is_some_and(|seed| seed.len() != ML_DSA_SEED)
                    || expanded.is_some_and(|expanded| expanded.len() != set.private_key);
                if wrong {
                    return Err(Error::format(format!("the {} private key has a wrong length", set.name)));
                }
                Ok(Self::ml_dsa(Algorithm::MlDsa(set), set.parameter_set().into(), seed, expanded))
            }
        }
    }

    fn ml_dsa(
        algorithm: Algorithm,
        set: cryptoki::object::ParameterSetType,
        seed: Option<&[u8]>,
        expanded: Option<&[u8]>,
    ) -> Self {
        let mut template = private(algorithm);
        template.0.push(Attribute::ParameterSet(set));
        template.0.extend(seed.map(|seed| Attribute::Seed(seed.to_vec())));
        template.0.extend(expanded.map(|expanded| Attribute::Value(expanded.to_vec())));
        Self { algorithm, template, public: None }
    }

    fn ed25519(seed: &[u8], public: Option<Vec<u8>>) -> Self {
        let mut template = private(Algorithm::Ed25519);
        template.0.push(Attribute::EcParams(der_of(ED25519)));
        template.0.push(Attribute::Value(seed.to_vec()));
        Self { algorithm: Algorithm::Ed25519, template, public: public.map(PublicKey::Ed25519) }
    }
}

impl SecretTemplate {
    pub(crate) fn new(attributes: Vec<Attribute>) -> Self {
        Self(attributes)
    }

    pub(crate) fn attributes(&self) -> &[Attribute] {
        &self.0
    }

    pub(crate) fn extend(&mut self, attributes: impl IntoIterator<Item = Attribute>) {
        // The secret bytes lie behind the attributes' own pointers: a growing list copies none of them.
        self.0.extend(attributes);
    }

    /// Brings CKA_VALUE to this length by zeros in front; whether it has not been longer.
    pub(crate) fn fill_value(&mut self, length: usize) -> bool {
        for attribute in &mut self.0 {
            if let Attribute::Value(value) = attribute {
                if value.len() > length {
                    return false;
                }
                let mut filled = vec![0; length];
                filled[length - value.len()..].copy_from_slice(value);
                value.zeroize();
                *value = filled;
            }
        }
        true
    }
}

impl Drop for SecretTemplate {
    fn drop(&mut self) {
        for attribute in &mut self.0 {
            match attribute {
                Attribute::Value(bytes)
                | Attribute::Seed(bytes)
                | Attribute::PrivateExponent(bytes)
                | Attribute::Prime1(bytes)
                | Attribute::Prime2(bytes)
                | Attribute::Exponent1(bytes)
                | Attribute::Exponent2(bytes)
                | Attribute::Coefficient(bytes) => bytes.zeroize(),
                _ => {}
            }
        }
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({})", self.algorithm)
    }
}

fn openssh() -> Error {
    Error::unsupported("this is a private key in OpenSSH's own format, not PKCS#8").remedy(
        "for RSA and ECDSA convert a copy: `ssh-keygen -p -m PKCS8 -f COPY`, and import that; ssh-keygen may leave an \
         Ed25519 key as it is: make a new one with `trellis key generate --algorithm ed25519`",
    )
}

/// What raw bytes of this algorithm look like; completes "try: ".
fn raw_forms(algorithm: Algorithm) -> String {
    match algorithm {
        Algorithm::MlDsa(set) => {
            format!(
                "a PKCS#8 file, the {ML_DSA_SEED}-byte seed, or the {}-byte expanded key",
                set.private_key
            )
        }
        Algorithm::Ed25519 => format!("a PKCS#8 file or the {ED25519_KEY}-byte seed"),
        Algorithm::Aes(bits) => format!("a file of {} bytes", bits / 8),
        Algorithm::Ecdsa(_) | Algorithm::Rsa(_) => "a PKCS#8 file".into(),
    }
}

fn private(algorithm: Algorithm) -> SecretTemplate {
    SecretTemplate(vec![Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::KeyType(algorithm.key_type())])
}

/// RSAPrivateKey, RFC 8017 appendix A.1.2.
fn rsa(der: &[u8]) -> der::Result<PrivateKey> {
    let mut reader = SliceReader::new(der)?;
    let numbers = reader.sequence(|inner| {
        let _version = u8::decode(inner)?;
        let mut numbers = [&[][..]; 8];
        for number in &mut numbers {
            *number = UintRef::decode(inner)?.as_bytes();
        }
        Ok::<_, der::Error>(numbers)
    })?;
    reader.finish()?;
    let [n, e, d, p, q, dp, dq, qi] = numbers;
    let public = PublicKey::Rsa(n.to_vec(), e.to_vec());
    let mut template = private(public.algorithm());
    template.0.extend([
        Attribute::Modulus(n.to_vec()),
        Attribute::PublicExponent(e.to_vec()),
        Attribute::PrivateExponent(d.to_vec()),
        Attribute::Prime1(p.to_vec()),
        Attribute::Prime2(q.to_vec()),
        Attribute::Exponent1(dp.to_vec()),
        Attribute::Exponent2(dq.to_vec()),
        Attribute::Coefficient(qi.to_vec()),
    ]);
    Ok(PrivateKey { algorithm: public.algorithm(), template, public: Some(public) })
}

/// ECPrivateKey, RFC 5915: version, key, [0] parameters, [1] public key.
fn ec(der: &[u8], curve: &'static Curve) -> der::Result<PrivateKey> {
    let mut reader = SliceReader::new(der)?;
    let (key, public) = reader.sequence(|inner| {
        let _version = u8::decode(inner)?;
        let key = <&OctetStringRef>::decode(inner)?;
        let _parameters = ContextSpecific::<AnyRef<'_>>::decode_explicit(inner, TagNumber(0))?;
        let public = ContextSpecific::<BitStringRef<'_>>::decode_explicit(inner, TagNumber(1))?;
        Ok::<_, der::Error>((key, public))
    })?;
    reader.finish()?;
    let algorithm = Algorithm::Ecdsa(curve);
    let mut template = private(algorithm);
    template.0.push(Attribute::EcParams(der_of(curve.oid)));
    template.0.push(Attribute::Value(key.as_bytes().to_vec()));
    let point = public.and_then(|public| public.value.as_bytes().map(<[u8]>::to_vec));
    let point = point.filter(|point| point.len() == 1 + 2 * curve.field && point[0] == 4);
    Ok(PrivateKey { algorithm, template, public: point.map(|point| PublicKey::Ecdsa(curve, point)) })
}

/// The secret values of an ML-DSA key; one or both are there.
struct MlDsaParts<'a> {
    seed: Option<&'a [u8]>,
    expanded: Option<&'a [u8]>,
}

/// The choice of RFC 9881 section 6: `[0] seed`, an OCTET STRING with the expanded key, or a SEQUENCE of both.
fn ml_dsa_parts(der: &[u8]) -> der::Result<MlDsaParts<'_>> {
    const SEED: Tag = Tag::ContextSpecific { constructed: false, number: TagNumber(0) };
    let choice = AnyRef::from_der(der)?;
    match der::Tagged::tag(&choice) {
        SEED => Ok(MlDsaParts { seed: Some(choice.value()), expanded: None }),
        Tag::OctetString => Ok(MlDsaParts { seed: None, expanded: Some(choice.value()) }),
        Tag::Sequence => {
            let mut reader = SliceReader::new(choice.value())?;
            let seed = <&OctetStringRef>::decode(&mut reader)?;
            let expanded = <&OctetStringRef>::decode(&mut reader)?;
            reader.finish()?;
            Ok(MlDsaParts { seed: Some(seed.as_bytes()), expanded: Some(expanded.as_bytes()) })
        }
        other => Err(other.unexpected_error(Some(Tag::OctetString)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cryptoki::object::AttributeType;
    use der::Encode;

    /// RFC 8410 section 10.3: the same key without and with its public half.
    const RFC_8410: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                            -----END PRIVATE KEY-----\n";

    fn value(key: &PrivateKey, kind: AttributeType) -> Option<&Attribute> {
        key.template.attributes().iter().find(|attribute| attribute.attribute_type() == kind)
    }

    /// A PKCS#8 file around an ML-DSA-44 key in one of the forms of RFC 9881.
    fn ml_dsa_44(inner: &[u8]) -> Vec<u8> {
        let info = pkcs8::PrivateKeyInfo::new(
            spki::AlgorithmIdentifierRef { oid: ML_DSA[0].oid, parameters: None },
            OctetStringRef::new(inner).unwrap(),
        );
        let info: PrivateKeyInfoRef<'_> = info;
        info.to_der().unwrap()
    }

    fn octets(bytes: &[u8]) -> Vec<u8> {
        OctetStringRef::new(bytes).unwrap().to_der().unwrap()
    }

    #[test]
    fn the_ed25519_key_of_rfc_8410() {
        let key = PrivateKey::from_file(RFC_8410.as_bytes(), None).unwrap();
        assert_eq!(key.algorithm, Algorithm::Ed25519);
        let Some(Attribute::Value(seed)) = value(&key, AttributeType::Value) else { panic!() };
        assert_eq!(seed[..3], [0xd4, 0xee, 0x72]);
        assert_eq!(key.public, None);
    }

    #[test]
    fn the_three_forms_of_rfc_9881() {
        let seed_only = [&[0x80, 32][..], &[7; 32]].concat();
        let expanded = octets(&[9; 2560]);
        let both = [octets(&[7; 32]), expanded.clone()].concat();
        let both = AnyRef::new(Tag::Sequence, &both).unwrap().to_der().unwrap();
        for (inner, seed, whole) in [(seed_only, true, false), (expanded, false, true), (both, true, true)] {
            let key = PrivateKey::from_file(&ml_dsa_44(&inner), None).unwrap();
            assert_eq!(key.algorithm, Algorithm::MlDsa(&ML_DSA[0]));
            assert_eq!(value(&key, AttributeType::Seed).is_some(), seed);
            assert_eq!(value(&key, AttributeType::Value).is_some(), whole);
        }
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let seed = [&[0x80, 31][..], &[7; 31]].concat();
        assert!(PrivateKey::from_file(&ml_dsa_44(&seed), None).is_err());
        assert!(PrivateKey::from_file(&ml_dsa_44(&octets(&[9; 2561])), None).is_err());
        for algorithm in ["ml-dsa-65", "ed25519", "aes-256", "rsa-2048"] {
            assert!(
                PrivateKey::from_file(&[1; 33], Some(algorithm.parse().unwrap())).is_err(),
                "{algorithm}"
            );
        }
    }

    #[test]
    fn raw_bytes_by_algorithm() {
        for (algorithm, length) in [("ml-dsa-65", 32), ("ml-dsa-65", 4032), ("ed25519", 32), ("aes-128", 16)]
        {
            let key = PrivateKey::from_file(&vec![0x30; length], Some(algorithm.parse().unwrap())).unwrap();
            assert_eq!(key.algorithm.to_string(), algorithm);
        }
    }

    #[test]
    fn other_kinds_of_pem_say_how_to_convert() {
        for label in ["ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY"] {
            let text = format!("-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n");
            let error = PrivateKey::from_file(text.as_bytes(), None).unwrap_err().to_string();
            assert!(error.contains("\n  try: "), "{error}");
        }
    }

    #[test]
    fn hostile_bytes_are_errors() {
        let whole = ml_dsa_44(&octets(&[9; 2560]));
        for length in (0..whole.len()).step_by(7) {
            assert!(PrivateKey::from_file(&whole[..length], None).is_err(), "{length}");
        }
    }
}
