//! The rows of the table.

use std::{cell::RefCell, error::Error, io::Write};

use cryptoki::{
    mechanism::{
        Mechanism, MechanismType,
        dsa::{HedgeType, SignAdditionalContext},
        eddsa::{EddsaParams, EddsaSignatureScheme},
    },
    object::{Attribute, MlDsaParameterSetType, ObjectHandle},
};

use crate::{
    contender::{Contender, HOME},
    measure::{Done, Operation, Timing, Turns},
    raw, startup, threads,
};

/// id-Ed25519 in DER, as CKA_EC_PARAMS has it.
const ED25519_PARAMS: [u8; 5] = [0x06, 0x03, 0x2b, 0x65, 0x70];
pub(crate) const MESSAGE: [u8; 32] = [0x42; 32];

/// The bare algorithm's name in a row.
pub(crate) const RAW: &str = "raw AWS-LC";

/// The bare disk's name in a row.
pub(crate) const DISK: &str = "write and fsync";

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

    pub(crate) fn mechanism(self) -> Mechanism<'static> {
        match self {
            Self::Ed25519 => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)),
            _ => Mechanism::MlDsa(SignAdditionalContext::new(HedgeType::Preferred, None)),
        }
    }

    pub(crate) fn key_generation(self) -> (Mechanism<'static>, Attribute) {
        let set =
            |set: MlDsaParameterSetType| (Mechanism::MlDsaKeyPairGen, Attribute::ParameterSet(set.into()));
        match self {
            Self::MlDsa44 => set(MlDsaParameterSetType::ML_DSA_44),
            Self::MlDsa65 => set(MlDsaParameterSetType::ML_DSA_65),
            Self::MlDsa87 => set(MlDsaParameterSetType::ML_DSA_87),
            Self::Ed25519 => (Mechanism::EccEdwardsKeyPairGen, Attribute::EcParams(ED25519_PARAMS.to_vec())),
        }
    }

    pub(crate) fn supported(self, contender: &Contender) -> bool {
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
    pub(crate) timings: Vec<(String, Timing)>,
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
    /// The same, on a disk that takes less than that to write and fsync; on a slower one a quarter more than it takes.
    MicrosOnDisk(f64),
    /// At most so many microseconds more than the device itself.
    MicrosOver(f64),
    /// Two threads do at least this share of what they do with the bare algorithm, each measured by one thread.
    ShareOfRawSpeedup(f64),
}

/// Measures every row whose heading contains `only`.
pub(crate) fn measure_all(
    contenders: Vec<Contender>,
    turns: Turns,
    only: &str,
) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    let all = &contenders[..];
    let wanted = |what: &str| what.to_lowercase().contains(&only.to_lowercase());
    for algorithm in Algorithm::ALL {
        let bound =
            matches!(algorithm, Algorithm::MlDsa65 | Algorithm::Ed25519).then_some(Bound::ShareOfRaw(0.85));
        let name = algorithm.name();
        if wanted(&format!("{name} sign")) {
            rows.push(sign(algorithm, all, turns, bound)?);
        }
        if wanted(&format!("{name} verify")) {
            rows.push(verify(algorithm, all, turns)?);
        }
        if wanted(&format!("{name} generate")) {
            rows.push(generate(algorithm, all, turns)?);
        }
    }
    type Measure = fn(&[Contender], Turns) -> Result<Row, Box<dyn Error>>;
    let others: [(&str, Measure); 8] = [
        ("Ed25519 sign, one thread and two", threads::sign),
        ("find", find),
        ("create", create),
        ("log out and in", login),
        ("open and close a session", open_session),
        ("first C_Initialize", startup::first_initialize),
        ("self-test", startup::self_test),
        ("second C_Initialize", startup::second_initialize),
    ];
    for (what, measure) in others {
        if wanted(what) {
            rows.push(measure(all, turns)?);
        }
    }
    contenders.into_iter().try_for_each(Contender::finalize)?;
    Ok(rows)
}

