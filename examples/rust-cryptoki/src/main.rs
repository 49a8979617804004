//! Signs a file with an ML-DSA-65 key in a PKCS#11 token, and makes the key if there is none. Run it with
//!
//!     TRELLIS_MODULE=target/release/libtrellis_pkcs11.so PIN=... \
//!         cargo run -p trellis-example-cryptoki -- TOKEN KEY FILE SIGNATURE

use std::env;
use std::error::Error;
use std::fs;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::dsa::{HedgeType, SignAdditionalContext};
use cryptoki::object::{Attribute, MlDsaParameterSetType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [token, key, file, signature] = arguments.as_slice() else {
        return Err("the arguments are TOKEN KEY FILE SIGNATURE".into());
    };
    let module = env::var("TRELLIS_MODULE").map_err(|_| "TRELLIS_MODULE must be the module's path")?;
    let pin = AuthPin::new(env::var("PIN").map_err(|_| "PIN must be the user PIN")?.into());

    let pkcs11 = Pkcs11::new(module)?;
    pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    let session = pkcs11.open_rw_session(slot_of(&pkcs11, token)?)?;
    session.login(UserType::User, Some(&pin))?;

    let private = match find(&session, ObjectClass::PRIVATE_KEY, key)? {
        Some(private) => private,
        None => generate(&session, key)?,
    };
    // A context separates what is signed for one purpose from what is signed for another.
    let mechanism = Mechanism::MlDsa(SignAdditionalContext::new(HedgeType::Preferred, Some(b"example")));
    let message = fs::read(file)?;
    let signed = session.sign(&mechanism, private, &message)?;

    let public = find(&session, ObjectClass::PUBLIC_KEY, key)?.ok_or("the public key is gone")?;
    session.verify(&mechanism, public, &message, &signed)?;
    fs::write(signature, &signed)?;
    println!("signed {file}: {} bytes", signed.len());
    Ok(())
}

fn slot_of(pkcs11: &Pkcs11, label: &str) -> Result<Slot, Box<dyn Error>> {
    for slot in pkcs11.get_slots_with_token()? {
        if pkcs11.get_token_info(slot)?.label() == label {
            return Ok(slot);
        }
    }
    Err(format!("there is no token {label}").into())
}

fn find(session: &Session, class: ObjectClass, label: &str) -> Result<Option<ObjectHandle>, Box<dyn Error>> {
    let template = [Attribute::Class(class), Attribute::Label(label.into())];
    Ok(session.find_objects(&template)?.first().copied())
}

/// The private half of a new key pair that stays in the token.
fn generate(session: &Session, label: &str) -> Result<ObjectHandle, Box<dyn Error>> {
    let both = [Attribute::Token(true), Attribute::Label(label.into()), Attribute::Id(label.into())];
    let parameters = Attribute::ParameterSet(MlDsaParameterSetType::ML_DSA_65.into());
    let public = [both.as_slice(), &[parameters, Attribute::Verify(true)]].concat();
    let private =
        [both.as_slice(), &[Attribute::Private(true), Attribute::Sensitive(true), Attribute::Sign(true)]]
            .concat();
    let (_, private) = session.generate_key_pair(&Mechanism::MlDsaKeyPairGen, &public, &private)?;
    Ok(private)
}
