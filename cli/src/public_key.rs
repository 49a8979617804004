//! Public keys between three worlds: SubjectPublicKeyInfo (RFC 5280, 8410, 5480, 9881), raw bytes, and PKCS#11
//! attributes.

use cryptoki::object::{Attribute, KeyType, ObjectClass, ParameterSetType};
use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, OctetStringRef, UintRef};
use der::pem::{self, LineEnding};
use der::{Decode, Encode, Reader, SliceReader, Tag};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use crate::algorithm::{
    Algorithm, CURVES, Curve, EC_PUBLIC_KEY, ED25519, ED25519_KEY, ML_DSA, MlDsa, RSA_ENCRYPTION, der_of,
};
use crate::certificate::Certificate;
use crate::error::{Error, Result};
use crate::pem::decode_pem;

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum PublicKey {
    MlDsa(&'static MlDsa, Vec<u8>),
    Ed25519(Vec<u8>),
    /// The point as SEC 1 writes it, beginning with 0x04 (or 0x02, 0x03 when compressed).
    Ecdsa(&'static Curve, Vec<u8>),
    /// Modulus and public exponent, big-endian without leading zeros.
    Rsa(Vec<u8>, Vec<u8>),
}

/// How CKA_EC_POINT is written: version 2.40 wraps it in an OCTET STRING, 3.2 takes Edwards points bare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PointForm {
    OctetString,
    Bare,
}

impl PublicKey {
    /// Reads a public key file: a PEM or DER SubjectPublicKeyInfo or certificate, or with `raw` the bare key of
    /// that algorithm.
    pub(crate) fn from_file(bytes: &[u8], raw: Option<Algorithm>) -> Result<Self> {
        if let Some((label, der)) = decode_pem(bytes)? {
            return match label.as_str() {
                "PUBLIC KEY" => Self::from_spki(&der),
                "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                    Certificate::from_der(&der)?.public_key()
                }
                label if label.ends_with("PRIVATE KEY") => Err(Error::format("this is a private key")
                    .remedy("openssl pkey -in FILE -pubout -out PUBLIC.pem")),
                label => Err(Error::format(format!("a PEM file of type `{label}` holds no public key"))
                    .remedy("a file with BEGIN PUBLIC KEY or BEGIN CERTIFICATE")),
            };
        }
        if let Some(algorithm) = raw
            && let Some(key) = Self::from_raw(bytes, algorithm)
        {
            return Ok(key);
        }
        let key =
            Self::from_spki(bytes).or_else(|_| Certificate::from_der(bytes).and_then(|it| it.public_key()));
        match (key, raw) {
            (Ok(key), _) => Ok(key),
            (Err(_), Some(algorithm)) => {
                Err(Error::format(format!("the file is no {algorithm} public key ({} bytes)", bytes.len())))
            }
            (Err(_), None) => {
                Err(Error::format("the file is no public key in PEM or DER, and no certificate")
                    .remedy("for the bare bytes of a key, say which with --algorithm"))
            }
        }
    }

    /// The bare key: FIPS 204 pkEncode, RFC 8032, or an uncompressed SEC 1 point.
    fn from_raw(bytes: &[u8], algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::MlDsa(set) if bytes.len() == set.public_key => Some(Self::MlDsa(set, bytes.into())),
            Algorithm::Ed25519 if bytes.len() == ED25519_KEY => Some(Self::Ed25519(bytes.into())),
            Algorithm::Ecdsa(curve) if bytes.len() == 1 + 2 * curve.field && bytes[0] == 4 => {
                Some(Self::Ecdsa(curve, bytes.into()))
            }
            _ => None,
        }
    }

    pub(crate) fn from_spki(der: &[u8]) -> Result<Self> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|error| damaged("public key", error))?;
        let key =
            spki.subject_public_key.as_bytes().ok_or_else(|| Error::format("the public key has odd bits"))?;
        let oid = spki.algorithm.oid;
        if oid == RSA_ENCRYPTION {
            return rsa_from_der(key);
        }
        let algorithm = match oid {
            EC_PUBLIC_KEY => curve_of(spki.algorithm.parameters)?.map(Algorithm::Ecdsa),
            ED25519 => Some(Algorithm::Ed25519),
            _ => ML_DSA.iter().find(|set| set.oid == oid).map(Algorithm::MlDsa),
        };
        let algorithm = algorithm.ok_or_else(|| unknown(oid))?;
        if let (Algorithm::Ecdsa(curve), Some(2 | 3)) = (algorithm, key.first())
            && key.len() == 1 + curve.field
        {
            return Ok(Self::Ecdsa(curve, key.into()));
        }
        Self::from_raw(key, algorithm).ok_or_else(|| {
            Error::format(format!("the {algorithm} public key has a wrong form ({} bytes)", key.len()))
        })
    }

    /// The DER of the SubjectPublicKeyInfo.
    pub(crate) fn spki(&self) -> Result<Vec<u8>> {
        let (oid, parameters, key) = match self {
            Self::MlDsa(set, key) => (set.oid, None, key.clone()),
            Self::Ed25519(key) => (ED25519, None, key.clone()),
            Self::Ecdsa(curve, point) => (EC_PUBLIC_KEY, Some(AnyRef::from(&curve.oid)), point.clone()),
            Self::Rsa(modulus, exponent) => {
                (RSA_ENCRYPTION, Some(AnyRef::NULL), rsa_to_der(modulus, exponent)?)
            }
        };
        let spki = SubjectPublicKeyInfoRef {
            algorithm: AlgorithmIdentifierRef { oid, parameters },
            subject_public_key: BitStringRef::from_bytes(&key)
                .map_err(|error| damaged("public key", error))?,
        };
        spki.to_der().map_err(|error| damaged("public key", error))
    }

    /// The SubjectPublicKeyInfo in PEM.
    pub(crate) fn pem(&self) -> Result<String> {
        pem::encode_string("PUBLIC KEY", LineEnding::LF, &self.spki()?)
            .map_err(|error| Error::format(format!("the public key cannot be written: {error}")))
    }

    /// The bare bytes; RSA has none.
    pub(crate) fn raw(&self) -> Option<&[u8]> {
        match self {
            Self::MlDsa(_, key) | Self::Ed25519(key) | Self::Ecdsa(_, key) => Some(key),
            Self::Rsa(..) => None,
        }
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        match self {
            Self::MlDsa(set, _) => Algorithm::MlDsa(set),
            Self::Ed25519(_) => Algorithm::Ed25519,
            Self::Ecdsa(curve, _) => Algorithm::Ecdsa(curve),
            Self::Rsa(modulus, _) => Algorithm::Rsa(bits(modulus)),
        }
    }

    /// The attributes of this public key as an object, without label, CKA_ID and policy.
    pub(crate) fn attributes(&self, form: PointForm) -> Result<Vec<Attribute>> {
        let mut template = vec![
            Attribute::Class(ObjectClass::PUBLIC_KEY),
            Attribute::KeyType(self.algorithm().key_type()),
            Attribute::Verify(true),
        ];
        match self {
            Self::MlDsa(set, key) => {
                template.push(Attribute::ParameterSet(set.parameter_set().into()));
                template.push(Attribute::Value(key.clone()));
            }
            Self::Ed25519(key) => {
                template.push(Attribute::EcParams(der_of(ED25519)));
                template.push(Attribute::EcPoint(match form {
                    PointForm::OctetString => octet_string(key)?,
                    PointForm::Bare => key.clone(),
                }));
            }
            Self::Ecdsa(curve, point) => {
                template.push(Attribute::EcParams(der_of(curve.oid)));
                template.push(Attribute::EcPoint(octet_string(point)?));
            }
            Self::Rsa(modulus, exponent) => {
                template.push(Attribute::Modulus(modulus.clone()));
                template.push(Attribute::PublicExponent(exponent.clone()));
            }
        }
        Ok(template)
    }

    /// The key in an object's attributes: CKA_PUBLIC_KEY_INFO where the token gives it, its parts otherwise.
    pub(crate) fn from_attributes(attributes: &[Attribute]) -> Option<Self> {
        let info = attributes.iter().find_map(|attribute| match attribute {
            Attribute::PublicKeyInfo(der) if !der.is_empty() => Self::from_spki(der).ok(),
            _ => None,
        });
        info.or_else(|| Self::from_parts(attributes))
    }

    fn from_parts(attributes: &[Attribute]) -> Option<Self> {
        let mut key_type = None;
        let mut parameter_set = None;
        let (mut params, mut point, mut value, mut modulus, mut exponent) = (None, None, None, None, None);
        let mut public = false;
        for attribute in attributes {
            match attribute {
                Attribute::Class(class) => public = *class == ObjectClass::PUBLIC_KEY,
                Attribute::KeyType(kind) => key_type = Some(*kind),
                Attribute::ParameterSet(set) => parameter_set = Some(*set),
                Attribute::EcParams(der) => params = Some(der.as_slice()),
                Attribute::EcPoint(bytes) => point = Some(bytes.as_slice()),
                Attribute::Value(bytes) => value = Some(bytes.as_slice()),
                Attribute::Modulus(bytes) => modulus = Some(trimmed(bytes)),
                Attribute::PublicExponent(bytes) => exponent = Some(trimmed(bytes)),
                _ => {}
            }
        }
        match key_type? {
            KeyType::RSA => match (modulus?, exponent?) {
                ([], _) | (_, []) => None,
                (modulus, exponent) => Some(Self::Rsa(modulus.into(), exponent.into())),
            },
            // A private key's CKA_VALUE is not the public key.
            KeyType::ML_DSA if public => Self::from_raw(value?, Algorithm::MlDsa(ml_dsa(parameter_set?)?)),
            KeyType::EC_EDWARDS => edwards_point(point?),
            KeyType::EC => {
                let algorithm = Algorithm::Ecdsa(curve(params?)?);
                let point = point?;
                let inner = <&OctetStringRef>::from_der(point).ok().map(OctetStringRef::as_bytes);
                Self::from_raw(inner.unwrap_or(point), algorithm).or_else(|| Self::from_raw(point, algorithm))
            }
            _ => None,
        }
    }
}

