//! kill -9, hundreds of times, at random moments, while several processes change one token: what a call has answered
//! CKR_OK for is there and whole, what it has destroyed is gone, a call that was cut short has happened altogether or
//! not at all, and the count of wrong PINs never goes back.
//!
//! Each process tells through a pipe what it is about to do and what has been done. The test replays that, looks at
//! the token, and starts another process in the place of the dead one, while the others go on.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, PipeReader, PipeWriter, Write},
    thread,
    time::Duration,
};

use cryptoki_sys::*;
use trellis_tests::{
    backend, isolated,
    isolated::Place,
    objects::{ED25519, P256, Template, plain},
    process::{Child, in_child, set_variable},
    random::Random,
    raw::{Raw, SO_PIN, USER_PIN},
    served::Hsm,
};

const KILLS: usize = 250;
/// Over an HSM in a process of its own, where all that is slower.
const KILLS_AT_HSM: usize = 100;
/// Processes that change objects; beside them one guesses PINs.
const WRITERS: usize = 3;
/// The most that a configuration may allow.
const PIN_TRIES: usize = 100;
/// After so many steps a process waits to be killed. A writer does not get there; one who guesses would lock the PIN.
const STEPS: usize = 10_000;
const GUESSES: usize = 30;
/// How many objects a process has at a time.
const OBJECTS: usize = 6;

const MARKER: &str = "marker";
const CLASSES: [CK_OBJECT_CLASS; 4] = [CKO_DATA, CKO_SECRET_KEY, CKO_PUBLIC_KEY, CKO_PRIVATE_KEY];

/// One change of a token; each is one call.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Create(String),
    Generate(String),
    Pair(String),
    /// C_SetAttributeValue of CKA_LABEL and CKA_ID at once.
    Rename(CK_OBJECT_CLASS, String, String),
    Copy(CK_OBJECT_CLASS, String, String),
    Destroy(CK_OBJECT_CLASS, String),
    /// C_Login of the SO with a wrong PIN.
    Guess,
}

impl Step {
    fn to_line(&self) -> String {
        match self {
            Self::Create(name) => format!("create {name}"),
            Self::Generate(name) => format!("generate {name}"),
            Self::Pair(name) => format!("pair {name}"),
            Self::Rename(class, from, to) => format!("rename {class} {from} {to}"),
            Self::Copy(class, from, to) => format!("copy {class} {from} {to}"),
            Self::Destroy(class, name) => format!("destroy {class} {name}"),
            Self::Guess => "guess".into(),
        }
    }

    fn from_line(line: &str) -> Self {
        let words: Vec<_> = line.split(' ').collect();
        let class = |word: &str| word.parse().unwrap();
        match words[..] {
            ["create", name] => Self::Create(name.into()),
            ["generate", name] => Self::Generate(name.into()),
            ["pair", name] => Self::Pair(name.into()),
            ["rename", of, from, to] => Self::Rename(class(of), from.into(), to.into()),
            ["copy", of, from, to] => Self::Copy(class(of), from.into(), to.into()),
            ["destroy", of, name] => Self::Destroy(class(of), name.into()),
            ["guess"] => Self::Guess,
            _ => panic!("no step: {line:?}"),
        }
    }

    /// The objects that this step makes (true) and takes away.
    fn changes(&self) -> Vec<(Object, bool)> {
        match self {
            Self::Create(name) => vec![((CKO_DATA, name.clone()), true)],
            Self::Generate(name) => vec![((CKO_SECRET_KEY, name.clone()), true)],
            Self::Pair(name) => {
                vec![((CKO_PUBLIC_KEY, name.clone()), true), ((CKO_PRIVATE_KEY, name.clone()), true)]
            }
            Self::Rename(class, from, to) => {
                vec![((*class, from.clone()), false), ((*class, to.clone()), true)]
            }
            Self::Copy(class, _, to) => vec![((*class, to.clone()), true)],
            Self::Destroy(class, name) => vec![((*class, name.clone()), false)],
            Self::Guess => vec![],
        }
    }
}

type Object = (CK_OBJECT_CLASS, String);

/// The part of a name that a renaming or a copy leaves, a number.
fn stem(name: &str) -> u64 {
    name.split('.').next().unwrap().parse().unwrap()
}

/// CKA_KEY_TYPE of a pair.
fn pair(name: &str) -> CK_KEY_TYPE {
    [CKK_EC_EDWARDS, CKK_EC, CKK_ML_DSA][(stem(name) % 3) as usize]
}

/// Whether a private key works in its device, where it has one object.
fn is_in_device((class, name): &Object) -> bool {
    let made_there =
        backend::is_softhsm() && pair(name) == CKK_EC || backend::is_nitro() && pair(name) != CKK_EC;
    *class == CKO_PRIVATE_KEY && made_there
}

