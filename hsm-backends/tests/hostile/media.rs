//! Full and read-only media. The tests are children of this program: some in a mount namespace of their own, some as
//! another user, some with a limit that would hit the whole test run.

use std::{
    fs,
    io::Write as _,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use hsm_backends::{Attributes, Change, KeyStore, Objects, Pin, Record, Role, StoreError};

use super::{USER, create, every_call, mode, snapshot, store, token, user};

const JOB: &str = "TRELLIS_HOSTILE_JOB";
const DIRECTORY: &str = "TRELLIS_HOSTILE_DIRECTORY";
/// `nobody`, who owns nothing else here.
const OTHER: u32 = 65534;

/// Where a child process begins; in the test run itself there is nothing to do.
#[test]
fn child() {
    let Ok(job) = std::env::var(JOB) else { return };
    let base = PathBuf::from(std::env::var(DIRECTORY).unwrap());
    let directory = base.join("token");
    match job.as_str() {
        "fill" => fill(&base),
        "read only" => read_only(&directory),
        "strange" => strange(&directory),
        "closed" => closed(&directory),
        "foreign" => foreign(),
        other => panic!("an unknown job: {other}"),
    }
    println!("{job}: finished");
}

/// Runs a job as a child of a shell that has prepared its surroundings. The shell gets the directory as `$1`.
fn run(job: &str, base: &Path, program: &Path, prepare: &str, other_user: bool) {
    let script = format!("{prepare}\nexec \"$2\" --exact media::child --nocapture --test-threads=1");
    let mut shell = Command::new("sh");
    shell.args(["-ec", &script, "sh"]).arg(base).arg(program).env(JOB, job).env(DIRECTORY, base);
    if other_user && is_root() {
        shell.uid(OTHER).gid(OTHER);
    }
    let output = shell.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains(&format!("{job}: finished")),
        "{job}: {}\n{said}{complaints}",
        output.status
    );
}

fn this_program() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn is_root() -> bool {
    // The owner of what this process makes.
    let made = tempfile::tempdir().unwrap();
    std::os::unix::fs::MetadataExt::uid(&fs::metadata(made.path()).unwrap()) == 0
}

/// Whether this system lets its users have a mount namespace. Where not, the tests that need one say so: the limit on
/// file sizes and the modes are tested everywhere.
fn can_mount(test: &str) -> bool {
    let mount = ["-rm", "mount", "-t", "tmpfs", "tmpfs", "/tmp"];
    let can = Command::new("unshare").args(mount).output().is_ok_and(|out| out.status.success());
    // The test program hides what a passing test prints, so `make test` has a file for what could not run.
    if !can && let Some(path) = std::env::var_os("TRELLIS_TESTS_NOT_RUN") {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        writeln!(file, "{test}: this system has no mount namespaces for its users").unwrap();
    }
    can
}

fn contents(objects: &dyn Objects) -> Vec<Record> {
    let ids = objects.find(&Attributes::new()).unwrap();
    ids.into_iter().map(|id| (*objects.read(id).unwrap()).clone()).collect()
}

