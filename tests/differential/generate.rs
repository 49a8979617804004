//! The next call of a sequence: mostly one that makes sense in the state that the calls before have led to.

use cryptoki_sys::*;
use trellis_tests::random::Random;

use crate::{
    action::{Action, Attributes, PINS},
    faults::spoil,
    model::Model,
    objects::{Keys, SORTS, Sort, number},
};

/// A call, and what is odd about it: the name by which the table of differences knows it.
pub(crate) struct Next {
    pub(crate) action: Action,
    pub(crate) case: &'static str,
}

impl Model {
    /// What a sequence begins with: an object of each sort, in the order of [`SORTS`], that every session can
    /// use all the time, and a session to use them in.
    pub(crate) fn prelude(&mut self, keys: &Keys, random: &mut Random) -> Vec<Next> {
        let mut calls = Vec::new();
        for sort in SORTS {
            let mut template = keys.template(sort, random);
            template.push((CKA_LABEL, self.label(sort)));
            template.push((CKA_PRIVATE, vec![0]));
            if sort.has_secret() {
                // Without them each side has its own defaults (section 4.9, footnote 9).
                template.extend([(CKA_SENSITIVE, vec![0]), (CKA_EXTRACTABLE, vec![1])]);
            }
            calls.push(Next { action: Action::Create { session: 0, template }, case: "" });
        }
        calls.push(Next { action: Action::Open { flags: CKF_SERIAL_SESSION | CKF_RW_SESSION }, case: "" });
        calls
    }

    /// The next call.
    pub(crate) fn next(&mut self, keys: &Keys, random: &mut Random) -> Next {
        let session = self.some_session(random);
        let plain = |action| Next { action, case: "" };
        match random.below(100) {
            0..=3 => {
                let flags = *random.one_of(&[
                    CKF_SERIAL_SESSION | CKF_RW_SESSION,
                    CKF_SERIAL_SESSION | CKF_RW_SESSION,
                    CKF_SERIAL_SESSION,
                    CKF_RW_SESSION,
                ]);
                plain(Action::Open { flags })
            }
            4..=5 => plain(Action::Close { session }),
            6..=7 => plain(Action::Info { session }),
            // A login costs its price.
            8 => self.login(session, random),
            9..=12 if !self.logged_in => self.login(session, random),
            13 => plain(Action::Logout { session }),
            14..=20 => self.create(session, keys, random),
            21..=23 => self.copy(session, random),
            24..=25 => {
                let own = SORTS.len() + random.below(self.objects.len() - SORTS.len() + 1);
                plain(Action::Destroy { session, object: own })
            }
            26..=31 => self.get(session, random),
            32..=36 => self.set(session, random),
            37..=42 => self.search(session, random),
            43 => plain(Action::Random { session, len: random.below(64) }),
            _ => self.operation(session, random),
        }
    }

    fn some_session(&self, random: &mut Random) -> usize {
        // The first only holds the login and the objects of the prelude.
        let open: Vec<_> = (1..self.sessions.len()).filter(|number| self.sessions[*number].open).collect();
        // What has begun goes on, mostly.
        let busy: Vec<_> = open.iter().copied().filter(|number| self.sessions[*number].is_busy()).collect();
        if !busy.is_empty() && !random.once_in(3) {
            return *random.one_of(&busy);
        }
        // One that is closed, or one that never was, now and then.
        if open.is_empty() || random.once_in(30) {
            1 + random.below(self.sessions.len())
        } else {
            *random.one_of(&open)
        }
    }

    fn some_object(&self, random: &mut Random) -> usize {
        if random.once_in(40) { 9999 } else { random.below(self.objects.len()) }
    }

    pub(crate) fn object_of(&self, sorts: &[Sort], random: &mut Random) -> usize {
        if !random.once_in(3) {
            let of_the_prelude = SORTS.iter().position(|sort| sorts.contains(sort));
            return of_the_prelude.unwrap_or_else(|| self.some_object(random));
        }
        let fitting: Vec<_> = (0..self.objects.len())
            .filter(|number| self.objects[*number].is_some_and(|sort| sorts.contains(&sort)))
            .collect();
        if fitting.is_empty() || random.once_in(12) {
            self.some_object(random)
        } else {
            *random.one_of(&fitting)
        }
    }

    fn login(&self, session: usize, random: &mut Random) -> Next {
        let (user, pin) = match random.below(10) {
            0 => (CKU_USER, PINS[2]),
            1..=2 => (CKU_SO, PINS[1]),
            3 => (CKU_CONTEXT_SPECIFIC, PINS[0]),
            4 => (7, PINS[0]),
            _ => (CKU_USER, PINS[0]),
        };
        Next { action: Action::Login { session, user, pin }, case: "" }
    }

