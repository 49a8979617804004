//! Makes a call in one of the modules.

use std::ptr::{null, null_mut};

use cryptoki_sys::*;
use trellis_tests::{c, objects::Template};

use crate::{
    action::{Action, Attributes, Bytes, Kind, Mechanism, Outcome, Parameter, Room},
    side::{NO_HANDLE, Side},
};

fn owned(template: &Attributes) -> Template {
    template.iter().fold(Template::new(), |all, (kind, value)| all.bytes(*kind, value))
}

fn input(bytes: &[u8]) -> (*mut u8, CK_ULONG) {
    (bytes.as_ptr().cast_mut(), bytes.len() as CK_ULONG)
}

/// Makes a call that writes into a buffer.
fn output(room: Room, call: impl FnOnce(*mut u8, *mut CK_ULONG) -> CK_RV) -> Outcome {
    let mut buffer = match room {
        Room::Ask => Vec::new(),
        Room::Bytes(len) => vec![0; len.max(1)],
        Room::Plenty => vec![0; 4096],
    };
    let mut len = if let Room::Bytes(len) = room { len } else { buffer.len() } as CK_ULONG;
    let pointer = if room == Room::Ask { null_mut() } else { buffer.as_mut_ptr() };
    let rv = call(pointer, &raw mut len);
    let output = match (rv, room) {
        (CKR_OK, Room::Ask) | (CKR_BUFFER_TOO_SMALL, _) => len.to_ne_bytes().to_vec(),
        (CKR_OK, _) => buffer[..len as usize].to_vec(),
        _ => Vec::new(),
    };
    Outcome { rv, output, handles: Vec::new() }
}

impl Mechanism {
    /// Calls with the C struct.
    fn with<T>(&self, call: impl FnOnce(*mut CK_MECHANISM) -> T) -> T {
        let mut raw = CK_MECHANISM { mechanism: self.kind, ..CK_MECHANISM::default() };
        let (pss, gcm, ctr);
        let (pointer, len): (*const std::ffi::c_void, usize) = match &self.parameter {
            Parameter::None => (null(), 0),
            Parameter::Bytes(bytes) => (bytes.as_ptr().cast(), bytes.len()),
            Parameter::Pss { hash, mgf, salt } => {
                pss = CK_RSA_PKCS_PSS_PARAMS { hashAlg: *hash, mgf: *mgf, sLen: *salt };
                ((&raw const pss).cast(), size_of_val(&pss))
            }
            Parameter::Gcm { iv, aad, tag_bits } => {
                gcm = CK_GCM_PARAMS {
                    pIv: iv.as_ptr().cast_mut(),
                    ulIvLen: iv.len() as CK_ULONG,
                    ulIvBits: 8 * iv.len() as CK_ULONG,
                    pAAD: aad.as_ptr().cast_mut(),
                    ulAADLen: aad.len() as CK_ULONG,
                    ulTagBits: *tag_bits,
                };
                ((&raw const gcm).cast(), size_of_val(&gcm))
            }
            Parameter::Ctr { bits } => {
                ctr = CK_AES_CTR_PARAMS { ulCounterBits: *bits, cb: [0; 16] };
                ((&raw const ctr).cast(), size_of_val(&ctr))
            }
        };
        (raw.pParameter, raw.ulParameterLen) = (pointer.cast_mut(), len as CK_ULONG);
        call(&raw mut raw)
    }
}

