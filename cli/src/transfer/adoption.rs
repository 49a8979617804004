//! Whether keys that stay where they are can be used through a module that stands in front of them.
//!
//! Module and vendor's library are never open at one time: their logins would be one, and the module refuses a PIN that
//! the HSM has not judged.

use cryptoki::object::{Attribute, ObjectClass};

use super::item::Good;
use super::proof::{self, Can, Signed, Way};
use super::travel::Travel;
use super::{Item, are_halves, of_token, of_unknown_kind};
use crate::error::{Error, Result};
use crate::object::Object;
use crate::operation::Key;
use crate::public_key::PublicKey;
use crate::token::OpenToken;

/// The label of the key that Trellis puts into a token that it stands in front of, and shows nobody.
const KEY_ENCRYPTION_KEY: &str = "Trellis key encryption key";

/// What a slot of the module can do.
pub(crate) struct SlotCan(Can);

/// An object of the vendor's token on its way through the three steps.
struct Candidate {
    object: Object,
    travel: Travel,
    state: State,
}

enum State {
    /// A private key that has signed by itself, and its public half.
    Signed {
        way: Way,
        public: PublicKey,
        before: Signed,
    },
    /// The same, after the slot has signed.
    SignedBySlot {
        way: Way,
        public: PublicKey,
        answer: Signed,
    },
    /// Any other object: it is enough to be seen.
    Waiting,
    Done(Result<Good>),
}

/// All of them.
pub(crate) struct Adoption(Vec<Candidate>);

impl SlotCan {
    pub(crate) fn of(slot: &OpenToken) -> Result<Self> {
        Can::of(slot).map(Self)
    }
}

impl Adoption {
    /// First the vendor's library: every key that signs signs a challenge.
    pub(crate) fn begin(vendor: &mut OpenToken, slot: &SlotCan) -> Result<Self> {
        let can = Can::of(vendor)?;
        let objects = of_token(vendor)?;
        let mut candidates = Vec::new();
        let users = objects.iter().filter(|object| object.label() != KEY_ENCRYPTION_KEY);
        for object in users {
            let travel = Travel::read(vendor.session(), object.handle, object.class)?;
            let state = match signs(&travel, object) {
                true => match sign(vendor, object, &travel, &objects, (&can, &slot.0)) {
                    Ok(state) => state,
                    Err(error) => State::Done(Err(error)),
                },
                false => State::Waiting,
            };
            candidates.push(Candidate { object: object.clone(), travel, state });
        }
        Ok(Self(candidates))
    }

    /// Then the slot: it verifies what was signed, and signs.
    pub(crate) fn through(mut self, slot: &mut OpenToken) -> Result<Self> {
        let seen = of_token(slot)?;
        for candidate in &mut self.0 {
            let Candidate { object, travel, state } = candidate;
            let there = seen.iter().find(|other| is_same(other, object));
            *state = match (std::mem::replace(state, State::Waiting), there) {
                (done @ State::Done(_), _) => done,
                (_, None) => State::Done(Err(Error::module("the slot does not show it"))),
                (State::Signed { way, public, before }, Some(key)) => {
                    let always_authenticate = travel.is(&Attribute::AlwaysAuthenticate(true));
                    let key = Key { handle: key.handle, always_authenticate };
                    match proof::answer(slot, key, &public, &way, &before) {
                        Ok(answer) => State::SignedBySlot { way, public, answer },
                        Err(error) => State::Done(Err(error)),
                    }
                }
                (_, Some(_)) => State::Done(Ok(Good::default())),
            };
        }
        Ok(self)
    }

    /// Last the vendor's library again: it verifies what the slot signed.
    pub(crate) fn end(self, vendor: &mut OpenToken) -> Vec<Item> {
        let mut items = Vec::new();
        for Candidate { object, state, .. } in self.0 {
            let result = match state {
                State::Done(result) => result,
                State::SignedBySlot { way, public, answer } => {
                    let good = Good { proof: Some(way.word()), ..Good::default() };
                    proof::accept(vendor, &public, &way, &answer).map(|()| good)
                }
                State::Signed { .. } | State::Waiting => Err(Error::module("it was not looked at")),
            };
            items.push(Item::adopted(&object, result));
        }
        items
    }
}

fn signs(travel: &Travel, object: &Object) -> bool {
    object.class == ObjectClass::PRIVATE_KEY && travel.is(&Attribute::Sign(true))
}

fn sign(
    vendor: &mut OpenToken,
    key: &Object,
    travel: &Travel,
    objects: &[Object],
    (ours, theirs): (&Can, &Can),
) -> Result<State> {
    let algorithm = key.algorithm().ok_or_else(|| of_unknown_kind(key))?;
    let beside = objects.iter().find(|public| are_halves(key, public)).and_then(Object::public_key);
    let public = beside.or_else(|| key.public_key()).ok_or_else(|| {
        Error::unsupported("the public half of the key is not known, so nothing can check a signature")
    })?;
    let way = Way::choose(travel, algorithm, ours, theirs)?;
    let always_authenticate = travel.is(&Attribute::AlwaysAuthenticate(true));
    let before = proof::before(vendor, Key { handle: key.handle, always_authenticate }, &way)?;
    let before = before.ok_or_else(|| Error::module("the key does not sign"))?;
    Ok(State::Signed { way, public, before })
}

/// Whether the slot's object is the vendor's, by all that names it.
fn is_same(slot: &Object, vendor: &Object) -> bool {
    slot.class == vendor.class
        && slot.id() == vendor.id()
        && slot.label() == vendor.label()
        && slot.key_type() == vendor.key_type()
}
