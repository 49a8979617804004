//! Eight allocators over locked pages, one of which each thread uses, so that threads seldom meet at a lock.
//!
//! A block carries its size and its allocator in front: AWS-LC frees without either, and often on another thread.

use std::{
    cell::{Cell, RefCell},
    ffi::{c_char, c_int, c_void},
    ops::{Deref, DerefMut},
    ptr::{self, NonNull},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use dlmalloc::{Allocator, Dlmalloc};

pub(crate) const SHARDS: usize = 8;

static ARENAS: [Mutex<Dlmalloc<Pages>>; SHARDS] =
    [const { Mutex::new(Dlmalloc::new_with_allocator(Pages::new())) }; SHARDS];
static NEXT_SHARD: AtomicUsize = AtomicUsize::new(0);
static ENGINE_PROTECTED: AtomicBool = AtomicBool::new(false);
/// Set in a child process, which does not inherit its parent's locks on memory.
static LOCKS_LOST: AtomicBool = AtomicBool::new(false);

thread_local! {
    static SHARD: Cell<Option<usize>> = const { Cell::new(None) };
    /// What this thread holds between `fork_prepare` and `fork_parent` or `fork_child`.
    static HELD: Cell<Option<[MutexGuard<'static, Dlmalloc<Pages>>; SHARDS]>> = const { Cell::new(None) };
}

/// Bytes in key memory, wiped when dropped.
pub(crate) struct Block {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a block owns its bytes, and gives them out by the usual borrowing rules.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    /// `len` zero bytes; ends the process when there is no memory, as `Box` does.
    pub(crate) fn zeroed(len: usize) -> Self {
        let Some(start) = allocate(len) else {
            std::alloc::handle_alloc_error(std::alloc::Layout::new::<Header>())
        };
        // SAFETY: `allocate` gave `len` writable bytes.
        unsafe { start.write_bytes(0, len) };
        Self { start, len }
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the block owns `len` initialised bytes from `start` until it is dropped.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` makes the borrow the only one.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: `start` came from `allocate` and is freed once, here.
        unsafe { release(self.start) };
    }
}

/// A value in key memory. When it is dropped its own destructor runs, and then its bytes are wiped.
pub(crate) struct Held<T>(NonNull<T>);

// SAFETY: it owns its value, and gives it out by the usual borrowing rules.
unsafe impl<T: Send> Send for Held<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Held<T> {}

impl<T> Held<T> {
    /// Moves `value` to key memory; wiping what the move leaves on the stack is the caller's duty. Ends the process when
    /// there is no memory, as `Box` does.
    pub(crate) fn new(value: T) -> Self {
        const { assert!(align_of::<T>() <= align_of::<Header>()) };
        let Some(start) = allocate(size_of::<T>()) else {
            std::alloc::handle_alloc_error(std::alloc::Layout::new::<T>())
        };
        let start = start.cast::<T>();
        // SAFETY: `allocate` gave room for a `T` at the alignment of a header.
        unsafe { start.write(value) };
        Self(start)
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the value is there until `self` is dropped.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        // SAFETY: the value was written by `new` and is dropped once, here; so is its memory.
        unsafe {
            self.0.drop_in_place();
            release(self.0.cast());
        }
    }
}

/// Before fork(2): keeps every other thread out of key memory meanwhile.
pub(crate) fn fork_prepare() {
    HELD.set(Some(std::array::from_fn(|shard| lock(&ARENAS[shard]))));
}

/// After fork(2), in the parent.
pub(crate) fn fork_parent() {
    HELD.take();
}

/// After fork(2), in the child, which does not inherit its parent's locks on memory.
pub(crate) fn fork_child() {
    LOCKS_LOST.store(true, Relaxed);
    HELD.take();
}

/// Which of the allocators, and of all else there is one of for each, the calling thread uses.
pub(crate) fn shard() -> usize {
    SHARD.get().unwrap_or_else(|| {
        let shard = NEXT_SHARD.fetch_add(1, Relaxed) % SHARDS;
        SHARD.set(Some(shard));
        shard
    })
}

/// Bytes of the blocks there are, with what stands before each.
pub(super) fn used() -> usize {
    ARENAS.iter().map(|arena| lock(arena).allocator().used.get()).sum()
}

pub(super) fn totals() -> (usize, usize) {
    let segments: Vec<Segment> =
        ARENAS.iter().flat_map(|arena| lock(arena).allocator().segments.borrow().clone()).collect();
    let sum =
        |locked| segments.iter().filter(|segment| segment.locked == locked).map(|segment| segment.len).sum();
    (sum(true), sum(false))
}

pub(super) fn lock_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer.
    let found = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } == 0;
    (found && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

pub(super) fn engine_protected() -> bool {
    ENGINE_PROTECTED.load(Relaxed)
}

/// Runs when the program or library is loaded, before anything can have allocated through AWS-LC.
#[used]
#[unsafe(link_section = ".init_array")]
static PROTECT_ENGINE: extern "C" fn() = protect_engine;

extern "C" fn protect_engine() {
    // SAFETY: the three functions keep the contract of malloc, realloc and free, and no memory of another allocator
    // can be freed through them, because AWS-LC has not run yet.
    let installed = unsafe {
        aws_lc_sys::CRYPTO_set_mem_functions(Some(engine_malloc), Some(engine_realloc), Some(engine_free))
    };
    ENGINE_PROTECTED.store(installed == 1, Relaxed);
}

unsafe extern "C" fn engine_malloc(size: usize, _file: *const c_char, _line: c_int) -> *mut c_void {
    allocate(size).map_or(ptr::null_mut(), |start| start.as_ptr().cast())
}

unsafe extern "C" fn engine_realloc(
    old: *mut c_void,
    size: usize,
    _file: *const c_char,
    _line: c_int,
) -> *mut c_void {
    let Some(new) = allocate(size) else { return ptr::null_mut() };
    if let Some(old) = NonNull::new(old.cast::<u8>()) {
        // SAFETY: AWS-LC passes what `allocate` gave it; the blocks are distinct and at least this long.
        unsafe {
            let kept = header(old).read().size.min(size);
            new.copy_from_nonoverlapping(old, kept);
            release(old);
        }
    }
    new.as_ptr().cast()
}

unsafe extern "C" fn engine_free(block: *mut c_void, _file: *const c_char, _line: c_int) {
    if let Some(start) = NonNull::new(block.cast()) {
        // SAFETY: AWS-LC passes what `allocate` gave it, once.
        unsafe { release(start) };
    }
}

/// Stands before every block.
#[repr(C, align(16))]
struct Header {
    size: usize,
    shard: usize,
}

fn allocate(size: usize) -> Option<NonNull<u8>> {
    if LOCKS_LOST.load(Relaxed) && LOCKS_LOST.swap(false, Relaxed) {
        ARENAS.iter().for_each(|arena| lock(arena).allocator().lock_again());
    }
    let total = size.checked_add(size_of::<Header>())?;
    let shard = shard();
    let mut arena = lock(&ARENAS[shard]);
    // SAFETY: the alignment is a power of two.
    let base = unsafe { arena.malloc(total, align_of::<Header>()) };
    let base = NonNull::new(base.cast::<Header>())?;
    arena.allocator().count(total, true);
    drop(arena);
    // SAFETY: the block is aligned for a header and longer than one.
    unsafe {
        base.write(Header { size, shard });
        Some(base.add(1).cast())
    }
}

/// # Safety
/// `start` came from [`allocate`] and was not released since.
unsafe fn release(start: NonNull<u8>) {
    // SAFETY: the caller vouches that a header stands before `start` and `size` bytes after it.
    unsafe {
        let base = header(start);
        let Header { size, shard } = base.read();
        aws_lc_sys::OPENSSL_cleanse(start.as_ptr().cast(), size);
        let total = size + size_of::<Header>();
        let mut arena = lock(&ARENAS[shard]);
        arena.free(base.as_ptr().cast(), total, align_of::<Header>());
        arena.allocator().count(total, false);
    }
}

/// # Safety
/// `start` came from [`allocate`].
unsafe fn header(start: NonNull<u8>) -> NonNull<Header> {
    // SAFETY: the caller vouches that a header stands there.
    unsafe { start.cast::<Header>().sub(1) }
}

fn lock(arena: &'static Mutex<Dlmalloc<Pages>>) -> MutexGuard<'static, Dlmalloc<Pages>> {
    arena.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where an arena's memory comes from.
struct Pages {
    segments: RefCell<Vec<Segment>>,
    /// Bytes of the blocks given out.
    used: Cell<usize>,
}

#[derive(Clone, Copy)]
struct Segment {
    start: usize,
    len: usize,
    locked: bool,
}

impl Pages {
    const fn new() -> Self {
        Self { segments: RefCell::new(Vec::new()), used: Cell::new(0) }
    }

    fn count(&self, bytes: usize, taken: bool) {
        let used = self.used.get();
        self.used.set(if taken { used + bytes } else { used - bytes });
    }

    fn lock_again(&self) {
        for segment in self.segments.borrow_mut().iter_mut() {
            segment.locked = lock_pages(segment.start as *mut c_void, segment.len);
        }
    }
}

fn lock_pages(start: *mut c_void, len: usize) -> bool {
    // SAFETY: mlock reads no memory; a range that is not mapped is an error.
    unsafe { libc::mlock(start, len) == 0 }
}

// SAFETY: `alloc` gives out fresh mappings; nothing is resized, and what `free` takes is unmapped whole.
unsafe impl Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        // SAFETY: an anonymous mapping at an address of the system's choosing touches no existing memory.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return (ptr::null_mut(), 0, 0);
        }
        // SAFETY: the range was mapped just now. Where the advice is refused, the memory works as any other.
        unsafe { libc::madvise(start, size, libc::MADV_DONTDUMP) };
        let locked = lock_pages(start, size);
        self.segments.borrow_mut().push(Segment { start: start as usize, len: size, locked });
        (start.cast(), size, 0)
    }

    fn remap(&self, _start: *mut u8, _old: usize, _new: usize, _can_move: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, _start: *mut u8, _old: usize, _new: usize) -> bool {
        false
    }

    fn free(&self, start: *mut u8, len: usize) -> bool {
        let mut segments = self.segments.borrow_mut();
        // The allocator joins neighbouring mappings, so one call may give back several.
        let end = start as usize + len;
        segments.retain(|segment| segment.start < start as usize || segment.start >= end);
        // SAFETY: the allocator gives back what `alloc` mapped and uses it no more.
        unsafe { libc::munmap(start.cast(), len) == 0 }
    }

    fn can_release_part(&self, _flags: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        // SAFETY: sysconf reads nothing of ours.
        usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
    }
}