/// The named curve of an `AlgorithmIdentifier`'s parameters; an unknown one is `None`.
pub(crate) fn curve_of(parameters: Option<AnyRef<'_>>) -> Result<Option<&'static Curve>> {
    let oid = parameters.and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
    let oid = oid.ok_or_else(|| Error::format("the key does not name its curve"))?;
    Ok(CURVES.iter().find(|curve| curve.oid == oid))
}

/// The curve named in CKA_EC_PARAMS.
pub(crate) fn curve(params: &[u8]) -> Option<&'static Curve> {
    CURVES.iter().find(|curve| der_of(curve.oid) == params)
}

pub(crate) fn ml_dsa(set: ParameterSetType) -> Option<&'static MlDsa> {
    ML_DSA.iter().find(|known| ParameterSetType::from(known.parameter_set()) == set)
}

/// Length of a big-endian number in bits.
pub(crate) fn bits(number: &[u8]) -> u32 {
    let number = trimmed(number);
    let bits = number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize);
    u32::try_from(bits).unwrap_or(u32::MAX)
}

pub(crate) fn unknown(oid: ObjectIdentifier) -> Error {
    Error::unsupported(format!("the key has an algorithm or curve that trellis does not know ({oid})"))
        .remedy("use ML-DSA, Ed25519, ECDSA on P-256, P-384 or P-521, or RSA")
}

