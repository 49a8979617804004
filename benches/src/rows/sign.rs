//! C_SignInit and C_Sign, or C_SignUpdate and C_SignFinal.

use cryptoki::{mechanism::dsa::HedgeType, object::ObjectHandle, session::Session};

use crate::{
    algorithm::Algorithm,
    bound::Bound,
    contender::Contender,
    measure::{Done, Operation, Result},
    raw::RawKey,
    row::{Column, Plan, RAW},
};

use super::group::SIGN;

/// How a message is signed or verified.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) algorithm: Algorithm,
    /// Bytes of the message.
    pub(crate) length: usize,
    /// Bytes of each part; nothing for a message in one.
    pub(crate) part: Option<usize>,
    /// Whether the key is on the token or in the session.
    pub(crate) token: bool,
    pub(crate) hedge: HedgeType,
}

const KB: usize = 1024;
/// The parts that a message comes in: as programs read files.
const PART: usize = 16 * KB;

impl Way {
    /// 32 bytes at once with a token key.
    pub(crate) fn usual(algorithm: Algorithm) -> Self {
        Self { algorithm, length: 32, part: None, token: true, hedge: HedgeType::Preferred }
    }

    /// The lengths, at once and in parts.
    pub(crate) fn lengths(algorithm: Algorithm) -> [Self; 5] {
        let usual = Self::usual(algorithm);
        let (short, long) = (Self { length: 4 * KB, ..usual }, Self { length: KB * KB, ..usual });
        [usual, short, Self { part: Some(KB), ..short }, long, Self { part: Some(PART), ..long }]
    }

    /// With a session key.
    pub(crate) fn in_session(self) -> Self {
        Self { token: false, ..self }
    }

    /// For the row.
    pub(crate) fn heading(self) -> String {
        let length = match self.length {
            bytes if bytes < KB => format!("{bytes} bytes"),
            bytes if bytes < KB * KB => format!("{} KB", bytes / KB),
            bytes => format!("{} MB", bytes / KB / KB),
        };
        let parts = self.part.map_or(String::new(), |part| format!(" in parts of {} KB", part / KB));
        let key = if self.token { "" } else { ", session key" };
        let hedge =
            if matches!(self.hedge, HedgeType::DeterministicRequired) { ", deterministic" } else { "" };
        format!("{}, {length}{parts}{key}{hedge}", self.algorithm.name())
    }

    pub(crate) fn message(self) -> Vec<u8> {
        vec![0x42; self.length]
    }

    /// Whether a module can do it at all.
    pub(crate) fn is_possible(self, contender: &Contender) -> bool {
        contender.has(self.algorithm.needs())
    }

    /// The signature.
    pub(crate) fn sign(self, session: &Session, key: ObjectHandle, message: &[u8]) -> Result<Vec<u8>> {
        let mechanism = self.algorithm.mechanism(self.hedge);
        let Some(part) = self.part else { return Ok(session.sign(&mechanism, key, message)?) };
        session.sign_init(&mechanism, key)?;
        message.chunks(part).try_for_each(|part| session.sign_update(part))?;
        Ok(session.sign_final()?)
    }
}

/// The table.
pub(super) fn rows() -> Vec<Plan> {
    let ml_dsa = Algorithm::ML_DSA.into_iter().flat_map(|algorithm| {
        let usual = Way::usual(algorithm);
        let others = [usual.in_session(), Way { hedge: HedgeType::DeterministicRequired, ..usual }];
        Way::lengths(algorithm).into_iter().chain(others)
    });
    let ed25519 = Way::usual(Algorithm::Ed25519);
    let others = [
        Way::usual(Algorithm::HashMlDsa65),
        Way { length: KB * KB, ..Way::usual(Algorithm::HashMlDsa65) },
        ed25519,
        ed25519.in_session(),
        Way { length: 4 * KB, ..ed25519 },
        Way { length: KB * KB, ..ed25519 },
        Way::usual(Algorithm::P256),
        Way::usual(Algorithm::Rsa2048),
    ];
    ml_dsa.chain(others).map(row).collect()
}

fn row(way: Way) -> Plan {
    let bounds = match way {
        Way { length: 32, part: None, token: true, hedge: HedgeType::Preferred, algorithm } => {
            match algorithm {
                Algorithm::MlDsa65 => vec![Bound::of_raw(1.05), Bound::FasterThanOthers(5.5)],
                Algorithm::Ed25519 => vec![Bound::of_raw(1.15), Bound::FasterThanOthers(6.0)],
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    };
    let plan = Plan::new(SIGN, way.heading(), move |contenders, row| {
        // The engine's own interface signs hedged and at once.
        if !matches!(way.hedge, HedgeType::DeterministicRequired)
            && let Some(key) = RawKey::generate(way.algorithm)?
        {
            let message = way.message();
            row.add(
                Column::of(RAW),
                Box::new(move || {
                    std::hint::black_box(key.sign(&message)?);
                    Ok(Done::ONE)
                }),
            );
        }
        row.each(contenders, |contender| of_module(way, contender))
    });
    let longer = if way.algorithm == Algorithm::MlDsa65 && !bounds.is_empty() { 6 } else { 1 };
    plan.promising(bounds).longer(longer)
}

fn of_module(way: Way, contender: &Contender) -> Result<Option<Operation<'_>>> {
    if !way.is_possible(contender) {
        return Ok(None);
    }
    let (_, key) = way.algorithm.key_pair(&contender.session, way.token, "sign")?;
    let message = way.message();
    Ok(Some(Box::new(move || {
        std::hint::black_box(way.sign(&contender.session, key, &message)?);
        Ok(Done::ONE)
    })))
}
