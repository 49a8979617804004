//! `trellis attest verify`, and the same under the name `pq-attest`, with documents of an emulated enclave.

use std::os::unix::fs::symlink;
use std::process::{Command, Output};

use document_maker::{Authority, Draft, sha256};
use serde_json::{Value, json};

use crate::bench::Bench;

/// 2026-02-03 04:05:06.789 UTC.
const TIME: u64 = 1_770_091_506_789;
const KMS_KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1";

/// An enclave that has made one key, and the three files that its owner has.
struct Birth {
    bench: Bench,
    root: String,
    manifest: Value,
    metadata: Value,
}

impl Birth {
    fn new() -> Self {
        Self::of(|_| {})
    }

    fn of(change: impl FnOnce(&mut Draft)) -> Self {
        let authority = Authority::new(TIME / 1000);
        let (public_key, wrapped_key) = (vec![5; 1312], vec![6; 184]);
        let mut draft = Draft::new(TIME);
        draft.user_data = Some(user_data(&public_key, &wrapped_key));
        change(&mut draft);
        let pcr = |index: usize| hex(&draft.pcrs[index]);
        let bench = Bench::empty();
        bench.write("birth", base64(&draft.sign(&authority)));
        Self {
            bench,
            root: hex(&authority.root_sha256()),
            manifest: json!({
                "enclave_version": "1.2.3",
                "pcrs": { "PCR0": pcr(0), "PCR1": pcr(1), "PCR2": pcr(2), "PCR8": pcr(8) },
            }),
            metadata: json!({
                "user_id": "somebody",
                "alg": "ML-DSA-44",
                "kms_key_arn": KMS_KEY,
                "mldsa_pubkey": base64(&public_key),
                "wrapped_dk": base64(&wrapped_key),
                "created_at_ms": TIME,
            }),
        }
    }

    fn arguments(&self) -> Vec<String> {
        self.bench.write("manifest", self.manifest.to_string());
        self.bench.write("metadata", self.metadata.to_string());
        let options = [
            ("--birth-attestation", self.bench.arg("birth")),
            ("--manifest", self.bench.arg("manifest")),
            ("--metadata", self.bench.arg("metadata")),
            ("--root-sha256", self.root.clone()),
        ];
        options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }

    /// Runs `trellis attest verify`.
    fn trellis(&self, more: &[&str]) -> crate::bench::Run {
        let arguments = self.arguments();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.bench.run(&[&["attest", "verify"][..], &arguments, more].concat())
    }

    /// Runs `pq-attest verify` through a link.
    fn pq_attest(&self, arguments: &[&str]) -> Output {
        let link = self.bench.path("pq-attest");
        if !link.exists() {
            symlink(env!("CARGO_BIN_EXE_trellis"), &link).unwrap();
        }
        Command::new(link).arg("verify").args(arguments).env_clear().output().unwrap()
    }

    /// Both refuse with this reason.
    #[track_caller]
    fn refused(&self, more: &[&str], reason: &str) {
        self.trellis(more).expect(1).says(reason).says("try: ");
        let arguments = self.arguments();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let output = self.pq_attest(&arguments);
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{line}");
        assert!(line.starts_with("pq-attest: ") && line.contains(reason), "{line}");
        assert_eq!(line.matches('\n').count(), 1, "{line}");
    }
}

