//! PKCS#11 URIs, RFC 7512: parsed, written, and matched against names.
//!
//! This module knows nothing of PKCS#11 calls or of the command line. A PIN inside a URI (`pin-value`) is
//! refused: it would be seen in process lists and logs.

use std::fmt;
use std::str::FromStr;

/// The scheme, with its colon.
pub(crate) const SCHEME: &str = "pkcs11:";

/// The attributes of one URI; an absent attribute matches everything (RFC 7512 section 2.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Uri {
    pub(crate) token: Option<String>,
    pub(crate) manufacturer: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) serial: Option<String>,
    pub(crate) library_description: Option<String>,
    pub(crate) library_manufacturer: Option<String>,
    pub(crate) library_version: Option<String>,
    pub(crate) slot_description: Option<String>,
    pub(crate) slot_manufacturer: Option<String>,
    pub(crate) slot_id: Option<u64>,
    pub(crate) object: Option<String>,
    pub(crate) id: Option<Vec<u8>>,
    pub(crate) kind: Option<Kind>,
    pub(crate) pin_source: Option<String>,
    pub(crate) module_path: Option<String>,
    pub(crate) module_name: Option<String>,
}

/// The `type` attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Public,
    Private,
    Cert,
    SecretKey,
    Data,
}

/// Why a URI was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UriError {
    NotPkcs11,
    NoEquals(String),
    Duplicate(String),
    UnknownAttribute(String),
    BadEscape(String),
    NotUtf8(String),
    BadCharacter(String, char),
    BadValue(String, String),
    PinValue,
}

const KINDS: [(Kind, &str); 5] = [
    (Kind::Public, "public"),
    (Kind::Private, "private"),
    (Kind::Cert, "cert"),
    (Kind::SecretKey, "secret-key"),
    (Kind::Data, "data"),
];

impl Uri {
    /// Whether the text claims to be a PKCS#11 URI (the scheme is case-insensitive, RFC 3986).
    pub(crate) fn is_uri(text: &str) -> bool {
        text.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
    }

    fn set_path(&mut self, name: &str, raw: &str) -> Result<(), UriError> {
        let text = || decode_text(name, raw, PATH_CHARS);
        match name {
            "token" => set(&mut self.token, name, text()?),
            "manufacturer" => set(&mut self.manufacturer, name, text()?),
            "model" => set(&mut self.model, name, text()?),
            "serial" => set(&mut self.serial, name, text()?),
            "library-description" => set(&mut self.library_description, name, text()?),
            "library-manufacturer" => set(&mut self.library_manufacturer, name, text()?),
            "library-version" => set(&mut self.library_version, name, text()?),
            "slot-description" => set(&mut self.slot_description, name, text()?),
            "slot-manufacturer" => set(&mut self.slot_manufacturer, name, text()?),
            "slot-id" => {
                let text = text()?;
                let id = text.parse().map_err(|_| UriError::BadValue(name.into(), text))?;
                set(&mut self.slot_id, name, id)
            }
            "object" => set(&mut self.object, name, text()?),
            "id" => set(&mut self.id, name, decode(name, raw, PATH_CHARS)?),
            "type" => {
                let text = text()?;
                let kind = KINDS.iter().find(|(_, word)| *word == text);
                let (kind, _) = kind.ok_or_else(|| UriError::BadValue(name.into(), text.clone()))?;
                set(&mut self.kind, name, *kind)
            }
            _ => Err(UriError::UnknownAttribute(name.into())),
        }
    }