pub(crate) fn damaged(what: &str, error: impl std::fmt::Display) -> Error {
    Error::format(format!("the {what} is damaged: {error}")).remedy("check that the file is whole")
}

fn edwards_point(point: &[u8]) -> Option<PublicKey> {
    let inner = <&OctetStringRef>::from_der(point).ok().map(OctetStringRef::as_bytes);
    let inner = inner.or_else(|| BitStringRef::from_der(point).ok().and_then(|bits| bits.as_bytes()));
    let bare = inner.filter(|inner| inner.len() == ED25519_KEY).unwrap_or(point);
    (bare.len() == ED25519_KEY).then(|| PublicKey::Ed25519(bare.into()))
}

fn octet_string(bytes: &[u8]) -> Result<Vec<u8>> {
    OctetStringRef::new(bytes)
        .and_then(|string| string.to_der())
        .map_err(|error| damaged("public key", error))
}

fn rsa_from_der(der: &[u8]) -> Result<PublicKey> {
    let parts = || -> der::Result<(Vec<u8>, Vec<u8>)> {
        let mut reader = SliceReader::new(der)?;
        let parts = reader.sequence(|inner| {
            let modulus = UintRef::decode(inner)?;
            let exponent = UintRef::decode(inner)?;
            Ok::<_, der::Error>((modulus.as_bytes().to_vec(), exponent.as_bytes().to_vec()))
        })?;
        reader.finish()?;
        Ok(parts)
    };
    parts()
        .map(|(modulus, exponent)| PublicKey::Rsa(modulus, exponent))
        .map_err(|error| damaged("RSA public key", error))
}

