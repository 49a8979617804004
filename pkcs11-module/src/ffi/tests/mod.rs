//! The boundary's own rules, with arguments made by hand. What the whole module does through it is tested in `tests/`.

mod attributes;
mod parameters;
mod state;
mod templates;
