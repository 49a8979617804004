//! Stores and configurations that something is wrong with: every command and the doctor name the cause and a remedy.
//! Only Trellis's module tells; with another there is nothing to test here.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::bench::{Bench, Kind, Run, WITH_PIN, WITH_SO_PIN};

/// nobody, where a test must not be root.
const OTHER: u32 = 65534;

/// A bench with the tokens `bad`, in slot 0, and `good`, in slot 1.
fn two_tokens() -> Option<Bench> {
    let bench = Bench::empty();
    if bench.kind != Kind::Trellis {
        return None;
    }
    bench.init("bad");
    bench.init("good");
    Some(bench)
}

fn mode(bench: &Bench, name: &str, mode: u32) {
    fs::set_permissions(bench.path(name), fs::Permissions::from_mode(mode)).unwrap();
}

/// The doctor's problems as "detail -> remedy".
fn problems(run: &Run) -> Vec<String> {
    let doctor = run.json();
    let checks = doctor["checks"].as_array().unwrap();
    let problem = |check: &&Value| check["status"] == "problem";
    let text = |check: &Value| {
        format!("{} -> {}", check["detail"].as_str().unwrap(), check["remedy"].as_str().unwrap())
    };
    checks.iter().filter(problem).map(text).collect()
}

/// The doctor finds one thing, which has all these words, and ends with 1.
#[track_caller]
fn doctor_says(bench: &Bench, words: &[&str]) {
    let found = problems(&bench.run(&["doctor", "--json"]).expect(1));
    assert_eq!(found.len(), 1, "{found:?}");
    for word in words {
        assert!(found[0].contains(word), "{found:?} does not say {word}");
    }
}

#[test]
fn a_store_that_cannot_be_used_is_named_with_its_remedy_and_stops_nobody_else() {
    let Some(bench) = two_tokens() else { return };
    let database = "tokens/a/token.db";
    let whole = bench.read(database);
    type Harm = fn(&Bench, &[u8]);
    let open_folder: Harm = |bench, _| mode(bench, "tokens/a", 0o755);
    let open_file: Harm = |bench, _| mode(bench, "tokens/a/token.db", 0o644);
    let garbage: Harm = |bench, _| drop(bench.write("tokens/a/token.db", [b'x'; 5000]));
    let empty: Harm = |bench, _| drop(bench.write("tokens/a/token.db", b""));
    let cut: Harm = |bench, whole| drop(bench.write("tokens/a/token.db", &whole[..8192]));
    for (harm, cause, remedy) in [
        (open_folder, "tokens/a may be used by others (mode 755)", "chmod 700"),
        (open_file, "token.db may be used by others (mode 644)", "chmod 600"),
        (garbage, "token.db: file is not a database", "trellis token restore FILE --slot 0 --replace"),
        (empty, "token.db is not a Trellis token", "trellis token restore FILE --slot 0 --replace"),
        (cut, "token.db: database disk image is malformed", "trellis token restore FILE --slot 0 --replace"),
    ] {
        harm(&bench, &whole);
        doctor_says(&bench, &["slot 0", cause, remedy]);
        let sign = ["key", "list", "--token", "bad"];
        bench.user_fails(&sign, 5).says(cause).says(remedy).says("`good`");
        bench.user(&["key", "list", "--token", "good"]);
        // Nobody has said which of the two is meant.
        bench.user_fails(&["key", "list"], 6).says(cause).says("--token");
        let list = bench.ok(&["token", "list"]).text();
        assert!(list.contains("good") && list.contains(cause) && list.contains(remedy), "{list}");
        let list = bench.ok_json(&["token", "list"]);
        assert_eq!(
            (&list["tokens"][0]["label"], &list["unusable"][0]["slot_id"]),
            (&"good".into(), &0.into())
        );
        assert!(list["unusable"][0]["error"]["message"].as_str().unwrap().contains(cause), "{list}");
        bench.write(database, &whole);
        mode(&bench, database, 0o600);
        mode(&bench, "tokens/a", 0o700);
    }
    bench.user(&["key", "list", "--token", "bad"]);
    bench.ok(&["doctor"]);
}