/// Version 1 of the layout, as docs/formats.md has it.
fn user_data(public_key: &[u8], wrapped_key: &[u8]) -> Vec<u8> {
    let parts: [&[u8]; 11] = [
        b"pqs-birth\0",
        &[1],
        &sha256(public_key),
        &sha256(wrapped_key),
        &[0, 8],
        b"somebody",
        &[0, KMS_KEY.len() as u8],
        KMS_KEY.as_bytes(),
        &[9],
        b"ML-DSA-44",
        &TIME.to_be_bytes(),
    ];
    parts.concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64(bytes: &[u8]) -> String {
    use base64ct::{Base64, Encoding};
    Base64::encode_string(bytes)
}

fn user_data_sha256() -> String {
    hex(&sha256(&user_data(&[5; 1312], &[6; 184])))
}

#[test]
fn a_birth_attestation_verifies_under_both_names() {
    let birth = Birth::new();
    let wanted = json!({
        "ok": true,
        "verified_pcrs": birth.manifest["pcrs"],
        "user_data_sha256": user_data_sha256(),
        "nitro_root_der_sha256": birth.root,
        "layout": "v1",
        "timestamp_ms": TIME,
    });
    assert_eq!(birth.trellis(&["--json"]).expect(0).json(), wanted);
    let text = birth.trellis(&[]).expect(0).text();
    assert!(
        text.starts_with("valid\n") && text.contains("NOT Amazon's") && !text.contains("WARNING"),
        "{text}"
    );
    assert!(text.contains(&format!("PCR8       {}", "18".repeat(48))), "{text}");
    let arguments = birth.arguments();
    let output = birth.pq_attest(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), wanted);
}

#[test]
fn a_document_comes_in_base64_with_line_breaks_or_bare() {
    let birth = Birth::new();
    let text = String::from_utf8(birth.bench.read("birth")).unwrap();
    let bytes = <base64ct::Base64 as base64ct::Encoding>::decode_vec(&text).unwrap();
    let lines: String =
        text.as_bytes().chunks(64).map(|line| format!("{}\n", str::from_utf8(line).unwrap())).collect();
    birth.bench.write("birth", lines);
    birth.trellis(&[]).expect(0);
    birth.bench.write("birth", &bytes);
    birth.trellis(&[]).expect(0);
    birth.bench.write("birth", "no base64!");
    birth.refused(&[], "neither base64 nor a document");
    birth.bench.write("birth", &bytes[..bytes.len() - 1]);
    birth.refused(&[], "is not a COSE_Sign1");
    birth.bench.write("birth", "");
    birth.refused(&[], "the document is empty");
}

#[test]
fn a_record_may_have_the_hash_of_the_wrapped_key() {
    let mut birth = Birth::new();
    birth.metadata["wrapped_dk"] = hex(&sha256(&[6; 184])).into();
    birth.trellis(&[]).expect(0);
    birth.metadata["wrapped_dk"] = hex(&sha256(&[7; 184])).into();
    birth.refused(&[], "another wrapped data key");
}

#[test]
fn what_differs_from_record_or_manifest_is_named() {
    for (name, value, reason) in [
        ("user_id", "somebody else", "another user id"),
        ("alg", "ML-DSA-65", "another algorithm"),
        ("kms_key_arn", "arn:aws:kms:eu-central-1:111122223333:key/2", "another KMS key"),
        ("mldsa_pubkey", "AAAA", "another public key"),
        ("wrapped_dk", "AAAA", "another wrapped data key"),
    ] {
        let mut birth = Birth::new();
        birth.metadata[name] = value.into();
        birth.refused(&[], reason);
    }
    for register in ["PCR0", "PCR1", "PCR2", "PCR8"] {
        let mut birth = Birth::new();
        birth.manifest["pcrs"][register] = "77".repeat(48).into();
        birth.refused(&[], &format!("{register} is "));
    }
}

#[test]
fn only_amazons_root_is_trusted_unless_another_is_named() {
    let mut birth = Birth::new();
    let root = std::mem::take(&mut birth.root);
    // An empty option is no hash.
    birth.trellis(&[]).expect(2);
    birth.root = hex(&sha256(b"another"));
    birth.refused(&[], "and not with the pinned one");
    let files = |birth: &Birth| birth.arguments()[..6].to_vec();
    let run = |birth: &Birth| {
        let files = files(birth);
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        birth.bench.run(&[&["attest", "verify"][..], &files].concat())
    };
    run(&birth).expect(1).says("641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b");
    // The manifest may name it too.
    birth.manifest["nitro_root_der_sha256"] = root.clone().into();
    run(&birth).expect(0);
    birth.trellis(&[]).expect(2).says("different roots");
    birth.root = root;
    birth.trellis(&[]).expect(0);
}

