//! The objects that sequences are made of: keys that both sides import, so that both compute the same.

use cryptoki_sys::*;
use trellis_tests::{
    c,
    objects::{P256, Template},
    random::Random,
};

use crate::{
    action::Attributes,
    side::{NO_HANDLE, Side},
};

/// What an object is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Data,
    Generic,
    Aes,
    RsaPublic,
    RsaPrivate,
    EcPublic,
    EcPrivate,
}

impl Sort {
    pub(crate) fn has_secret(self) -> bool {
        matches!(self, Self::Generic | Self::Aes | Self::RsaPrivate | Self::EcPrivate)
    }
}

pub(crate) const SORTS: [Sort; 7] = [
    Sort::Data,
    Sort::Generic,
    Sort::Aes,
    Sort::RsaPublic,
    Sort::RsaPrivate,
    Sort::EcPublic,
    Sort::EcPrivate,
];

/// The parts of an RSA key and an EC key.
#[derive(Debug)]
pub(crate) struct Keys {
    rsa_public: Attributes,
    rsa_private: Attributes,
    ec_public: Attributes,
    ec_private: Attributes,
}

impl Keys {
    /// Has a module generate them and give them away. Leaves nothing behind.
    pub(crate) fn generate(side: &Side) -> Self {
        let session = side.open(CKF_SERIAL_SESSION | CKF_RW_SESSION).1;
        let bits = Template::new().number(CKA_MODULUS_BITS, 2048).bytes(CKA_PUBLIC_EXPONENT, &[1, 0, 1]);
        let rsa = pair(side, session, CKM_RSA_PKCS_KEY_PAIR_GEN, &bits);
        let ec = pair(side, session, CKM_EC_KEY_PAIR_GEN, &Template::new().bytes(CKA_EC_PARAMS, P256));
        let parts = |object, kinds: &[CK_ATTRIBUTE_TYPE]| -> Attributes {
            kinds.iter().map(|kind| (*kind, value(side, session, object, *kind))).collect()
        };
        let rsa_kinds = [
            CKA_MODULUS,
            CKA_PUBLIC_EXPONENT,
            CKA_PRIVATE_EXPONENT,
            CKA_PRIME_1,
            CKA_PRIME_2,
            CKA_EXPONENT_1,
            CKA_EXPONENT_2,
            CKA_COEFFICIENT,
        ];
        let keys = Self {
            rsa_public: parts(rsa.0, &rsa_kinds[..2]),
            rsa_private: parts(rsa.1, &rsa_kinds),
            ec_public: parts(ec.0, &[CKA_EC_PARAMS, CKA_EC_POINT]),
            ec_private: parts(ec.1, &[CKA_EC_PARAMS, CKA_VALUE]),
        };
        assert_eq!(c!(side.C_CloseSession(session)), CKR_OK);
        keys
    }

    /// A whole template for C_CreateObject.
    pub(crate) fn template(&self, sort: Sort, random: &mut Random) -> Attributes {
        let key = |class: CK_OBJECT_CLASS, key_type: CK_KEY_TYPE, uses: &[CK_ATTRIBUTE_TYPE]| {
            let mut list = vec![number(CKA_CLASS, class), number(CKA_KEY_TYPE, key_type)];
            list.extend(uses.iter().map(|usage| (*usage, vec![1])));
            list
        };
        let (public, private, secret) = (CKO_PUBLIC_KEY, CKO_PRIVATE_KEY, CKO_SECRET_KEY);
        let (mut list, rest) = match sort {
            Sort::Data => {
                let len = 1 + random.below(40);
                (vec![number(CKA_CLASS, CKO_DATA)], vec![(CKA_VALUE, random.bytes(len))])
            }
            Sort::Generic => {
                let len = 16 + random.below(48);
                (
                    key(secret, CKK_GENERIC_SECRET, &[CKA_SIGN, CKA_VERIFY]),
                    vec![(CKA_VALUE, random.bytes(len))],
                )
            }
            Sort::Aes => {
                let len = *random.one_of(&[16, 32]);
                (key(secret, CKK_AES, &[CKA_ENCRYPT, CKA_DECRYPT]), vec![(CKA_VALUE, random.bytes(len))])
            }
            Sort::RsaPublic => (key(public, CKK_RSA, &[CKA_VERIFY]), self.rsa_public.clone()),
            Sort::RsaPrivate => (key(private, CKK_RSA, &[CKA_SIGN]), self.rsa_private.clone()),
            Sort::EcPublic => (key(public, CKK_EC, &[CKA_VERIFY]), self.ec_public.clone()),
            Sort::EcPrivate => (key(private, CKK_EC, &[CKA_SIGN]), self.ec_private.clone()),
        };
        list.extend(rest);
        list
    }
}

pub(crate) fn number(kind: CK_ATTRIBUTE_TYPE, value: CK_ULONG) -> (CK_ATTRIBUTE_TYPE, Vec<u8>) {
    (kind, value.to_ne_bytes().to_vec())
}

fn pair(
    side: &Side,
    session: CK_SESSION_HANDLE,
    mechanism: CK_MECHANISM_TYPE,
    public: &Template,
) -> (CK_OBJECT_HANDLE, CK_OBJECT_HANDLE) {
    let open =
        Template::new().flag(CKA_PRIVATE, false).flag(CKA_SENSITIVE, false).flag(CKA_EXTRACTABLE, true);
    let (mut public, mut private) = (public.attributes(), open.attributes());
    let (public_count, private_count) = (public.len() as CK_ULONG, private.len() as CK_ULONG);
    let mut mechanism = CK_MECHANISM { mechanism, ..CK_MECHANISM::default() };
    let mut keys = (NO_HANDLE, NO_HANDLE);
    let rv = c!(side.C_GenerateKeyPair(
        session,
        &raw mut mechanism,
        public.as_mut_ptr(),
        public_count,
        private.as_mut_ptr(),
        private_count,
        &raw mut keys.0,
        &raw mut keys.1,
    ));
    assert_eq!(rv, CKR_OK);
    keys
}

fn value(
    side: &Side,
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    kind: CK_ATTRIBUTE_TYPE,
) -> Vec<u8> {
    let mut value = vec![0_u8; 512];
    let mut attribute = CK_ATTRIBUTE { type_: kind, pValue: value.as_mut_ptr().cast(), ulValueLen: 512 };
    assert_eq!(c!(side.C_GetAttributeValue(session, object, &raw mut attribute, 1)), CKR_OK);
    value.truncate(attribute.ulValueLen as usize);
    value
}
