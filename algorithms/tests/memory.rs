//! Where secrets are kept: pages that are locked and not dumped, in this process and in its children.
#![expect(unsafe_code, reason = "fork, and looking at memory from outside")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs::{self, File},
    ops::Range,
    os::unix::fs::FileExt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use algorithms::{
    PrivateKey, SecretBytes, ed25519, fork, memory,
    ml_dsa::{self, Hedging, Input, ParameterSet},
    random, rsa,
};

/// Forking while another test forks would count that one's locks; the tests here take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Runs `check` in a child process, which must end within 30 seconds.
fn in_child(check: impl FnOnce() -> bool) -> bool {
    fork::prepare();
    // SAFETY: the child only runs `check`, and ends without running the parent's destructors.
    let child = unsafe { libc::fork() };
    if child == 0 {
        fork::child();
        // SAFETY: calls without memory of ours.
        unsafe {
            libc::alarm(30);
            libc::_exit(i32::from(!check()));
        }
    }
    fork::parent();
    assert!(child > 0, "fork");
    let mut status = 0;
    // SAFETY: `status` is a valid place.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
}

/// A line of /proc/self/smaps with its flags.
struct Mapping {
    range: Range<usize>,
    writable: bool,
    flags: String,
    name: String,
}

fn mappings() -> Vec<Mapping> {
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in fs::read_to_string("/proc/self/smaps").unwrap().lines() {
        if let Some(flags) = line.strip_prefix("VmFlags: ") {
            mappings.last_mut().unwrap().flags = flags.to_owned();
            continue;
        }
        let mut words = line.split_whitespace();
        let Some((start, end)) = words.next().and_then(|word| word.split_once('-')) else { continue };
        let [start, end] = [start, end].map(|address| usize::from_str_radix(address, 16).unwrap());
        let writable = words.next().unwrap().starts_with("rw");
        let name = words.nth(3).unwrap_or_default().to_owned();
        mappings.push(Mapping { range: start..end, writable, flags: String::new(), name });
    }
    mappings
}

fn is_protected(mapping: &Mapping) -> bool {
    let has = |flag| mapping.flags.split(' ').any(|found| found == flag);
    has("lo") && has("dd")
}

fn locked_kib() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn secret_bytes_are_locked_and_left_out_of_core_dumps() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let secret = random::secret(5000).unwrap();
    let place = secret.expose().as_ptr() as usize;
    let mapping = mappings().into_iter().find(|mapping| mapping.range.contains(&place)).unwrap();
    assert!(is_protected(&mapping), "{}", mapping.flags);
    let status = memory::status();
    assert!(status.locked_bytes > 0 && status.engine_protected, "{status:?}");
    assert_eq!(status.unlocked_bytes, 0, "RLIMIT_MEMLOCK is {:?}", status.limit);
}

/// Every place in writable memory that holds the secret with this mask over it, so that the pattern itself is none.
fn places_of(masked: &[u8]) -> Vec<String> {
    const MASK: u8 = 0x5a;
    let memory = File::open("/proc/self/mem").unwrap();
    let mut places = Vec::new();
    let mut chunk = vec![0; 1 << 16];
    for mapping in mappings().into_iter().filter(|mapping| mapping.writable && mapping.name != "[vvar]") {
        for start in mapping.range.clone().step_by(chunk.len() - masked.len()) {
            let len = chunk.len().min(mapping.range.end - start);
            if memory.read_exact_at(&mut chunk[..len], start as u64).is_err() {
                continue;
            }
            let found = chunk[..len]
                .windows(masked.len())
                .position(|window| window.iter().zip(masked).all(|(&byte, &masked)| byte ^ MASK == masked));
            chunk.fill(0);
            if found.is_some() && !is_protected(&mapping) {
                places.push(format!("{:x?} {} {}", mapping.range, mapping.name, mapping.flags));
            } else if found.is_some() {
                places.push("protected".to_owned());
            }
        }
    }
    places
}

#[test]
fn keys_and_their_parts_are_nowhere_else() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    ParameterSet::ALL.into_iter().for_each(search_for_keys);
}

