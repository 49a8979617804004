//! Conditions of a key policy: operator, key, values, in the words and with the meaning of IAM.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Context;

/// `"Condition": {OPERATOR: {KEY: VALUES}}`: all of them must hold.
pub(crate) type Block = BTreeMap<String, BTreeMap<String, OneOrMany>>;

/// IAM lets a list of one be written without brackets.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// What conditions may look at.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Registers of a verified document in lower-case hexadecimal; none without Recipient.
    pub pcrs: BTreeMap<u8, String>,
    /// The encryption context of the request.
    pub context: &'a Context,
}

#[derive(Debug)]
pub(crate) struct Condition {
    operator: Operator,
    key: Key,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Operator {
    Equals { ignore_case: bool },
    NotEquals { ignore_case: bool },
    Null,
    ForAllEquals,
    ForAnyEquals,
}

#[derive(Debug)]
enum Key {
    /// `kms:RecipientAttestation:PCR0`, which is also called `ImageSha384`.
    Pcr(u8),
    /// `kms:EncryptionContext:NAME`.
    Context(String),
    /// `kms:EncryptionContextKeys`: all names of the context.
    ContextKeys,
}

impl OneOrMany {
    pub(crate) fn list(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// All conditions of a block. What this double does not know is an error: it must not be passed over.
pub(crate) fn parse(block: Block) -> Result<Vec<Condition>, String> {
    let mut all = Vec::new();
    for (operator, keys) in block {
        for (key, values) in keys {
            all.push(Condition {
                operator: Operator::parse(&operator).ok_or(format!("no operator {operator} here"))?,
                key: Key::parse(&key).ok_or(format!("no condition key {key} here"))?,
                values: values.list(),
            });
        }
    }
    for condition in &all {
        let many = matches!(condition.operator, Operator::ForAllEquals | Operator::ForAnyEquals);
        if many != matches!(condition.key, Key::ContextKeys) {
            return Err("ForAllValues and ForAnyValue go with kms:EncryptionContextKeys".to_owned());
        }
    }
    Ok(all)
}

impl Operator {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "StringEquals" => Self::Equals { ignore_case: false },
            "StringEqualsIgnoreCase" => Self::Equals { ignore_case: true },
            "StringNotEquals" => Self::NotEquals { ignore_case: false },
            "StringNotEqualsIgnoreCase" => Self::NotEquals { ignore_case: true },
            "Null" => Self::Null,
            "ForAllValues:StringEquals" => Self::ForAllEquals,
            "ForAnyValue:StringEquals" => Self::ForAnyEquals,
            _ => return None,
        })
    }
}

impl Key {
    /// Names of condition keys have no case; those of an encryption context do.
    fn parse(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        if let Some(register) = lower.strip_prefix("kms:recipientattestation:") {
            let pcr = register.strip_prefix("pcr").and_then(|index| index.parse().ok());
            return if register == "imagesha384" { Some(Self::Pcr(0)) } else { pcr.map(Self::Pcr) };
        }
        if lower.starts_with("kms:encryptioncontext:") {
            return Some(Self::Context(name["kms:encryptioncontext:".len()..].to_owned()));
        }
        (lower == "kms:encryptioncontextkeys").then_some(Self::ContextKeys)
    }
}

impl Condition {
    /// Whether it holds. As in IAM, a key that the request does not have equals nothing, and NotEquals holds for it.
    pub(crate) fn holds(&self, facts: &Facts<'_>) -> bool {
        let found = match &self.key {
            Key::Pcr(index) => facts.pcrs.get(index),
            Key::Context(name) => facts.context.get(name),
            Key::ContextKeys => None,
        };
        let among = |found: &String, ignore_case: bool| {
            let same = |value: &String| {
                if ignore_case { value.eq_ignore_ascii_case(found) } else { value == found }
            };
            self.values.iter().any(same)
        };
        match self.operator {
            Operator::Equals { ignore_case } => found.is_some_and(|found| among(found, ignore_case)),
            Operator::NotEquals { ignore_case } => !found.is_some_and(|found| among(found, ignore_case)),
            Operator::Null => {
                let absent = if found.is_none() { "true" } else { "false" };
                self.values.iter().any(|value| value.eq_ignore_ascii_case(absent))
            }
            Operator::ForAllEquals => facts.context.keys().all(|name| among(name, false)),
            Operator::ForAnyEquals => facts.context.keys().any(|name| among(name, false)),
        }
    }
}
