//! `trellis mechanisms`: what a token can do, and with which sizes.

use clap::Args;
use cryptoki_sys::*;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::mechanism_names;
use crate::module::Module;
use crate::options::{Global, Outcome, TokenArgs};
use crate::output::{show, table};
use crate::raw::Mechanism;
use crate::token::Token;

#[derive(Debug, Args)]
pub(crate) struct MechanismsArgs {
    /// Token by label, serial number or PKCS#11 URI [default: the only one].
    #[arg(long, short, value_name = "TOKEN")]
    token: Option<String>,
}

/// The words for the flags of CK_MECHANISM_INFO that say what a mechanism is for.
const USES: [(CK_FLAGS, &str); 22] = [
    (CKF_SIGN, "sign"),
    (CKF_VERIFY, "verify"),
    (CKF_SIGN_RECOVER, "sign-recover"),
    (CKF_VERIFY_RECOVER, "verify-recover"),
    (CKF_ENCRYPT, "encrypt"),
    (CKF_DECRYPT, "decrypt"),
    (CKF_DIGEST, "digest"),
    (CKF_GENERATE, "generate"),
    (CKF_GENERATE_KEY_PAIR, "generate-key-pair"),
    (CKF_WRAP, "wrap"),
    (CKF_UNWRAP, "unwrap"),
    (CKF_DERIVE, "derive"),
    (CKF_ENCAPSULATE, "encapsulate"),
    (CKF_DECAPSULATE, "decapsulate"),
    (CKF_MESSAGE_ENCRYPT, "message-encrypt"),
    (CKF_MESSAGE_DECRYPT, "message-decrypt"),
    (CKF_MESSAGE_SIGN, "message-sign"),
    (CKF_MESSAGE_VERIFY, "message-verify"),
    (CKF_MULTI_MESSAGE, "multi-message"),
    (CKF_FIND_OBJECTS, "find-objects"),
    (CKF_HW, "hardware"),
    (CKF_EXTENSION, "extension"),
];

/// A mechanism in JSON.
#[derive(Debug, Serialize)]
struct MechanismJson {
    name: Option<&'static str>,
    code: String,
    min_key_size: u64,
    max_key_size: u64,
    uses: Vec<&'static str>,
    flags: String,
}

impl From<&Mechanism> for MechanismJson {
    fn from(mechanism: &Mechanism) -> Self {
        let flags = mechanism.info.flags;
        Self {
            name: mechanism_names::name(mechanism.code),
            code: format!("0x{:08x}", mechanism.code),
            min_key_size: mechanism.info.ulMinKeySize,
            max_key_size: mechanism.info.ulMaxKeySize,
            uses: USES.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, word)| *word).collect(),
            flags: format!("0x{flags:08x}"),
        }
    }
}

impl MechanismsArgs {
    pub(crate) fn run(self, global: &Global) -> Result<Outcome> {
        let args = TokenArgs { token: self.token, pin_source: None };
        let module = args.load(global, None)?;
        let token = choose(&module, &args)?;
        let mechanisms = module.raw()?.mechanisms(token.slot.id())?;
        let json: Vec<_> = mechanisms.iter().map(MechanismJson::from).collect();
        show(global, &serde_json::json!({ "mechanisms": json }), || {
            let row = |mechanism: &MechanismJson| {
                let sizes = match (mechanism.min_key_size, mechanism.max_key_size) {
                    (0, 0) => String::new(),
                    (least, most) if least == most => most.to_string(),
                    (least, most) => format!("{least}-{most}"),
                };
                let name = mechanism.name.map_or_else(|| mechanism.code.clone(), ToOwned::to_owned);
                [name, sizes, mechanism.uses.join(" ")]
            };
            table(["MECHANISM", "KEY SIZES", "USES"], &json.iter().map(row).collect::<Vec<_>>())
        })?;
        Ok(Outcome::Done)
    }
}

/// What a token can do does not depend on its being initialised.
fn choose(module: &Module, args: &TokenArgs) -> Result<Token> {
    if args.token.is_none() {
        let tokens = Token::all(module)?;
        if tokens.iter().all(|token| !token.info.token_initialized()) {
            let first = tokens.into_iter().next();
            return first
                .ok_or_else(|| Error::not_found("the module has no token").remedy("run `trellis doctor`"));
        }
    }
    Token::choose(module, &args.choice(None))
}
