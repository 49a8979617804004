//! What a process that has died left half done in the HSM.

use std::sync::Arc;

use super::{LOCATOR_VERSION, NativeKey, SPKI, UNFINISHED, key_type};
use crate::{
    StoreError,
    pkcs11::{
        device::{Device, Session},
        keeper::number,
        raw::{Rv, Template},
    },
    sealed::{AtDevice, Settled},
};
use cryptoki_sys as ck;

type Names = (Vec<u8>, Vec<u8>);

/// What there is of a key before it is made: its random CKA_ID.
pub(in crate::pkcs11) fn before(made_id: [u8; 16]) -> AtDevice {
    let locator = [&[LOCATOR_VERSION], &made_id[..]].concat();
    AtDevice { locator, label: UNFINISHED.to_vec(), id: made_id.to_vec() }
}

/// Gives a key the names of its record, or destroys one that has no record. It is looked for under the names that it had, and
/// under those that it was made with; nothing happens where it is under neither.
pub(in crate::pkcs11) fn settle(
    device: &Arc<Device>,
    key: &AtDevice,
    record: Option<(&[u8], Names)>,
) -> Result<Settled, StoreError> {
    let locator = record.as_ref().map_or(&key.locator[..], |(locator, _)| locator);
    let (Some((&LOCATOR_VERSION, rest)), len) = (locator.split_first(), locator.len()) else {
        return Ok(Settled::ForGood);
    };
    let Some(made_id) = rest.get(..SPKI - 1).map(<[u8]>::to_vec) else { return Ok(Settled::ForGood) };
    let given = |id: &[u8]| if id.is_empty() { made_id.clone() } else { id.to_vec() };
    let places = [(key.label.clone(), given(&key.id)), (UNFINISHED.to_vec(), made_id.clone())];
    let new = record.as_ref().map(|(_, (label, id))| (label.clone(), given(id)));
    // What was not finished has the random CKA_ID and no other proof; nobody has seen its public key.
    let whole = (len > SPKI).then(|| NativeKey::located(device, locator, &key.label, &key.id)).transpose()?;
    let mut met = false;
    let done = device.call(|session| {
        for names in &places {
            let found = match &whole {
                Some(key) => {
                    let mut found = key.public_halves(session, (&names.0, &names.1))?;
                    let private = key.private_objects(session, names)?;
                    met |= !private.is_empty();
                    found.extend(private);
                    found
                }
                None => session.raw.find(session.handle, &named(names))?,
            };
            for object in found {
                match &new {
                    Some(new) => session.raw.set_values(session.handle, object, &named(new))?,
                    None => session.raw.destroy(session.handle, object)?,
                }
            }
        }
        // A search shows no private key to somebody whose login was taken.
        session.is_users()
    });
    done.map_err(|failure| failure.of(device, "C_DestroyObject"))?;
    // A pair that the HSM was about to make may come yet, by halves even. SoftHSM shows a key before it is whole, and writes it
    // once more: one that is destroyed in between comes again. And it may pass over a key whose file is being written.
    Ok(if met { Settled::ForGood } else { Settled::ForNow })
}

fn named((label, id): &Names) -> Template {
    vec![(ck::CKA_LABEL, label.clone()), (ck::CKA_ID, id.clone())]
}

impl NativeKey {
    /// The key itself, where it has these names.
    fn private_objects(&self, session: &Session, names: &Names) -> Result<Vec<ck::CK_OBJECT_HANDLE>, Rv> {
        let mut objects = Vec::new();
        let mut template = named(names);
        template.push((ck::CKA_CLASS, number(ck::CKO_PRIVATE_KEY)));
        template.push((ck::CKA_KEY_TYPE, number(key_type(self.public.algorithm()))));
        for handle in session.raw.find(session.handle, &template)? {
            if self.may_be(session, handle)? && self.proves(session, handle)? {
                objects.push(handle);
            }
        }
        Ok(objects)
    }
}