impl Side {
    /// Makes a call. `ours` and `theirs` are the earlier outputs of both sides.
    pub(crate) fn make(&self, action: &Action, ours: &[Vec<u8>], theirs: &[Vec<u8>]) -> Outcome {
        let bytes = |bytes: &Bytes| match bytes {
            Bytes::These(these) => these.clone(),
            Bytes::Output { number, of_ours, alter } => {
                let mut output = if *of_ours { ours } else { theirs }[*number].clone();
                if let (true, Some(last)) = (*alter, output.last_mut()) {
                    *last ^= 1;
                }
                output
            }
        };
        match action {
            Action::Open { flags } => made(self.open(*flags)),
            Action::Close { session } => c!(self.C_CloseSession(self.session(*session))).into(),
            Action::Info { session } => self.info(self.session(*session)),
            Action::Login { session, user, pin } => {
                let (pin, len) = input(pin);
                c!(self.C_Login(self.session(*session), *user, pin, len)).into()
            }
            Action::Logout { session } => c!(self.C_Logout(self.session(*session))).into(),
            Action::Create { session, template } => {
                let (template, mut object) = (owned(template), NO_HANDLE);
                let mut list = template.attributes();
                let count = list.len() as CK_ULONG;
                let session = self.session(*session);
                let rv = c!(self.C_CreateObject(session, list.as_mut_ptr(), count, &raw mut object));
                made((rv, object))
            }
            Action::Copy { session, object, template } => {
                let (template, mut copy) = (owned(template), NO_HANDLE);
                let mut list = template.attributes();
                let count = list.len() as CK_ULONG;
                let (session, object) = (self.session(*session), self.object(*object));
                let rv = c!(self.C_CopyObject(session, object, list.as_mut_ptr(), count, &raw mut copy));
                made((rv, copy))
            }
            Action::Destroy { session, object } => {
                c!(self.C_DestroyObject(self.session(*session), self.object(*object))).into()
            }
            Action::Get { session, object, kinds, room } => {
                self.get(self.session(*session), self.object(*object), kinds, *room)
            }
            Action::Set { session, object, template } => {
                let template = owned(template);
                let mut list = template.attributes();
                let count = list.len() as CK_ULONG;
                let (session, object) = (self.session(*session), self.object(*object));
                c!(self.C_SetAttributeValue(session, object, list.as_mut_ptr(), count)).into()
            }
            Action::Search { session, template } => self.search(self.session(*session), template),
            Action::FindInit { session, template } => self.find_init(self.session(*session), template).into(),
            Action::Find { session, max } => self.find(self.session(*session), *max),
            Action::FindFinal { session } => c!(self.C_FindObjectsFinal(self.session(*session))).into(),
            Action::Init { kind, session, mechanism, key } => {
                let (session, key) = (self.session(*session), self.object(*key));
                let rv = mechanism.with(|mechanism| match kind {
                    Kind::Digest => c!(self.C_DigestInit(session, mechanism)),
                    Kind::Sign => c!(self.C_SignInit(session, mechanism, key)),
                    Kind::Verify => c!(self.C_VerifyInit(session, mechanism, key)),
                    Kind::Encrypt => c!(self.C_EncryptInit(session, mechanism, key)),
                    Kind::Decrypt => c!(self.C_DecryptInit(session, mechanism, key)),
                });
                rv.into()
            }
            Action::Whole { kind, session, data, room } => {
                let (session, data) = (self.session(*session), bytes(data));
                let (data, data_len) = input(&data);
                output(*room, |out, len| match kind {
                    Kind::Digest => c!(self.C_Digest(session, data, data_len, out, len)),
                    Kind::Sign => c!(self.C_Sign(session, data, data_len, out, len)),
                    Kind::Encrypt => c!(self.C_Encrypt(session, data, data_len, out, len)),
                    Kind::Decrypt => c!(self.C_Decrypt(session, data, data_len, out, len)),
                    Kind::Verify => unreachable!("has no output"),
                })
            }
            Action::Update { kind, session, data, room } => {
                let (session, data) = (self.session(*session), bytes(data));
                let (data, data_len) = input(&data);
                match kind {
                    Kind::Digest => c!(self.C_DigestUpdate(session, data, data_len)).into(),
                    Kind::Sign => c!(self.C_SignUpdate(session, data, data_len)).into(),
                    Kind::Verify => c!(self.C_VerifyUpdate(session, data, data_len)).into(),
                    Kind::Encrypt => {
                        output(*room, |out, len| c!(self.C_EncryptUpdate(session, data, data_len, out, len)))
                    }
                    Kind::Decrypt => {
                        output(*room, |out, len| c!(self.C_DecryptUpdate(session, data, data_len, out, len)))
                    }
                }
            }
            Action::Final { kind, session, room } => {
                let session = self.session(*session);
                output(*room, |out, len| match kind {
                    Kind::Digest => c!(self.C_DigestFinal(session, out, len)),
                    Kind::Sign => c!(self.C_SignFinal(session, out, len)),
                    Kind::Encrypt => c!(self.C_EncryptFinal(session, out, len)),
                    Kind::Decrypt => c!(self.C_DecryptFinal(session, out, len)),
                    Kind::Verify => unreachable!("has no output"),
                })
            }
            Action::Verify { session, data, signature } => {
                let signature = bytes(signature);
                let ((data, data_len), (signature, len)) = (input(data), input(&signature));
                c!(self.C_Verify(self.session(*session), data, data_len, signature, len)).into()
            }
            Action::VerifyFinal { session, signature } => {
                let signature = bytes(signature);
                let (signature, len) = input(&signature);
                c!(self.C_VerifyFinal(self.session(*session), signature, len)).into()
            }
            Action::DigestKey { session, key } => {
                c!(self.C_DigestKey(self.session(*session), self.object(*key))).into()
            }
            Action::Random { session, len } => {
                let mut random = vec![0; *len];
                let (pointer, len) = (random.as_mut_ptr(), random.len() as CK_ULONG);
                c!(self.C_GenerateRandom(self.session(*session), pointer, len)).into()
            }
        }
    }

