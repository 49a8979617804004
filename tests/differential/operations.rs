//! The next step of an operation, or a new one.

use cryptoki_sys::*;
use trellis_tests::random::Random;

use crate::{
    action::{Action, Bytes, Kind, Mechanism, Parameter, Room},
    generate::Next,
    model::{Active, Model},
    objects::{SORTS, Sort},
};

impl Model {
    /// A step of what is active in a session; what begins something where nothing is; now and then what cannot be.
    pub(crate) fn operation(&self, session: usize, random: &mut Random) -> Next {
        let state = self.sessions.get(session);
        let active = state.and_then(|state| state.active.as_ref());
        if state.is_some_and(|state| state.searching) {
            let find = Action::Find { session, max: 1 + random.below(4) as CK_ULONG };
            let action = if random.once_in(2) { find } else { Action::FindFinal { session } };
            return Next { action, case: "" };
        }
        match active {
            None if !random.once_in(12) => self.begin(session, random),
            // A second operation of the kind that is active, or a step of one that is not.
            Some(active) if random.once_in(15) => {
                let init = Action::Init {
                    kind: active.kind,
                    session,
                    mechanism: active.mechanism.clone(),
                    key: self.object_of(&SORTS, random),
                };
                Next { action: init, case: "" }
            }
            Some(active) if !random.once_in(15) => self.step(session, active, random),
            _ => {
                let kinds = [Kind::Digest, Kind::Sign, Kind::Verify, Kind::Encrypt, Kind::Decrypt];
                let kind = *random.one_of(&kinds);
                let mechanism = Mechanism { kind: CKM_SHA256, parameter: Parameter::None };
                let stranger = Active { kind, mechanism, key: 0, data: Vec::new(), parts: false };
                self.step(session, &stranger, random)
            }
        }
    }

    /// Begins to verify or decrypt what was made before.
    fn begin_inverse(&self, session: usize, random: &mut Random) -> Next {
        let made = random.one_of(&self.outputs);
        let kind = if made.kind == Kind::Sign { Kind::Verify } else { Kind::Decrypt };
        let sorts: &[Sort] = match made.mechanism.kind {
            CKM_ECDSA => &[Sort::EcPublic],
            CKM_RSA_PKCS
            | CKM_SHA256_RSA_PKCS
            | CKM_SHA512_RSA_PKCS
            | CKM_RSA_PKCS_PSS
            | CKM_SHA256_RSA_PKCS_PSS => &[Sort::RsaPublic],
            _ => &[],
        };
        let key = if sorts.is_empty() { made.key } else { self.object_of(sorts, random) };
        Next { action: Action::Init { kind, session, mechanism: made.mechanism.clone(), key }, case: "" }
    }

    fn begin(&self, session: usize, random: &mut Random) -> Next {
        if !self.outputs.is_empty() && random.once_in(3) {
            return self.begin_inverse(session, random);
        }
        let none = |kind| Mechanism { kind, parameter: Parameter::None };
        let mut case = "";
        let (kind, mechanism, sorts): (Kind, Mechanism, &[Sort]) = match random.below(12) {
            0..=2 => {
                let kinds = [CKM_SHA_1, CKM_SHA224, CKM_SHA256, CKM_SHA384, CKM_SHA512];
                (Kind::Digest, none(*random.one_of(&kinds)), &[])
            }
            3 => {
                let (mechanism, named) = wrong_mechanism(random);
                case = named;
                (*random.one_of(&[Kind::Digest, Kind::Sign, Kind::Encrypt]), mechanism, &SORTS)
            }
            4..=7 => {
                let mechanism = sign_mechanism(random);
                let signs = random.once_in(2);
                let sorts: &[Sort] = match (mechanism.kind, signs) {
                    (CKM_SHA256_HMAC | CKM_SHA512_HMAC, _) => &[Sort::Generic],
                    (CKM_ECDSA, true) => &[Sort::EcPrivate],
                    (CKM_ECDSA, false) => &[Sort::EcPublic],
                    (_, true) => &[Sort::RsaPrivate],
                    (_, false) => &[Sort::RsaPublic],
                };
                (if signs { Kind::Sign } else { Kind::Verify }, mechanism, sorts)
            }
            _ => {
                let kind = *random.one_of(&[Kind::Encrypt, Kind::Decrypt]);
                (kind, cipher_mechanism(random), &[Sort::Aes])
            }
        };
        let key = self.object_of(sorts, random);
        Next { action: Action::Init { kind, session, mechanism, key }, case }
    }

