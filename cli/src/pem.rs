//! The first PEM block of a file that may have prose around it, or a chain of blocks.

use der::pem;

use crate::error::{Error, Result};

/// The label and content of the first PEM block; `None` when the bytes are not PEM.
pub(crate) fn decode_pem(bytes: &[u8]) -> Result<Option<(String, Vec<u8>)>> {
    let Some(start) = pem_start(bytes) else { return Ok(None) };
    let block = first_pem_block(&bytes[start..]);
    let (label, der) = pem::decode_vec(block).map_err(|error| {
        Error::format(format!("the PEM text is damaged: {error}")).remedy("copy the file again")
    })?;
    Ok(Some((label.to_owned(), der)))
}

/// Where the first PEM block begins: tools like `openssl x509 -text` write prose before it.
pub(crate) fn pem_start(bytes: &[u8]) -> Option<usize> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    let text =
        bytes.iter().take(BEGIN.len() + 1).all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    if !text {
        return None;
    }
    let starts =
        bytes.windows(BEGIN.len()).enumerate().filter(|(_, window)| *window == BEGIN).map(|(at, _)| at);
    starts.into_iter().find(|&at| at == 0 || bytes[at - 1] == b'\n')
}

/// The block up to the end of its last line; a file may hold a chain.
pub(crate) fn first_pem_block(bytes: &[u8]) -> &[u8] {
    const END: &[u8] = b"-----END ";
    let end = bytes.windows(END.len()).position(|window| window == END);
    let Some(end) = end else { return bytes };
    let line = bytes[end..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |at| end + at + 1);
    &bytes[..line]
}

/// Each PEM block of a text, with what stands before it.
pub(crate) fn pem_blocks(bytes: &[u8]) -> Vec<&[u8]> {
    let mut blocks = Vec::new();
    let mut rest = bytes;
    while let Some(start) = pem_start(rest) {
        let block = first_pem_block(&rest[start..]);
        let (before, after) = rest.split_at(start + block.len());
        blocks.push(before);
        rest = after;
    }
    blocks
}
