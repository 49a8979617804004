//! Child processes made by fork(2). A child runs a closure and ends without the destructors and exit handlers of its
//! parent; its exit status is the closure's, or 101 if it panicked.

#![expect(unsafe_code, reason = "fork, kill and waitpid are C functions")]

use libloading::os::unix::{Library, Symbol};

/// A child of this process; killed when it is dropped before it was waited for.
#[derive(Debug)]
pub struct Child {
    id: libc::pid_t,
    reaped: bool,
}

impl Child {
    /// fork(2). Whatever locks the other threads of this process hold stay locked in the child, so `body` uses what
    /// is made for that.
    pub fn spawn(body: impl FnOnce() -> i32) -> Self {
        // SAFETY: the child runs on this thread's stack and leaves through _exit.
        match unsafe { libc::fork() } {
            0 => {
                let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(101);
                // SAFETY: ends the process.
                unsafe { libc::_exit(status) }
            }
            id => {
                assert!(id > 0, "fork: {}", std::io::Error::last_os_error());
                Self { id, reaped: false }
            }
        }
    }

    /// SIGKILL, and the end of it.
    pub fn kill(mut self) -> i32 {
        self.send_kill();
        self.reap()
    }

    /// Waits for the end: the exit status, or the negative number of the signal.
    pub fn wait(mut self) -> i32 {
        self.reap()
    }

    fn send_kill(&self) {
        // SAFETY: the child is ours and was not waited for, so nobody else has its id.
        assert_eq!(unsafe { libc::kill(self.id, libc::SIGKILL) }, 0);
    }

    fn reap(&mut self) -> i32 {
        let mut status = 0;
        // SAFETY: the child is ours, and `status` a place for the answer.
        assert_eq!(unsafe { libc::waitpid(self.id, &raw mut status, 0) }, self.id);
        self.reaped = true;
        if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -libc::WTERMSIG(status) }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            self.send_kill();
            self.reap();
        }
    }
}

/// SIGPIPE ends this process, as it does every C program that has not said otherwise.
pub fn sigpipe_kills() {
    // SAFETY: no handler is named.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// SIGKILL to a group of processes, by the id of the child of this process that leads it and was not waited for.
pub fn kill_group(leader: u32) {
    let group = libc::pid_t::try_from(leader).expect("a process id");
    assert!(group > 1, "not everybody");
    // SAFETY: the group's leader is a child of ours, so nobody else has its id.
    assert_eq!(unsafe { libc::kill(-group, libc::SIGKILL) }, 0);
}

/// Loads a library of the tests' own.
pub fn load(path: &std::path::Path) -> Library {
    // SAFETY: it has no constructors.
    unsafe { Library::open(Some(path), libc::RTLD_NOW | libc::RTLD_LOCAL) }
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A function of a library of the tests' own, which has the type `T`.
pub fn symbol<T>(library: &Library, name: &str) -> Symbol<T> {
    // SAFETY: the test that asks knows the type.
    unsafe { library.get(name.as_bytes()) }.expect("is exported")
}

/// Sets an environment variable, for a child that has one thread only.
pub fn set_variable(name: &str, value: &std::ffi::OsStr) {
    // SAFETY: the one thread of the child reads no variable at the same time.
    unsafe { std::env::set_var(name, value) };
}

/// Runs `body` in a child and waits for it.
pub fn in_child(body: impl FnOnce() -> i32) -> i32 {
    Child::spawn(body).wait()
}
