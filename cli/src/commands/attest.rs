//! `trellis attest verify`: the birth attestation of a key against what is known of key and enclave. It needs no
//! module: the check is that of the crate `attest`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ::attest::birth::{Birth, Claims, Layout};
use ::attest::{AWS_ROOT_G1, Attestation, Freshness, Pcr, Policy, sha256};
use base64ct::{Base64, Encoding};
use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::encoding::{hex, parse_hex};
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::files::read_small;
use crate::options::{Global, Outcome};
use crate::output::{clean, fields, show};

/// How far an enclave's clock may be ahead of this machine's, in milliseconds.
const AHEAD: u64 = 5 * 60 * 1000;

#[derive(Debug, Args)]
pub(crate) struct AttestCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check that a key was born in a known enclave; exit code 0 means yes, 1 means no.
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// File with the attestation document in base64, or its bare bytes; - for standard input.
    #[arg(long, value_name = "FILE")]
    birth_attestation: PathBuf,
    /// JSON file with the measurements of the enclave: pcrs with PCR0, PCR1, PCR2 and PCR8.
    #[arg(long, value_name = "FILE")]
    manifest: PathBuf,
    /// JSON file with the record of the key: user_id, alg, kms_key_arn, mldsa_pubkey, wrapped_dk.
    #[arg(long, value_name = "FILE")]
    metadata: PathBuf,
    /// Trust the root certificate with this SHA-256 of its DER, and no other [default: the manifest's, else Amazon's].
    #[arg(long, value_name = "HEX", value_parser = parse_hash)]
    root_sha256: Option<[u8; 32]>,
    /// Layout of the attestation's user_data.
    #[arg(long, value_enum, default_value = "v1")]
    layout: LayoutArg,
    /// The nonce that the attestation must repeat, in hexadecimal.
    #[arg(long, value_name = "HEX", value_parser = parse_nonce)]
    nonce: Option<Nonce>,
    /// Refuse an attestation that is older [default: its age does not matter].
    #[arg(long, value_name = "SECONDS")]
    max_age: Option<u64>,
    /// Take attestations of enclaves in debug mode or of images that are not signed, for tests.
    #[arg(long)]
    allow_debug: bool,
}

/// One value for clap, which would take a vector for several.
#[derive(Debug, Clone)]
struct Nonce(Vec<u8>);

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LayoutArg {
    /// With magic, version and lengths.
    V1,
    /// The parts joined; the time in seconds.
    V0,
    /// As v0; the time in seconds, milliseconds or decimal digits.
    V0Any,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    #[expect(dead_code, reason = "for people; the document has nothing to compare it with")]
    enclave_version: Option<String>,
    pcrs: Registers,
    nitro_root_der_sha256: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "UPPERCASE")]
struct Registers {
    pcr0: String,
    pcr1: String,
    pcr2: String,
    pcr8: String,
}

/// The key's record has more members than these.
#[derive(Deserialize)]
struct Metadata {
    user_id: String,
    alg: String,
    kms_key_arn: String,
    mldsa_pubkey: String,
    /// In base64, or its SHA-256 in hexadecimal.
    wrapped_dk: String,
}

/// What was verified, ready to be shown.
#[derive(Debug)]
pub(crate) struct Report {
    attestation: Attestation,
    birth: Birth,
    pcrs: BTreeMap<u8, Pcr>,
    layout: LayoutArg,
}

impl AttestCommand {
    pub(crate) fn run(self, global: &Global) -> Result<Outcome> {
        let Action::Verify(args) = self.action;
        let report = args.check()?;
        show(global, &report.json(), || report.text())?;
        Ok(Outcome::Done)
    }
}

impl VerifyArgs {
    /// The whole check; a refusal is an error that ends with [`Exit::Negative`].
    pub(crate) fn check(&self) -> Result<Report> {
        let manifest: Manifest = read_json(&self.manifest, "a manifest")?;
        let metadata: Metadata = read_json(&self.metadata, "the record of a key")?;
        let pcrs = manifest.pcrs.parse().ok_or_else(|| {
            malformed(&self.manifest, "a register that is not 48 bytes in hexadecimal")
                .remedy("copy the registers from what `nitro-cli describe-eif` prints")
        })?;
        let (root, public_key, wrapped_key) =
            (self.root(&manifest)?, self.public_key(&metadata)?, self.wrapped_key(&metadata)?);
        let policy = Policy {
            root,
            pcrs: &pcrs,
            allow_debug: self.allow_debug,
            nonce: self.nonce.as_ref().map(|nonce| nonce.0.as_slice()),
            freshness: self.max_age.map(freshness).transpose()?,
        };
        let claims = Claims {
            public_key_sha256: public_key,
            wrapped_key_sha256: wrapped_key,
            user_id: &metadata.user_id,
            kms_key: &metadata.kms_key_arn,
            algorithm: &metadata.alg,
        };
        let attestation = policy.verify(&read_document(&self.birth_attestation)?).map_err(refused)?;
        let birth = claims.verify(&attestation, self.layout.into()).map_err(refused)?;
        Ok(Report { attestation, birth, pcrs, layout: self.layout })
    }

    fn root(&self, manifest: &Manifest) -> Result<[u8; 32]> {
        let named = manifest.nitro_root_der_sha256.as_deref().map(parse_hash).transpose();
        let named =
            named.map_err(|error| malformed(&self.manifest, &format!("nitro_root_der_sha256: {error}")))?;
        match (self.root_sha256, named) {
            (Some(option), Some(manifest)) if option != manifest => {
                Err(Error::usage("--root-sha256 and the manifest name different roots")
                    .remedy("leave out one of them"))
            }
            (option, manifest) => Ok(option.or(manifest).unwrap_or(AWS_ROOT_G1)),
        }
    }