#[test]
fn debug_enclaves_and_unsigned_images_need_leave() {
    let birth = Birth::of(|draft| draft.pcrs[..3].fill([0; 48]));
    birth.refused(&[], "debug mode");
    let text = birth.trellis(&["--allow-debug"]).expect(0).text();
    assert!(text.contains("WARNING"), "{text}");
    let birth = Birth::of(|draft| draft.pcrs[8] = [0; 48]);
    birth.refused(&[], "PCR8 is zero");
    birth.trellis(&["--allow-debug"]).expect(0);
}

#[test]
fn nonce_and_age_are_checked_when_asked_for() {
    let birth = Birth::of(|draft| draft.nonce = Some(vec![0xab, 0xcd]));
    birth.trellis(&["--nonce", "abCD"]).expect(0);
    birth.refused(&["--nonce", "abce"], "another nonce");
    Birth::new().refused(&["--nonce", "abcd"], "no nonce");
    birth.refused(&["--max-age", "60"], "seconds old, and 60 are allowed");
    birth.trellis(&["--max-age", "18446744073709551"]).expect(0);
}

#[test]
fn other_layouts_are_taken_when_asked_for() {
    let version_0 = |time: &[u8]| {
        let (keys, time) = ([sha256(&[5; 1312]), sha256(&[6; 184])].concat(), time.to_vec());
        Birth::of(|draft| {
            draft.user_data =
                Some([&keys, &b"somebody"[..], KMS_KEY.as_bytes(), b"ML-DSA-44", &time].concat());
        })
    };
    let birth = version_0(&(TIME / 1000).to_be_bytes());
    birth.refused(&[], "not in the layout of a birth attestation");
    assert_eq!(birth.trellis(&["--layout", "v0", "--json"]).expect(0).json()["layout"], "v0");
    let birth = version_0(&TIME.to_be_bytes());
    birth.refused(&["--layout", "v0"], "more than five minutes apart");
    birth.trellis(&["--layout", "v0-any"]).expect(0);
}

#[test]
fn wrong_command_lines_and_files_are_told_from_refusals() {
    let mut birth = Birth::new();
    for arguments in
        [&[][..], &["--nonce", "xyz"], &["--layout", "v2"], &["--max-age", "-1"], &["--root-sha256", "00"]]
    {
        assert_eq!(birth.pq_attest(arguments).status.code(), Some(2), "{arguments:?}");
        birth.bench.run(&[&["attest", "verify"][..], arguments].concat()).expect(2);
    }
    let both = |birth: &Birth, reason: &str| {
        birth.trellis(&[]).expect(8).says(reason);
        let arguments = birth.arguments();
        let output = birth.pq_attest(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8(output.stderr).unwrap().contains(reason));
    };
    let whole = birth.metadata.clone();
    birth.metadata.as_object_mut().unwrap().remove("user_id");
    both(&birth, "is not the record of a key: missing field `user_id`");
    birth.metadata = whole.clone();
    birth.metadata["mldsa_pubkey"] = "*".into();
    both(&birth, "an mldsa_pubkey that is not base64");
    birth.metadata["mldsa_pubkey"] = whole["mldsa_pubkey"].clone();
    birth.metadata["wrapped_dk"] = "*".into();
    both(&birth, "a wrapped_dk that is neither");
    birth.metadata = whole;
    let whole = birth.manifest.clone();
    birth.manifest["PCR0"] = "".into();
    both(&birth, "is not a manifest: unknown field `PCR0`");
    birth.manifest = whole.clone();
    birth.manifest["pcrs"].as_object_mut().unwrap().remove("PCR8");
    both(&birth, "missing field `PCR8`");
    birth.manifest = whole;
    birth.manifest["pcrs"]["PCR0"] = "00".into();
    both(&birth, "a register that is not 48 bytes");
    std::fs::remove_file(birth.bench.path("birth")).unwrap();
    birth.manifest["pcrs"]["PCR0"] = "10".repeat(48).into();
    both(&birth, "there is no such file");
}
