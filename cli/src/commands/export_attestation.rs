//! `trellis key export-attestation`: what a Nitro enclave attested of a key when it made it, as `attest verify` takes it.

use std::path::PathBuf;

use clap::Args;
use cryptoki::{
    object::{Attribute, AttributeType},
    session::Session,
};
use cryptoki_sys::{CK_ATTRIBUTE_TYPE, CKA_VENDOR_DEFINED};

use crate::commands::key::{login_to_look, one_entry};
use crate::encoding::base64;
use crate::error::{Error, Result};
use crate::files::write_result;
use crate::object::KeyName;
use crate::options::{Global, Outcome, TokenArgs};
use crate::output::{clean, show};
use crate::token::{OpenToken, Token};

/// Attributes of Trellis's own (docs/vendor-interface.md).
const CKA_TRELLIS_BIRTH_ATTESTATION: CK_ATTRIBUTE_TYPE = CKA_VENDOR_DEFINED | 0x5452_4C02;
const CKA_TRELLIS_BIRTH_RECORD: CK_ATTRIBUTE_TYPE = CKA_VENDOR_DEFINED | 0x5452_4C03;

#[derive(Debug, Args)]
pub(crate) struct ExportAttestationArgs {
    /// Key by label, id (hexadecimal) or PKCS#11 URI.
    key: String,
    #[command(flatten)]
    token: TokenArgs,
    /// File for the attestation document, in base64.
    #[arg(long, value_name = "FILE")]
    birth_attestation: PathBuf,
    /// File for the key's record, in JSON.
    #[arg(long, value_name = "FILE")]
    metadata: PathBuf,
}

impl ExportAttestationArgs {
    pub(crate) fn run(self, global: &Global) -> Result<Outcome> {
        let name = KeyName::parse(&self.key)?;
        let module = self.token.load(global, Some(&name))?;
        let token = Token::choose(&module, &self.token.choice(Some(&name)))?;
        let mut open = OpenToken::open(&module, token, false)?;
        login_to_look(&mut open, &self.token, Some(&name))?;
        let entry = one_entry(&open, &name)?;
        let parts = [CKA_TRELLIS_BIRTH_ATTESTATION, CKA_TRELLIS_BIRTH_RECORD]
            .map(|kind| entry.objects.iter().find_map(|object| bytes(open.session(), object.handle, kind)));
        let [Some(document), Some(record)] = parts else {
            return Err(Error::unsupported(format!("the token has no birth attestation of `{name}`"))
                .remedy("only keys that a slot with backend = \"nitro\" made in its enclave have one"));
        };
        write_result(Some(&self.birth_attestation), base64(&document).as_bytes())?;
        write_result(Some(&self.metadata), &record)?;
        let (document, record) = (self.birth_attestation.display(), self.metadata.display());
        let json = serde_json::json!({
            "birth_attestation": document.to_string(),
            "metadata": record.to_string(),
        });
        show(global, &json, || {
            let label = clean(&name.to_string());
            format!(
                "Wrote what was attested of `{label}` when it was made to {document} and its record to {record}.\n\
                 Check it: trellis attest verify --birth-attestation {document} --metadata {record} --manifest FILE"
            )
        })?;
        Ok(Outcome::Done)
    }
}

fn bytes(
    session: &Session,
    object: cryptoki::object::ObjectHandle,
    kind: CK_ATTRIBUTE_TYPE,
) -> Option<Vec<u8>> {
    let told = session.get_attributes(object, &[AttributeType::VendorDefined(kind)]).ok()?;
    told.into_iter().find_map(|attribute| match attribute {
        Attribute::VendorDefined((_, value)) => Some(value),
        _ => None,
    })
}