#[test]
fn a_damaged_token_comes_back_from_its_backup() {
    let Some(bench) = two_tokens() else { return };
    bench.user(&["key", "generate", "-a", "ed25519", "-l", "k", "--token", "bad"]);
    let passphrase = ["--passphrase-source", "env:TEST_NEW_PIN"];
    let backup = bench.arg("backup");
    bench.ok(&[&["token", "backup", "--token", "bad", "--out", &backup][..], &passphrase].concat());
    bench.write("tokens/a/token.db", "garbage");
    let restore = |more: &[&str]| {
        bench.run(&[&["token", "restore", &backup, "--slot", "0"][..], more, &passphrase].concat())
    };
    restore(&[]).expect(6).says("cannot be used").says("--replace");
    restore(&["--replace"]).expect(6).says("--yes");
    restore(&["--replace", "--yes"]).expect(0);
    bench.user(&["key", "show", "k", "--token", "bad"]);
}

#[test]
fn a_backup_file_that_is_wrong_is_told_from_a_wrong_passphrase() {
    let Some(bench) = two_tokens() else { return };
    let passphrase = ["--passphrase-source", "env:TEST_NEW_PIN"];
    let back_up = |out: &str| {
        bench.run(&[&["token", "backup", "--token", "good", "--out", out][..], &passphrase].concat())
    };
    back_up("/nonexistent/x").expect(8).says("/nonexistent/x: there is no such file or folder");
    let file = bench.arg("backup");
    let short = ["token", "backup", "-t", "good", "--out", &file, "--passphrase-source", "env:TEST_SHORT"];
    let mut command = bench.command(&short);
    let output = command.env("TEST_SHORT", "abc").output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(3) && error.contains("the passphrase has 3 bytes"), "{error}");
    back_up(&file).expect(0);
    let restore =
        |file: &str, source: &str| bench.run(&["token", "restore", file, "--passphrase-source", source]);
    let wrong = restore(&file, "env:TEST_WRONG_PIN").expect(3).says("the passphrase is wrong");
    assert!(!wrong.stderr.contains("the PIN"), "{}", wrong.stderr);
    let whole = bench.read("backup");
    let mut altered = whole.clone();
    altered[100] ^= 1;
    for (name, bytes) in [
        ("cut", &whole[..whole.len() - 1]),
        ("head", &whole[..50]),
        ("first", &whole[..70]),
        ("altered", &altered),
    ] {
        let file = bench.write(name, bytes);
        restore(&file, "env:TEST_NEW_PIN").expect(8).says(&file).says("cut short");
    }
    let other = bench.write("other", [b'x'; 5000]);
    restore(&other, "env:TEST_NEW_PIN").expect(8).says("is no backup of a Trellis token");
    restore("/nonexistent/x", "env:TEST_NEW_PIN").expect(8).says("there is no such file");
    restore(&file, "env:TEST_NEW_PIN").expect(0);
}

#[test]
fn locked_pins_have_remedies_that_work() {
    let Some(bench) = two_tokens() else { return };
    let passphrase = ["--passphrase-source", "env:TEST_NEW_PIN"];
    let backup = bench.arg("backup");
    bench.ok(&[&["token", "backup", "--token", "bad", "--out", &backup][..], &passphrase].concat());
    let with_wrong = |arguments: &[&str], option: &str| {
        (0..10)
            .map(|_| {
                bench.run(&[arguments, &["--token", "bad", option, "env:TEST_WRONG_PIN"]].concat()).expect(3)
            })
            .reduce(|_, last| last)
            .unwrap()
    };
    with_wrong(&["key", "list"], "--pin-source").says("trellis token reset-pin");
    doctor_says(&bench, &["slot 0: the user PIN is locked", "trellis token reset-pin"]);
    let reset = ["token", "reset-pin", "--token", "bad", "--new-pin-source", "env:TEST_PIN"];
    bench.ok(&[&reset[..], &WITH_SO_PIN].concat());

    // A new bench's token `bad` is locked for the officer; the try that locks says what can be done.
    let locks = with_wrong(&["token", "reset-pin", "--new-pin-source", "env:TEST_PIN"], "--so-pin-source");
    assert!(!locks.stderr.contains("reset-pin"), "{}", locks.stderr);
    let locks = locks.says("nobody can reset").says("token restore").says("token init");
    assert!(locks.stderr.contains("(CKR_PIN_INCORRECT from C_Login)"), "{}", locks.stderr);
    let folder = bench.arg("tokens/a");
    doctor_says(
        &bench,
        &["slot 0: the SO PIN is locked", &folder, "token restore FILE --slot 0", "token init"],
    );
    let erase = ["token", "init", "--label", "new", "--slot", "0", "--erase", "--yes"];
    bench.run(&[&erase[..], &WITH_PIN, &WITH_SO_PIN].concat()).expect(3).says("move the store's folder away");
    bench.user(&["key", "list", "--token", "bad"]);

    fs::rename(bench.path("tokens/a"), bench.path("aside")).unwrap();
    bench.ok(&[&["token", "restore", &backup, "--slot", "0"][..], &passphrase].concat());
    bench.ok(&[&reset[..], &WITH_SO_PIN].concat());
    bench.ok(&["doctor"]);
}

