//! Objects from one token to another, each key with the proof that its copy is the same key.
//!
//! The source is only read here. What was made in the target without a proof in the end is taken away again; a process
//! that is killed in between leaves it there, and the next run proves it or says what is wrong.

mod adoption;
mod export;
mod item;
mod proof;
mod repeatable;
mod travel;

use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};

pub(crate) use self::adoption::{Adoption, SlotCan};
use self::export::{Exported, SessionKey};
use self::item::Good;
pub(crate) use self::item::{Fate, Item, listing};
use self::proof::{Can, Pair, Way};
use self::repeatable::Repeatable;
use self::travel::Travel;
use crate::commands::import::{create_public, too_small};
use crate::encoding::hex;
use crate::error::{Error, Result, While};
use crate::exit::Exit;
use crate::object::{CLASSES, Object};
use crate::operation::Key;
use crate::public_key::PublicKey;
use crate::token::OpenToken;

/// What to do about a key that cannot leave its token.
const STAYS: &str =
    "make a new key in the target; or use SoftHSM's where it is: `trellis migrate softhsm --adopt`";

/// Two tokens, and what is needed between them.
pub(crate) struct Transfer<'t, 'f, 'm> {
    from: &'t mut OpenToken<'f>,
    to: &'t mut OpenToken<'m>,
    from_can: Can,
    to_can: Can,
    /// Wraps keys of the source, where it takes one.
    wrapping: Result<SessionKey>,
}

/// What belongs to a private key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Halves<'o> {
    pub(crate) private: &'o Object,
    pub(crate) public: Option<&'o Object>,
}

impl<'t, 'f, 'm> Transfer<'t, 'f, 'm> {
    /// Both tokens are logged in.
    pub(crate) fn new(from: &'t mut OpenToken<'f>, to: &'t mut OpenToken<'m>) -> Result<Self> {
        let from_can = Can::of(from).while_doing("the source")?;
        let to_can = Can::of(to).while_doing("the target")?;
        let wrapping = SessionKey::new(from);
        Ok(Self { from, to, from_can, to_can, wrapping })
    }

    /// Everything in the source: pairs first, then what stands alone.
    pub(crate) fn all(&mut self) -> Result<Vec<Item>> {
        let objects = of_token(self.from)?;
        let of = |class| objects.iter().filter(move |object| object.class == class);
        let mut paired = Vec::new();
        let mut items = Vec::new();
        for private in of(ObjectClass::PRIVATE_KEY) {
            let public = of(ObjectClass::PUBLIC_KEY).find(|public| are_halves(private, public));
            paired.extend(public.map(|public| public.handle));
            items.extend(self.pair(Halves { private, public }));
        }
        for object in &objects {
            if object.class != ObjectClass::PRIVATE_KEY && !paired.contains(&object.handle) {
                items.push(self.single(object));
            }
        }
        Ok(items)
    }

    /// A private key, and its public half where the source has it.
    pub(crate) fn pair(&mut self, halves: Halves<'_>) -> Vec<Item> {
        let Halves { private, public } = halves;
        match self.try_pair(halves) {
            Ok((good, other)) => {
                let mut items = vec![Item::new(private, Ok(good))];
                items.extend(public.map(|public| Item::new(public, Ok(other))));
                items
            }
            Err(error) => {
                let mut items = vec![Item::new(private, Err(error))];
                let alone = || Err(Error::unsupported("its private half did not move"));
                items.extend(public.map(|public| Item::new(public, alone())));
                items
            }
        }
    }

    /// Any object but a private key.
    pub(crate) fn single(&mut self, object: &Object) -> Item {
        let result = match object.class {
            ObjectClass::SECRET_KEY => self.secret(object),
            ObjectClass::PUBLIC_KEY => self.public(object),
            ObjectClass::CERTIFICATE | ObjectClass::DATA => self.plain(object),
            _ => Err(Error::unsupported("this command does not move objects of this class")),
        };
        Item::new(object, result)
    }

