//! What can be wrong with a template.

use cryptoki_sys::*;
use trellis_tests::random::Random;

use crate::{
    action::Attributes,
    objects::{Sort, number},
};

/// Makes one thing wrong in a template for C_CreateObject, and names it.
pub(crate) fn spoil(template: &mut Attributes, sort: Sort, random: &mut Random) -> &'static str {
    let remove = |template: &mut Attributes, kind| template.retain(|(of, _)| *of != kind);
    match random.below(9) {
        0 => {
            remove(template, CKA_CLASS);
            "no class"
        }
        1 => {
            remove(template, CKA_CLASS);
            template.push(number(CKA_CLASS, 0x7777));
            "an unknown class"
        }
        2 => {
            remove(template, CKA_TOKEN);
            template.push((CKA_TOKEN, vec![0, 0]));
            "a CK_BBOOL of two bytes"
        }
        3 => {
            template.push((0x4000_7777, vec![1]));
            "an unknown attribute"
        }
        4 if sort != Sort::Data => {
            template.push((CKA_LOCAL, vec![1]));
            "CKA_LOCAL is given"
        }
        5 if sort == Sort::Data => {
            template.push((CKA_MODULUS, vec![1]));
            "an attribute of another class"
        }
        6 if sort != Sort::Data => {
            remove(template, CKA_KEY_TYPE);
            "no key type"
        }
        7 if matches!(sort, Sort::Generic | Sort::Aes) => {
            remove(template, CKA_VALUE);
            "no value"
        }
        8 if sort == Sort::Aes => {
            remove(template, CKA_VALUE);
            template.push((CKA_VALUE, vec![1; 15]));
            "an AES key of 15 bytes"
        }
        _ => {
            let label = template.iter().find(|(kind, _)| *kind == CKA_LABEL).unwrap().clone();
            template.push((label.0, b"another".to_vec()));
            "an attribute twice"
        }
    }
}