/// The bytes of a data object: several pages of the database.
fn content(name: &str) -> Vec<u8> {
    Random::new(stem(name)).bytes(9000)
}

fn find_one(p11: &Raw, session: CK_SESSION_HANDLE, (class, name): &Object) -> Option<CK_OBJECT_HANDLE> {
    let found = p11.find(session, &Template::new().label(name).number(CKA_CLASS, *class)).unwrap();
    assert!(found.len() <= 1, "{name}");
    found.first().copied()
}

fn perform(p11: &Raw, session: CK_SESSION_HANDLE, step: &Step) {
    let named = |name: &str| Template::new().flag(CKA_TOKEN, true).label(name);
    match step {
        Step::Create(name) => {
            let private = stem(name).is_multiple_of(2);
            let template = named(name).number(CKA_CLASS, CKO_DATA).flag(CKA_PRIVATE, private);
            p11.create(session, &template.bytes(CKA_VALUE, &content(name))).unwrap();
        }
        Step::Generate(name) => {
            let template = named(name).bytes(CKA_ID, name.as_bytes()).number(CKA_VALUE_LEN, 32);
            p11.generate(session, plain(CKM_GENERIC_SECRET_KEY_GEN), &template).unwrap();
        }
        Step::Pair(name) => {
            let template = named(name).bytes(CKA_ID, name.as_bytes());
            let (mechanism, public) = match pair(name) {
                CKK_EC_EDWARDS => {
                    (CKM_EC_EDWARDS_KEY_PAIR_GEN, template.clone().bytes(CKA_EC_PARAMS, ED25519))
                }
                CKK_EC => (CKM_EC_KEY_PAIR_GEN, template.clone().bytes(CKA_EC_PARAMS, P256)),
                _ => (CKM_ML_DSA_KEY_PAIR_GEN, template.clone().number(CKA_PARAMETER_SET, CKP_ML_DSA_44)),
            };
            p11.generate_pair(session, plain(mechanism), &public, &template).unwrap();
        }
        Step::Rename(class, from, to) => {
            let object = find_one(p11, session, &(*class, from.clone())).unwrap();
            p11.set(session, object, &Template::new().label(to).bytes(CKA_ID, to.as_bytes())).unwrap();
        }
        Step::Copy(class, from, to) => {
            let object = find_one(p11, session, &(*class, from.clone())).unwrap();
            let template = Template::new().label(to);
            let template = if *class == CKO_DATA { template } else { template.bytes(CKA_ID, to.as_bytes()) };
            p11.copy(session, object, &template).unwrap();
        }
        Step::Destroy(class, name) => {
            let object = find_one(p11, session, &(*class, name.clone())).unwrap();
            p11.destroy(session, object).unwrap();
        }
        Step::Guess => assert_eq!(p11.login(session, CKU_SO, b"not the PIN"), CKR_PIN_INCORRECT),
    }
}

/// What a writer does next to one of its own objects or for a new one. `number` is that of the step.
fn next_step(random: &mut Random, mine: &[Object], life: usize, number: usize) -> Step {
    let some = (!mine.is_empty()).then(|| random.one_of(mine).clone());
    let new = || format!("{life}{number:04}.0");
    let renamed = |old: &str| format!("{}.{number}", stem(old));
    let choice = if mine.len() < OBJECTS { random.below(8) } else { 2 };
    match (choice, some) {
        (0, Some((class, old))) if class != CKO_DATA => {
            let new = renamed(&old);
            Step::Rename(class, old, new)
        }
        (1, Some(object)) if object.0 != CKO_PUBLIC_KEY && !is_in_device(&object) => {
            let (class, old) = object;
            let new = renamed(&old);
            Step::Copy(class, old, new)
        }
        (2..=4, Some((class, old))) => Step::Destroy(class, old),
        (5, _) => Step::Create(new()),
        (6, _) => Step::Generate(new()),
        _ => Step::Pair(new()),
    }
}

/// A process until it is killed.
fn live(p11: &Raw, life: usize, guesses: bool, mut pipe: PipeWriter) -> i32 {
    let mut tell = move |line: &str| writeln!(pipe, "{line}").unwrap();
    p11.initialize();
    let session = p11.open(CKF_RW_SESSION);
    if !guesses {
        assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
    }
    tell("ready");
    let mut random = Random::new(life as u64);
    let mut mine: Vec<Object> = Vec::new();
    for number in 0..if guesses { GUESSES } else { STEPS } {
        let step = if guesses { Step::Guess } else { next_step(&mut random, &mine, life, number) };
        tell(&step.to_line());
        perform(p11, session, &step);
        tell("done");
        for (object, made) in step.changes() {
            mine.retain(|other| *other != object);
            mine.extend(made.then_some(object));
        }
    }
    loop {
        thread::park();
    }
}

