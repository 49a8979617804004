//! The rows of the table.

use std::{cell::RefCell, error::Error};

use cryptoki::{
    mechanism::{
        Mechanism, MechanismType,
        dsa::{HedgeType, SignAdditionalContext},
        eddsa::{EddsaParams, EddsaSignatureScheme},
    },
    object::{Attribute, MlDsaParameterSetType, ObjectHandle},
};

use crate::{
    contender::Contender,
    measure::{Operation, Timing, Turns},
    raw,
};

/// id-Ed25519 in DER, as CKA_EC_PARAMS has it.
const ED25519_PARAMS: [u8; 5] = [0x06, 0x03, 0x2b, 0x65, 0x70];
const MESSAGE: [u8; 32] = [0x42; 32];

/// The algorithms that are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    MlDsa44,
    MlDsa65,
    MlDsa87,
    Ed25519,
}

impl Algorithm {
    const ALL: [Self; 4] = [Self::MlDsa44, Self::MlDsa65, Self::MlDsa87, Self::Ed25519];

    fn name(self) -> &'static str {
        match self {
            Self::MlDsa44 => "ML-DSA-44",
            Self::MlDsa65 => "ML-DSA-65",
            Self::MlDsa87 => "ML-DSA-87",
            Self::Ed25519 => "Ed25519",
        }
    }

    fn mechanism(self) -> Mechanism<'static> {
        match self {
            Self::Ed25519 => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)),
            _ => Mechanism::MlDsa(SignAdditionalContext::new(HedgeType::Preferred, None)),
        }
    }

    fn key_generation(self) -> (Mechanism<'static>, Attribute) {
        let set =
            |set: MlDsaParameterSetType| (Mechanism::MlDsaKeyPairGen, Attribute::ParameterSet(set.into()));
        match self {
            Self::MlDsa44 => set(MlDsaParameterSetType::ML_DSA_44),
            Self::MlDsa65 => set(MlDsaParameterSetType::ML_DSA_65),
            Self::MlDsa87 => set(MlDsaParameterSetType::ML_DSA_87),
            Self::Ed25519 => (Mechanism::EccEdwardsKeyPairGen, Attribute::EcParams(ED25519_PARAMS.to_vec())),
        }
    }

    fn supported(self, contender: &Contender) -> bool {
        contender.has(match self {
            Self::Ed25519 => MechanismType::EDDSA,
            _ => MechanismType::ML_DSA,
        })
    }
}

/// One row: who took how long.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was done.
    pub(crate) what: String,
    /// Nanoseconds per operation of each contender that can do it, by name; the bare algorithm comes first.
    pub(crate) timings: Vec<(&'static str, Timing)>,
    /// What the project promises of this row.
    pub(crate) bound: Option<Bound>,
}

/// A promise.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    /// At least this share of the bare algorithm's operations per second.
    ShareOfRaw(f64),
    /// At most this many microseconds.
    Micros(f64),
}

/// Measures every row.
pub(crate) fn measure_all(contenders: Vec<Contender>, turns: Turns) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    let all = &contenders[..];
    for algorithm in Algorithm::ALL {
        let bound =
            matches!(algorithm, Algorithm::MlDsa65 | Algorithm::Ed25519).then_some(Bound::ShareOfRaw(0.85));
        rows.push(sign(algorithm, all, turns, bound)?);
        rows.push(verify(algorithm, all, turns)?);
        rows.push(generate(algorithm, all, turns)?);
    }
    rows.push(find(all, turns)?);
    rows.push(create(all, turns)?);
    rows.push(login(all, turns)?);
    rows.push(open_session(all, turns)?);
    rows.push(initialize(contenders, turns)?);
    Ok(rows)
}

fn sign(
    algorithm: Algorithm,
    contenders: &[Contender],
    turns: Turns,
    bound: Option<Bound>,
) -> Result<Row, Box<dyn Error>> {
    let mut row = Builder::new(format!("{} sign", algorithm.name()), bound);
    row.add("raw AWS-LC", raw::sign(algorithm, &MESSAGE)?);
    for contender in contenders.iter().filter(|contender| algorithm.supported(contender)) {
        let (_, key) = key_pair(contender, algorithm, true)?;
        row.add(
            contender.kind.name(),
            Box::new(move || {
                std::hint::black_box(contender.session.sign(&algorithm.mechanism(), key, &MESSAGE)?);
                Ok(())
            }),
        );
    }
    row.run(turns)
}

fn verify(algorithm: Algorithm, contenders: &[Contender], turns: Turns) -> Result<Row, Box<dyn Error>> {
    let mut row = Builder::new(format!("{} verify", algorithm.name()), None);
    row.add("raw AWS-LC", raw::verify(algorithm, &MESSAGE)?);
    for contender in contenders.iter().filter(|contender| algorithm.supported(contender)) {
        let (public, private) = key_pair(contender, algorithm, true)?;
        let signature = contender.session.sign(&algorithm.mechanism(), private, &MESSAGE)?;
        row.add(
            contender.kind.name(),
            Box::new(move || {
                Ok(contender.session.verify(&algorithm.mechanism(), public, &MESSAGE, &signature)?)
            }),
        );
    }
    row.run(turns)
}

