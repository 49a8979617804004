//! The one global: what the process has initialised, and what becomes of it over fork(2).
//!
//! Each process has a [`Generation`] of its own. A child finds its parent's, sees that it is not its own, and puts a
//! fresh one in place before it takes any lock; the old one is leaked, because its locks, files and secrets belong to
//! the parent. So a child is a stranger: not initialised, except that one C_Finalize succeeds.

use std::{
    mem::ManuallyDrop,
    panic::catch_unwind,
    path::PathBuf,
    ptr,
    sync::{
        Arc, Condvar, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering},
    },
    time::Duration,
};

use cryptoki_sys as ck;

use super::{
    mutex::ApplicationMutex,
    process::{self, ForkHandlers},
};
use crate::{
    Module,
    config::{Config, Environment},
    error::{Error, Result},
    log, reason,
    sync::{Held, Mutex, ReadMostly},
};

/// One run from C_Initialize to C_Finalize. Calls in progress hold it, so it ends with the last of them.
pub(super) struct Run {
    pub(super) module: ManuallyDrop<Module>,
    pub(super) mutex: Option<ApplicationMutex>,
}

/// How long a fork waits for that: a device's library may never return from being finalised.
const ENDING_TIMEOUT: Duration = Duration::from_secs(15);

/// A fork waits until the stores have closed their files.
impl Drop for Run {
    fn drop(&mut self) {
        let _ending = Generation::existing().filter(|generation| generation.is_ours()).map(Ending::begin);
        // SAFETY: this is the only place that drops it, and nothing uses it afterwards.
        unsafe { ManuallyDrop::drop(&mut self.module) };
    }
}

/// A run that ends. No lock is held meanwhile.
struct Ending(&'static Generation);

impl Ending {
    fn begin(generation: &'static Generation) -> Self {
        generation.no_fork().ending += 1;
        Self(generation)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.forking.lock().ending -= 1;
        self.0.forked.notify_all();
    }
}

/// Forks of this process.
#[derive(Default)]
struct Forks {
    /// The runs that wait for the end of a fork, and so also: whether a fork is in progress.
    runs: Option<Vec<Arc<Run>>>,
    /// Runs that are being dropped.
    ending: usize,
}

struct Generation {
    process: u32,
    forks: u32,
    run: ReadMostly<Arc<Run>>,
    /// C_Initialize and C_Finalize take turns.
    turn: Mutex<()>,
    /// Whether `run` is there, for a child that must not take its parent's lock.
    initialized: AtomicBool,
    /// Whether an ancestor was initialised when it forked, and C_Finalize has not been called since.
    inherited: AtomicBool,
    /// Every run that may still have files open, finalised or not.
    living: Mutex<Vec<Weak<Run>>>,
    forking: Mutex<Forks>,
    forked: Condvar,
}

static CURRENT: AtomicPtr<Generation> = AtomicPtr::new(ptr::null_mut());
/// How often this process and its ancestors were forked off: tells a child from its parent when ids are reused.
static FORKS: AtomicU32 = AtomicU32::new(0);

impl Generation {
    fn new(process: u32, forks: u32, inherited: bool) -> Self {
        Self {
            process,
            forks,
            run: ReadMostly::default(),
            turn: Mutex::default(),
            initialized: AtomicBool::new(false),
            inherited: AtomicBool::new(inherited),
            living: Mutex::default(),
            forking: Mutex::default(),
            forked: Condvar::new(),
        }
    }

    /// What the process has, if it has called anything before.
    fn existing() -> Option<&'static Self> {
        // SAFETY: the pointer is null or came from Box::into_raw in `current`, and is never freed.
        unsafe { CURRENT.load(Ordering::Acquire).as_ref() }
    }

    fn is_ours(&self) -> bool {
        self.process == std::process::id() && self.forks == FORKS.load(Ordering::Acquire)
    }

    /// Waits for the end of a fork in progress; none begins while the result is held.
    fn no_fork(&self) -> MutexGuard<'_, Forks> {
        self.forked
            .wait_while(self.forking.lock(), |forking| forking.runs.is_some())
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// [`Generation::no_fork`], and no run that is being dropped, unless that does not come to an end.
    fn quiet(&self) -> MutexGuard<'_, Forks> {
        let busy = |forking: &mut Forks| forking.runs.is_some() || forking.ending > 0;
        let waited = self.forked.wait_timeout_while(self.no_fork(), ENDING_TIMEOUT, busy);
        let (forking, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if !waited.timed_out() {
            return forking;
        }
        drop(forking);
        self.no_fork()
    }

    /// What this process has. Every call asks, so the answer is kept where a child does not find it.
    fn current() -> &'static Self {
        let Some(own) = process::own_pointer() else { return Self::by_process_id() };
        // SAFETY: the pointer is null or the one stored below, which is never freed.
        if let Some(generation) = unsafe { own.load(Ordering::Acquire).cast::<Self>().as_ref() } {
            return generation;
        }
        let generation = Self::by_process_id();
        own.store(ptr::from_ref(generation).cast_mut().cast(), Ordering::Release);
        generation
    }

    fn by_process_id() -> &'static Self {
        loop {
            let seen = CURRENT.load(Ordering::Acquire);
            // SAFETY: as in `existing`.
            let existing = unsafe { seen.as_ref() };
            if let Some(generation) = existing.filter(|generation| generation.is_ours()) {
                return generation;
            }
            let inherited = existing.is_some_and(|parent| {
                parent.initialized.load(Ordering::Acquire) || parent.inherited.load(Ordering::Acquire)
            });
            let fresh = Self::new(std::process::id(), FORKS.load(Ordering::Acquire), inherited);
            let fresh = Box::into_raw(Box::new(fresh));
            if CURRENT.compare_exchange(seen, fresh, Ordering::AcqRel, Ordering::Acquire).is_err() {
                // SAFETY: another thread was faster, and nobody has seen this one.
                drop(unsafe { Box::from_raw(fresh) });
            }
        }
    }
}