    fn try_pair(&mut self, halves: Halves<'_>) -> Result<(Good, Good)> {
        let Halves { private, public } = halves;
        let travel = Travel::read(self.from.session(), private.handle, private.class)?;
        let algorithm = private.algorithm().ok_or_else(|| of_unknown_kind(private))?;
        let told = public.and_then(Object::public_key).or_else(|| private.public_key());
        let existing = self.existing_private(&travel, told.as_ref())?;
        if existing.is_none() {
            refuse_fixed(private, &travel)?;
        }
        let way = Way::choose(&travel, algorithm, &self.from_can, &self.to_can)?;
        let always_authenticate = travel.is(&Attribute::AlwaysAuthenticate(true));
        let source = Key { handle: private.handle, always_authenticate };
        let before = proof::before(self.from, source, &way)?;
        let (copy, exported) = match &existing {
            Some(object) => {
                travel.check_no_weaker(self.to.session(), object.handle)?;
                (object.handle, None)
            }
            None => {
                let exported = export::private_key(self.from, &self.wrapping, private, algorithm);
                let Exported { template, public } =
                    exported.map_err(not_wrapped).while_doing("out of the source")?;
                let copy = self.create(template, &travel).map_err(|error| too_small(error, algorithm))?;
                (copy, public)
            }
        };
        let mut made = existing.is_none().then_some(copy).into_iter().collect::<Vec<_>>();
        let finished = (|| {
            let key = self.one_public_key([told, exported, self.told_by_target(copy, &travel)])?;
            let other = self.public_half(public, &key, &travel, &mut made)?;
            let source = Pair { private: source, public: public.map(|public| public.handle) };
            let asks = |there: &Object| there.flag(AttributeType::AlwaysAuthenticate) == Some(true);
            let always_authenticate = existing.as_ref().map_or(always_authenticate, asks);
            let copied = Key { handle: copy, always_authenticate };
            let target = Pair { private: copied, public: other.map(|(handle, _)| handle) };
            proof::pair((self.from, source), (self.to, target), &key, &way, before)?;
            Ok(other.is_some_and(|(_, was_there)| was_there))
        })();
        match finished {
            Ok(public_was_there) => {
                let was_there = existing.is_some();
                let proof = Some(way.word());
                let mut notes = travel.notes.clone();
                notes.extend(proof::lost_uses(&travel, algorithm, &self.from_can, &self.to_can));
                let good = Good { was_there, proof, notes };
                Ok((good, Good { was_there: public_was_there, ..Good::default() }))
            }
            Err(error) => Err(self.take_back(&made, error)),
        }
    }

    /// The public key that all who know it must agree on.
    fn one_public_key(&self, told: [Option<PublicKey>; 3]) -> Result<PublicKey> {
        let mut told = told.into_iter().flatten();
        let first = told.next().ok_or_else(|| {
            Error::unsupported("neither source nor target tells the public half of the key")
                .remedy("put the public key object into the source, with the CKA_ID of the private key")
        })?;
        match told.any(|other| other != first) {
            false => Ok(first),
            true => Err(Error::conflict("the public key beside it is not its public half")
                .remedy("delete the public key object that is wrong")),
        }
    }

    /// What the target says of the copy's public half: the copy itself, or the public key object beside it.
    fn told_by_target(&self, copy: ObjectHandle, travel: &Travel) -> Option<PublicKey> {
        let session = self.to.session();
        let copy = Object::read(session, copy, ObjectClass::PRIVATE_KEY).ok()?;
        copy.public_key().or_else(|| {
            let beside = self.named(ObjectClass::PUBLIC_KEY, travel).ok()?;
            beside.iter().filter(|_| !travel.id().is_empty()).find_map(Object::public_key)
        })
    }

    /// The public half in the target and whether it was there; `None` where the source has none either.
    fn public_half(
        &self,
        public: Option<&Object>,
        key: &PublicKey,
        private: &Travel,
        made: &mut Vec<ObjectHandle>,
    ) -> Result<Option<(ObjectHandle, bool)>> {
        let beside = self.named(ObjectClass::PUBLIC_KEY, private)?;
        if let Some(same) = beside.iter().find(|object| object.public_key().as_ref() == Some(key)) {
            return Ok(Some((same.handle, true)));
        }
        let Some(public) = public else { return Ok(None) };
        let travel = Travel::read(self.from.session(), public.handle, public.class)?;
        let handle = self.create_public(key, &travel)?;
        made.push(handle);
        travel.check_kept(self.to.session(), handle)?;
        Ok(Some((handle, false)))
    }

