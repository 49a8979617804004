//! Key management (PKCS#11 v3.2 section 5.18).

use cryptoki_sys as ck;

use super::{
    args::{self, Destination, Place},
    guard::exports,
    mechanism,
    wrapping::Wrapping,
};
use crate::handle::{ObjectHandle, SessionHandle};

exports! {
    fn C_GenerateKey(
        session: ck::CK_SESSION_HANDLE,
        mechanism: *mut ck::CK_MECHANISM,
        template: *mut ck::CK_ATTRIBUTE,
        count: ck::CK_ULONG,
        key: *mut ck::CK_OBJECT_HANDLE,
    ) |module| {
        let (place, template) = (Place::new(key)?, args::template(template, count)?);
        let mechanism = mechanism::call(module, mechanism)?;
        place.set(module.generate_key(SessionHandle(session), mechanism, &template)?.0);
        Ok(())
    }

    fn C_GenerateKeyPair(
        session: ck::CK_SESSION_HANDLE,
        mechanism: *mut ck::CK_MECHANISM,
        public_template: *mut ck::CK_ATTRIBUTE,
        public_count: ck::CK_ULONG,
        private_template: *mut ck::CK_ATTRIBUTE,
        private_count: ck::CK_ULONG,
        public_key: *mut ck::CK_OBJECT_HANDLE,
        private_key: *mut ck::CK_OBJECT_HANDLE,
    ) |module| {
        let (public_place, private_place) = (Place::new(public_key)?, Place::new(private_key)?);
        let public = args::template(public_template, public_count)?;
        let private = args::template(private_template, private_count)?;
        let mechanism = mechanism::call(module, mechanism)?;
        let pair = module.generate_key_pair(SessionHandle(session), mechanism, &public, &private)?;
        public_place.set(pair.0.0);
        private_place.set(pair.1.0);
        Ok(())
    }

    fn C_WrapKey(
        session: ck::CK_SESSION_HANDLE,
        mechanism: *mut ck::CK_MECHANISM,
        wrapping_key: ck::CK_OBJECT_HANDLE,
        key: ck::CK_OBJECT_HANDLE,
        wrapped: *mut ck::CK_BYTE,
        wrapped_len: *mut ck::CK_ULONG,
    ) |module| {
        let out = Destination::new(wrapped, wrapped_len)?;
        let (wrapping, asks_length) = (Wrapping::of_wrap(module, mechanism)?, out.asks_length());
        let (wrapping_key, key) = (ObjectHandle(wrapping_key), ObjectHandle(key));
        let call = wrapping.call.clone();
        out.fill(|out| module.wrap_key(SessionHandle(session), call, wrapping_key, key, out))?;
        if !asks_length {
            wrapping.give_back(&[]);
        }
        Ok(())
    }

    fn C_UnwrapKey(
        session: ck::CK_SESSION_HANDLE,
        mechanism: *mut ck::CK_MECHANISM,
        unwrapping_key: ck::CK_OBJECT_HANDLE,
        wrapped: *mut ck::CK_BYTE,
        wrapped_len: ck::CK_ULONG,
        template: *mut ck::CK_ATTRIBUTE,
        count: ck::CK_ULONG,
        key: *mut ck::CK_OBJECT_HANDLE,
    ) |module| {
        let (place, template) = (Place::new(key)?, args::template(template, count)?);
        let (wrapped, wrapping) = (args::bytes(wrapped, wrapped_len)?, Wrapping::of_unwrap(module, mechanism)?);
        let unwrapping_key = ObjectHandle(unwrapping_key);
        let key = module.unwrap_key(SessionHandle(session), wrapping.call, unwrapping_key, wrapped, &template)?;
        place.set(key.0);
        Ok(())
    }

    // The module appends the tag, the caller wants it in the mechanism's parameter.
    fn C_WrapKeyAuthenticated(
        session: ck::CK_SESSION_HANDLE,
        mechanism: *mut ck::CK_MECHANISM,
        wrapping_key: ck::CK_OBJECT_HANDLE,
        key: ck::CK_OBJECT_HANDLE,
        associated_data: *mut ck::CK_BYTE,
        associated_data_len: ck::CK_ULONG,
        wrapped: *mut ck::CK_BYTE,
        wrapped_len: *mut ck::CK_ULONG,
    ) |module| {
        let (session, wrapping_key, key) =
            (SessionHandle(session), ObjectHandle(wrapping_key), ObjectHandle(key));
        module.session(session)?;
        let out = Destination::new(wrapped, wrapped_len)?;
        let associated_data = out.apart_from(args::bytes(associated_data, associated_data_len)?);
        let wrapping = Wrapping::of_authenticated_wrap(module, mechanism)?;
        let wrap = |out: crate::output::Output<'_>| {
            let call = wrapping.call.clone();
            module.wrap_key_authenticated(session, call, wrapping_key, key, &associated_data, out)
        };
        out.fill(|out| wrapping.split(wrap, out))
    }

    fn C_UnwrapKeyAuthenticated(
        session: ck::CK_SESSION_HANDLE,
        mechanism: *mut ck::CK_MECHANISM,
        unwrapping_key: ck::CK_OBJECT_HANDLE,
        wrapped: *mut ck::CK_BYTE,
        wrapped_len: ck::CK_ULONG,
        template: *mut ck::CK_ATTRIBUTE,
        count: ck::CK_ULONG,
        associated_data: *mut ck::CK_BYTE,
        associated_data_len: ck::CK_ULONG,
        key: *mut ck::CK_OBJECT_HANDLE,
    ) |module| {
        module.session(SessionHandle(session))?;
        let (place, template) = (Place::new(key)?, args::template(template, count)?);
        let associated_data = args::bytes(associated_data, associated_data_len)?;
        let wrapping = Wrapping::of_authenticated_unwrap(module, mechanism)?;
        let wrapped = wrapping.joined(args::bytes(wrapped, wrapped_len)?);
        let (session, unwrapping_key) = (SessionHandle(session), ObjectHandle(unwrapping_key));
        let key = module.unwrap_key_authenticated(
            session,
            wrapping.call,
            unwrapping_key,
            &wrapped,
            associated_data,
            &template,
        )?;
        place.set(key.0);
        Ok(())
    }
}