/// Fills the medium that `base` is on, or this process's limit, and then some.
fn fill(base: &Path) {
    let directory = token(base);
    let filler = base.join("filler");
    let limited = base.join("limited").exists();
    if !limited {
        fs::write(&filler, vec![0; 200 << 10]).unwrap();
    }
    let store = store(&directory);
    let vault = user(&store);
    let mut kept = contents(&*vault);
    // Large steps up to the brim, then small ones.
    for (len, refusals) in [(20_000, 1), (1_000, 1), (1, 30)] {
        let mut refused = 0;
        while refused < refusals {
            match vault.commit(vec![create(true, len), create(false, len)]) {
                Ok(()) => {
                    let now = contents(&*vault);
                    assert_eq!(now.len(), kept.len() + 2);
                    kept = now;
                    assert!(kept.len() < 10_000, "this medium is never full");
                }
                Err(error) => {
                    assert_eq!(error, StoreError::Full);
                    assert!(contents(&*vault) == kept, "a commit that failed is visible");
                    refused += 1;
                }
            }
        }
    }
    let scratch = tempfile::tempdir_in(base);
    if let Ok(scratch) = &scratch {
        for (name, outcome) in every_call(&directory, scratch.path()) {
            match outcome {
                // Some are small enough for the last few bytes.
                Ok(()) => assert!(name != "init_token" && (name != "backup" || limited), "{name} found room"),
                Err(StoreError::Full | StoreError::PinIncorrect) => {}
                Err(StoreError::NotFound) => assert_eq!(name, "read"),
                Err(error) => panic!("{name}: {error:?}"),
            }
        }
        // A limit holds for each file; a compact copy may be below it.
        let backups = fs::read_dir(scratch.path()).unwrap().count();
        assert_eq!(backups, usize::from(limited), "a backup was begun");
    }
    assert!(contents(&*vault) == kept);
    let left = fs::read_dir(&directory).unwrap();
    assert!(!left.into_iter().any(|entry| entry.unwrap().file_name().to_string_lossy().contains("new-")));
    if filler.exists() {
        fs::remove_file(&filler).unwrap();
        drop((vault, store));
        let store = super::store(&directory);
        let vault = match store.unlock(Role::User, &Pin::presented(USER)) {
            Ok(vault) => vault,
            Err(error) => panic!("with room again: {error}"),
        };
        assert!(contents(&*vault) == kept);
        vault.commit(vec![Change::Destroy { id: kept[3].id }, create(true, 100)]).unwrap();
        assert_eq!(contents(&*vault).len(), kept.len());
    }
}

#[test]
fn a_full_disk() {
    if can_mount("a_full_disk") {
        let base = tempfile::tempdir().unwrap();
        // The mount goes with the namespace, and that with the child.
        let mount = "mount -t tmpfs -o size=1500k,mode=700 tmpfs \"$1\"";
        let script = format!(
            "exec unshare -rm sh -ec '{mount}; exec \"$2\" --exact media::child --nocapture --test-threads=1' sh \"$1\" \"$2\""
        );
        run("fill", base.path(), &this_program(), &script, false);
    }
}

#[test]
fn a_limit_on_the_size_of_files() {
    let base = tempfile::tempdir().unwrap();
    fs::write(base.path().join("limited"), []).unwrap();
    // Blocks of 512 bytes. Without the trap the signal would end the process.
    run("fill", base.path(), &this_program(), "trap '' XFSZ\nulimit -f 1200", false);
}

/// Everything that needs no writing works; everything else is refused as such.
fn read_only(directory: &Path) {
    let store = store(directory);
    let before = snapshot(directory);
    let described = store.description().unwrap();
    assert!(described.initialized && described.write_protected);
    let found = contents(store.public());
    assert_eq!(found.len(), 100);
    let scratch = tempfile::tempdir().unwrap();
    for (name, outcome) in every_call(directory, scratch.path()) {
        match name {
            "description" | "find" => outcome.unwrap(),
            "read" => assert_eq!(outcome, Err(StoreError::NotFound)),
            "backup" => assert!(
                matches!(outcome, Err(StoreError::ReadOnly | StoreError::Permissions(_))),
                "{name}: {outcome:?}"
            ),
            // A login has to count its try before it is judged.
            _ => assert_eq!(outcome, Err(StoreError::ReadOnly), "{name}"),
        }
    }
    assert!(snapshot(directory) == before);
}

/// A log that was not empty, on a medium that cannot be written: it is read where its index can be, or refused.
fn strange(directory: &Path) {
    let before = snapshot(directory);
    let store = store(directory);
    match store.public().find(&Attributes::new()) {
        Ok(found) => assert_eq!(found.len(), 101),
        Err(error) => {
            assert!(matches!(&error, StoreError::Device(what) if what.contains("log")), "{error:?}");
        }
    }
    assert!(store.public().commit(vec![create(false, 1)]).is_err());
    assert!(snapshot(directory) == before);
}