    fn create_public(&self, key: &PublicKey, travel: &Travel) -> Result<ObjectHandle> {
        let mut extra = travel.attributes.clone();
        extra.push(Attribute::Token(true));
        create_public(self.to.session(), key, &extra).while_doing("into the target, the public half")
    }

    /// The private key of the target that is this one by its name. Another key under the same CKA_ID is a conflict.
    fn existing_private(&self, travel: &Travel, told: Option<&PublicKey>) -> Result<Option<Object>> {
        let mut other = false;
        for candidate in self.named(ObjectClass::PRIVATE_KEY, travel)? {
            match (told, self.told_by_target(candidate.handle, travel)) {
                (Some(ours), Some(theirs)) if *ours != theirs => other = true,
                (None | Some(_), Some(_)) => return Ok(Some(candidate)),
                // By its name alone; the proof will tell.
                (_, None) if !travel.id().is_empty() => return Ok(Some(candidate)),
                (_, None) => {}
            }
        }
        if other && !travel.id().is_empty() { Err(taken(travel)) } else { Ok(None) }
    }

    fn secret(&mut self, object: &Object) -> Result<Good> {
        let travel = Travel::read(self.from.session(), object.handle, object.class)?;
        let kind = object.key_type().ok_or_else(|| of_unknown_kind(object))?;
        let way = Repeatable::choose(&travel, kind, object.value_len(), &self.from_can, &self.to_can);
        let word = Some(way.map_or("value", Repeatable::word));
        for candidate in self.named(ObjectClass::SECRET_KEY, &travel)? {
            if candidate.key_type() == Some(kind) && self.same_secret(object, &candidate, way)? {
                travel.check_no_weaker(self.to.session(), candidate.handle)?;
                return Ok(Good { was_there: true, proof: word, notes: travel.notes });
            }
            if !travel.id().is_empty() {
                return Err(taken(&travel));
            }
        }
        refuse_fixed(object, &travel)?;
        let exported = export::secret_key(self.from, &self.wrapping, object, kind).map_err(not_wrapped);
        let copy = self.create(exported.while_doing("out of the source")?.template, &travel)?;
        let same = Object::read(self.to.session(), copy, object.class)
            .and_then(|copy| self.same_secret(object, &copy, way));
        match same {
            Ok(true) => Ok(Good { was_there: false, proof: word, notes: travel.notes }),
            Ok(false) => Err(self.take_back(&[copy], Error::module("the copy is not the key"))),
            Err(error) => Err(self.take_back(&[copy], error)),
        }
    }

    fn same_secret(&self, ours: &Object, theirs: &Object, way: Option<Repeatable>) -> Result<bool> {
        if let Some(way) = way {
            return way.same((self.from, ours.handle), (self.to, theirs.handle));
        }
        // A key that nothing can be done with on both sides is taken out of both and compared.
        let wrapping = SessionKey::new(self.to);
        export::same_value((self.from, &self.wrapping, ours), (self.to, &wrapping, theirs))
    }

    fn public(&mut self, object: &Object) -> Result<Good> {
        let travel = Travel::read(self.from.session(), object.handle, object.class)?;
        let key = object.public_key().ok_or_else(|| of_unknown_kind(object))?;
        for candidate in self.named(object.class, &travel)? {
            match candidate.public_key() == Some(key.clone()) {
                true => return Ok(Good { was_there: true, ..Good::default() }),
                false if !travel.id().is_empty() => return Err(taken(&travel)),
                false => {}
            }
        }
        let handle = self.create_public(&key, &travel)?;
        self.keep_if_whole(handle, &travel)?;
        Ok(Good { notes: travel.notes, ..Good::default() })
    }

    /// A certificate or data object: its attributes are all there is to it.
    fn plain(&mut self, object: &Object) -> Result<Good> {
        let travel = Travel::read(self.from.session(), object.handle, object.class)?;
        for candidate in self.named(object.class, &travel)? {
            let theirs = Travel::read(self.to.session(), candidate.handle, object.class)?;
            if travel.content() == theirs.content() {
                return Ok(Good { was_there: true, ..Good::default() });
            }
        }
        let mut template = travel.attributes.clone();
        template.extend([Attribute::Class(object.class), Attribute::Token(true)]);
        let handle = self.to.session().create_object(&template).while_doing("into the target")?;
        self.keep_if_whole(handle, &travel)?;
        Ok(Good { notes: travel.notes, ..Good::default() })
    }