fn sign(
    algorithm: Algorithm,
    contenders: &[Contender],
    turns: Turns,
    bound: Option<Bound>,
) -> Result<Row, Box<dyn Error>> {
    let mut row = Builder::new(format!("{} sign", algorithm.name()), bound);
    row.add(RAW, raw::sign(algorithm, &MESSAGE)?);
    for contender in contenders.iter().filter(|contender| algorithm.supported(contender)) {
        let (_, key) = key_pair(contender, algorithm, true)?;
        row.add(
            contender.kind.name(),
            Box::new(move || {
                std::hint::black_box(contender.session.sign(&algorithm.mechanism(), key, &MESSAGE)?);
                Ok(Done::ONE)
            }),
        );
    }
    row.run(turns)
}

fn verify(algorithm: Algorithm, contenders: &[Contender], turns: Turns) -> Result<Row, Box<dyn Error>> {
    let mut row = Builder::new(format!("{} verify", algorithm.name()), None);
    row.add(RAW, raw::verify(algorithm, &MESSAGE)?);
    for contender in contenders.iter().filter(|contender| algorithm.supported(contender)) {
        let (public, private) = key_pair(contender, algorithm, true)?;
        let signature = contender.session.sign(&algorithm.mechanism(), private, &MESSAGE)?;
        row.add(
            contender.kind.name(),
            Box::new(move || {
                contender.session.verify(&algorithm.mechanism(), public, &MESSAGE, &signature)?;
                Ok(Done::ONE)
            }),
        );
    }
    row.run(turns)
}

fn generate(algorithm: Algorithm, contenders: &[Contender], turns: Turns) -> Result<Row, Box<dyn Error>> {
    let mut row = Builder::new(format!("{} generate (session key)", algorithm.name()), None);
    row.add(RAW, raw::generate(algorithm));
    for contender in contenders.iter().filter(|contender| algorithm.supported(contender)) {
        row.add(
            contender.kind.name(),
            Box::new(move || {
                let (public, private) = key_pair(contender, algorithm, false)?;
                contender.session.destroy_object(public)?;
                contender.session.destroy_object(private)?;
                Ok(Done::ONE)
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
                    1 => Ok(Done::ONE),
                    found => Err(format!("{found} objects found instead of one").into()),
                }
            }),
        );
    }
    row.run(turns)
}

/// How many objects each contender holds.
pub(crate) fn filled(contenders: &[Contender]) -> String {
    let each: Vec<_> = contenders
        .iter()
        .map(|contender| format!("{} {}", contender.kind.name(), contender.objects))
        .collect();
    each.join(", ")
}

fn create(contenders: &[Contender], turns: Turns) -> Result<Row, Box<dyn Error>> {
    let mut row = Builder::new("create a token object, durably".into(), Some(Bound::MicrosOnDisk(3000.0)));
    // What the disk takes: the size of one such transaction, in the folder of the tokens.
    let mut file = tempfile::tempfile_in(std::env::var_os(HOME).ok_or("there is no folder")?)?;
    row.add(
        DISK,
        Box::new(move || {
            file.write_all(&[0x5a; 28 << 10])?;
            file.sync_all()?;
            Ok(Done::ONE)
        }),
    );
    for contender in contenders {
        row.add(
            contender.kind.name(),
            Box::new(move || {
                contender.session.create_object(&Contender::data_object("created"))?;
                Ok(Done::ONE)
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
                contender.session.login(cryptoki::session::UserType::User, Some(pin))?;
                Ok(Done::ONE)
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
                Ok(Done::ONE)
            }),
        );
    }
    row.run(turns)
}

/// A key pair with the usual attributes; on the token or in the session.
pub(crate) fn key_pair(
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
pub(crate) struct Builder<'a> {
    what: String,
    names: Vec<String>,
    operations: Vec<Operation<'a>>,
    bound: Option<Bound>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(what: String, bound: Option<Bound>) -> Self {
        Self { what, names: Vec::new(), operations: Vec::new(), bound }
    }

    pub(crate) fn add(&mut self, name: &str, operation: Operation<'a>) {
        self.names.push(name.to_owned());
        self.operations.push(operation);
    }

    pub(crate) fn run(mut self, turns: Turns) -> Result<Row, Box<dyn Error>> {
        let timings = turns.run(&mut self.operations).map_err(|error| format!("{}: {error}", self.what))?;
        Ok(Row { what: self.what, timings: self.names.into_iter().zip(timings).collect(), bound: self.bound })
    }
}