fn search_for_keys(set: ParameterSet) {
    let mask = |bytes: &[u8]| bytes.iter().map(|byte| byte ^ 0x5a).collect::<Vec<u8>>();
    let message = Input::Message { context: &[], message: b"m" };

    let key = ml_dsa::PrivateKey::generate(set).unwrap();
    key.sign(message, Hedging::Hedged).unwrap();
    key.sign(message, Hedging::Deterministic).unwrap();
    key.sign(Input::Mu(&[3; 64]), Hedging::Deterministic).unwrap();
    let seed = mask(key.seed().unwrap().expose());
    // The middle of s2: the first bytes of an expanded key are public.
    let part = mask(&key.expanded().unwrap().expose()[1000..1032]);
    let key = PrivateKey::MlDsa(key);
    key.to_pkcs8().unwrap();
    let other = ed25519::PrivateKey::generate().unwrap();
    other.sign(ed25519::Input::Pure(b"m")).unwrap();
    let other_seed = mask(other.seed().expose());
    let rsa = rsa::PrivateKey::generate(2048, &[1, 0, 1]).unwrap();
    rsa.sign(rsa::Padding::Pkcs1Raw(b"m")).unwrap();
    // AWS-LC keeps numbers little-endian, so what it would leave behind is the reverse.
    let mut prime = rsa.components().unwrap().crt[0].expose()[20..52].to_vec();
    prime.reverse();
    let masked_prime = mask(&prime);
    prime.fill(0);

    for (what, masked) in
        [("ML-DSA seed", seed), ("part of s2", part), ("Ed25519 seed", other_seed), ("RSA p", masked_prime)]
    {
        let places = places_of(&masked);
        assert!(places.iter().any(|place| place == "protected"), "{what} was not found at all");
        assert!(places.iter().all(|place| place == "protected"), "{what}: {places:?}");
    }
    drop((key, other, rsa));
}

#[test]
fn freed_memory_is_wiped() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let secret = random::secret(64).unwrap();
    let masked: Vec<u8> = secret.expose()[..32].iter().map(|byte| byte ^ 0x5a).collect();
    assert_eq!(places_of(&masked), ["protected"]);
    drop(secret);
    assert_eq!(places_of(&masked), [] as [&str; 0]);
}

/// 32 bytes from the middle of what `fips204` makes of a seed, with the mask over them; made in a child process, so that
/// nothing of it stays in this one.
fn part_of_expanded(seed: &[u8; 32]) -> Vec<u8> {
    use fips204::{ml_dsa_44, traits::KeyGen};
    let (mut reader, writer) = std::io::pipe().unwrap();
    let child = in_child(|| {
        let (_, key) = ml_dsa_44::KG::keygen_from_seed(seed);
        // SAFETY: the key is plain numbers, of which the first polynomial is longer than this.
        let part = unsafe { std::slice::from_raw_parts((&raw const key).cast::<u8>().add(1000), 32) };
        let masked: Vec<u8> = part.iter().map(|byte| byte ^ 0x5a).collect();
        std::io::Write::write_all(&mut &writer, &masked).is_ok()
    });
    assert!(child);
    let mut masked = vec![0; 32];
    std::io::Read::read_exact(&mut reader, &mut masked).unwrap();
    masked
}

/// Key memory in use, in KiB. Threads of other tests that end meanwhile free what AWS-LC had for them, less than 1 KiB each.
fn used_kib() -> i64 {
    i64::try_from(memory::status().used_bytes / 1024).unwrap()
}

#[test]
fn expanded_keys_have_a_bound_and_are_wiped_when_others_need_the_room() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let message = Input::Message { context: &[], message: b"m" };
    let seed = random::secret(32).unwrap();
    let part = part_of_expanded(seed.expose().try_into().unwrap());

    let key = ml_dsa::PrivateKey::from_seed(ParameterSet::MlDsa44, &seed).unwrap();
    let start = used_kib();
    assert_eq!(places_of(&part), [] as [&str; 0]);
    key.sign(message, Hedging::Deterministic).unwrap();
    assert_eq!(places_of(&part), ["protected"]);
    // 12 polynomials, once for all signatures.
    let expanded = used_kib() - start;
    assert!((9..=13).contains(&expanded), "{expanded}");
    key.sign(message, Hedging::Deterministic).unwrap();
    assert!((9..=13).contains(&(used_kib() - start)), "{}", used_kib() - start);

    let others: Vec<_> =
        (0..100).map(|_| ml_dsa::PrivateKey::generate(ParameterSet::MlDsa44).unwrap()).collect();
    let start = used_kib();
    for other in &others {
        other.sign(message, Hedging::Deterministic).unwrap();
    }
    assert_eq!(places_of(&part), [] as [&str; 0]);
    // 32 at any time, of which one was there before.
    let expanded = used_kib() - start;
    assert!((31 * 11..=31 * 13).contains(&expanded), "{expanded}");
    let all = used_kib();
    drop((key, others, seed));
    assert!(all - used_kib() > 32 * 12, "they go with their keys");
}

