//! `trellis key move`: a key from one token of the module to another. The source is deleted only after the copy has been
//! proven, so that a run that is killed leaves the key in one place at least, and the next run finishes.

use std::path::Path;

use clap::Args;
use cryptoki::object::{Attribute, ObjectClass};
use serde_json::json;

use crate::commands::key::one_entry;
use crate::entry::Entry;
use crate::error::{Error, Result, While};
use crate::object::{CLASSES, KeyName, Object, class_name};
use crate::options::{Global, Outcome, TokenArgs};
use crate::output::{clean, show};
use crate::pin::PinSource;
use crate::token::{OpenToken, Token, parse_uri};
use crate::transfer::{Halves, Item, Transfer, are_halves, listing};
use crate::uri::Uri;

#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    /// Key by label, id (hexadecimal) or PKCS#11 URI.
    key: String,
    #[command(flatten)]
    token: TokenArgs,
    /// Token that gets the key, by label, serial number or PKCS#11 URI.
    #[arg(long, value_name = "TOKEN")]
    to: String,
    /// Where the user PIN of that token comes from [default: prompt].
    #[arg(long, value_name = "SOURCE")]
    to_pin_source: Option<PinSource>,
    /// Leave the key in its token, too.
    #[arg(long)]
    copy: bool,
    /// Move its certificates too.
    #[arg(long)]
    with_certificates: bool,
}

impl MoveArgs {
    pub(crate) fn run(self, global: &Global) -> Result<Outcome> {
        let name = KeyName::parse(&self.key)?;
        let module = self.token.load(global, Some(&name))?;
        let from = Token::choose(&module, &self.token.choice(Some(&name)))?;
        if Uri::is_uri(&self.to)
            && let Some(path) = parse_uri(&self.to)?.module_path
            && !module.is_at(Path::new(&path))
        {
            return Err(Error::usage("both tokens must be of one module, and --to names another")
                .remedy("a key of SoftHSM's comes into Trellis by `trellis migrate softhsm`"));
        }
        let target = TokenArgs { token: Some(self.to.clone()), pin_source: self.to_pin_source.clone() };
        let to = Token::choose(&module, &target.choice(None))?;
        // Two slots may show one token, and there the deletion at the end would be of the only key.
        if from.slot == to.slot || from.info.serial_number() == to.info.serial_number() {
            return Err(Error::usage(format!(
                "source and target are one token, `{}`",
                clean(to.info.label())
            ))
            .remedy("name another one with --to"));
        }
        let mut from = OpenToken::open(&module, from, !self.copy)?;
        from.login(self.token.source(Some(&name))?.as_ref())?;
        let mut to = OpenToken::open(&module, to, true)?;
        to.login(target.source(None)?.as_ref())?;

        let entry = self.entry(&from, &name)?;
        refuse_namesake(&entry, &to)?;
        let items = transfer(&entry, &mut from, &mut to)?;
        if !self.copy {
            delete(&entry, &from)?;
        }
        let json = json!({
            "objects": items.iter().map(Item::json).collect::<Vec<_>>(),
            "from": from.token.uri().to_string(),
            "to": to.token.uri().to_string(),
            "source_deleted": !self.copy,
        });
        show(global, &json, || {
            let end = if self.copy { "it is in both now" } else { "the source is deleted" };
            let [from, to] = [&from, &to].map(|open| clean(open.token.info.label()));
            format!("{}From token `{from}` to token `{to}`; {end}.", listing(&items))
        })?;
        Ok(Outcome::Done)
    }

    /// The objects that go: of a key without its certificates, unless they are asked for.
    fn entry(&self, from: &OpenToken, name: &KeyName) -> Result<Entry> {
        let mut entry = one_entry(from, name)?;
        let id = entry.objects[0].id().to_vec();
        // All of one CKA_ID, whatever their labels.
        for class in CLASSES.into_iter().filter(|_| !id.is_empty()) {
            for handle in
                from.session().find_objects(&[Attribute::Class(class), Attribute::Id(id.clone())])?
            {
                if !entry.objects.iter().any(|object| object.handle == handle) {
                    entry.objects.push(Object::read(from.session(), handle, class)?);
                }
            }
        }
        entry.objects.retain(|object| object.class != ObjectClass::CERTIFICATE || self.with_certificates);
        if entry.objects.is_empty() {
            return Err(Error::not_found(format!("`{name}` names only certificates"))
                .remedy("add --with-certificates"));
        }
        if !self.copy {
            self.refuse_indestructible(&entry, from)?;
        }
        Ok(entry)
    }

