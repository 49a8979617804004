//! The module's own work in C_SignInit and C_Sign, in instructions besides the algorithm.

use super::group::INSTRUCTIONS;
use crate::{
    algorithm::Algorithm,
    bound::Bound,
    contender::Kind,
    instructions,
    row::{Column, Plan, Unit},
};

/// What is promised.
const MOST: f64 = 2000.0;

/// The table.
pub(super) fn rows() -> Vec<Plan> {
    let row = |algorithm: Algorithm| {
        let what = format!("C_SignInit and C_Sign besides {}, 32 bytes, token key", algorithm.name());
        Plan::new(INSTRUCTIONS, what, move |contenders, row| {
            for contender in contenders.iter().filter(|contender| contender.kind == Kind::Trellis) {
                if let Some(count) = instructions::besides_the_algorithm(&contender.path, algorithm)? {
                    row.add_values(Column::ours(""), vec![count]);
                }
            }
            Ok(())
        })
        .of(Unit::Instructions)
        .promising([Bound::Instructions(MOST)])
    };
    [Algorithm::Ed25519, Algorithm::MlDsa65].map(row).into()
}
