//! How many instructions C_SignInit and C_Sign take besides the algorithm: callgrind counts all of a signature's, and those
//! of the algorithm among them. Unlike time they do not depend on the machine or on what else it does.
#![expect(
    unsafe_code,
    reason = "cryptoki asks for the signature's length first, which would be one call too many"
)]

use std::{collections::HashMap, io::ErrorKind, path::Path, process::Command};

use cryptoki_sys as ck;

use crate::{
    algorithm::Algorithm,
    contender::{Contender, Kind},
    measure::Result,
    rows::MESSAGE,
};

/// The option by which this program signs and nothing else, for callgrind.
pub(crate) const OPTION: &str = "--signatures-of";

/// Signatures that are counted: how often ML-DSA rejects does not matter, for that is in the algorithm.
const SIGNATURES: u64 = 40;
/// Signatures before them: the key is opened at the first.
const WARM: u64 = 3;
/// The call that is counted, by its name in this program.
const COUNTED: &str = "trellis_bench::instructions::one_signature";
/// The algorithm, by its names in the module: a message goes in, a signature comes out.
const ALGORITHM: [&str; 2] =
    ["algorithms::ml_dsa::PrivateKey::sign_into", "algorithms::ed25519::PrivateKey::sign_into"];
/// callgrind counts each step of an instruction that copies or clears a string, which is one instruction; so the C library is
/// told to do without them.
const NO_STRING_INSTRUCTIONS: &str =
    "glibc.cpu.x86_rep_movsb_threshold=1000000000:glibc.cpu.x86_rep_stosb_threshold=1000000000";

/// Instructions of one signature besides the algorithm; `None` without valgrind. The token is that of the environment.
pub(crate) fn besides_the_algorithm(module: &Path, algorithm: Algorithm) -> Result<Option<f64>> {
    let folder = tempfile::tempdir()?;
    let counts = folder.path().join("callgrind.out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--compress-pos=no"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(std::env::current_exe()?)
        .args([OPTION, algorithm.name(), "--trellis"])
        .arg(module)
        .env("GLIBC_TUNABLES", NO_STRING_INSTRUCTIONS)
        .output();
    let output = match output {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("valgrind is not installed: instructions are not counted");
            return Ok(None);
        }
        output => output?,
    };
    if !output.status.success() {
        return Err(format!("valgrind: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let Counts { all, algorithm } = Counts::parse(&std::fs::read_to_string(counts)?)?;
    if all == 0 || algorithm == 0 || algorithm >= all {
        return Err(format!("callgrind has not found {COUNTED} or {ALGORITHM:?}").into());
    }
    Ok(Some((all - algorithm) as f64 / SIGNATURES as f64))
}

/// What callgrind has written.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    all: u64,
    algorithm: u64,
}

impl Counts {
    /// The format that valgrind's manual describes: `cfn=` names who is called, by a number from the second time on, and the
    /// line after `calls=` ends with what the call cost with all that it called.
    fn parse(text: &str) -> Result<Self> {
        let mut counts = Self { all: 0, algorithm: 0 };
        let mut names = HashMap::new();
        let (mut is_algorithm, mut is_call) = (false, false);
        for line in text.lines() {
            let last = || line.rsplit(' ').next().unwrap_or_default().parse::<u64>();
            if let Some(total) = line.strip_prefix("totals: ") {
                counts.all = total.parse()?;
            } else if let Some((key, name)) = line.split_once("fn=(") {
                let (number, name) = name.split_once(')').ok_or("a name without a number")?;
                let known: &mut &str = names.entry(number).or_default();
                if let Some(name) = name.strip_prefix(' ') {
                    *known = name;
                }
                if key == "c" {
                    is_algorithm = ALGORITHM.contains(known);
                }
            } else if line.starts_with("calls=") {
                is_call = true;
            } else if is_call {
                is_call = false;
                if is_algorithm {
                    counts.algorithm += last()?;
                }
            }
        }
        Ok(counts)
    }
}

/// The other side: signs with a token key, the last so many times under callgrind's eyes.
pub(crate) fn sign(module: &Path, algorithm: &str) -> Result<()> {
    let known = [Algorithm::Ed25519, Algorithm::MlDsa65].into_iter().find(|known| known.name() == algorithm);
    let algorithm = known.ok_or("no such algorithm is counted")?;
    let contender = Contender::load(Kind::Trellis, module, 0)?;
    let (_, key) = algorithm.key_pair(&contender.session, true, "counted")?;
    // SAFETY: loading it a second time gives the library that is loaded and initialised.
    let library = unsafe { ck::Pkcs11::new(module) }?;
    let (session, key) = (contender.session.handle(), key.handle());
    let mut signer = Signer { library, session, algorithm, key, signature: vec![0; 8192] };
    for _ in 0..WARM {
        signer.sign()?;
    }
    for _ in 0..SIGNATURES {
        one_signature(&mut signer)?;
    }
    contender.finalize()
}

/// One signature that counts: callgrind knows it by this function's name.
#[inline(never)]
fn one_signature(signer: &mut Signer) -> Result<()> {
    signer.sign()
}

/// A key, and room for its signature.
struct Signer {
    library: ck::Pkcs11,
    session: ck::CK_SESSION_HANDLE,
    algorithm: Algorithm,
    key: ck::CK_OBJECT_HANDLE,
    signature: Vec<u8>,
}

impl Signer {
    #[inline(always)]
    fn sign(&mut self) -> Result<()> {
        let Self { library, session, algorithm, key, signature } = self;
        let kind = if *algorithm == Algorithm::Ed25519 { ck::CKM_EDDSA } else { ck::CKM_ML_DSA };
        let mut mechanism =
            ck::CK_MECHANISM { mechanism: kind, pParameter: std::ptr::null_mut(), ulParameterLen: 0 };
        let (message, message_len) = (MESSAGE.as_ptr().cast_mut(), MESSAGE.len() as ck::CK_ULONG);
        let mut len = signature.len() as ck::CK_ULONG;
        // SAFETY: all pointers are valid for the lengths beside them, and the module is initialised.
        let answers = unsafe {
            [
                library.C_SignInit(*session, &mut mechanism, *key),
                library.C_Sign(*session, message, message_len, signature.as_mut_ptr(), &mut len),
            ]
        };
        if answers == [ck::CKR_OK; 2] {
            Ok(())
        } else {
            Err(format!("a signature failed: {answers:x?}").into())
        }
    }
}