#[test]
fn a_read_only_medium() {
    if can_mount("a_read_only_medium") {
        let mount = "mount --bind \"$1\" \"$1\"; mount -o remount,ro,bind \"$1\"";
        let script = format!(
            "exec unshare -rm sh -ec '{mount}; exec \"$2\" --exact media::child --nocapture --test-threads=1' sh \"$1\" \"$2\""
        );
        let base = tempfile::tempdir().unwrap();
        let directory = token(base.path());
        run("read only", base.path(), &this_program(), &script, false);
        // With a log, with and without its index.
        store(&directory).public().commit(vec![create(false, 10)]).unwrap();
        run("strange", base.path(), &this_program(), &script, false);
        fs::remove_file(directory.join("token.db-shm")).unwrap();
        run("strange", base.path(), &this_program(), &script, false);
        assert_eq!(contents(store(&directory).public()).len(), 101);
    }
}

/// A token that the other user owns, where this process is root, and a program that they can run.
fn theirs(base: &Path) -> (PathBuf, PathBuf) {
    let directory = token(base);
    let program = base.join("program");
    fs::copy(this_program(), &program).unwrap();
    mode(&program, 0o755);
    if is_root() {
        chown(base, Some(OTHER), Some(OTHER)).unwrap();
        give_away(&directory);
    }
    (directory, program)
}

fn give_away(directory: &Path) {
    chown(directory, Some(OTHER), Some(OTHER)).unwrap();
    for entry in fs::read_dir(directory).unwrap() {
        chown(entry.unwrap().path(), Some(OTHER), Some(OTHER)).unwrap();
    }
}

#[test]
fn files_without_write_permission() {
    let base = tempfile::tempdir().unwrap();
    let (directory, program) = theirs(base.path());
    for name in ["token.db", "token.seq"] {
        mode(&directory.join(name), 0o400);
    }
    for name in ["token.db-wal", "token.db-shm"] {
        let _ = fs::remove_file(directory.join(name));
    }
    mode(&directory, 0o500);
    run("read only", base.path(), &program, "", true);
    mode(&directory, 0o700);
}

/// A directory that its owner has closed to themselves.
fn closed(directory: &Path) {
    let scratch = tempfile::tempdir().unwrap();
    for (name, outcome) in every_call(directory, scratch.path()) {
        let error = outcome.expect_err(name);
        assert!(
            matches!(&error, StoreError::Permissions(what) if what.contains("token")),
            "{name}: {error:?}"
        );
    }
}

#[test]
fn a_directory_without_any_permission() {
    let base = tempfile::tempdir().unwrap();
    let (directory, program) = theirs(base.path());
    mode(&directory, 0);
    run("closed", base.path(), &program, "", true);
    mode(&directory, 0o700);
    user(&store(&directory));
}

/// A directory of root's, which everybody may read.
fn foreign() {
    let scratch = tempfile::tempdir().unwrap();
    for (name, outcome) in every_call(Path::new("/usr"), scratch.path()) {
        let error = outcome.expect_err(name);
        assert!(
            matches!(&error, StoreError::Permissions(what) if what.contains("belongs to user 0")),
            "{name}: {error:?}"
        );
    }
}

#[test]
fn a_directory_of_somebody_else() {
    let base = tempfile::tempdir().unwrap();
    let (directory, program) = theirs(base.path());
    run("foreign", base.path(), &program, "", true);
    if is_root() {
        // Root may use anybody's, and what it writes stays theirs.
        let store = store(&directory);
        user(&store).commit(vec![create(true, 10)]).unwrap();
        for entry in fs::read_dir(&directory).unwrap() {
            let found = entry.unwrap().metadata().unwrap();
            assert_eq!(std::os::unix::fs::MetadataExt::uid(&found), OTHER);
        }
    }
}