    fn refuse_indestructible(&self, entry: &Entry, from: &OpenToken) -> Result<()> {
        use cryptoki::object::AttributeType::Destroyable;
        for object in &entry.objects {
            let told = crate::object::attributes(from.session(), object.handle, &[Destroyable])?;
            if told == [Attribute::Destroyable(false)] {
                let class = class_name(object.class);
                return Err(Error::unsupported(format!(
                    "the {class} object cannot be deleted from its token"
                ))
                .remedy("--copy"));
            }
        }
        Ok(())
    }
}

/// All of them, or the first that does not move as the error.
fn transfer(entry: &Entry, from: &mut OpenToken, to: &mut OpenToken) -> Result<Vec<Item>> {
    let target = clean(to.token.info.label());
    let mut transfer = Transfer::new(from, to)?;
    let is_private = |object: &&Object| object.class == ObjectClass::PRIVATE_KEY;
    let mut privates = entry.objects.iter().filter(is_private);
    let private = privates.next();
    if privates.next().is_some() {
        return Err(Error::conflict("several private keys have that name")
            .remedy("give each an id of its own, for instance with pkcs11-tool --set-id"));
    }
    let public = private.and_then(|private| entry.objects.iter().find(|object| are_halves(private, object)));
    let mut items = Vec::new();
    if let Some(private) = private {
        let mut pair = transfer.pair(Halves { private, public });
        if let Some(error) = pair.iter_mut().find_map(|item| item.error.take()) {
            return Err(error.while_doing("the key stays where it is"));
        }
        items.extend(pair);
    }
    let is_done = |object: &Object| {
        object.class == ObjectClass::PRIVATE_KEY
            || public.is_some_and(|public| public.handle == object.handle)
    };
    for object in entry.objects.iter().filter(|object| !is_done(object)) {
        let mut item = transfer.single(object);
        if let Some(error) = item.error.take() {
            return Err(in_both(error, &items, object, &target));
        }
        items.push(item);
    }
    Ok(items)
}

/// What did not move, and where the rest is now.
fn in_both(error: Error, items: &[Item], failed: &Object, target: &str) -> Error {
    if items.is_empty() {
        return error.while_doing("the key stays where it is");
    }
    let there: Vec<_> = items.iter().map(|item| class_name(item.class)).collect();
    let doing = format!(
        "the {} object does not move; nothing is deleted, and token `{target}` has these objects now as well: {}",
        class_name(failed.class),
        there.join(", ")
    );
    let first = error.what_to_do().map(|remedy| format!("{remedy}; ")).unwrap_or_default();
    let remedy = format!(
        "{first}then run the command again, which goes on; or remove the copy from token `{target}` with `trellis key delete`"
    );
    error.while_doing(&doing).remedy(remedy)
}

/// The secret last: as long as there is anything to finish, the key is found by its name.
fn delete(entry: &Entry, from: &OpenToken) -> Result<()> {
    let mut objects: Vec<_> = entry.objects.iter().collect();
    objects.sort_by_key(|object| matches!(object.class, ObjectClass::PRIVATE_KEY | ObjectClass::SECRET_KEY));
    for object in objects {
        let doing = format!("the copy is good; deleting the {} object", class_name(object.class));
        from.session().destroy_object(object.handle).while_doing(&doing)?;
    }
    Ok(())
}

/// Another key of the label in the target would make both ambiguous. What an earlier run has brought there has the same id.
fn refuse_namesake(entry: &Entry, to: &OpenToken) -> Result<()> {
    for object in &entry.objects {
        if object.class == ObjectClass::CERTIFICATE || object.label().is_empty() {
            continue;
        }
        for class in [ObjectClass::PRIVATE_KEY, ObjectClass::SECRET_KEY, ObjectClass::PUBLIC_KEY] {
            let named = [Attribute::Class(class), Attribute::Label(object.label().into_bytes())];
            for handle in to.session().find_objects(&named)? {
                if Object::read(to.session(), handle, class)?.id() != object.id() {
                    return Err(Error::conflict(format!(
                        "token `{}` has a {} of the same label already",
                        clean(to.token.info.label()),
                        class_name(class)
                    ))
                    .remedy("`trellis key delete` removes the old one; the key stays where it is"));
                }
            }
        }
    }
    Ok(())
}