/// What one opened key takes of key memory: private, public, expanded for messages, expanded for mu (whose matrix, which is
/// public, is elsewhere). docs/decisions/0017-ml-dsa-engines.md has the figures.
#[test]
fn the_memory_that_a_key_takes() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let message = Input::Message { context: &[], message: b"m" };
    // AWS-LC's random generator of this thread is made at the first signature.
    let first = ml_dsa::PrivateKey::generate(ParameterSet::MlDsa44).unwrap();
    first.sign(message, Hedging::Hedged).unwrap();
    for (set, bounds) in [
        (ParameterSet::MlDsa44, [4_100, 1_420, 12_440, 24_800]),
        (ParameterSet::MlDsa65, [6_210, 2_060, 17_560, 35_100]),
        (ParameterSet::MlDsa87, [7_720, 2_700, 23_700, 47_400]),
    ] {
        let seed = random::secret(32).unwrap();
        let mut last = memory::status().used_bytes;
        let mut more = || {
            let used = memory::status().used_bytes;
            let more = used.saturating_sub(last);
            last = used;
            more
        };
        let key = ml_dsa::PrivateKey::from_seed(set, &seed).unwrap();
        key.sign(message, Hedging::Hedged).unwrap();
        let mut taken = vec![more()];
        let other = ml_dsa::PublicKey::from_bytes(set, key.public_key().as_bytes()).unwrap();
        taken.push(more());
        for input in [message, Input::Mu(&[1; 64])] {
            key.sign(input, Hedging::Deterministic).unwrap();
            taken.push(more());
        }
        assert!(taken.iter().zip(bounds).all(|(&taken, bound)| taken < bound), "{set:?} {taken:?}");
        drop(other);
    }
}

#[test]
fn children_of_a_busy_process_have_memory_and_lock_it_again() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let key = ed25519::PrivateKey::generate().unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // However this ends, or the other threads would go on for ever.
        let _stopper = Stopper(&stop);
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    let lattice = ml_dsa::PrivateKey::generate(ParameterSet::MlDsa44).unwrap();
                    lattice.sign(Input::Mu(&[1; 64]), Hedging::Hedged).unwrap();
                    lattice.sign(Input::Mu(&[1; 64]), Hedging::Deterministic).unwrap();
                    drop(SecretBytes::new(&[1; 100]));
                    key.sign(ed25519::Input::Pure(b"m")).unwrap();
                }
            });
        }
        for _ in 0..100 {
            let whole = in_child(|| {
                let before = locked_kib();
                let lattice = ml_dsa::PrivateKey::generate(ParameterSet::MlDsa44).unwrap();
                let signature = lattice.sign(Input::Mu(&[1; 64]), Hedging::Hedged).unwrap();
                let verified = lattice.public_key().verify(Input::Mu(&[1; 64]), &signature);
                lattice.sign(Input::Mu(&[1; 64]), Hedging::Deterministic).unwrap();
                let (status, now) = (memory::status(), locked_kib());
                let whole = before == 0
                    && verified.is_ok()
                    && status.unlocked_bytes == 0
                    && status.locked_bytes / 1024 == now;
                if !whole {
                    eprintln!("{before} KiB locked, then {now}, {status:?}, {verified:?}");
                }
                whole
            });
            assert!(whole, "the child says above what was wrong, or it was killed");
        }
    });
}

/// Tells the threads of a test to stop when dropped.
struct Stopper<'a>(&'a AtomicBool);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn a_child_does_not_repeat_its_parents_randomness() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let key = ml_dsa::PrivateKey::generate(ParameterSet::MlDsa44).unwrap();
    let sign = || key.sign(Input::Mu(&[1; 64]), Hedging::Hedged).unwrap();
    sign();
    let (reader, writer) = std::io::pipe().unwrap();
    let child = in_child(|| std::io::Write::write_all(&mut &writer, &sign()[..64]).is_ok());
    assert!(child);
    let mut childs = [0; 64];
    std::io::Read::read_exact(&mut &reader, &mut childs).unwrap();
    assert_ne!(sign()[..64], childs);
}

#[test]
fn without_leave_to_lock_keys_work_and_the_status_says_so() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = in_child(|| {
        // SAFETY: calls without memory of ours but the limit; root may lock whatever the limit, so the child gives
        // that up.
        let limited = unsafe {
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const none) == 0
                && (libc::geteuid() != 0 || libc::setuid(65534) == 0)
        };
        let key = ml_dsa::PrivateKey::generate(ParameterSet::MlDsa87).unwrap();
        let signature = key.sign(Input::Mu(&[1; 64]), Hedging::Hedged).unwrap();
        let status = memory::status();
        limited
            && key.public_key().verify(Input::Mu(&[1; 64]), &signature).is_ok()
            && status.limit == Some(0)
            && status.locked_bytes == 0
            && status.unlocked_bytes > 0
    });
    assert!(kept);
}
