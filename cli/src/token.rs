//! Choosing a token, opening a session on it, and logging in.

use cryptoki::error::RvError;
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};

use crate::error::{Error, Result, While};
use crate::module::Module;
use crate::pin::{self, PinSource, Wanted};
use crate::scheme::Abilities;
use crate::secret::Secret;
use crate::uri::Uri;

/// What to do about a security officer's PIN that is locked: PKCS#11 has nobody above the officer.
pub(crate) const SO_PIN_LOCKED: &str = "nobody can reset an SO PIN that is locked; the user PIN goes on working. To start \
    anew, move the store's folder away (`trellis doctor` names it), then bring back a backup that was made before with \
    `trellis token restore`, or make a token without these keys with `trellis token init`";

/// A slot and what is in it.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) slot: Slot,
    pub(crate) info: TokenInfo,
}

/// What the user said about which token is meant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choice {
    /// A label, a serial number or a URI.
    pub(crate) token: Option<String>,
    /// The URI of a key, which may name its token too.
    pub(crate) key_uri: Option<Uri>,
}

/// A slot whose token does not answer, and why.
#[derive(Debug)]
pub(crate) struct Unusable {
    pub(crate) slot: Slot,
    pub(crate) error: Error,
}

/// Every slot of the module.
#[derive(Debug)]
pub(crate) struct Slots {
    /// Tokens, initialised or not.
    pub(crate) tokens: Vec<Token>,
    pub(crate) unusable: Vec<Unusable>,
}

impl Slots {
    /// Asks every slot; one that fails does not hide the others.
    pub(crate) fn of(module: &Module) -> Result<Self> {
        let mut slots = Self { tokens: Vec::new(), unusable: Vec::new() };
        for slot in module.pkcs11().get_slots_with_token()? {
            match module.pkcs11().get_token_info(slot) {
                Ok(info) => slots.tokens.push(Token { slot, info }),
                // Pulled out between the two questions.
                Err(cryptoki::error::Error::Pkcs11(RvError::TokenNotPresent | RvError::DeviceRemoved, _)) => {
                }
                Err(error) => {
                    let error = Error::from(error).explained().while_doing(&format!("slot {}", slot.id()));
                    slots.unusable.push(Unusable { slot, error });
                }
            }
        }
        Ok(slots)
    }

    /// The slot that somebody named by its number; its token must answer.
    pub(crate) fn take(self, id: u64) -> Result<Token> {
        if let Some(token) = self.tokens.into_iter().find(|token| token.slot.id() == id) {
            return Ok(token);
        }
        Err(self.unusable.into_iter().find(|slot| slot.slot.id() == id).map_or_else(
            || {
                Error::not_found(format!("there is no slot {id}"))
                    .remedy("see the slots with `trellis token list`")
            },
            |slot| slot.error,
        ))
    }
}

impl Token {
    /// Every token of the module that answers, initialised or not.
    pub(crate) fn all(module: &Module) -> Result<Vec<Self>> {
        Ok(Slots::of(module)?.tokens)
    }

    /// The one initialised token that is meant. A slot that does not answer is passed over when a token is named;
    /// when none is, its token may be the one that is meant, so the user is asked to name one.
    pub(crate) fn choose(module: &Module, choice: &Choice) -> Result<Self> {
        let Slots { mut tokens, unusable } = Slots::of(module)?;
        tokens.retain(|token| token.info.token_initialized());
        let known = list(&tokens);
        let uri = choice.token.as_deref().filter(|text| Uri::is_uri(text)).map(parse_uri).transpose()?;
        match (&choice.token, &uri) {
            (_, Some(uri)) => tokens.retain(|token| token.matches(uri)),
            (Some(name), None) => {
                tokens.retain(|token| token.info.label() == name || token.info.serial_number() == name);
            }
            (None, None) => {}
        }
        if let Some(uri) = &choice.key_uri {
            tokens.retain(|token| token.matches(uri));
        }
        match (tokens.len(), unusable.into_iter().next()) {
            (1, Some(Unusable { error, .. })) if !choice.names_a_token() => Err(Error::conflict(format!(
                "no token is named, and besides {known} there is one that cannot be used: {}",
                error.cause()
            ))
            .remedy(format!(
                "name the token with --token; or for the other one: {}",
                error.what_to_do().unwrap_or("run `trellis doctor`")
            ))),
            (1, _) => Ok(tokens.remove(0)),
            (0, Some(Unusable { error, .. })) if known.is_empty() => Err(error),
            (0, Some(Unusable { error, .. })) => {
                Err(error.while_doing(&format!("no token matches {} among {known}", choice.describe())))
            }
            (0, None) if known.is_empty() => Err(Error::not_found("the module has no initialised token")
                .remedy("make one with `trellis token init --label NAME`")),
            (0, None) => {
                Err(Error::not_found(format!("no token matches {}; there are {known}", choice.describe()))
                    .remedy("name one of them with --token"))
            }
            _ => Err(Error::conflict(format!("several tokens match: {}", list(&tokens)))
                .remedy("name one of them with --token LABEL, or its serial number or PKCS#11 URI")),
        }
    }