    /// Unknown query attributes are ignored, as section 2.4 asks.
    fn set_query(&mut self, name: &str, raw: &str) -> Result<(), UriError> {
        let text = || decode_text(name, raw, QUERY_CHARS);
        match name {
            "pin-source" => set(&mut self.pin_source, name, text()?),
            "pin-value" => Err(UriError::PinValue),
            "module-path" => set(&mut self.module_path, name, text()?),
            "module-name" => set(&mut self.module_name, name, text()?),
            _ => Ok(()),
        }
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        if !Self::is_uri(text) {
            return Err(UriError::NotPkcs11);
        }
        let rest = &text[SCHEME.len()..];
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Self::default();
        for (name, value) in attributes(path, ';')? {
            uri.set_path(name, value)?;
        }
        for (name, value) in attributes(query, '&')? {
            uri.set_query(name, value)?;
        }
        Ok(uri)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slot_id = self.slot_id.map(|id| id.to_string());
        let kind = self.kind.and_then(|kind| KINDS.iter().find(|(known, _)| *known == kind));
        let path: [(&str, Option<String>); 13] = [
            ("model", self.model.as_deref().map(encode_path)),
            ("manufacturer", self.manufacturer.as_deref().map(encode_path)),
            ("serial", self.serial.as_deref().map(encode_path)),
            ("token", self.token.as_deref().map(encode_path)),
            ("library-description", self.library_description.as_deref().map(encode_path)),
            ("library-manufacturer", self.library_manufacturer.as_deref().map(encode_path)),
            ("library-version", self.library_version.as_deref().map(encode_path)),
            ("slot-description", self.slot_description.as_deref().map(encode_path)),
            ("slot-manufacturer", self.slot_manufacturer.as_deref().map(encode_path)),
            ("slot-id", slot_id),
            ("id", self.id.as_deref().map(|id| id.iter().map(|byte| format!("%{byte:02X}")).collect())),
            ("object", self.object.as_deref().map(encode_path)),
            ("type", kind.map(|(_, word)| (*word).to_owned())),
        ];
        let query: [(&str, Option<String>); 3] = [
            ("pin-source", self.pin_source.as_deref().map(encode_query)),
            ("module-path", self.module_path.as_deref().map(encode_query)),
            ("module-name", self.module_name.as_deref().map(encode_query)),
        ];
        f.write_str(SCHEME)?;
        f.write_str(&join(&path, ";"))?;
        let query = join(&query, "&");
        if query.is_empty() { Ok(()) } else { write!(f, "?{query}") }
    }
}

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPkcs11 => write!(f, "a PKCS#11 URI begins with `pkcs11:`"),
            Self::NoEquals(part) => write!(f, "`{part}` in the URI has no `=`"),
            Self::Duplicate(name) => write!(f, "`{name}` appears twice in the URI"),
            Self::UnknownAttribute(name) => write!(f, "RFC 7512 has no attribute `{name}`"),
            Self::BadEscape(name) => {
                write!(f, "`{name}` in the URI has a `%` without two hexadecimal digits")
            }
            Self::NotUtf8(name) => write!(f, "`{name}` in the URI is not UTF-8"),
            Self::BadCharacter(name, character) => {
                let mut bytes = [0; 4];
                let escaped: String =
                    character.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")).collect();
                write!(
                    f,
                    "`{name}` in the URI has the character {character:?}, which must be written {escaped}"
                )
            }
            Self::BadValue(name, value) => write!(f, "`{name}` in the URI cannot be `{value}`"),
            Self::PinValue => write!(f, "a PIN may not stand in a URI (pin-value): others can see it"),
        }
    }
}

/// pk11-res-avail without "&" for paths, without ";" for queries (section 2.3), besides the unreserved.
const PATH_CHARS: &str = ":[]@!$'()*+,=&";
const QUERY_CHARS: &str = ":[]@!$'()*+,=/?|;";

fn attributes(text: &str, separator: char) -> Result<Vec<(&str, &str)>, UriError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(separator)
        .map(|part| part.split_once('=').ok_or_else(|| UriError::NoEquals(part.into())))
        .collect()
}

fn set<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<(), UriError> {
    match slot.replace(value) {
        Some(_) => Err(UriError::Duplicate(name.into())),
        None => Ok(()),
    }
}

fn unreserved(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~".contains(character)
}

fn decode(name: &str, raw: &str, reserved: &str) -> Result<Vec<u8>, UriError> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(character) = rest.chars().next() {
        if character == '%' {
            let digits =
                rest.get(1..3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
            let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            out.push(byte.ok_or_else(|| UriError::BadEscape(name.into()))?);
            rest = &rest[3..];
        } else if unreserved(character) || reserved.contains(character) {
            out.push(character as u8);
            rest = &rest[1..];
        } else {
            return Err(UriError::BadCharacter(name.into(), character));
        }
    }
    Ok(out)
}

fn decode_text(name: &str, raw: &str, reserved: &str) -> Result<String, UriError> {
    String::from_utf8(decode(name, raw, reserved)?).map_err(|_| UriError::NotUtf8(name.into()))
}