    fn create(
        &self,
        mut template: crate::private_key::SecretTemplate,
        travel: &Travel,
    ) -> Result<ObjectHandle> {
        template.extend(travel.attributes.iter().cloned());
        template.extend([Attribute::Token(true)]);
        let handle = self.to.session().create_object(template.attributes()).while_doing("into the target")?;
        self.keep_if_whole(handle, travel)?;
        Ok(handle)
    }

    fn keep_if_whole(&self, made: ObjectHandle, travel: &Travel) -> Result<()> {
        travel.check_kept(self.to.session(), made).map_err(|error| self.take_back(&[made], error))
    }

    /// Takes away what was made in vain; the error says so if even that fails.
    fn take_back(&self, made: &[ObjectHandle], error: Error) -> Error {
        let stays = made.iter().filter(|handle| self.to.session().destroy_object(**handle).is_err()).count();
        match stays {
            0 => error,
            _ => error.remedy("delete the copy in the target: it could not be taken back"),
        }
    }

    /// The target's objects of a class under this name; all of the class for an object without a name.
    fn named(&self, class: ObjectClass, travel: &Travel) -> Result<Vec<Object>> {
        let mut template = vec![Attribute::Class(class), Attribute::Token(true)];
        template.extend(travel.name());
        let handles = self.to.session().find_objects(&template).while_doing("looking into the target")?;
        handles.into_iter().map(|handle| Object::read(self.to.session(), handle, class)).collect()
    }
}

/// Every object that the token keeps, private keys first.
fn of_token(open: &OpenToken) -> Result<Vec<Object>> {
    let session = open.session();
    let mut objects = Vec::new();
    for class in CLASSES.into_iter().chain([ObjectClass::DATA]) {
        let handles = session.find_objects(&[Attribute::Class(class), Attribute::Token(true)])?;
        for handle in handles {
            objects.push(Object::read(session, handle, class)?);
        }
    }
    // The rest, of classes that this command does not know.
    for handle in session.find_objects(&[Attribute::Token(true)])? {
        if !objects.iter().any(|object| object.handle == handle) {
            objects.push(Object::read(session, handle, ObjectClass::HARDWARE_FEATURE)?);
        }
    }
    Ok(objects)
}

/// Whether a public key object has the name of the private key.
pub(crate) fn are_halves(private: &Object, public: &Object) -> bool {
    public.class == ObjectClass::PUBLIC_KEY
        && public.key_type() == private.key_type()
        && match private.id() {
            [] => public.id().is_empty() && public.label() == private.label(),
            id => public.id() == id,
        }
}

/// Why a key cannot leave, in words that say more than the token's code.
fn refuse_fixed(key: &Object, travel: &Travel) -> Result<()> {
    if key.flag(AttributeType::Extractable) == Some(false) {
        return Err(Error::unsupported("CKA_EXTRACTABLE is false: the key cannot leave its token").remedy(
            "make a new key in the target, or import the file that it came from there (a key that is to move is made with --extractable); \
             SoftHSM's can stay where it is: `trellis migrate softhsm --adopt`",
        ));
    }
    let sensitive = key.flag(AttributeType::Sensitive) != Some(false);
    if sensitive && travel.is(&Attribute::WrapWithTrusted(true)) {
        return Err(Error::unsupported(
            "CKA_WRAP_WITH_TRUSTED is true: the key leaves only under a key that the security officer trusts",
        ));
    }
    Ok(())
}

/// Tokens that wrap some kinds of keys and not others have one code for it.
fn not_wrapped(mut error: Error) -> Error {
    if !error.is("CKR_KEY_NOT_WRAPPABLE") {
        return error;
    }
    error.exit = Exit::Unsupported;
    error
        .meaning(
            "the key is sensitive, and its token does not wrap a key of this kind or with these restrictions",
        )
        .remedy(STAYS)
}

fn of_unknown_kind(object: &Object) -> Error {
    Error::unsupported(match object.key_type() {
        Some(KeyType::EC | KeyType::EC_EDWARDS) => "the command does not know keys on this curve".into(),
        _ => format!("the command does not know keys of this kind ({})", object.algorithm_name()),
    })
}

fn taken(travel: &Travel) -> Error {
    Error::conflict(format!("the target has another key with the id {}", hex(travel.id())))
        .remedy("delete or rename the key in the target")
}