fn generate(algorithm: Algorithm, contenders: &[Contender], turns: Turns) -> Result<Row, Box<dyn Error>> {
    let mut row = Builder::new(format!("{} generate (session key)", algorithm.name()), None);
    row.add("raw AWS-LC", raw::generate(algorithm));
    for contender in contenders.iter().filter(|contender| algorithm.supported(contender)) {
        row.add(
            contender.kind.name(),
            Box::new(move || {
                let (public, private) = key_pair(contender, algorithm, false)?;
                contender.session.destroy_object(public)?;
                contender.session.destroy_object(private)?;
                Ok(())
            }),
        );
    }
    row.run(turns)
}

fn find(contenders: &[Contender], turns: Turns) -> Result<Row, Box<dyn Error>> {
    let mut row = Builder::new(
        format!("find one of many objects by label ({})", filled(contenders)),
        Some(Bound::Micros(100.0)),
    );
    for contender in contenders {
        let next = RefCell::new(0usize);
        let count = contender.objects;
        row.add(
            contender.kind.name(),
            Box::new(move || {
                let mut next = next.borrow_mut();
                *next = (*next + 7919) % count;
                let label = Attribute::Label(format!("object-{next}").into_bytes());
                match contender.session.find_objects(&[label])?.len() {
                    1 => Ok(()),
                    found => Err(format!("{found} objects found instead of one").into()),
                }
            }),
        );
    }
    row.run(turns)
}

/// How many objects each contender holds.
fn filled(contenders: &[Contender]) -> String {
    let each: Vec<_> = contenders
        .iter()
        .map(|contender| format!("{} {}", contender.kind.name(), contender.objects))
        .collect();
    each.join(", ")
}

fn create(contenders: &[Contender], turns: Turns) -> Result<Row, Box<dyn Error>> {
    let mut row = Builder::new("create a token object, durably".into(), Some(Bound::Micros(3000.0)));
    for contender in contenders {
        row.add(
            contender.kind.name(),
            Box::new(move || {
                contender.session.create_object(&Contender::data_object("created"))?;
                Ok(())
            }),
        );
    }
    row.run(turns)
}

fn login(contenders: &[Contender], turns: Turns) -> Result<Row, Box<dyn Error>> {
    let pin = Contender::pin();
    let mut row = Builder::new("log out and in".into(), None);
    for contender in contenders {
        let pin = &pin;
        row.add(
            contender.kind.name(),
            Box::new(move || {
                contender.session.logout()?;
                Ok(contender.session.login(cryptoki::session::UserType::User, Some(pin))?)
            }),
        );
    }
    row.run(turns)
}

fn open_session(contenders: &[Contender], turns: Turns) -> Result<Row, Box<dyn Error>> {
    let mut row = Builder::new("open and close a session".into(), None);
    for contender in contenders {
        row.add(
            contender.kind.name(),
            Box::new(move || {
                contender.module.open_ro_session(contender.slot)?;
                Ok(())
            }),
        );
    }
    row.run(turns)
}

/// Comes last, since it ends what the other rows use.
fn initialize(contenders: Vec<Contender>, turns: Turns) -> Result<Row, Box<dyn Error>> {
    let mut row = Builder::new(
        format!("C_Initialize and C_Finalize ({})", filled(&contenders)),
        Some(Bound::Micros(15_000.0)),
    );
    for contender in contenders {
        let (kind, path) = (contender.kind, contender.path.clone());
        contender.finalize()?;
        row.add(kind.name(), Box::new(move || Ok(Contender::initialized(&path)?.finalize()?)));
    }
    row.run(turns)
}

fn key_pair(
    contender: &Contender,
    algorithm: Algorithm,
    token: bool,
) -> Result<(ObjectHandle, ObjectHandle), Box<dyn Error>> {
    let (mechanism, parameters) = algorithm.key_generation();
    let public = [Attribute::Token(token), Attribute::Verify(true), parameters];
    let private = [Attribute::Token(token), Attribute::Private(true), Attribute::Sign(true)];
    Ok(contender.session.generate_key_pair(&mechanism, &public, &private)?)
}

/// A row in the making.
struct Builder<'a> {
    what: String,
    names: Vec<&'static str>,
    operations: Vec<Operation<'a>>,
    bound: Option<Bound>,
}

impl<'a> Builder<'a> {
    fn new(what: String, bound: Option<Bound>) -> Self {
        Self { what, names: Vec::new(), operations: Vec::new(), bound }
    }

    fn add(&mut self, name: &'static str, operation: Operation<'a>) {
        self.names.push(name);
        self.operations.push(operation);
    }

    fn run(mut self, turns: Turns) -> Result<Row, Box<dyn Error>> {
        let timings = turns.run(&mut self.operations).map_err(|error| format!("{}: {error}", self.what))?;
        Ok(Row { what: self.what, timings: self.names.into_iter().zip(timings).collect(), bound: self.bound })
    }
}
