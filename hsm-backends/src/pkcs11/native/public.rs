//! Kinds of keys as an HSM has them: how a pair is made, and what public key an object is.

use algorithms::{Algorithm, PublicKey, ecdsa::Curve, ed25519, ml_dsa, rsa};
use cryptoki_sys as ck;

use super::super::{
    device::Session,
    keeper::number,
    raw::{Rv, Template},
};
use crate::KeySpec;

/// How a pair is generated: the mechanism, what the public template needs, the key type. `None` for what has none.
pub(super) fn generation(spec: &KeySpec) -> Option<(u64, Template, u64)> {
    Some(match spec {
        KeySpec::Pair(Algorithm::Ed25519) => (
            ck::CKM_EC_EDWARDS_KEY_PAIR_GEN,
            vec![(ck::CKA_EC_PARAMS, ED25519_OID.to_vec())],
            ck::CKK_EC_EDWARDS,
        ),
        KeySpec::Pair(Algorithm::Ecdsa(curve)) => {
            (ck::CKM_EC_KEY_PAIR_GEN, vec![(ck::CKA_EC_PARAMS, curve.oid_der().to_vec())], ck::CKK_EC)
        }
        KeySpec::Pair(Algorithm::MlDsa(set)) => {
            (ck::CKM_ML_DSA_KEY_PAIR_GEN, vec![(ck::CKA_PARAMETER_SET, number(set.ckp()))], ck::CKK_ML_DSA)
        }
        KeySpec::Rsa { modulus_bits, public_exponent }
            if rsa::MODULUS_BITS.contains(modulus_bits)
                && modulus_bits % 8 == 0
                && *public_exponent == [1, 0, 1] =>
        {
            let public = vec![
                (ck::CKA_MODULUS_BITS, number(u64::from(*modulus_bits))),
                (ck::CKA_PUBLIC_EXPONENT, public_exponent.clone()),
            ];
            (ck::CKM_RSA_PKCS_KEY_PAIR_GEN, public, ck::CKK_RSA)
        }
        _ => return None,
    })
}

/// The mechanisms that a kind of key needs in the HSM: to be made, and to sign.
pub(in crate::pkcs11) fn mechanisms(spec: &KeySpec) -> Option<(u64, u64)> {
    let sign = match spec {
        KeySpec::Pair(Algorithm::Ed25519) => ck::CKM_EDDSA,
        KeySpec::Pair(Algorithm::Ecdsa(_)) => ck::CKM_ECDSA,
        KeySpec::Pair(Algorithm::MlDsa(_)) => ck::CKM_ML_DSA,
        KeySpec::Rsa { .. } => ck::CKM_RSA_PKCS,
        _ => return None,
    };
    Some((generation(spec)?.0, sign))
}

/// CKK_* of an algorithm.
pub(in crate::pkcs11) fn key_type(algorithm: Algorithm) -> u64 {
    match algorithm {
        Algorithm::MlDsa(_) => ck::CKK_ML_DSA,
        Algorithm::Ed25519 => ck::CKK_EC_EDWARDS,
        Algorithm::Ecdsa(_) => ck::CKK_EC,
        Algorithm::Rsa => ck::CKK_RSA,
    }
}

const ED25519_OID: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// The name of the curve as PKCS#11 v3.0 had it first.
const ED25519_NAME: &[u8] = b"\x13\x0cedwards25519";

/// The public key of a public key object, or of an RSA private key; `None` where it is of no kind that is known here.
pub(in crate::pkcs11) fn public_of(
    session: &Session,
    handle: ck::CK_OBJECT_HANDLE,
) -> Result<Option<PublicKey>, Rv> {
    const KINDS: [ck::CK_ATTRIBUTE_TYPE; 6] = [
        ck::CKA_KEY_TYPE,
        ck::CKA_EC_PARAMS,
        ck::CKA_EC_POINT,
        ck::CKA_MODULUS,
        ck::CKA_PUBLIC_EXPONENT,
        ck::CKA_PARAMETER_SET,
    ];
    let values = session.raw.values(session.handle, handle, &KINDS)?;
    let [key_type, params, point, modulus, exponent, set] = values.try_into().unwrap_or_default();
    let as_number = |value: &Option<Vec<u8>>| value.as_deref().and_then(read_number);
    Ok(match as_number(&key_type) {
        Some(ck::CKK_RSA) => modulus
            .zip(exponent)
            .and_then(|(modulus, exponent)| rsa::PublicKey::from_components(&modulus, &exponent).ok())
            .map(PublicKey::Rsa),
        Some(ck::CKK_EC) => params.zip(point).and_then(|(params, point)| {
            let curve = Curve::ALL.into_iter().find(|curve| curve.oid_der() == params)?;
            let point = octets(&point).unwrap_or(&point);
            ecdsa_point(curve, point)
        }),
        Some(ck::CKK_EC_EDWARDS) => params.zip(point).and_then(|(params, point)| {
            let known = params == ED25519_OID || params == ED25519_NAME;
            let point = octets(&point).unwrap_or(&point);
            known.then(|| ed25519::PublicKey::from_bytes(point).ok().map(PublicKey::Ed25519)).flatten()
        }),
        Some(ck::CKK_ML_DSA) => {
            let set = as_number(&set).and_then(ml_dsa::ParameterSet::from_ckp);
            let value = session.raw.values(session.handle, handle, &[ck::CKA_VALUE])?.pop().flatten();
            set.zip(value)
                .and_then(|(set, value)| ml_dsa::PublicKey::from_bytes(set, &value).ok())
                .map(PublicKey::MlDsa)
        }
        _ => None,
    })
}

fn ecdsa_point(curve: Curve, point: &[u8]) -> Option<PublicKey> {
    algorithms::ecdsa::PublicKey::from_bytes(curve, point).ok().map(PublicKey::Ecdsa)
}

/// The content of a DER OCTET STRING that is nothing else.
fn octets(der: &[u8]) -> Option<&[u8]> {
    let (len, rest) = match der {
        [0x04, 0x81, len, rest @ ..] => (*len, rest),
        [0x04, len, rest @ ..] if *len < 0x80 => (*len, rest),
        _ => return None,
    };
    (rest.len() == usize::from(len)).then_some(rest)
}

/// A CK_ULONG as it lies in memory.
pub(in crate::pkcs11) fn read_number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.try_into().ok()?))
}
