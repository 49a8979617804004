//! kill -9, hundreds of times, at random moments, while several processes change one token: what a call has answered
//! CKR_OK for is there and whole, what it has destroyed is gone, a call that was cut short has happened altogether or
//! not at all, and the count of wrong PINs never goes back.
//!
//! Each process tells through a pipe what it is about to do and what has been done. The test replays that, looks at
//! the token, and starts another process in the place of the dead one, while the others go on.

mod steps;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, PipeReader, PipeWriter, Write},
    thread,
    time::Duration,
};

use cryptoki_sys::*;
use trellis_tests::{
    backend, c, isolated,
    isolated::Place,
    objects::{Template, plain},
    process::{Child, in_child, set_variable},
    random::Random,
    raw::{Raw, SO_PIN, USER_PIN},
    served::Hsm,
    vendor::Vendor,
};

use steps::{Object, Step, content, find_one, next_step, pair, perform, stem};

const KILLS: usize = 250;
/// Over an HSM in a process of its own, where all that is slower.
const KILLS_AT_HSM: usize = 60;
/// Processes that change objects; beside them one guesses PINs.
const WRITERS: usize = 3;
/// The most that a configuration may allow.
const PIN_TRIES: usize = 100;
/// After so many steps a process waits to be killed. A writer does not get there; one who guesses would lock the PIN.
const STEPS: usize = 10_000;
const GUESSES: usize = 30;
const MARKER: &str = "marker";
const CLASSES: [CK_OBJECT_CLASS; 4] = [CKO_DATA, CKO_SECRET_KEY, CKO_PUBLIC_KEY, CKO_PRIVATE_KEY];

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

    /// After one more login, or a few where the HSM was still at work for the dead, it has the data and the private keys that are in
    /// it and on record, under their names, and no others. Each public key there is one of theirs, and has an object unless
    /// its destruction was cut short.
    fn check_hsm(&self) {
        let there = |class| self.there.iter().filter(move |(of, _)| *of == class).map(|(_, name)| name);
        let in_hsm = |class| there(class).filter(|name| pair(name) == CKK_EC).cloned().collect::<Vec<_>>();
        let (private, public) = (in_hsm(CKO_PRIVATE_KEY), in_hsm(CKO_PUBLIC_KEY));
        // The marker has no value, and so no copy.
        let data: Vec<_> = there(CKO_DATA).cloned().collect();
        let has_public = |name: &String| public.iter().any(|public| stem(public) == stem(name));
        let p11 = self.p11;
        let status = in_child(|| {
            p11.initialize();
            let softhsm = Vendor::load(&backend::softhsm());
            assert_eq!(softhsm.initialize(), CKR_OK);
            let agrees = (0..20).any(|_| {
                let session = p11.open(CKF_RW_SESSION);
                assert_eq!(p11.login(session, CKU_USER, USER_PIN), CKR_OK);
                assert_eq!(c!(p11.C_Logout(session)), CKR_OK);
                let session = softhsm.logged_in();
                let found = [CKO_PRIVATE_KEY, CKO_DATA, CKO_PUBLIC_KEY];
                let [keys, objects, halves] = found.map(|class| softhsm.labels(session, class));
                assert_eq!(softhsm.logout(session), CKR_OK);
                let agrees = keys == private
                    && objects == data
                    && halves.iter().all(|half| private.contains(half))
                    && private.iter().all(|name| !has_public(name) || halves.contains(name));
                if !agrees {
                    println!("the HSM has {keys:?}, {objects:?} and {halves:?}");
                    thread::sleep(Duration::from_secs(1));
                }
                agrees
            });
            assert!(agrees, "and not {private:?}, {data:?} and {public:?}");
            0
        });
        assert_eq!(status, 0);
        println!("{} keys and {} data objects in the HSM", private.len(), data.len());
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
        if hsm.is_some() {
            ledger.check_hsm();
        }
        let Ledger { finished, cut_short, there, .. } = ledger;
        println!("{kills} kills: {finished} steps finished, {cut_short} cut short, {} objects left", there.len());
        // Enough of them in the middle of something to mean anything.
        assert!(cut_short > kills / 4 && finished > kills, "{finished} finished, {cut_short} cut short");
    }
}