    fn public_key(&self, metadata: &Metadata) -> Result<[u8; 32]> {
        let key = Base64::decode_vec(&metadata.mldsa_pubkey);
        key.map(|key| sha256(&key))
            .map_err(|_| malformed(&self.metadata, "an mldsa_pubkey that is not base64"))
    }

    fn wrapped_key(&self, metadata: &Metadata) -> Result<[u8; 32]> {
        // 64 hexadecimal digits are base64 too, of 48 bytes: no data key is wrapped into so few.
        parse_hash(&metadata.wrapped_dk)
            .or_else(|_| Base64::decode_vec(&metadata.wrapped_dk).map(|key| sha256(&key)))
            .map_err(|_| {
                malformed(&self.metadata, "a wrapped_dk that is neither base64 nor a SHA-256 in hexadecimal")
            })
    }
}

impl Registers {
    fn parse(&self) -> Option<BTreeMap<u8, Pcr>> {
        let all = [(0, &self.pcr0), (1, &self.pcr1), (2, &self.pcr2), (8, &self.pcr8)];
        all.into_iter().map(|(index, text)| Some((index, Pcr::try_from(&*digits(text)?).ok()?))).collect()
    }
}

impl Report {
    /// The document of contracts between verifier and program; docs/cli.md lists its members.
    pub(crate) fn json(&self) -> serde_json::Value {
        let pcrs: serde_json::Map<_, _> =
            self.pcrs.iter().map(|(index, pcr)| (format!("PCR{index}"), pcr.to_string().into())).collect();
        serde_json::json!({
            "ok": true,
            "verified_pcrs": pcrs,
            "user_data_sha256": hex(&self.birth.user_data_sha256),
            "nitro_root_der_sha256": hex(&self.attestation.root()),
            "layout": self.layout.name(),
            "timestamp_ms": self.attestation.timestamp(),
        })
    }

    fn text(&self) -> String {
        let root = hex(&self.attestation.root());
        let amazon = self.attestation.root() == AWS_ROOT_G1;
        let mut rows = vec![
            ("enclave", clean(self.attestation.module_id())),
            ("made", format!("{} (milliseconds since 1970)", self.attestation.timestamp())),
            ("root", if amazon { root + " (AWS Nitro Enclaves G1)" } else { root + " (NOT Amazon's)" }),
            ("user_data", hex(&self.birth.user_data_sha256) + " (SHA-256)"),
        ];
        let names = ["PCR0", "PCR1", "PCR2", "PCR8"];
        rows.extend(names.into_iter().zip(self.pcrs.values().map(ToString::to_string)));
        let zero = self.pcrs.values().any(Pcr::is_zero);
        let warning = if zero {
            "WARNING: a register is zero, so this proves nothing about the program.\n"
        } else {
            ""
        };
        format!("valid\n{warning}{}", fields(&rows))
    }
}

impl LayoutArg {
    fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V0 | Self::V0Any => "v0",
        }
    }
}

impl From<LayoutArg> for Layout {
    fn from(layout: LayoutArg) -> Self {
        match layout {
            LayoutArg::V1 => Self::V1,
            LayoutArg::V0 => Self::V0,
            LayoutArg::V0Any => Self::V0Any,
        }
    }
}

fn refused(error: ::attest::Error) -> Error {
    Error::new(Exit::Negative, error.to_string()).remedy(error.remedy())
}

/// Base64 with line breaks, or else the bytes themselves: a document is never text.
fn read_document(path: &Path) -> Result<Vec<u8>> {
    let file = read_small(path)?;
    let Ok(text) = std::str::from_utf8(file.bytes()) else { return Ok(file.bytes().to_vec()) };
    let compact: String = text.split_ascii_whitespace().collect();
    Base64::decode_vec(&compact).map_err(|_| {
        Error::new(Exit::Negative, format!("{} holds neither base64 nor a document", path.display()))
            .remedy("hand in the birth attestation as it came with the key")
    })
}

fn read_json<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T> {
    serde_json::from_slice(read_small(path)?.bytes()).map_err(|error| {
        Error::format(format!("{} is not {what}: {}", path.display(), clean(&error.to_string())))
    })
}

fn malformed(path: &Path, what: &str) -> Error {
    Error::format(format!("{} has {what}", path.display()))
}

fn freshness(seconds: u64) -> Result<Freshness> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    let now = now.and_then(|now| u64::try_from(now.as_millis()).ok());
    let now =
        now.ok_or_else(|| Error::usage("this machine's clock is before 1970").remedy("set the clock"))?;
    Ok(Freshness { now, oldest: seconds.saturating_mul(1000), ahead: AHEAD })
}

/// Digits only, without the colons and blanks that other hexadecimal options allow.
fn digits(text: &str) -> Option<Vec<u8>> {
    parse_hex(text).filter(|bytes| text.len() == 2 * bytes.len())
}

fn parse_hash(text: &str) -> std::result::Result<[u8; 32], &'static str> {
    digits(text).and_then(|bytes| bytes.try_into().ok()).ok_or("not 64 hexadecimal digits")
}

fn parse_nonce(text: &str) -> std::result::Result<Nonce, &'static str> {
    digits(text).map(Nonce).ok_or("not hexadecimal digits")
}