    /// A step of an operation, by the kind of what is active or pretends to be.
    fn step(&self, session: usize, active: &Active, random: &mut Random) -> Next {
        let kind = active.kind;
        let data = self.data(active, random);
        let plain = |action| Next { action, case: "" };
        let update = |data| Action::Update { kind, session, data, room: Room::Plenty };
        let room = match (kind, random.below(6)) {
            (Kind::Digest | Kind::Sign, 0) => Room::Ask,
            (Kind::Digest | Kind::Sign, 1) => Room::Bytes(random.below(16)),
            _ => Room::Plenty,
        };
        match (kind, random.below(5)) {
            (Kind::Verify, 0..=2) => {
                let Bytes::These(data) = data else { unreachable!("only ciphertexts are earlier outputs") };
                let (data, signature) = self.signed(active, random).unwrap_or((data, no_signature(random)));
                if active.parts && !random.once_in(8) {
                    return plain(Action::VerifyFinal { session, signature });
                }
                plain(Action::Verify { session, data, signature })
            }
            (Kind::Digest, 4) if random.once_in(3) => {
                let sort = *random.one_of(&[Sort::Generic, Sort::Aes, Sort::Data, Sort::EcPublic]);
                plain(Action::DigestKey { session, key: self.object_of(&[sort], random) })
            }
            (_, 0) if kind != Kind::Verify && active.parts => {
                plain(Action::Whole { kind, session, data, room })
            }
            (_, 0..=2) if kind != Kind::Verify && !active.parts => {
                plain(Action::Whole { kind, session, data, room })
            }
            (_, 1 | 2) if kind != Kind::Verify => plain(Action::Final { kind, session, room }),
            _ => plain(update(data)),
        }
    }

    /// Data of a length that suits the mechanism, mostly.
    fn data(&self, active: &Active, random: &mut Random) -> Bytes {
        let fitting: Vec<_> = (0..self.outputs.len())
            .filter(|number| self.outputs[*number].mechanism == active.mechanism)
            .collect();
        if !fitting.is_empty() && !random.once_in(6) {
            let number = *random.one_of(&fitting);
            match active.kind {
                Kind::Decrypt => {
                    let of_ours = random.once_in(2);
                    return Bytes::Output { number, of_ours, alter: random.once_in(5) };
                }
                // All of a message that was signed, for a verification in parts.
                Kind::Verify if !active.parts => return Bytes::These(self.outputs[number].data.clone()),
                _ => {}
            }
        }
        let len = match active.mechanism.kind {
            CKM_AES_CBC | CKM_AES_CBC_PAD if !random.once_in(6) => 16 * (1 + random.below(4)),
            CKM_ECDSA => 32,
            CKM_RSA_PKCS => *random.one_of(&[20, 51, 245, 246, 246, 300]),
            CKM_RSA_PKCS_PSS => *random.one_of(&[32, 32, 31]),
            _ => 1 + random.below(80),
        };
        Bytes::These(random.bytes(len))
    }

    /// A message with its signature under the active mechanism, the signature altered now and then.
    fn signed(&self, active: &Active, random: &mut Random) -> Option<(Vec<u8>, Bytes)> {
        let fitting: Vec<_> = (0..self.outputs.len())
            .filter(|number| {
                let made = &self.outputs[*number];
                made.mechanism == active.mechanism && (!active.parts || made.data == active.data)
            })
            .collect();
        if fitting.is_empty() {
            return None;
        }
        let number = *random.one_of(&fitting);
        let signature = Bytes::Output { number, of_ours: random.once_in(2), alter: random.once_in(4) };
        Some((self.outputs[number].data.clone(), signature))
    }
}

fn no_signature(random: &mut Random) -> Bytes {
    let len = *random.one_of(&[31, 32, 64, 255, 256]);
    Bytes::These(random.bytes(len))
}

fn sign_mechanism(random: &mut Random) -> Mechanism {
    let plain =
        [CKM_SHA256_HMAC, CKM_SHA512_HMAC, CKM_RSA_PKCS, CKM_SHA256_RSA_PKCS, CKM_SHA512_RSA_PKCS, CKM_ECDSA];
    let pss = Parameter::Pss { hash: CKM_SHA256, mgf: CKG_MGF1_SHA256, salt: 32 };
    match random.below(8) {
        6 => Mechanism { kind: CKM_RSA_PKCS_PSS, parameter: pss },
        7 => Mechanism { kind: CKM_SHA256_RSA_PKCS_PSS, parameter: pss },
        choice => Mechanism { kind: plain[choice], parameter: Parameter::None },
    }
}

fn cipher_mechanism(random: &mut Random) -> Mechanism {
    let gcm = Parameter::Gcm { iv: vec![7; 12], aad: vec![8; 20], tag_bits: 128 };
    let (kind, parameter) = match random.below(6) {
        0 | 1 => (CKM_AES_CBC, Parameter::Bytes(vec![9; 16])),
        2 | 3 => (CKM_AES_CBC_PAD, Parameter::Bytes(vec![9; 16])),
        4 => (CKM_AES_GCM, gcm),
        _ => (CKM_AES_CTR, Parameter::Ctr { bits: 128 }),
    };
    Mechanism { kind, parameter }
}

/// A mechanism that does not exist, has a wrong parameter, or does something else.
fn wrong_mechanism(random: &mut Random) -> (Mechanism, &'static str) {
    let (kind, parameter, case) = match random.below(4) {
        0 => (CKM_VENDOR_DEFINED + 77, Parameter::None, "no mechanism"),
        1 => (CKM_AES_CBC, Parameter::Bytes(vec![1; 15]), "an IV of 15 bytes"),
        2 => (CKM_SHA256_RSA_PKCS_PSS, Parameter::None, "PSS without a parameter"),
        _ => (CKM_AES_KEY_GEN, Parameter::None, "a mechanism of another function"),
    };
    (Mechanism { kind, parameter }, case)
}