/// The steps that a killed process told of; the last one, if it was cut short, apart.
fn replay(pipe: BufReader<PipeReader>) -> (Vec<Step>, Option<Step>) {
    let (mut done, mut begun) = (Vec::new(), None);
    for line in pipe.lines() {
        match line.unwrap().as_str() {
            "ready" => {}
            "done" => done.push(begun.take().unwrap()),
            step => begun = Some(Step::from_line(step)),
        }
    }
    (done, begun)
}

/// Uses an object in every way that its class allows.
fn assert_whole(p11: &Raw, session: CK_SESSION_HANDLE, object: &Object) {
    let (class, name) = object;
    let handle = find_one(p11, session, object).unwrap_or_else(|| panic!("{object:?} is lost"));
    assert_eq!(p11.value(session, handle, CKA_CLASS).unwrap(), class.to_ne_bytes());
    if *class == CKO_DATA {
        assert_eq!(p11.value(session, handle, CKA_VALUE).unwrap(), content(name), "{object:?}");
        return;
    }
    assert_eq!(p11.value(session, handle, CKA_ID).unwrap(), name.as_bytes(), "{object:?}");
    let key_type =
        CK_ULONG::from_ne_bytes(p11.value(session, handle, CKA_KEY_TYPE).unwrap().try_into().unwrap());
    let mechanism = plain(match key_type {
        CKK_GENERIC_SECRET => CKM_SHA256_HMAC,
        CKK_EC_EDWARDS => CKM_EDDSA,
        CKK_EC => CKM_ECDSA,
        _ => CKM_ML_DSA,
    });
    if *class == CKO_PUBLIC_KEY {
        let refused = p11.verify(session, mechanism, handle, b"message", b"no signature!");
        assert_eq!(refused, Err(CKR_SIGNATURE_LEN_RANGE));
        return;
    }
    let signature = p11.sign(session, mechanism, handle, b"message").unwrap();
    let verifier = match class {
        &CKO_SECRET_KEY => Some(handle),
        _ => {
            // The other half is there unless it was taken away or renamed.
            let info = p11.value(session, handle, CKA_PUBLIC_KEY_INFO).unwrap();
            let public = Template::new().number(CKA_CLASS, CKO_PUBLIC_KEY).bytes(CKA_PUBLIC_KEY_INFO, &info);
            p11.find(session, &public).unwrap().first().copied()
        }
    };
    if let Some(verifier) = verifier {
        p11.verify(session, mechanism, verifier, b"message", &signature).unwrap();
    }
}

/// How many wrong PINs of the SO are on the count: the largest limit under which the PIN is locked. Asked in processes
/// that have a configuration of their own.
fn wrong_pins(p11: &Raw, place: &Place) -> usize {
    let file = place.directory().join("count.toml");
    let locked = |limit: usize| {
        std::fs::write(&file, configuration(limit)).unwrap();
        let status = in_child(|| {
            set_variable("TRELLIS_CONF", file.as_os_str());
            p11.initialize();
            i32::from(p11.token_info().flags & CKF_SO_PIN_LOCKED != 0)
        });
        assert!(status < 2, "{status}");
        status == 1
    };
    let (mut at_least, mut below) = (0, PIN_TRIES + 1);
    while at_least + 1 < below {
        let middle = usize::midpoint(at_least, below);
        if locked(middle) { at_least = middle } else { below = middle }
    }
    at_least
}

fn configuration(tries: usize) -> String {
    format!("log = 'error'\n[[slot]]\npath = 'token'\npin-tries = {tries}\n")
}

struct Life {
    child: Child,
    pipe: BufReader<PipeReader>,
    guesses: bool,
}

fn begin(p11: &Raw, number: usize, guesses: bool) -> Life {
    let (reader, writer) = std::io::pipe().unwrap();
    let child = Child::spawn(|| live(p11, number, guesses, writer));
    Life { child, pipe: BufReader::new(reader), guesses }
}

/// What the token must hold, by what the dead processes told.
struct Ledger<'a> {
    p11: &'a Raw,
    session: CK_SESSION_HANDLE,
    place: &'a Place,
    /// An object of this process.
    marker: CK_OBJECT_HANDLE,
    there: BTreeSet<Object>,
    /// Wrong PINs of the SO since the last right one.
    count: usize,
    finished: usize,
    cut_short: usize,
}