    pub(crate) fn matches(&self, uri: &Uri) -> bool {
        let is = |wanted: &Option<String>, have: &str| wanted.as_deref().is_none_or(|wanted| wanted == have);
        is(&uri.token, self.info.label())
            && is(&uri.serial, self.info.serial_number())
            && is(&uri.model, self.info.model())
            && is(&uri.manufacturer, self.info.manufacturer_id())
            && uri.slot_id.is_none_or(|id| id == self.slot.id())
    }

    /// The token's own URI.
    pub(crate) fn uri(&self) -> Uri {
        let text = |value: &str| Some(value.to_owned());
        Uri {
            model: text(self.info.model()),
            manufacturer: text(self.info.manufacturer_id()),
            serial: text(self.info.serial_number()),
            token: text(self.info.label()),
            ..Uri::default()
        }
    }
}

impl Choice {
    /// Whether the user said which token is meant, and not only which key.
    fn names_a_token(&self) -> bool {
        let names = |uri: &Uri| uri.token.is_some() || uri.serial.is_some() || uri.slot_id.is_some();
        self.token.is_some() || self.key_uri.as_ref().is_some_and(names)
    }

    fn describe(&self) -> String {
        match (&self.token, &self.key_uri) {
            (Some(name), _) => format!("`{name}`"),
            (None, Some(uri)) => format!("`{uri}`"),
            (None, None) => "what was asked for".into(),
        }
    }
}

/// "`a` (serial 1, slot 2), `b` (serial 3, slot 4)".
fn list(tokens: &[Token]) -> String {
    let each = tokens.iter().map(|Token { slot, info }| {
        format!("`{}` (serial {}, slot {})", info.label(), info.serial_number(), slot.id())
    });
    each.collect::<Vec<_>>().join(", ")
}

pub(crate) fn parse_uri(text: &str) -> Result<Uri> {
    text.parse().map_err(|error: crate::uri::UriError| {
        Error::usage(error.to_string()).remedy("a URI like `pkcs11:token=NAME;object=KEY` (RFC 7512)")
    })
}

/// A session on a token. It keeps the PIN, because a key made with --context-login asks for it at every use.
#[derive(Debug)]
pub(crate) struct OpenToken<'m> {
    pub(crate) module: &'m Module,
    pub(crate) token: Token,
    session: Session,
    writable: bool,
    pin: Option<Secret>,
    /// Whether the PIN was typed, so that only the fingers can have erred.
    typed: bool,
    logged_in: bool,
}

