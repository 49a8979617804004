//! Templates that nobody would write: none of them may panic, and one that is refused makes nothing.

use super::*;
use crate::attribute::ATTRIBUTES;

/// Numbers that look random and are the same in every run (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn kind(&mut self) -> u64 {
        match self.below(8) {
            0 => self.below(0x700),
            1 => self.next(),
            _ => ATTRIBUTES[usize::try_from(self.below(ATTRIBUTES.len() as u64)).expect("an index")].kind,
        }
    }

    /// A template of some attributes, half of them of a sensible length.
    fn template(&mut self, depth: u8) -> Made {
        (0..self.below(7)).fold(Made::default(), |made, _| {
            let kind = self.kind();
            match self.below(12) {
                0 => made.malformed(kind),
                1 if depth == 0 => made.template(kind, self.template(1)),
                2 | 3 => made.bool(kind, self.below(2) == 1),
                4 | 5 => made.ulong(kind, self.below(80)),
                6 => made.ulong(kind, self.next()),
                7 => made.bytes(kind, &[6, 3, 0x2b, 0x65, 0x70]),
                8 => made.bytes(kind, &[7; 32]),
                _ => {
                    let len = self.below(70);
                    let bytes: Vec<u8> = (0..len).map(|_| self.next().to_le_bytes()[0]).collect();
                    made.bytes(kind, &bytes)
                }
            }
        })
    }
}

#[test]
fn no_template_panics_or_leaves_anything_half_done() {
    let fixture = Fixture::user();
    let mut numbers = Numbers(1);
    let bases = [
        Made::default(),
        data(),
        aes_key(),
        generic_key(),
        ed25519_private(),
        ml_dsa_private(),
        class(ck::CKO_CERTIFICATE).ulong(ck::CKA_CERTIFICATE_TYPE, ck::CKC_X_509).bytes(ck::CKA_SUBJECT, b""),
        key(ck::CKO_PUBLIC_KEY, ck::CKK_RSA),
        key(ck::CKO_PRIVATE_KEY, ck::CKK_EC),
    ];
    let wraps = fixture.created(&aes_key().bool(ck::CKA_UNWRAP, true));
    let original = fixture.created(&ed25519_private().and(&readable()));
    let mut accepted = 0;
    for round in 0..4000 {
        let base = &bases[round % bases.len()];
        let template = base.clone().and(&numbers.template(0));
        let before = fixture.find(&Made::default()).len();
        let made = match round % 5 {
            0 => fixture.create(&template),
            1 => fixture.copy(original, &numbers.template(0)),
            2 => fixture.generate(ck::CKM_AES_KEY_GEN, &numbers.template(0).ulong(ck::CKA_VALUE_LEN, 16)),
            3 => {
                let edwards = Made::default().bytes(ck::CKA_EC_PARAMS, ED25519).and(&numbers.template(0));
                let pair =
                    fixture.generate_pair(ck::CKM_EC_EDWARDS_KEY_PAIR_GEN, &edwards, &numbers.template(0));
                pair.map(|(public, private)| {
                    assert_eq!(fixture.module.destroy_object(fixture.rw, public), Ok(()));
                    private
                })
            }
            _ => {
                let wrapped = numbers.template(0);
                let call = call(ck::CKM_AES_KEY_WRAP);
                let wrapped = [&wrapped.raw().len().to_le_bytes()[..], &[9; 16]].concat();
                fixture.module.unwrap_key(fixture.rw, call, wraps, &wrapped, &template.raw())
            }
        };
        if let Ok(object) = made {
            accepted += 1;
            let changed = fixture.set(object, &numbers.template(0));
            assert_ne!(changed, Err(Error::GeneralError));
            fixture
                .module
                .attribute_values(fixture.rw, object, &[numbers.kind(), ck::CKA_VALUE])
                .expect("there");
            // What C_SetAttributeValue or the template made indestructible stays until its session ends.
            let _ = fixture.module.destroy_object(fixture.rw, object);
        } else {
            assert_ne!(made, Err(Error::GeneralError));
            assert_eq!(fixture.find(&Made::default()).len(), before, "{made:?}");
        }
        let search = numbers.template(0);
        if fixture.module.find_objects_init(fixture.rw, &search.raw()).is_ok() {
            assert_eq!(fixture.module.find_objects_final(fixture.rw), Ok(()));
        }
    }
    assert!(accepted > 100, "{accepted} accepted: the templates are too wild to test anything");
}