fn rsa_to_der(modulus: &[u8], exponent: &[u8]) -> Result<Vec<u8>> {
    let encode = || -> der::Result<Vec<u8>> {
        let mut body = UintRef::new(modulus)?.to_der()?;
        body.extend(UintRef::new(exponent)?.to_der()?);
        AnyRef::new(Tag::Sequence, &body)?.to_der()
    };
    encode().map_err(|error| damaged("RSA public key", error))
}

fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8410 section 10.1.
    const RFC_8410: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
                            -----END PUBLIC KEY-----\n";

    #[test]
    fn the_ed25519_key_of_rfc_8410_reads_and_writes() {
        let key = PublicKey::from_file(RFC_8410.as_bytes(), None).unwrap();
        assert_eq!(key.algorithm(), Algorithm::Ed25519);
        assert_eq!(key.raw().unwrap()[..4], [0x19, 0xbf, 0x44, 0x09]);
        let (_, der) = decode_pem(RFC_8410.as_bytes()).unwrap().unwrap();
        assert_eq!(key.spki().unwrap(), der);
        let with_prose = format!("Public key:\n{RFC_8410}trailing prose");
        assert_eq!(PublicKey::from_file(with_prose.as_bytes(), None).unwrap(), key);
    }

    #[test]
    fn every_kind_survives_spki_and_attributes() {
        let keys = [
            PublicKey::MlDsa(&ML_DSA[0], vec![1; 1312]),
            PublicKey::MlDsa(&ML_DSA[2], vec![2; 2592]),
            PublicKey::Ed25519(vec![4; 32]),
            PublicKey::Ecdsa(&CURVES[2], [&[4][..], &[7; 132]].concat()),
            PublicKey::Rsa(vec![0xc5; 256], vec![1, 0, 1]),
        ];
        for key in keys {
            assert_eq!(PublicKey::from_spki(&key.spki().unwrap()).unwrap(), key);
            for form in [PointForm::OctetString, PointForm::Bare] {
                assert_eq!(PublicKey::from_attributes(&key.attributes(form).unwrap()).as_ref(), Some(&key));
            }
        }
    }

    #[test]
    fn a_wrong_length_or_a_private_key_is_refused() {
        assert!(PublicKey::from_file(&[0; 31], Some(Algorithm::Ed25519)).is_err());
        assert!(PublicKey::from_file(&[0; 32], None).is_err());
        let private = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        let error = PublicKey::from_file(private.as_bytes(), None).unwrap_err();
        assert!(error.to_string().contains("private key"), "{error}");
    }

    #[test]
    fn hostile_bytes_are_errors() {
        let key = PublicKey::Rsa(vec![0xc5; 256], vec![1, 0, 1]).spki().unwrap();
        for length in 0..key.len() {
            assert!(PublicKey::from_spki(&key[..length]).is_err(), "{length}");
            assert!(Certificate::from_der(&key[..length]).is_err(), "{length}");
        }
        assert!(PublicKey::from_spki(&[key.as_slice(), &[0]].concat()).is_err());
        assert!(Certificate::from_der(&key).is_err());
    }

    #[test]
    fn bits_count_from_the_first_one() {
        assert_eq!([bits(&[]), bits(&[0, 0]), bits(&[0, 1]), bits(&[0x80, 0])], [0, 0, 1, 16]);
    }
}
