//! A software TPM of a test's own: its state in a folder, its port on loopback. It ends with the test, also where that is
//! killed.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A running swtpm.
#[derive(Debug)]
pub(crate) struct Swtpm {
    state: PathBuf,
    port: u16,
    running: Option<Child>,
}

impl Swtpm {
    /// Starts one whose state is in `folder`, new or as it was.
    pub(crate) fn start(folder: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut made = Self { state: folder.to_owned(), port, running: None };
        std::fs::create_dir_all(folder).unwrap();
        made.go_on();
        made
    }

    /// Starts it again, at the same port: power is back.
    pub(crate) fn go_on(&mut self) {
        let control = self.state.join("control");
        let _ = std::fs::remove_file(&control);
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let mut child = Command::new("setpriv")
                .args([
                    "--pdeathsig",
                    "KILL",
                    "swtpm",
                    "socket",
                    "--tpm2",
                    "--flags",
                    "not-need-init,startup-clear",
                    "--server",
                ])
                .arg(format!("type=tcp,port={},bindaddr=127.0.0.1", self.port))
                .args(["--ctrl", &format!("type=unixio,path={}", control.display())])
                .args(["--tpmstate", &format!("dir={}", self.state.display())])
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("setpriv of util-linux");
            while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
                if UnixStream::connect(&control).is_ok() {
                    self.running = Some(child);
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = (child.kill(), child.wait());
            assert!(Instant::now() < deadline, "swtpm does not start: is the Debian package installed?");
        }
    }

    /// Ends it at once, as a power failure does.
    pub(crate) fn end(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = (child.kill(), child.wait());
        }
    }

    pub(crate) fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// Where it listens on loopback.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A connection of the caller's own; others wait until it ends.
    pub(crate) fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).unwrap()
    }

    /// One command as its bytes, and the response without its head.
    pub(crate) fn command(&self, code: u32, has_sessions: bool, rest: &[u8]) -> Vec<u8> {
        let (refusal, body) = exchange(&mut self.connect(), code, has_sessions, rest);
        assert_eq!(refusal, 0, "the TPM's answer to {code:#x}");
        body
    }

    /// A command for `handles` with one password session.
    pub(crate) fn with_password(&self, code: u32, handles: &[u32], password: &[u8], rest: &[u8]) -> Vec<u8> {
        self.command(code, true, &password_session(handles, password, rest))
    }

    /// TPM2_PCR_Extend of the SHA-256 bank.
    pub(crate) fn extend(&self, pcr: u32) {
        let digests = [&1_u32.to_be_bytes()[..], &[0, 0x0B], &[7; 32]].concat();
        self.with_password(0x182, &[pcr], &[], &digests);
    }

    /// TPM2_GetCapability of all handles of one kind, by its first.
    pub(crate) fn handles(&self, first: u32) -> Vec<u32> {
        let words = [1_u32, first, 254];
        let answer = self.command(0x17A, false, &words.map(u32::to_be_bytes).concat());
        // moreData, the capability, the count.
        let (handles, []) = answer[9..].as_chunks::<4>() else { panic!("{answer:?}") };
        handles.iter().map(|handle| u32::from_be_bytes(*handle)).collect()
    }

    /// What is in its memory: sessions and objects.
    pub(crate) fn in_memory(&self) -> Vec<u32> {
        [0x0200_0000, 0x0300_0000, 0x8000_0000].into_iter().flat_map(|first| self.handles(first)).collect()
    }
}

/// One command over an open connection: its response code, and the response without its head.
pub(crate) fn exchange(stream: &mut TcpStream, code: u32, has_sessions: bool, rest: &[u8]) -> (u32, Vec<u8>) {
    let tag: u16 = if has_sessions { 0x8002 } else { 0x8001 };
    let len = u32::try_from(10 + rest.len()).unwrap();
    stream
        .write_all(&[&tag.to_be_bytes()[..], &len.to_be_bytes(), &code.to_be_bytes(), rest].concat())
        .unwrap();
    let response = message(stream).unwrap();
    (u32::from_be_bytes(response[6..10].try_into().unwrap()), response[10..].to_vec())
}

/// A whole command or response.
pub(crate) fn message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; 10];
    stream.read_exact(&mut message)?;
    let len = u32::from_be_bytes(message[2..6].try_into().unwrap());
    message.resize(usize::try_from(len).unwrap(), 0);
    stream.read_exact(&mut message[10..])?;
    Ok(message)
}

/// What stands behind a command's head: handles, one password session, and the rest.
pub(crate) fn password_session(handles: &[u32], password: &[u8], rest: &[u8]) -> Vec<u8> {
    let len = u32::try_from(9 + password.len()).unwrap();
    let session =
        [&len.to_be_bytes()[..], &0x4000_0009_u32.to_be_bytes(), &[0; 3], &sized(password)].concat();
    let handles: Vec<_> = handles.iter().flat_map(|handle| handle.to_be_bytes()).collect();
    [&handles[..], &session, rest].concat()
}

/// A TPM2B.
pub(crate) fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.end();
    }
}