#[test]
fn a_mistake_in_the_configuration_is_named_with_its_place() {
    let Some(bench) = two_tokens() else { return };
    let text = String::from_utf8(bench.read("trellis.toml")).unwrap();
    bench.write("trellis.toml", format!("{text}colour = 'red'\n"));
    let place = format!("{}:7:1: unknown field `colour`", bench.arg("trellis.toml"));
    for arguments in [&["token", "list"][..], &["key", "list"], &["random"]] {
        bench.run(arguments).expect(5).says(&place).says("correct the file");
    }
    let doctor = bench.run(&["doctor", "--json"]).expect(1).json();
    let checks = doctor["checks"].as_array().unwrap();
    let configuration = checks.iter().find(|check| check["name"] == "configuration").unwrap();
    assert_eq!(configuration["status"], "problem");
    assert!(configuration["detail"].as_str().unwrap().contains(&place), "{configuration}");
    bench.write("trellis.toml", text);
    bench.ok(&["doctor"]);
}

#[test]
fn the_log_goes_where_the_environment_says() {
    let Some(bench) = two_tokens() else { return };
    let text = String::from_utf8(bench.read("trellis.toml")).unwrap();
    let logged = |setting: &str, variable: &str, arguments: &[&str]| {
        bench.write("trellis.toml", format!("log = '{setting}'\n{text}"));
        let mut command = bench.command(arguments);
        let output = command.env("TRELLIS_LOG", variable).stdin(Stdio::null()).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let to_file = format!("info,file={}", bench.arg("log"));
    let (_, error) = logged(&to_file, "info", &["token", "list"]);
    assert!(error.contains("info: initialised"), "{error}");
    assert!(!bench.path("log").exists());
    let (_, error) = logged(&to_file, "", &["token", "list"]);
    assert_eq!(error, "");
    assert!(String::from_utf8(bench.read("log")).unwrap().contains("info: initialised"));
    // A file that cannot be opened is told once, and the doctor finds it.
    for (setting, variable) in [("debug,file=/nonexistent/log", ""), ("off", "debug,file=/nonexistent/log")] {
        let (_, error) = logged(setting, variable, &["token", "list"]);
        assert_eq!(error.matches("the log file /nonexistent/log cannot be opened").count(), 1, "{error}");
        let (doctor, _) = logged(setting, variable, &["doctor"]);
        assert!(doctor.contains("PROBLEM  module report"), "{doctor}");
        assert!(doctor.contains("the log file /nonexistent/log cannot be opened"), "{doctor}");
    }
    let (_, error) = logged("off,file=/nonexistent/log", "", &["token", "list"]);
    assert_eq!(error, "");
}

/// The command as somebody who is not root, and to whom everything in the bench belongs.
struct Ordinary<'a> {
    bench: &'a Bench,
    program: Option<[String; 2]>,
}

