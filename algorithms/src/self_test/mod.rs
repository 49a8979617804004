//! Known-answer tests of both engines, run once in C_Initialize (within 5 ms).
//!
//! What is deterministic is compared with published answers: the keys that AWS-LC makes of a seed, and what `fips204`
//! signs. AWS-LC must accept those signatures, and refuse them for another message. Its hedged signatures are different
//! each time: it verifies them itself, having shown that it can, and for one parameter set `fips204` does too.

mod vectors;

use self::vectors::*;
use crate::{
    Error, SecretBytes, aes,
    digest::Hash,
    ecdsa::{self, Curve},
    ed25519, mac,
    ml_dsa::{self, Hedging, Input, ParameterSet},
    rsa,
};

/// Runs every known-answer test; [`Error::EngineFailed`] when an engine answers wrongly.
pub fn run() -> Result<(), Error> {
    let outcome = digests().and_then(|()| ciphers()).and_then(|()| classical_signatures());
    let outcome = ML_DSA.iter().fold(outcome, |outcome, answer| outcome.and_then(|()| ml_dsa(answer)));
    outcome.map_err(|_| Error::EngineFailed)
}

fn digests() -> Result<(), Error> {
    for (hash, answer) in ABC {
        expect(hash.digest(b"abc")? == answer)?;
    }
    let mut hmac = mac::Hmac::new(Hash::Sha256, &SecretBytes::new(b"Jefe"))?;
    hmac.update(b"what do ya want for nothing?");
    expect(hmac.finish()? == HMAC_SHA256)
}

fn ciphers() -> Result<(), Error> {
    let key = SecretBytes::new(&GCM.key);
    let sealed = aes::seal(&key, &GCM.nonce, &GCM.aad, &GCM.plaintext)?;
    expect(sealed == GCM.sealed)?;
    expect(aes::open(&key, &GCM.nonce, &GCM.aad, &sealed)?.expose() == GCM.plaintext)?;
    refuse(aes::open(&key, &GCM.nonce, &[], &sealed), Error::TagMismatch)?;
    let key = SecretBytes::new(&WRAP.key);
    expect(aes::wrap(&key, None, &WRAP.secret)? == WRAP.wrapped)?;
    expect(aes::unwrap(&key, None, &WRAP.wrapped)?.expose() == WRAP.secret)
}

fn classical_signatures() -> Result<(), Error> {
    let key = ed25519::PrivateKey::from_seed(&SecretBytes::new(&ED25519.seed))?;
    let input = ed25519::Input::Pure(&ED25519.message);
    expect(key.public_key().as_bytes() == ED25519.public)?;
    expect(key.sign(input)? == ED25519.signature)?;
    key.public_key().verify(input, &ED25519.signature)?;
    refuse(key.public_key().verify(ed25519::Input::Pure(&[]), &ED25519.signature), Error::SignatureInvalid)?;

    let digest = Hash::Sha256.digest(b"sample")?;
    let key = ecdsa::PublicKey::from_bytes(Curve::P256, &ECDSA_P256.public)?;
    key.verify(&digest, &ECDSA_P256.signature)?;
    refuse(key.verify(&digest[1..], &ECDSA_P256.signature), Error::SignatureInvalid)?;

    let digest = Hash::Sha256.digest(&[])?;
    let key = rsa::PublicKey::from_components(&RSA_2048.modulus, &[1, 0, 1])?;
    key.verify(rsa::Padding::Pkcs1 { hash: Hash::Sha256, digest: &digest }, &RSA_2048.signature)?;
    let other = rsa::Padding::Pkcs1 { hash: Hash::Sha3_256, digest: &digest };
    refuse(key.verify(other, &RSA_2048.signature), Error::SignatureInvalid)
}

fn ml_dsa(answer: &MlDsaAnswer) -> Result<(), Error> {
    let key = ml_dsa::PrivateKey::from_seed(answer.set, &SecretBytes::new(&answer.seed))?;
    let public = key.public_key();
    expect(Hash::Sha256.digest(public.as_bytes())? == answer.public)?;
    let input = Input::Message { context: &[], message: &answer.message };
    let other = Input::Message { context: &[1], message: &answer.message };

    let known = key.sign(input, Hedging::Deterministic)?;
    expect(Hash::Sha256.digest(&known)? == answer.signature)?;
    public.verify(input, &known)?;
    refuse(public.verify(other, &known), Error::SignatureInvalid)?;

    let hedged = key.sign(input, Hedging::Hedged)?;
    expect(hedged != known)?;
    public.verify(input, &hedged)?;

    // One parameter set, the quickest, stands for the others where the code is the same for all.
    if answer.set == ParameterSet::MlDsa44 {
        public.verify_independently(input, &hedged)?;
        refuse(public.verify_independently(other, &hedged), Error::SignatureInvalid)?;
        // The third way to sign, for messages that stream, agrees with the second.
        let mut mu = ml_dsa::Mu::pure(public.tr(), &[])?;
        mu.update(&answer.message);
        expect(key.sign(Input::Mu(&mu.finish()?), Hedging::Deterministic)? == known)?;
    }
    Ok(())
}

fn expect(holds: bool) -> Result<(), Error> {
    holds.then_some(()).ok_or(Error::EngineFailed)
}

fn refuse<T>(outcome: Result<T, Error>, expected: Error) -> Result<(), Error> {
    expect(outcome.err() == Some(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes() {
        run().unwrap();
    }

    #[test]
    fn a_wrong_answer_is_noticed() {
        for answer in &ML_DSA {
            let altered = MlDsaAnswer { signature: [0; 32], ..*answer };
            assert_eq!(ml_dsa(&altered), Err(Error::EngineFailed));
            let altered = MlDsaAnswer { public: [0; 32], ..*answer };
            assert_eq!(ml_dsa(&altered), Err(Error::EngineFailed));
        }
    }
}