impl<'m> OpenToken<'m> {
    pub(crate) fn open(module: &'m Module, token: Token, writable: bool) -> Result<Self> {
        let session = open_session(module, &token, writable).while_doing("opening a session")?;
        Ok(Self { module, token, session, writable, pin: None, typed: false, logged_in: false })
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// What sign, verify and key generation may ask of the token.
    pub(crate) fn abilities(&self) -> Result<Abilities> {
        Ok(Abilities {
            mechanisms: self.module.raw()?.mechanism_codes(self.token.slot.id())?,
            eddsa_parameters: self.module.info()?.cryptoki_version().major() >= 3,
        })
    }

    pub(crate) fn logged_in(&self) -> bool {
        self.logged_in
    }

    /// Exchanges the session for a fresh one, for when a module leaves an operation active after refusing it. The
    /// old one is closed last: with an application's last session goes its login.
    pub(crate) fn renew(&mut self) -> Result<()> {
        self.session = open_session(self.module, &self.token, self.writable)?;
        Ok(())
    }

    /// Logs the user in, unless the token wants no login or there is one.
    pub(crate) fn login(&mut self, source: Option<&PinSource>) -> Result<()> {
        if self.wants_login()? {
            self.pin = self.obtain(source, UserType::User)?;
            self.login_as_user(source)?;
        }
        Ok(())
    }

    /// The same before C_SetPIN, to which the PIN is given: Trellis's module takes none from `pin-source` there.
    pub(crate) fn login_to_change_pin(&mut self, source: Option<&PinSource>) -> Result<()> {
        if !self.has_pin_source()? {
            return self.login(source);
        }
        if self.wants_login()? {
            let pin = self.ask(source, UserType::User);
            let slot = self.token.slot.id();
            let doing =
                format!("the PIN in the file of `pin-source` of slot {slot} has to be given to change it");
            self.pin = Some(if source.is_none() { pin.while_doing(&doing) } else { pin }?);
            self.login_as_user(source)?;
        }
        Ok(())
    }

    fn wants_login(&self) -> Result<bool> {
        if self.logged_in || !self.token.info.login_required() {
            return Ok(false);
        }
        if !self.token.info.user_pin_initialized() {
            return Err(Error::login(format!("token `{}` has no user PIN yet", self.token.info.label()))
                .remedy("set one with `trellis token reset-pin` and the SO PIN"));
        }
        Ok(true)
    }

    fn login_as_user(&mut self, source: Option<&PinSource>) -> Result<()> {
        self.typed = self.pin.is_some() && is_typed(source);
        self.login_as(UserType::User)?;
        self.logged_in = true;
        Ok(())
    }

    /// Logs the security officer in.
    pub(crate) fn login_so(&mut self, source: Option<&PinSource>) -> Result<()> {
        self.pin = self.obtain(source, UserType::So)?;
        self.typed = self.pin.is_some() && is_typed(source);
        self.login_as(UserType::So)
    }

    /// The login that a key with CKA_ALWAYS_AUTHENTICATE wants between the start and the end of an operation.
    pub(crate) fn login_for_operation(&self) -> Result<()> {
        self.login_as(UserType::ContextSpecific)
    }

    /// The PIN that logged in.
    pub(crate) fn pin(&self) -> Option<&Secret> {
        self.pin.as_ref()
    }

    /// Whether Trellis's module knows the user's PIN, and nobody else's, from `pin-source` of the slot.
    pub(crate) fn has_pin_source(&self) -> Result<bool> {
        Ok(self.token.info.protected_authentication_path() && self.module.is_trellis()?)
    }

    /// `None` where no source is given and the token needs none (CKF_PROTECTED_AUTHENTICATION_PATH).
    fn obtain(&self, source: Option<&PinSource>, user: UserType) -> Result<Option<Secret>> {
        let needs_none = source.is_none()
            && self.token.info.protected_authentication_path()
            && !(matches!(user, UserType::So) && self.has_pin_source()?);
        if needs_none { Ok(None) } else { self.ask(source, user).map(Some) }
    }

    fn ask(&self, source: Option<&PinSource>, user: UserType) -> Result<Secret> {
        let option = if matches!(user, UserType::So) { "--so-pin-source" } else { "--pin-source" };
        let whose = format!("of token `{}`", self.token.info.label());
        pin::obtain(source, Wanted { name: name_of_pin(user), whose: &whose, option, new: false })
    }

    fn login_as(&self, user: UserType) -> Result<()> {
        let pin = self.pin.as_ref().map(Secret::pin).transpose()?;
        match self.session.login(user, pin.as_ref()) {
            Ok(()) | Err(cryptoki::error::Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(error) => {
                let doing = format!("{} of token `{}`", name_of_pin(user), self.token.info.label());
                let error = Error::from(error).explained().while_doing(&doing);
                Err(if error.is("CKR_PIN_INCORRECT") {
                    error.remedy(self.tries_left(user))
                } else if error.is("CKR_PIN_LOCKED") && matches!(user, UserType::So) {
                    error.remedy(SO_PIN_LOCKED)
                } else {
                    error
                })
            }
        }
    }

    /// What to do after a wrong PIN, by the token's flags, which are asked for anew.
    fn tries_left(&self, user: UserType) -> &'static str {
        let Ok(info) = self.module.pkcs11().get_token_info(self.token.slot) else { return "check the PIN" };
        let (low, last, locked) = match user {
            UserType::So => (info.so_pin_count_low(), info.so_pin_final_try(), info.so_pin_locked()),
            _ => (info.user_pin_count_low(), info.user_pin_final_try(), info.user_pin_locked()),
        };
        let source = !self.typed;
        match (low, last, locked) {
            (_, _, true) if matches!(user, UserType::So) => SO_PIN_LOCKED,
            (_, _, true) => "the PIN is locked now; set a new one with the SO PIN: `trellis token reset-pin`",
            (_, true, _) => "check the PIN with care: the next wrong one locks it",
            (true, false, _) if source => "check the PIN and its source; it locks after too many wrong ones",
            (true, false, _) => "type it again with care; it locks after too many wrong ones",
            (false, false, _) if source => "check the PIN and its source",
            (false, false, _) => "type it again with care",
        }
    }
}

fn name_of_pin(user: UserType) -> &'static str {
    if matches!(user, UserType::So) { "SO PIN" } else { "user PIN" }
}

/// Whether a PIN from there is typed at the terminal.
fn is_typed(source: Option<&PinSource>) -> bool {
    matches!(source, None | Some(PinSource::Prompt))
}

fn open_session(module: &Module, token: &Token, writable: bool) -> Result<Session> {
    let session = match writable {
        true => module.pkcs11().open_rw_session(token.slot),
        false => module.pkcs11().open_ro_session(token.slot),
    };
    Ok(session?)
}
