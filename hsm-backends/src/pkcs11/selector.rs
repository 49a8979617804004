//! Which token of a library is meant.

use super::raw::TokenInfo;

/// Everything that is given must fit; a token that no setting contradicts fits. More than one that fits is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Selector {
    /// The token's label, without padding.
    pub label: Option<String>,
    /// The serial number, without padding.
    pub serial: Option<String>,
    /// The manufacturer, without padding.
    pub manufacturer: Option<String>,
    /// The model, without padding.
    pub model: Option<String>,
    /// The library's own number of the slot, which some libraries give anew at every start.
    pub slot: Option<u64>,
}

impl Selector {
    /// Reads the path attributes `token`, `serial`, `manufacturer`, `model` and `slot-id` of a PKCS#11 URI (RFC 7512).
    /// Attributes of objects, of libraries and queries are refused: they would say nothing here.
    pub fn from_uri(uri: &str) -> Result<Self, String> {
        let path = uri.strip_prefix("pkcs11:").ok_or("a PKCS#11 URI begins with pkcs11:")?;
        if path.contains('?') {
            return Err("queries (after ?) say nothing about a token; the library and the PIN have settings of their own".into());
        }
        let mut selector = Self::default();
        for part in path.split(';').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| format!("{part:?} has no value"))?;
            let value = decode(value)?;
            let place = match name {
                "token" => &mut selector.label,
                "serial" => &mut selector.serial,
                "manufacturer" => &mut selector.manufacturer,
                "model" => &mut selector.model,
                "slot-id" => {
                    let slot = value.parse().map_err(|_| format!("slot-id {value:?} is no number"))?;
                    if selector.slot.replace(slot).is_some() {
                        return Err("slot-id is there twice".into());
                    }
                    continue;
                }
                other => return Err(format!("{other:?} does not name a token")),
            };
            if place.replace(value).is_some() {
                return Err(format!("{name} is there twice"));
            }
        }
        Ok(selector)
    }

    pub(super) fn fits(&self, slot: u64, token: &TokenInfo) -> bool {
        let same =
            |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        same(&self.label, &token.label)
            && same(&self.serial, &token.serial)
            && same(&self.manufacturer, &token.manufacturer)
            && same(&self.model, &token.model)
            && self.slot.is_none_or(|wanted| wanted == slot)
    }

    /// Whether a token can be meant that has neither label nor serial number yet: one that nobody has initialised.
    pub(super) fn may_be_blank(&self) -> bool {
        self.label.is_none() && self.serial.is_none()
    }
}

/// What a token must have, to be read after "token": nothing where any will do.
impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = [
            ("label", &self.label),
            ("serial number", &self.serial),
            ("manufacturer", &self.manufacturer),
            ("model", &self.model),
        ];
        let mut said: Vec<String> = text
            .iter()
            .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name} {value:?}")))
            .collect();
        said.extend(self.slot.map(|slot| format!("slot {slot}")));
        if said.is_empty() { Ok(()) } else { write!(f, " with {}", said.join(", ")) }
    }
}

/// Percent encoding; what is not UTF-8 afterwards names no token.
fn decode(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is not percent-encoded as RFC 7512 says");
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (digit().ok_or_else(wrong)?, digit().ok_or_else(wrong)?);
        out.push(u8::try_from(high * 16 + low).map_err(|_| wrong())?);
    }
    String::from_utf8(out).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> TokenInfo {
        TokenInfo {
            label: "my token".into(),
            manufacturer: "SoftHSM project".into(),
            model: "SoftHSM v2".into(),
            serial: "0123456789abcdef".into(),
            flags: 0,
        }
    }

    #[test]
    fn a_uri_names_a_token_by_what_it_says() {
        for (uri, fits) in [
            ("pkcs11:", true),
            ("pkcs11:token=my%20token", true),
            ("pkcs11:token=my%20token;serial=0123456789abcdef;slot-id=7", true),
            ("pkcs11:manufacturer=SoftHSM%20project;model=SoftHSM%20v2", true),
            ("pkcs11:token=my%20toke", false),
            ("pkcs11:token=my%20token;serial=0", false),
            ("pkcs11:slot-id=8", false),
        ] {
            assert_eq!(Selector::from_uri(uri).unwrap().fits(7, &token()), fits, "{uri}");
        }
    }

    #[test]
    fn what_does_not_name_a_token_is_refused() {
        for uri in [
            "token=x",
            "pkcs11:token",
            "pkcs11:object=key",
            "pkcs11:token=a;token=b",
            "pkcs11:slot-id=1;slot-id=1",
            "pkcs11:slot-id=x",
            "pkcs11:token=%2",
            "pkcs11:token=%zz",
            "pkcs11:token=%ff",
            "pkcs11:token=a?pin-value=1234",
        ] {
            let parsed = Selector::from_uri(uri);
            assert!(parsed.is_err(), "{uri}: {parsed:?}");
        }
    }
}
