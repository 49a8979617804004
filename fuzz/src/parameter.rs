//! CK_MECHANISM with parameters made of choices.

use cryptoki_sys as ck;
use trellis_pkcs11::mechanism::{MECHANISMS, ParameterKind, row};

use crate::Choices;

/// A mechanism with the memory that it points to.
pub struct Parameter {
    raw: ck::CK_MECHANISM,
    _block: Box<[u8]>,
    _nested: Vec<Box<[u8]>>,
}

/// Which function of the module will read the parameters: AES-GCM has a struct for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "C_WrapKey and C_UnwrapKey; the Authenticated functions; all others")]
pub enum For {
    Wrapping,
    AuthenticatedWrapping,
    Others,
}

impl Parameter {
    /// A mechanism of choices: mostly one of the table, with the struct that it takes.
    pub fn new(choices: &mut Choices<'_>, purpose: For) -> Self {
        Self::made(any_mechanism(choices), choices, purpose)
    }

    /// The mechanism given, without parameters.
    pub fn plain(kind: u64) -> Self {
        Self::of_block(kind, Vec::new(), Vec::new())
    }

    /// pMechanism.
    pub fn as_mut_ptr(&mut self) -> *mut ck::CK_MECHANISM {
        &mut self.raw
    }

    fn made(kind: u64, choices: &mut Choices<'_>, purpose: For) -> Self {
        let known = row(kind).map(|row| row.parameter);
        let mut fields = Fields { choices, block: Vec::new(), nested: Vec::new() };
        match known {
            Some(shape) if fields.choices.byte() < 0xe0 => fields.add(shape, purpose),
            _ => {
                fields.block = fields.choices.block().into();
                // Not the length of a struct with pointers in it: these bytes are none.
                if matches!(fields.block.len(), 24 | 32 | 48 | 56) {
                    fields.block.push(0);
                }
            }
        }
        Self::of_block(kind, fields.block, fields.nested)
    }

    fn of_block(kind: u64, block: Vec<u8>, nested: Vec<Box<[u8]>>) -> Self {
        let mut block = block.into_boxed_slice();
        let pointer = if block.is_empty() { std::ptr::null_mut() } else { block.as_mut_ptr() };
        let raw = ck::CK_MECHANISM {
            mechanism: kind,
            pParameter: pointer.cast(),
            ulParameterLen: block.len() as ck::CK_ULONG,
        };
        Self { raw, _block: block, _nested: nested }
    }
}

/// A struct under construction. In the layout of 64-bit machines each field takes eight bytes, with padding behind
/// smaller ones.
struct Fields<'a, 'b> {
    choices: &'a mut Choices<'b>,
    block: Vec<u8>,
    nested: Vec<Box<[u8]>>,
}

impl Fields<'_, '_> {
    fn add(&mut self, shape: ParameterKind, purpose: For) {
        match (shape, purpose) {
            (ParameterKind::None, _) => {}
            (ParameterKind::SignContext, _) => {
                self.number();
                self.place();
            }
            (ParameterKind::HashSignContext, _) => {
                self.number();
                self.place();
                self.mechanism();
            }
            (ParameterKind::Eddsa, _) => {
                self.number();
                self.place();
                let len = self.block.len();
                self.block[8..len].rotate_left(8);
            }
            (ParameterKind::Pss, _) => {
                self.mechanism();
                self.number();
                self.number();
            }
            (ParameterKind::Gcm, For::Others) => {
                self.place();
                self.number();
                self.place();
                self.number();
            }
            (ParameterKind::Gcm, For::Wrapping) => {
                self.place();
                self.number();
                self.number();
                self.place();
                self.number();
            }
            (ParameterKind::Gcm, For::AuthenticatedWrapping) => {
                self.place();
                self.number();
                self.number();
                // The module may write a whole tag.
                self.block_of(Box::new([0; 16]));
                self.number();
            }
            (ParameterKind::Ctr, _) => (0..3).for_each(|_| self.number()),
            (ParameterKind::Iv16, _) => (0..2).for_each(|_| self.number()),
            (ParameterKind::KeyWrapIv | ParameterKind::MacLength, _) => self.number(),
            (ParameterKind::PaddedKeyWrapIv, _) => {
                self.number();
                self.block.truncate(4);
            }
        }
    }

    fn field(&mut self, value: u64) {
        self.block.extend(value.to_ne_bytes());
    }

    fn number(&mut self) {
        let number = self.choices.number();
        self.field(number);
    }

    fn mechanism(&mut self) {
        let kind = any_mechanism(self.choices);
        self.field(kind);
    }

    /// A pointer and a length that may be given together: a block and its length, or NULL and anything.
    fn place(&mut self) {
        if self.choices.byte() == 0 {
            self.field(0);
            return self.number();
        }
        let block = self.choices.block();
        let len = block.len() as u64;
        self.block_of(block);
        self.field(len);
    }

    fn block_of(&mut self, mut block: Box<[u8]>) {
        self.field(block.as_mut_ptr() as u64);
        self.nested.push(block);
    }
}

fn any_mechanism(choices: &mut Choices<'_>) -> u64 {
    match choices.byte() {
        u8::MAX => choices.number(),
        index => MECHANISMS[usize::from(index) % MECHANISMS.len()].kind,
    }
}
