//! One row of facts for each signature algorithm.

use crate::{ecdsa::Curve, ml_dsa::ParameterSet};

/// A signature algorithm together with its parameter set or curve. RSA keys differ in size, so the size is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the standards' own")]
pub enum Algorithm {
    MlDsa(ParameterSet),
    Ed25519,
    Ecdsa(Curve),
    Rsa,
}

struct Row {
    algorithm: Algorithm,
    name: &'static str,
    oid: &'static str,
    oid_der: &'static [u8],
    cose: Option<i64>,
    jose: Option<&'static str>,
}

/// id-ecPublicKey in DER: one identifier for every curve.
pub(crate) const EC_PUBLIC_KEY: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const ML_DSA_44: &[u8] = &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x11];
const ML_DSA_65: &[u8] = &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x12];
const ML_DSA_87: &[u8] = &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x13];
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
const RSA_ENCRYPTION: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// COSE numbers of the elliptic curves are the fully specified ones of RFC 9864.
#[rustfmt::skip]
const ALGORITHMS: [Row; 8] = [
    Row { algorithm: Algorithm::MlDsa(ParameterSet::MlDsa44), name: "ML-DSA-44", oid: "2.16.840.1.101.3.4.3.17", oid_der: ML_DSA_44, cose: Some(-48), jose: Some("ML-DSA-44") },
    Row { algorithm: Algorithm::MlDsa(ParameterSet::MlDsa65), name: "ML-DSA-65", oid: "2.16.840.1.101.3.4.3.18", oid_der: ML_DSA_65, cose: Some(-49), jose: Some("ML-DSA-65") },
    Row { algorithm: Algorithm::MlDsa(ParameterSet::MlDsa87), name: "ML-DSA-87", oid: "2.16.840.1.101.3.4.3.19", oid_der: ML_DSA_87, cose: Some(-50), jose: Some("ML-DSA-87") },
    Row { algorithm: Algorithm::Ed25519, name: "Ed25519", oid: "1.3.101.112", oid_der: ED25519, cose: Some(-19), jose: Some("Ed25519") },
    Row { algorithm: Algorithm::Ecdsa(Curve::P256), name: "ECDSA P-256", oid: "1.2.840.10045.2.1", oid_der: EC_PUBLIC_KEY, cose: Some(-9), jose: Some("ES256") },
    Row { algorithm: Algorithm::Ecdsa(Curve::P384), name: "ECDSA P-384", oid: "1.2.840.10045.2.1", oid_der: EC_PUBLIC_KEY, cose: Some(-51), jose: Some("ES384") },
    Row { algorithm: Algorithm::Ecdsa(Curve::P521), name: "ECDSA P-521", oid: "1.2.840.10045.2.1", oid_der: EC_PUBLIC_KEY, cose: Some(-52), jose: Some("ES512") },
    Row { algorithm: Algorithm::Rsa, name: "RSA", oid: "1.2.840.113549.1.1.1", oid_der: RSA_ENCRYPTION, cose: None, jose: None },
];

impl Algorithm {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        ALGORITHMS.iter().map(|row| row.algorithm)
    }

    /// The name used in messages, such as `ML-DSA-65`, `Ed25519`, `ECDSA P-256` or `RSA`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The object identifier of the public key algorithm (RFC 9881, 8410, 5480, 8017) in dotted form.
    pub fn oid(self) -> &'static str {
        self.row().oid
    }

    /// The same in DER, tag and length included.
    pub fn oid_der(self) -> &'static [u8] {
        self.row().oid_der
    }

    /// The COSE algorithm number (RFC 9053, RFC 9864, draft-ietf-cose-dilithium), where there is one.
    pub fn cose(self) -> Option<i64> {
        self.row().cose
    }

    /// The JOSE `alg` value, where there is one.
    pub fn jose(self) -> Option<&'static str> {
        self.row().jose
    }

    fn row(self) -> &'static Row {
        ALGORITHMS.iter().find(|row| row.algorithm == self).expect("a test finds a row for each")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_has_a_row() {
        let sets = ParameterSet::ALL.map(Algorithm::MlDsa);
        let curves = Curve::ALL.map(Algorithm::Ecdsa);
        for algorithm in sets.into_iter().chain(curves).chain([Algorithm::Ed25519, Algorithm::Rsa]) {
            assert_eq!(algorithm.row().algorithm, algorithm);
        }
    }

    #[test]
    fn dotted_and_der_identifiers_agree() {
        for row in &ALGORITHMS {
            let mut numbers = row.oid.split('.').map(|number| number.parse::<u32>().unwrap());
            let first = 40 * numbers.next().unwrap() + numbers.next().unwrap();
            let mut der = Vec::new();
            for number in [first].into_iter().chain(numbers) {
                let groups = (0..5).rev().map(|group| (number >> (7 * group) & 0x7f) as u8);
                let mut groups: Vec<u8> = groups.skip_while(|&group| group == 0).collect();
                let last = groups.pop().unwrap_or(0);
                der.extend(groups.iter().map(|group| group | 0x80));
                der.push(last);
            }
            assert_eq!(row.oid_der[2..], der, "{}", row.name);
            assert_eq!(row.oid_der[..2], [6, der.len() as u8]);
        }
    }
}
