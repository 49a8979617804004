//! Keys and certificates of many files, read and named before any of them goes anywhere.

use std::fs;
use std::path::{Path, PathBuf};

use crate::algorithm::Algorithm;
use crate::certificate::Certificate;
use crate::error::{Error, Result, While};
use crate::files::{is_dash, read_many};
use crate::pem::{decode_pem, pem_blocks, pem_start};
use crate::private_key::PrivateKey;

/// What a file, or one PEM block of it, holds.
pub(crate) enum Content {
    Key(PrivateKey),
    Certificate(Certificate),
}

/// One of them, with the label that it gets.
pub(crate) struct Item {
    /// The file, and the block where there are several.
    pub(crate) source: String,
    pub(crate) label: String,
    pub(crate) content: Content,
}

impl Content {
    /// A certificate or PKCS#8 key in PEM or DER, or with `algorithm` the bare bytes of a key.
    pub(crate) fn from_file(bytes: &[u8], algorithm: Option<Algorithm>) -> Result<Self> {
        if let Some(certificate) = certificate(bytes, algorithm)? {
            return Ok(Self::Certificate(certificate));
        }
        let key = PrivateKey::from_file(bytes, algorithm)?;
        match algorithm.filter(|wanted| *wanted != key.algorithm) {
            None => Ok(Self::Key(key)),
            Some(wanted) => Err(Error::usage(format!("the file has an {} key, not {wanted}", key.algorithm))
                .remedy("leave out --algorithm: the file tells it")),
        }
    }

    fn is_key(&self) -> bool {
        matches!(self, Self::Key(_))
    }
}

impl Item {
    /// Everything in these files, and in the files of these folders, which are taken in the order of their names. The
    /// first that cannot be used is the error.
    pub(crate) fn read_all(paths: &[PathBuf], algorithm: Option<Algorithm>) -> Result<Vec<Self>> {
        let mut items = Vec::new();
        for path in paths {
            if is_dash(path) {
                return Err(Error::usage(
                    "--batch does not read standard input: labels come from the names of files",
                )
                .remedy("import one key with --label NAME, or write them into a file"));
            }
            match fs::metadata(path).map_err(|error| Error::io("read", path, &error))?.is_dir() {
                true => files_of(path)?.iter().try_for_each(|file| read_file(file, algorithm, &mut items))?,
                false => read_file(path, algorithm, &mut items)?,
            }
        }
        Ok(items)
    }
}

/// The files of a folder. Folders in it are passed over; whatever else is there is a mistake that is better told.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| Error::io("read", folder, &error);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let metadata = fs::metadata(&path).map_err(|error| Error::io("read", &path, &error))?;
        if metadata.is_file() {
            files.push(path);
        } else if !metadata.is_dir() {
            return Err(Error::format(format!("{} is neither a file nor a folder", path.display()))
                .remedy("take it out of the folder, or name the files"));
        }
    }
    if files.is_empty() {
        return Err(Error::usage(format!("there is no file in {}", folder.display()))
            .remedy("folders within it are not looked into: name them"));
    }
    files.sort_unstable();
    Ok(files)
}

fn read_file(path: &Path, algorithm: Option<Algorithm>, items: &mut Vec<Item>) -> Result<()> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).ok_or_else(|| {
        Error::usage(format!("the name of {} is not UTF-8 and cannot be a label", path.display()))
            .remedy("rename the file")
    })?;
    let file = read_many(path)?;
    let blocks = match pem_start(file.bytes()) {
        Some(_) => pem_blocks(file.bytes()),
        None => vec![file.bytes()],
    };
    let several = blocks.len() > 1;
    let mut contents = Vec::with_capacity(blocks.len());
    for (number, block) in blocks.into_iter().enumerate() {
        let block_number = if several { format!(", block {}", number + 1) } else { String::new() };
        let source = format!("{}{block_number}", path.display());
        contents.push((Content::from_file(block, algorithm).while_doing(&source)?, source));
    }
    let count = |keys| contents.iter().filter(|(content, _)| content.is_key() == keys).count();
    let counts = [count(false), count(true)];
    let mut seen = [0, 0];
    for (content, source) in contents {
        let kind = usize::from(content.is_key());
        seen[kind] += 1;
        let label = if counts[kind] > 1 { format!("{stem}-{}", seen[kind]) } else { stem.to_owned() };
        items.push(Item { source, label, content });
    }
    Ok(())
}

/// The file as a certificate, if it is one.
fn certificate(bytes: &[u8], raw: Option<Algorithm>) -> Result<Option<Certificate>> {
    match pem_start(bytes) {
        Some(start) if bytes[start..].starts_with(b"-----BEGIN CERTIFICATE-----") => match decode_pem(bytes)?
        {
            Some((_, der)) => Certificate::from_der(&der).map(Some),
            None => Ok(None),
        },
        Some(_) => Ok(None),
        None if raw.is_some() => Ok(None),
        None => Ok(Certificate::from_der(bytes).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8410 section 10.3.
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                       -----END PRIVATE KEY-----\n";

    fn labels(paths: &[PathBuf]) -> Vec<String> {
        Item::read_all(paths, None).unwrap().into_iter().map(|item| item.label).collect()
    }

    #[test]
    fn labels_are_the_names_of_files_and_the_numbers_of_their_keys() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("within")).unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("b.pem", KEY);
        write("a.key.pem", &format!("prose\n{KEY}more prose\n{KEY}"));
        write("within/c.pem", KEY);
        std::os::unix::fs::symlink("b.pem", folder.path().join("z")).unwrap();
        assert_eq!(labels(&[folder.path().to_owned()]), ["a.key-1", "a.key-2", "b", "z"]);
        assert_eq!(labels(&[folder.path().join("within"), folder.path().join("b.pem")]), ["c", "b"]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = |paths: &[PathBuf]| Item::read_all(paths, None).err().unwrap().to_string();
        assert!(error(&[folder.path().to_owned()]).contains("there is no file in"));
        assert!(error(&["-".into()]).contains("standard input"));
        fs::write(folder.path().join("a.pem"), format!("{KEY}{}", KEY.replace("MC4C", "MC5C"))).unwrap();
        let told = error(&[folder.path().to_owned()]);
        assert!(told.contains("a.pem, block 2: "), "{told}");
        std::os::unix::fs::symlink("nowhere", folder.path().join("0")).unwrap();
        assert!(error(&[folder.path().to_owned()]).contains("/0: there is no such file"));
        fs::write(folder.path().join("large"), vec![b'\n'; 17 << 20]).unwrap();
        assert!(error(&[folder.path().join("large")]).contains("too large"));
    }
}