impl<'a> Ordinary<'a> {
    fn new(bench: &'a Bench) -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self { bench, program: None };
        }
        // The build directory may be closed to others.
        let program = ["trellis", "module.so"].map(|name| bench.arg(name));
        Bench::copy_program(env!("CARGO_BIN_EXE_trellis"), &program[0]);
        Bench::copy_program(&bench.module, &program[1]);
        Self { bench, program: Some(program) }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let Some([program, module]) = &self.program else { return self.bench.run(arguments) };
        give_away(&self.bench.path(""));
        let mut command = Command::new("setpriv");
        let id = OTHER.to_string();
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "setsid", "--wait", program]);
        self.bench.environment(&mut command);
        let output = command.args(arguments).env("TRELLIS_MODULE", module).stdin(Stdio::null()).output();
        Run::new(output.unwrap(), arguments)
    }
}

fn give_away(path: &std::path::Path) {
    chown(path, Some(OTHER), Some(OTHER)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give_away(&entry.unwrap().path()));
    }
}

#[test]
fn a_store_of_somebody_else_or_of_nobody_yet() {
    let Some(bench) = two_tokens() else { return };
    let user = Ordinary::new(&bench);
    bench.write("trellis.toml", "[[slot]]\npath = '/usr'\n");
    let (cause, remedy) = ("/usr belongs to user 0", "run as its owner");
    let found = problems(&user.run(&["doctor", "--json"]).expect(1));
    assert!(found.len() == 1 && found[0].contains(cause) && found[0].contains(remedy), "{found:?}");
    user.run(&["token", "show"]).expect(5).says(cause).says(remedy);

    // A place where this user cannot make a folder.
    bench.write("trellis.toml", "[[slot]]\npath = '/usr/no/such/store'\n");
    let found = problems(&user.run(&["doctor", "--json"]).expect(1));
    let (cause, remedy) = ("cannot create /usr/no/such/store: permission denied", "accessible to this user");
    assert!(found.len() == 1 && found[0].contains(cause) && found[0].contains(remedy), "{found:?}");
    let init = [&["token", "init", "--label", "x"][..], &WITH_PIN, &WITH_SO_PIN].concat();
    user.run(&init).expect(5).says(cause).says(remedy);
}

#[test]
fn a_store_that_cannot_be_written() {
    let Some(bench) = two_tokens() else { return };
    let user = Ordinary::new(&bench);
    user.run(&["token", "show", "--token", "bad"]).expect(0);
    for name in ["token.db-wal", "token.db-shm"] {
        let _ = fs::remove_file(bench.path(&format!("tokens/a/{name}")));
    }
    for name in ["token.db", "token.seq"] {
        mode(&bench, &format!("tokens/a/{name}"), 0o400);
    }
    mode(&bench, "tokens/a", 0o500);
    let found = problems(&user.run(&["doctor", "--json"]).expect(1));
    let (cause, remedy) = ("tokens/a cannot be written", "let this user write the folder");
    assert!(found.len() == 1 && found[0].contains(cause) && found[0].contains(remedy), "{found:?}");
    let list = [&["key", "list", "--token", "bad"][..], &WITH_PIN].concat();
    user.run(&list).expect(5).says(cause).says(remedy);
    mode(&bench, "tokens/a", 0o700);
}

#[test]
fn a_full_disk_is_named() {
    let Some(bench) = two_tokens() else { return };
    // A limit on the size of files is the full disk that needs no disk.
    let limited = |arguments: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec prlimit --fsize=65536 setsid --wait \"$0\" \"$@\""]);
        command.arg(env!("CARGO_BIN_EXE_trellis"));
        bench.environment(&mut command);
        Run::new(command.args(arguments).stdin(Stdio::null()).output().unwrap(), arguments)
    };
    let found = problems(&limited(&["doctor", "--json"]).expect(1));
    let cause = format!("no room is left on the disk of {}", bench.arg("tokens/a"));
    assert!(found[0].contains(&cause) && found[0].contains("free some space"), "{found:?}");
    let list = [&["key", "list", "--token", "bad"][..], &WITH_PIN].concat();
    let full =
        (0..40).map(|_| limited(&list)).find(|run| run.code != 0).expect("the log grows with each login");
    full.expect(5).says(&cause).says("a login counts as a change");
    // The tries that came to nothing are used up, but nobody entered a wrong PIN.
    let shown = bench.ok(&["token", "show", "--token", "bad"]).text();
    assert!(!shown.contains("wrong"), "{shown}");
    bench.user(&["key", "list", "--token", "bad"]);
}
