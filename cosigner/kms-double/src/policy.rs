//! A key policy as AWS reads it, as far as data keys need: who may do what under which conditions.

use serde::Deserialize;

use crate::condition::{self, Block, Condition, Facts, OneOrMany};

/// A key policy. Nothing is allowed that no statement allows, and a statement that denies wins. A principal is compared
/// word for word: an account's `root` stands for nobody else here, since there are no IAM policies.
#[derive(Debug)]
pub struct Policy(Vec<Statement>);

#[derive(Debug)]
struct Statement {
    allow: bool,
    principals: Vec<String>,
    actions: Vec<String>,
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Document {
    version: String,
    #[serde(default)]
    #[expect(dead_code, reason = "named in real policies, and without a meaning")]
    id: Option<String>,
    statement: Vec<RawStatement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RawStatement {
    #[serde(default)]
    #[expect(dead_code, reason = "named in real policies, and without a meaning")]
    sid: Option<String>,
    effect: Effect,
    principal: Principal,
    action: OneOrMany,
    resource: OneOrMany,
    #[serde(default)]
    condition: Block,
}

#[derive(Deserialize, PartialEq)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Principal {
    Everybody(String),
    Aws {
        #[serde(rename = "AWS")]
        aws: OneOrMany,
    },
}

impl Policy {
    /// Reads a policy in JSON. Whatever it has that this double does not understand is an error.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if document.version != "2012-10-17" {
            return Err(format!("no policy language of {} here", document.version));
        }
        document.statement.into_iter().map(Statement::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether `caller` may do `action` (`kms:Decrypt`) when the request is so.
    pub fn allows(&self, caller: &str, action: &str, facts: &Facts<'_>) -> bool {
        let applies = |statement: &&Statement| statement.applies(caller, action, facts);
        let mut applying = self.0.iter().filter(applies).peekable();
        applying.peek().is_some() && applying.all(|statement| statement.allow)
    }
}

impl Statement {
    fn parse(raw: RawStatement) -> Result<Self, String> {
        if raw.resource.list() != ["*"] {
            return Err("the resource of a key policy is *, the key itself".to_owned());
        }
        let principals = match raw.principal {
            Principal::Everybody(star) if star == "*" => vec![star],
            Principal::Everybody(other) => return Err(format!("no principal {other} here")),
            Principal::Aws { aws } => aws.list(),
        };
        let actions = raw.action.list();
        let known = |action: &&String| {
            action.starts_with("kms:") && !action.strip_suffix('*').unwrap_or(action).contains(['*', '?'])
        };
        if let Some(action) = actions.iter().find(|action| !known(action)) {
            return Err(format!("no action {action} here"));
        }
        let conditions = condition::parse(raw.condition)?;
        Ok(Self { allow: raw.effect == Effect::Allow, principals, actions, conditions })
    }

    fn applies(&self, caller: &str, action: &str, facts: &Facts<'_>) -> bool {
        let wanted = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => action.starts_with(prefix),
            None => pattern == action,
        };
        self.principals.iter().any(|principal| principal == "*" || principal == caller)
            && self.actions.iter().any(wanted)
            && self.conditions.iter().all(|condition| condition.holds(facts))
    }
}