impl Ledger<'_> {
    /// Kills a process and compares what it told with what the token holds.
    fn kill(&mut self, life: Life) {
        assert_eq!(life.child.kill(), -libc::SIGKILL);
        let (done, begun) = replay(life.pipe);
        self.finished += done.len();
        self.cut_short += usize::from(begun.is_some());
        if life.guesses {
            return self.check_count(done.len(), begun.is_some());
        }
        // SQLite may have written the whole of a change without having said so yet. It is in doubt until somebody writes
        // again: the next writer overwrites it, or a recovery finds it first.
        self.p11.set(self.session, self.marker, &Template::new().label(MARKER)).unwrap();
        let mut touched: BTreeMap<Object, bool> = done.iter().flat_map(Step::changes).collect();
        if let Some(step) = begun {
            let changes = step.changes();
            let exists = |object| find_one(self.p11, self.session, object).is_some();
            let happened: Vec<bool> = changes.iter().map(|(object, made)| exists(object) == *made).collect();
            assert!(happened.windows(2).all(|pair| pair[0] == pair[1]), "{step:?} is half done");
            touched.extend(changes.into_iter().map(|(object, made)| (object, made == happened[0])));
        }
        for (object, _) in touched.into_iter().filter(|(_, exists)| *exists) {
            assert_whole(self.p11, self.session, &object);
            self.there.insert(object);
        }
    }

    /// Each guess that was answered is on the count, one that was cut short may be.
    fn check_count(&mut self, answered: usize, cut_short: bool) {
        let least = self.count + answered;
        self.count = wrong_pins(self.p11, self.place);
        let expected = least..=least + usize::from(cut_short);
        assert!(expected.contains(&self.count), "{} wrong PINs, not {expected:?}", self.count);
        if self.count > PIN_TRIES / 2 {
            // The right PIN takes them off the count.
            let status = in_child(|| {
                self.p11.initialize();
                let session = self.p11.open(CKF_RW_SESSION);
                i32::from(self.p11.login(session, CKU_SO, SO_PIN) != CKR_OK)
            });
            self.count = wrong_pins(self.p11, self.place);
            assert_eq!((status, self.count), (0, 0));
        }
    }

    /// Nothing but what was made is there, and all of it is whole.
    fn check_everything(&self) {
        let name =
            |object| String::from_utf8(self.p11.value(self.session, object, CKA_LABEL).unwrap()).unwrap();
        for class in CLASSES {
            let found = self.p11.find(self.session, &Template::new().number(CKA_CLASS, class)).unwrap();
            let of_the_dead = found.into_iter().filter(|object| *object != self.marker);
            let mut found: Vec<_> = of_the_dead.map(|object| (class, name(object))).collect();
            found.sort_unstable();
            let expected: Vec<_> = self.there.iter().filter(|(of, _)| *of == class).cloned().collect();
            assert_eq!(found, expected);
        }
        self.there.iter().for_each(|object| assert_whole(self.p11, self.session, object));
    }
}

isolated! {
    fn nothing_is_lost_and_nothing_is_half_made(place) {
        // Whoever is killed in the same process as SoftHSM may leave its token torn.
        let hsm = backend::is_softhsm().then(|| Hsm::start_with(place, &configuration(PIN_TRIES)));
        if hsm.is_none() {
            place.configure(&configuration(PIN_TRIES));
        }
        let kills = if hsm.is_some() { KILLS_AT_HSM } else { KILLS };
        let p11 = place.load();
        let session = p11.user_session();
        let mut random = Random::new(u64::from(std::process::id()));
        let marker = Template::new().number(CKA_CLASS, CKO_DATA).flag(CKA_TOKEN, true).label(MARKER);
        let marker = p11.create(session, &marker).unwrap();
        let mut ledger = Ledger { marker, p11: &p11, session, place, there: BTreeSet::new(), count: 0, finished: 0, cut_short: 0 };
        let mut lives: Vec<_> = (0..=WRITERS).map(|number| begin(&p11, number + 1, number == 0)).collect();
        for number in lives.len()..kills {
            let victim = random.below(lives.len());
            let mut life = lives.swap_remove(victim);
            // Now and then it dies while it initialises or logs in.
            if !random.once_in(8) {
                life.pipe.read_until(b'\n', &mut Vec::new()).unwrap();
                let longest = if life.guesses { 60_000 } else { 8_000 };
                thread::sleep(Duration::from_micros(random.number() % longest));
            }
            let guesses = life.guesses;
            ledger.kill(life);
            lives.push(begin(&p11, number + 1, guesses));
        }
        lives.into_iter().for_each(|life| ledger.kill(life));
        ledger.check_everything();
        let Ledger { finished, cut_short, there, .. } = ledger;
        println!("{kills} kills: {finished} steps finished, {cut_short} cut short, {} objects left", there.len());
        // Enough of them in the middle of something to mean anything.
        assert!(cut_short > kills / 4 && finished > kills, "{finished} finished, {cut_short} cut short");
    }
}
