//! What a sequence has led to, as far as the choice of the next call needs it.

use cryptoki_sys::*;

use crate::{
    action::{Action, Bytes, Kind, Mechanism, Outcome, Room},
    objects::Sort,
};

/// The state of both modules.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) sessions: Vec<Session>,
    pub(crate) objects: Vec<Option<Sort>>,
    /// The sort of each label; labels are never used twice for different sorts.
    labels: Vec<(Vec<u8>, Sort)>,
    /// What made each output.
    pub(crate) outputs: Vec<Made>,
    pub(crate) logged_in: bool,
    pub(crate) names: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) open: bool,
    pub(crate) flags: CK_FLAGS,
    pub(crate) active: Option<Active>,
    pub(crate) searching: bool,
}

impl Session {
    /// Whether an operation or a search is active.
    pub(crate) fn is_busy(&self) -> bool {
        self.open && (self.searching || self.active.is_some())
    }

    /// Nothing is active any more.
    pub(crate) fn end_all(&mut self) {
        (self.active, self.searching) = (None, false);
    }
}

/// An operation that has begun.
#[derive(Debug, Clone)]
pub(crate) struct Active {
    pub(crate) kind: Kind,
    pub(crate) mechanism: Mechanism,
    pub(crate) key: usize,
    /// What came in parts.
    pub(crate) data: Vec<u8>,
    pub(crate) parts: bool,
}

/// A signature or ciphertext.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) kind: Kind,
    pub(crate) mechanism: Mechanism,
    pub(crate) key: usize,
    pub(crate) data: Vec<u8>,
}

impl Model {
    pub(crate) fn new() -> Self {
        let keeper = Session {
            open: true,
            flags: CKF_SERIAL_SESSION | CKF_RW_SESSION,
            active: None,
            searching: false,
        };
        Self {
            sessions: vec![keeper],
            objects: Vec::new(),
            labels: Vec::new(),
            outputs: Vec::new(),
            logged_in: true,
            names: 0,
        }
    }

    /// A new label, for an object of one sort.
    pub(crate) fn label(&mut self, sort: Sort) -> Vec<u8> {
        self.names += 1;
        let label = format!("object {}", self.names).into_bytes();
        self.labels.push((label.clone(), sort));
        label
    }

    /// Takes note of what both sides have done alike.
    pub(crate) fn note(&mut self, action: &Action, ours: &Outcome) {
        let ok = ours.rv == CKR_OK;
        match action {
            Action::Open { flags } if ok => {
                let fresh = Session { open: true, flags: *flags, active: None, searching: false };
                self.sessions.push(fresh);
            }
            Action::Close { session } if ok => self.sessions[*session].open = false,
            Action::Login { user: CKU_USER, .. } if ok => self.logged_in = true,
            Action::Logout { .. } if ok => self.logged_in = false,
            Action::Create { template, .. } if ok => {
                let label = template.iter().find(|(kind, _)| *kind == CKA_LABEL);
                let sort = label.and_then(|(_, label)| self.sort_of(label));
                self.objects.push(sort);
            }
            Action::Copy { object, .. } if ok => self.objects.push(self.objects[*object]),
            Action::FindInit { session, .. } if ok => self.sessions[*session].searching = true,
            Action::FindFinal { session } if ok => self.sessions[*session].searching = false,
            Action::Init { kind, session, mechanism, key } if ok => {
                let (kind, mechanism, key) = (*kind, mechanism.clone(), *key);
                self.sessions[*session].active =
                    Some(Active { kind, mechanism, key, data: Vec::new(), parts: false });
            }
            Action::Update { kind, session, data, .. } => {
                self.step_done(*kind, *session, ok, |active| {
                    active.parts = true;
                    if let Bytes::These(data) = data {
                        active.data.extend_from_slice(data);
                    }
                });
            }
            Action::DigestKey { session, .. } => {
                self.step_done(Kind::Digest, *session, ok, |active| active.parts = true);
            }
            Action::Whole { kind, session, room, .. } | Action::Final { kind, session, room } => {
                let goes_on = ours.rv == CKR_BUFFER_TOO_SMALL || (ok && *room == Room::Ask);
                self.step_done(*kind, *session, goes_on, |_| {});
            }
            Action::Verify { session, .. } | Action::VerifyFinal { session, .. } => {
                self.step_done(Kind::Verify, *session, false, |_| {});
            }
            _ => {}
        }
    }

    /// The signature or ciphertext that a call makes, if it does.
    pub(crate) fn makes(&self, action: &Action) -> Option<Made> {
        let active = |session: usize| self.sessions.get(session)?.active.as_ref();
        let made = |kind, session: usize, data: Option<&Vec<u8>>| {
            let active = active(session)?;
            let (mechanism, data) = (active.mechanism.clone(), data.unwrap_or(&active.data).clone());
            Some(Made { kind, mechanism, key: active.key, data })
        };
        match action {
            Action::Whole {
                kind: kind @ (Kind::Sign | Kind::Encrypt),
                session,
                data: Bytes::These(data),
                room: Room::Plenty,
            } => made(*kind, *session, Some(data)),
            Action::Final { kind: Kind::Sign, session, room: Room::Plenty } => {
                made(Kind::Sign, *session, None)
            }
            _ => None,
        }
    }

    /// The sort of the object with a label.
    pub(crate) fn sort_of(&self, label: &[u8]) -> Option<Sort> {
        self.labels.iter().find(|(named, _)| named == label).map(|(_, sort)| *sort)
    }

    fn step_done(&mut self, kind: Kind, session: usize, goes_on: bool, step: impl FnOnce(&mut Active)) {
        let Some(state) = self.sessions.get_mut(session) else { return };
        match &mut state.active {
            Some(active) if active.kind == kind && goes_on => step(active),
            Some(active) if active.kind == kind => state.active = None,
            _ => {}
        }
    }
}