/// The run of this process, or CKR_CRYPTOKI_NOT_INITIALIZED.
pub(super) fn running() -> Result<Held<Arc<Run>>> {
    Generation::current().run.get().ok_or(Error::CryptokiNotInitialized)
}

/// C_Initialize: one run at a time.
///
/// # Safety
/// The mutex functions in `args` are those of PKCS#11.
pub(super) unsafe fn initialize(args: &ck::CK_C_INITIALIZE_ARGS) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe { initialize_with(args, &Environment::of_process(), algorithms::self_test::run) }
}

/// [`initialize`] with what a test must hold.
///
/// # Safety
/// As for [`initialize`].
pub(super) unsafe fn initialize_with(
    args: &ck::CK_C_INITIALIZE_ARGS,
    environment: &Environment,
    self_test: fn() -> std::result::Result<(), algorithms::Error>,
) -> Result<()> {
    if !args.pReserved.is_null() {
        return Err(Error::ArgumentsBad);
    }
    let generation = Generation::current();
    let _turn = generation.turn.lock();
    match generation.run.get() {
        Some(run) if run.module.has_failed() => return Err(Error::DeviceError),
        Some(_) => return Err(Error::CryptokiAlreadyInitialized),
        None => {}
    }
    // SAFETY: the caller's promise.
    let mutex = unsafe { ApplicationMutex::requested(args) }?;
    let (config, file) = configuration(environment)?;
    if !process::on_fork(&ForkHandlers { before: before_fork, in_parent: after_fork, in_child: new_child }) {
        return Err(Error::HostMemory);
    }
    let module = Module::new(config, file);
    let passed = has_passed(self_test).map_err(|why| module.fail(why));
    let new = Arc::new(Run { module: ManuallyDrop::new(module), mutex });
    let mut living = generation.living.lock();
    living.retain(|run| run.strong_count() > 0);
    living.push(Arc::downgrade(&new));
    generation.run.replace(Some(new));
    generation.initialized.store(true, Ordering::Release);
    generation.inherited.store(false, Ordering::Release);
    log::info(format_args!("initialised, version {}", env!("CARGO_PKG_VERSION")));
    passed
}