    fn info(&self, session: CK_SESSION_HANDLE) -> Outcome {
        let mut info = CK_SESSION_INFO::default();
        let rv = c!(self.C_GetSessionInfo(session, &raw mut info));
        let output = if rv == CKR_OK { vec![info.state as u8, info.flags as u8] } else { Vec::new() };
        Outcome { output, ..rv.into() }
    }

    fn get(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        kinds: &[CK_ATTRIBUTE_TYPE],
        room: usize,
    ) -> Outcome {
        let mut values: Vec<_> = kinds.iter().map(|_| vec![0_u8; room]).collect();
        let attribute = |(kind, value): (&CK_ATTRIBUTE_TYPE, &mut Vec<u8>)| CK_ATTRIBUTE {
            type_: *kind,
            pValue: value.as_mut_ptr().cast(),
            ulValueLen: room as CK_ULONG,
        };
        let mut list: Vec<_> = kinds.iter().zip(&mut values).map(attribute).collect();
        let rv = c!(self.C_GetAttributeValue(session, object, list.as_mut_ptr(), list.len() as CK_ULONG));
        let mut output = Vec::new();
        if matches!(rv, CKR_OK | CKR_ATTRIBUTE_SENSITIVE | CKR_ATTRIBUTE_TYPE_INVALID | CKR_BUFFER_TOO_SMALL)
        {
            for (attribute, value) in list.iter().zip(values) {
                output.extend(attribute.ulValueLen.to_ne_bytes());
                let len = usize::try_from(attribute.ulValueLen).unwrap_or(usize::MAX).min(room);
                output.extend(&value[..len]);
            }
        }
        Outcome { output, ..rv.into() }
    }

    fn find_init(&self, session: CK_SESSION_HANDLE, template: &Attributes) -> CK_RV {
        let template = owned(template);
        let mut list = template.attributes();
        c!(self.C_FindObjectsInit(session, list.as_mut_ptr(), list.len() as CK_ULONG))
    }

    /// How many; which come first is nobody's promise.
    fn find(&self, session: CK_SESSION_HANDLE, max: CK_ULONG) -> Outcome {
        let (mut found, mut count) = (vec![0; max as usize], 0);
        let rv = c!(self.C_FindObjects(session, found.as_mut_ptr(), max, &raw mut count));
        let output = if rv == CKR_OK { vec![count as u8] } else { Vec::new() };
        Outcome { output, ..rv.into() }
    }

    /// The labels of all that is found, in their order, and the handles in the same order.
    fn search(&self, session: CK_SESSION_HANDLE, template: &Attributes) -> Outcome {
        let begun = self.find_init(session, template);
        if begun != CKR_OK {
            return begun.into();
        }
        let (mut found, mut count) = ([0; 500], 0);
        let rv = c!(self.C_FindObjects(session, found.as_mut_ptr(), 500, &raw mut count));
        let ended = c!(self.C_FindObjectsFinal(session));
        assert_eq!((rv, ended), (CKR_OK, CKR_OK));
        let mut labelled: Vec<(Vec<u8>, CK_ULONG)> = Vec::new();
        for object in &found[..count as usize] {
            labelled.push((self.get(session, *object, &[CKA_LABEL], 32).output, *object));
        }
        labelled.sort_unstable();
        let mut output = Vec::new();
        labelled.iter().for_each(|(label, _)| output.extend_from_slice(label));
        Outcome { rv, output, handles: labelled.into_iter().map(|(_, handle)| handle).collect() }
    }
}

fn made((rv, handle): (CK_RV, CK_ULONG)) -> Outcome {
    Outcome { handles: if rv == CKR_OK { vec![handle] } else { Vec::new() }, ..rv.into() }
}
