//! The sequences themselves: make a call on both sides, compare, take note, go on.

use std::{collections::BTreeMap, path::Path};

use cryptoki_sys::*;
use trellis_tests::{
    c, isolated,
    isolated::Place,
    library,
    random::{Random, seeds},
};

use crate::{
    action::{Action, Attributes, Kind, NAMES, Outcome, Room},
    differences::DIFFERENCES,
    generate::Next,
    model::Model,
    objects::Keys,
    side::Side,
};

const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";
const SEQUENCES: u64 = 60;
const CALLS: usize = 200;

/// Both modules in the middle of a sequence.
struct Both {
    ours: Side,
    theirs: Side,
    model: Model,
    /// How often each row of the table was needed.
    needed: Vec<usize>,
    /// How often each kind of call was answered CKR_OK by both.
    done: BTreeMap<String, usize>,
    /// Objects that failed calls have left on SoftHSM's token.
    leftovers: usize,
}

impl Both {
    /// Makes a call on both sides and compares. `Err` says how they differ.
    fn make(&mut self, next: &Next) -> Result<(), String> {
        let action = &next.action;
        let call = |side: &Side| side.make(action, &self.ours.outputs, &self.theirs.outputs);
        let (ours, theirs) = (call(&self.ours), call(&self.theirs));
        let differ = |what: &str| {
            Err(format!("{what}\n  {action:x?} {:?}\n  ours   {ours:x?}\n  theirs {theirs:x?}", next.case))
        };
        if ours.rv != theirs.rv {
            let row = DIFFERENCES
                .iter()
                .position(|row| row.answers.contains(&(ours.rv, theirs.rv)) && (row.of)(action, next.case));
            let Some(row) = row else { return differ("different answers") };
            self.needed[row] += 1;
            self.reconcile(action, &ours, &theirs);
            if let Action::Create { template, .. } | Action::Copy { template, .. } = action {
                self.clear_leftovers(template);
            }
            return Ok(());
        }
        if !self.compares(action, &ours, &theirs) {
            return differ("different outputs");
        }
        if ours.rv == CKR_OK {
            *self.done.entry(action.name()).or_default() += 1;
        }
        let made = self.model.makes(action).filter(|_| ours.rv == CKR_OK);
        self.model.note(action, &ours);
        if let Some(made) = made {
            self.model.outputs.push(made);
            self.ours.outputs.push(ours.output.clone());
            self.theirs.outputs.push(theirs.output.clone());
        }
        match action {
            Action::Open { .. } if ours.rv == CKR_OK => {
                self.ours.sessions.extend(ours.handles);
                self.theirs.sessions.extend(theirs.handles);
            }
            Action::Create { .. } | Action::Copy { .. } if ours.rv == CKR_OK => {
                self.ours.objects.extend(ours.handles);
                self.theirs.objects.extend(theirs.handles);
            }
            // The standard does not say whether this ends the digest; here it does.
            Action::DigestKey { session, .. } if ours.rv != CKR_OK => self.replace_if_open(*session),
            Action::Create { template, .. } | Action::Copy { template, .. } => self.clear_leftovers(template),
            Action::Search { .. } => self.take_found(&ours, &theirs),
            // Whether operations outlive a logout is left open (section 5.6.9).
            Action::Logout { .. } if ours.rv == CKR_OK => {
                (0..self.model.sessions.len())
                    .filter(|number| self.model.sessions[*number].is_busy())
                    .collect::<Vec<_>>()
                    .into_iter()
                    .for_each(|number| self.replace_session(number));
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether two outputs of the same answer are as equal as they can be.
    fn compares(&self, action: &Action, ours: &Outcome, theirs: &Outcome) -> bool {
        let mechanism =
            |session: usize| self.model.sessions[session].active.as_ref().map(|a| a.mechanism.kind);
        match action {
            Action::Whole { kind: Kind::Sign, session, .. }
            | Action::Final { kind: Kind::Sign, session, .. }
                if ours.rv == CKR_OK
                    && matches!(
                        mechanism(*session),
                        Some(CKM_ECDSA | CKM_RSA_PKCS_PSS | CKM_SHA256_RSA_PKCS_PSS)
                    ) =>
            {
                ours.output.len() == theirs.output.len()
            }
            // A length that is asked for may be more than it will be (section 5.2).
            Action::Whole { kind: Kind::Encrypt | Kind::Decrypt, room: Room::Ask, .. }
            | Action::Final { kind: Kind::Encrypt | Kind::Decrypt, room: Room::Ask, .. } => true,
            _ => ours.output == theirs.output,
        }
    }

    /// What both have found gets a number if it has none: handles of private objects are new after each login.
    fn take_found(&mut self, ours: &Outcome, theirs: &Outcome) {
        for (own, their) in ours.handles.iter().zip(&theirs.handles) {
            let known = |side: &Side, handle: &CK_ULONG| side.objects.contains(handle);
            if !known(&self.ours, own) && !known(&self.theirs, their) {
                let label = self.ours.label(*own);
                self.model.objects.push(self.model.sort_of(&label));
                self.ours.objects.push(*own);
                self.theirs.objects.push(*their);
            }
        }
    }

    /// Brings both to the same state after answers that differ.
    fn reconcile(&mut self, action: &Action, ours: &Outcome, theirs: &Outcome) {
        for (side, outcome) in [(&self.ours, ours), (&self.theirs, theirs)] {
            let ok = outcome.rv == CKR_OK;
            match action {
                Action::Create { session, .. } | Action::Copy { session, .. } if ok => {
                    let rv = c!(side.C_DestroyObject(side.session(*session), outcome.handles[0]));
                    assert_eq!(rv, CKR_OK);
                }
                Action::Open { .. } if ok => {
                    assert_eq!(c!(side.C_CloseSession(outcome.handles[0])), CKR_OK);
                }
                Action::Login { session, .. } if ok => {
                    assert_eq!(c!(side.C_Logout(side.session(*session))), CKR_OK);
                }
                _ => {}
            }
        }
        match action {
            Action::Init { session, .. }
            | Action::Whole { session, .. }
            | Action::Update { session, .. }
            | Action::Final { session, .. }
            | Action::Verify { session, .. }
            | Action::VerifyFinal { session, .. }
            | Action::DigestKey { session, .. } => self.replace_if_open(*session),
            _ => {}
        }
    }

    /// SoftHSM leaves what it has made of an object on the token when C_CreateObject fails half way. Section 5.1: a
    /// function that fails has changed nothing.
    fn clear_leftovers(&mut self, template: &Attributes) {
        let given = template.iter().filter(|(kind, _)| *kind == CKA_LABEL).map(|(_, label)| &label[..]);
        // Nothing in a sequence has an empty label but what failed before it had one.
        for label in given.chain([&[][..]]) {
            assert_eq!(self.ours.destroy_labelled(label), 0, "{template:x?} is half made");
            self.leftovers += self.theirs.destroy_labelled(label);
        }
    }

    fn replace_if_open(&mut self, number: usize) {
        if self.model.sessions.get(number).is_some_and(|session| session.open) {
            self.replace_session(number);
        }
    }

    /// A new session under the number of another.
    fn replace_session(&mut self, number: usize) {
        let flags = self.model.sessions[number].flags;
        for side in [&mut self.ours, &mut self.theirs] {
            let (rv, fresh) = side.open(flags);
            assert_eq!(rv, CKR_OK);
            assert_eq!(c!(side.C_CloseSession(side.session(number))), CKR_OK);
            side.sessions[number] = fresh;
        }
        self.model.sessions[number].end_all();
    }
}

fn load(place: &Place) -> (Side, Side) {
    assert!(Path::new(SOFTHSM).exists(), "{SOFTHSM} is missing; type: apt-get install softhsm2");
    let tokens = place.directory().join("softhsm");
    std::fs::create_dir(&tokens).unwrap();
    let settings = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        tokens.display()
    );
    std::fs::write(place.directory().join("softhsm2.conf"), settings).unwrap();
    place.configure("log = 'off'\n[[slot]]\npath = 'token'\npin-tries = 100\n");
    (Side::new(library::path()), Side::new(Path::new(SOFTHSM)))
}

isolated! {
    fn both_answer_the_same(place) {
        let (ours, theirs) = load(place);
        let keys = Keys::generate(&ours);
        let mut both = Both { ours, theirs, model: Model::new(), needed: vec![0; DIFFERENCES.len()], done: BTreeMap::new(), leftovers: 0 };
        let seeds = seeds(0..SEQUENCES);
        let whole = seeds.len() > 1;
        for seed in seeds {
            let mut random = Random::new(seed);
            both.ours.reset();
            both.theirs.reset();
            both.model = Model::new();
            let mut history = Vec::new();
            let prelude = both.model.prelude(&keys, &mut random);
            let mut prelude = prelude.into_iter();
            for _ in 0..CALLS {
                let next = prelude.next().unwrap_or_else(|| both.model.next(&keys, &mut random));
                history.push(format!("{:x?}", next.action));
                if let Err(difference) = both.make(&next) {
                    let last = &history[history.len().saturating_sub(40)..];
                    panic!("seed {seed}, call {}:\n{}\n{difference}", history.len(), last.join("\n"));
                }
            }
        }
        println!("{:?}, {} leftovers, differences {:?}", both.done, both.leftovers, both.needed);
        if whole {
            // Sequences that fail all the time would compare little.
            for name in NAMES {
                assert!(both.done.get(*name).is_some_and(|times| *times > 2), "{name} was hardly ever made");
            }
            for (row, needed) in DIFFERENCES.iter().zip(&both.needed) {
                assert!(*needed > 0, "no longer a difference: {}", row.why);
            }
            assert!(both.leftovers > 0, "SoftHSM no longer leaves half-made objects");
        }
    }
}