fn encode(text: &str, reserved: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let character = char::from(byte);
        if byte.is_ascii() && (unreserved(character) || reserved.contains(character)) {
            out.push(character);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Fewer characters stand bare than the grammar allows, so that a URI needs no quotes in a shell.
fn encode_path(text: &str) -> String {
    encode(text, ":@+,=")
}

fn encode_query(text: &str) -> String {
    encode(text, ":@+,=/")
}

fn join(attributes: &[(&str, Option<String>)], separator: &str) -> String {
    let present = attributes.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    present.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Uri, UriError> {
        text.parse()
    }

    #[test]
    fn examples_of_rfc_7512_section_3() {
        assert_eq!(parse("pkcs11:").unwrap(), Uri::default());
        let uri = parse("pkcs11:object=my-pubkey;type=public").unwrap();
        assert_eq!((uri.object.as_deref(), uri.kind), (Some("my-pubkey"), Some(Kind::Public)));
        let uri = parse("pkcs11:object=my-key;type=private?pin-source=file:/etc/token").unwrap();
        assert_eq!(uri.pin_source.as_deref(), Some("file:/etc/token"));
        let uri = parse(
            "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;\
             object=my-certificate;type=cert;id=%69%95%3E%5C%F4%BD%EC%91;serial=?pin-source=file:/etc/token_pin",
        )
        .unwrap();
        assert_eq!(uri.token.as_deref(), Some("The Software PKCS#11 Softtoken"));
        assert_eq!(uri.manufacturer.as_deref(), Some("Snake Oil, Inc."));
        assert_eq!(uri.id.as_deref(), Some(&[0x69, 0x95, 0x3e, 0x5c, 0xf4, 0xbd, 0xec, 0x91][..]));
        assert_eq!(uri.serial.as_deref(), Some(""));
        let uri = parse("pkcs11:object=my-sign-key;type=private?module-name=mypkcs11").unwrap();
        assert_eq!(uri.module_name.as_deref(), Some("mypkcs11"));
        let uri = parse("pkcs11:slot-description=Sun%20Metaslot").unwrap();
        assert_eq!(uri.slot_description.as_deref(), Some("Sun Metaslot"));
        let uri = parse("pkcs11:library-manufacturer=Snake%20Oil,%20Inc.;library-version=3").unwrap();
        assert_eq!(uri.library_version.as_deref(), Some("3"));
        let uri = parse("pkcs11:token=A%20name%20with%20a%20substring%20%25%3B;object=x").unwrap();
        assert_eq!(uri.token.as_deref(), Some("A name with a substring %;"));
    }

    #[test]
    fn refusals_say_which_attribute() {
        let cases = [
            ("http://x", UriError::NotPkcs11),
            ("pkcs11:token", UriError::NoEquals("token".into())),
            ("pkcs11:token=a;", UriError::NoEquals(String::new())),
            ("pkcs11:token=a;token=a", UriError::Duplicate("token".into())),
            ("pkcs11:tokn=a", UriError::UnknownAttribute("tokn".into())),
            ("pkcs11:x-vendor=a", UriError::UnknownAttribute("x-vendor".into())),
            ("pkcs11:token=%4", UriError::BadEscape("token".into())),
            ("pkcs11:token=%+4", UriError::BadEscape("token".into())),
            ("pkcs11:token=%C3", UriError::NotUtf8("token".into())),
            ("pkcs11:token=a b", UriError::BadCharacter("token".into(), ' ')),
            ("pkcs11:token=é", UriError::BadCharacter("token".into(), 'é')),
            ("pkcs11:token=%é", UriError::BadEscape("token".into())),
            ("pkcs11:type=key", UriError::BadValue("type".into(), "key".into())),
            ("pkcs11:slot-id=-1", UriError::BadValue("slot-id".into(), "-1".into())),
            ("pkcs11:token=a?pin-value=1234", UriError::PinValue),
            ("pkcs11:?pin-source=a&pin-source=b", UriError::Duplicate("pin-source".into())),
        ];
        for (text, error) in cases {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn the_pin_of_a_refused_uri_is_not_repeated() {
        let error = parse("pkcs11:token=a?pin-value=8675309").unwrap_err();
        assert!(!error.to_string().contains("8675309"));
    }

    #[test]
    fn unknown_query_attributes_are_ignored_and_the_scheme_may_be_upper_case() {
        assert_eq!(parse("PKCS11:object=a?x-vendor=1").unwrap().object.as_deref(), Some("a"));
    }

    #[test]
    fn what_is_written_reads_back() {
        let uri = Uri {
            token: Some("größe; 100 % & more?".into()),
            serial: Some("00 ff".into()),
            slot_id: Some(7),
            object: Some("a/b c=d".into()),
            id: Some(vec![0, 0x61, 0xff]),
            kind: Some(Kind::SecretKey),
            pin_source: Some("file:/run/pin & more".into()),
            module_path: Some("/usr/lib/x y.so".into()),
            ..Uri::default()
        };
        let text = uri.to_string();
        assert!(text.is_ascii() && !text.contains(' '), "{text}");
        assert_eq!(parse(&text).unwrap(), uri, "{text}");
    }
}
