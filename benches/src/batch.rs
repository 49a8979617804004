//! Many imports in one call: T_CreateObjects of the vendor interface, which `cryptoki` does not make.
#![expect(unsafe_code, reason = "a C function of the module is called through its pointer")]

use std::{path::Path, ptr};

use cryptoki::{
    object::{Attribute, KeyType, MlDsaParameterSetType, ObjectClass},
    session::Session,
};
use cryptoki_sys::*;

use crate::measure::{Result, Span};

/// T_FUNCTION_LIST 1.2, of which only the last function is called.
#[repr(C)]
struct Functions {
    version: CK_VERSION,
    others: [Option<unsafe extern "C" fn()>; 4],
    create_objects: Option<
        unsafe extern "C" fn(
            CK_SESSION_HANDLE,
            *mut *mut CK_ATTRIBUTE,
            *mut CK_ULONG,
            CK_ULONG,
            *mut CK_OBJECT_HANDLE,
        ) -> CK_RV,
    >,
}

/// How long one call takes that imports a key pair for each seed: ML-DSA-65, or else Ed25519. `module` is this
/// project's, in which the session is the user's; the objects stay on the token.
pub(crate) fn import(module: &Path, session: &Session, ml_dsa: bool, seeds: &[[u8; 32]]) -> Result<Span> {
    let templates: Vec<_> = seeds.iter().flat_map(|seed| pair(ml_dsa, seed)).collect();
    let structs = |template: &Vec<Attribute>| template.iter().map(Into::into).collect();
    let mut attributes: Vec<Vec<CK_ATTRIBUTE>> = templates.iter().map(structs).collect();
    let mut counts: Vec<_> = attributes.iter().map(|one| one.len() as CK_ULONG).collect();
    let mut pointers: Vec<_> = attributes.iter_mut().map(|one| one.as_mut_ptr()).collect();
    let mut handles: Vec<CK_OBJECT_HANDLE> = vec![0; templates.len()];
    let number = templates.len() as CK_ULONG;

    // SAFETY: the library is loaded already, so that loading it once more runs nothing.
    let library = unsafe { Pkcs11::new(module) }?;
    let find = library.C_GetInterface.as_ref().map_err(|error| error.to_string())?;
    let mut version = CK_VERSION { major: 1, minor: 2 };
    let mut interface: *mut CK_INTERFACE = ptr::null_mut();
    // SAFETY: name and version are valid for the call, and `interface` may be written to.
    let code = unsafe { find(c"Vendor Trellis".as_ptr().cast_mut().cast(), &mut version, &mut interface, 0) };
    if code != CKR_OK || interface.is_null() {
        return Err("the module has no vendor interface 1.2".into());
    }
    // SAFETY: name and version fix the list's layout; it lives as long as the library.
    let functions = unsafe { (*interface).pFunctionList.cast::<Functions>().read_unaligned() };
    let create = functions.create_objects.ok_or("the module has no T_CreateObjects")?;
    let start = Span::start();
    // SAFETY: each array has `number` elements, and each template as many attributes as its count says.
    let code = unsafe {
        create(session.handle(), pointers.as_mut_ptr(), counts.as_mut_ptr(), number, handles.as_mut_ptr())
    };
    let took = Span::since(start);
    if code == CKR_OK { Ok(took) } else { Err(format!("T_CreateObjects: {code:#x}").into()) }
}

/// Both halves; the public one takes its value from the private one.
fn pair(ml_dsa: bool, seed: &[u8; 32]) -> [Vec<Attribute>; 2] {
    let key_type = if ml_dsa { KeyType::ML_DSA } else { KeyType::EC_EDWARDS };
    let half = |class| {
        vec![
            Attribute::Class(class),
            Attribute::KeyType(key_type),
            Attribute::Token(true),
            Attribute::Label(format!("{:02x?}", &seed[..8]).into_bytes()),
            Attribute::Id(seed[..16].to_vec()),
        ]
    };
    let mut private = half(ObjectClass::PRIVATE_KEY);
    private.push(Attribute::Sign(true));
    private.extend(match ml_dsa {
        true => {
            [Attribute::ParameterSet(MlDsaParameterSetType::ML_DSA_65.into()), Attribute::Seed(seed.to_vec())]
        }
        false => [Attribute::EcParams(vec![0x06, 0x03, 0x2b, 0x65, 0x70]), Attribute::Value(seed.to_vec())],
    });
    let mut public = half(ObjectClass::PUBLIC_KEY);
    public.push(Attribute::Verify(true));
    [private, public]
}