    fn create(&mut self, session: usize, keys: &Keys, random: &mut Random) -> Next {
        let sort = *random.one_of(&SORTS);
        let mut template = keys.template(sort, random);
        let label = self.label(sort);
        template.push((CKA_LABEL, label));
        let token = random.once_in(3);
        // Mostly objects that can be made in this state.
        let private = if random.once_in(10) { random.once_in(2) } else { self.logged_in };
        let mut case = "";
        // With a login both would make it, and differ later in who may use it.
        let private = private || (sort.has_secret() && token && self.logged_in);
        if sort.has_secret() && token && !private {
            case = "a secret on the token that is not private";
        }
        template.push((CKA_TOKEN, vec![u8::from(token)]));
        template.push((CKA_PRIVATE, vec![u8::from(private)]));
        if sort.has_secret() {
            let open = random.once_in(2);
            template.push((CKA_SENSITIVE, vec![u8::from(!open)]));
            template.push((CKA_EXTRACTABLE, vec![u8::from(open)]));
        }
        if random.once_in(8) {
            template.push((CKA_MODIFIABLE, vec![0]));
        }
        if random.once_in(5) {
            case = spoil(&mut template, sort, random);
        }
        Next { action: Action::Create { session, template }, case }
    }

    fn copy(&mut self, session: usize, random: &mut Random) -> Next {
        let object = self.some_object(random);
        let sort = self.objects.get(object).copied().flatten().unwrap_or(Sort::Data);
        let mut template: Attributes = Vec::new();
        if !random.once_in(4) {
            let label = self.label(sort);
            template.push((CKA_LABEL, label));
        }
        let mut case = "";
        match random.below(6) {
            0 => {
                let token = !sort.has_secret() && random.once_in(2);
                template.push((CKA_TOKEN, vec![u8::from(token)]));
            }
            1 => {
                template.push((CKA_PRIVATE, vec![u8::from(random.once_in(2))]));
                case = "a copy with another CKA_PRIVATE";
            }
            2 => template.push((CKA_SENSITIVE, vec![1])),
            3 => {
                template.push((CKA_EXTRACTABLE, vec![1]));
                case = "a copy with another CKA_EXTRACTABLE";
            }
            _ => {}
        }
        Next { action: Action::Copy { session, object, template }, case }
    }

    fn get(&self, session: usize, random: &mut Random) -> Next {
        let all = [
            CKA_CLASS,
            CKA_LABEL,
            CKA_TOKEN,
            CKA_PRIVATE,
            CKA_MODIFIABLE,
            CKA_VALUE,
            CKA_KEY_TYPE,
            CKA_SENSITIVE,
            CKA_EXTRACTABLE,
            CKA_MODULUS,
            CKA_EC_PARAMS,
            CKA_LOCAL,
            CKA_ID,
        ];
        let kinds = (0..=random.below(4)).map(|_| *random.one_of(&all)).collect();
        let room = *random.one_of(&[0, 4, 512, 512, 512]);
        Next { action: Action::Get { session, object: self.some_object(random), kinds, room }, case: "" }
    }

    fn set(&mut self, session: usize, random: &mut Random) -> Next {
        let object = self.some_object(random);
        let sort = self.objects.get(object).copied().flatten().unwrap_or(Sort::Data);
        let yes = vec![u8::from(random.once_in(2))];
        let (attribute, case) = match random.below(9) {
            0..=2 => ((CKA_LABEL, self.label(sort)), ""),
            3 => ((CKA_ID, random.bytes(3)), "CKA_ID"),
            4 => ((CKA_SENSITIVE, yes), "CKA_SENSITIVE"),
            5 => ((CKA_EXTRACTABLE, yes), "CKA_EXTRACTABLE"),
            6 => ((CKA_TOKEN, yes), "CKA_TOKEN"),
            7 => (number(CKA_CLASS, CKO_DATA), "CKA_CLASS"),
            _ => ((CKA_LOCAL, yes), "CKA_LOCAL"),
        };
        Next { action: Action::Set { session, object, template: vec![attribute] }, case }
    }

    fn search(&self, session: usize, random: &mut Random) -> Next {
        let template = match random.below(5) {
            0 => Vec::new(),
            1 => vec![number(CKA_CLASS, *random.one_of(&[CKO_DATA, CKO_SECRET_KEY, CKO_PRIVATE_KEY]))],
            2 => vec![(CKA_TOKEN, vec![u8::from(random.once_in(2))])],
            3 => vec![(CKA_PRIVATE, vec![0]), number(CKA_KEY_TYPE, CKK_RSA)],
            _ => vec![(CKA_LABEL, format!("object {}", random.below(self.names + 2)).into_bytes())],
        };
        let (searching, free) =
            self.sessions.get(session).map_or((false, true), |s| (s.searching, s.active.is_none()));
        let action = match random.below(4) {
            _ if !free => Action::FindFinal { session },
            0 if !searching => Action::FindInit { session, template },
            0 | 1 if searching => Action::Find { session, max: random.below(5) as CK_ULONG },
            _ if searching => Action::FindFinal { session },
            1 => Action::FindFinal { session },
            _ => Action::Search { session, template },
        };
        Next { action, case: "" }
    }
}