/// C_Finalize. Calls in other threads go on to their end on the run that they hold.
pub(super) fn finalize() -> Result<()> {
    let generation = Generation::current();
    let run = {
        let _turn = generation.turn.lock();
        generation.initialized.store(false, Ordering::Release);
        generation.run.replace(None)
    };
    match run {
        Some(run) => {
            if run.module.has_failed() {
                PASSED.store(false, Ordering::Release);
            }
            run.module.finalize();
            log::info(format_args!("finalised"));
            Ok(())
        }
        None if generation.inherited.swap(false, Ordering::AcqRel) => Ok(()),
        None => Err(Error::CryptokiNotInitialized),
    }
}

/// A configuration that cannot be read is CKR_FUNCTION_FAILED; the reason goes to T_Status and to the log that
/// TRELLIS_LOG asks for, since there is no other.
fn configuration(environment: &Environment) -> Result<(Config, Option<PathBuf>)> {
    let wanted = environment.log.as_deref().map(str::parse::<log::Setting>);
    let from_environment = wanted.clone().and_then(|wanted| wanted.ok());
    log::configure(&from_environment.clone().unwrap_or_default());
    let (config, file) = Config::load(environment).map_err(|error| {
        log::error(format_args!("{error}"));
        reason::tell(reason::configuration(&error));
        Error::FunctionFailed
    })?;
    log::configure(&from_environment.or_else(|| config.log.clone()).unwrap_or_default());
    log::announce_trouble();
    if let Some(Err(message)) = wanted {
        log::warn(format_args!("TRELLIS_LOG is ignored: {message}"));
    }
    match &file {
        Some(file) => log::info(format_args!("configuration: {}", file.display())),
        None => log::info(format_args!("configuration: none, defaults apply")),
    }
    if config.slots.is_empty() {
        log::warn(format_args!(
            "there is no slot: no configuration was found and no home directory is known"
        ));
    }
    Ok((config, file))
}

/// Whether the self-test need not run again: it has passed in this process or an ancestor, and nothing failed since.
static PASSED: AtomicBool = AtomicBool::new(false);

/// Runs the self-test unless it has passed.
fn has_passed(
    self_test: fn() -> std::result::Result<(), algorithms::Error>,
) -> std::result::Result<(), algorithms::Error> {
    let real = ptr::fn_addr_eq(self_test, algorithms::self_test::run as fn() -> _);
    if real && PASSED.load(Ordering::Acquire) {
        return Ok(());
    }
    self_test()?;
    PASSED.fetch_or(real, Ordering::AcqRel);
    Ok(())
}

/// In the parent, before fork(2): every store closes its files, so that the child inherits none. Forks of several
/// threads wait for each other. Key memory goes last, for closing a store may free some.
extern "C" fn before_fork() {
    let _ = catch_unwind(|| {
        if let Some(generation) = Generation::existing().filter(|generation| generation.is_ours()) {
            let mut forking = generation.quiet();
            let runs: Vec<_> = generation.living.lock().iter().filter_map(Weak::upgrade).collect();
            for run in &runs {
                run.module.slots.values().for_each(|slot| slot.store.before_fork());
            }
            forking.runs = Some(runs);
        }
    });
    algorithms::fork::prepare();
}

/// In the parent, after fork(2).
extern "C" fn after_fork() {
    algorithms::fork::parent();
    let _ = catch_unwind(|| {
        let Some(generation) = Generation::existing().filter(|generation| generation.is_ours()) else {
            return;
        };
        let runs = generation.forking.lock().runs.take();
        for run in runs.iter().flatten() {
            run.module.slots.values().for_each(|slot| slot.store.after_fork());
        }
        generation.forked.notify_all();
    });
}

/// In the child: nothing but to know it. The parent's generation, with its locks as they stood, is never touched.
extern "C" fn new_child() {
    algorithms::fork::child();
    FORKS.fetch_add(1, Ordering::AcqRel);
}
