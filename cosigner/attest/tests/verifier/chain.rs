//! Every rule of the chain, broken once.

use attest::Error;
use document_maker::{Authority, CaFlag, Certificate, Key, payload, sign};

use crate::{TIME, authority, draft, verify};

/// Verifies a document whose chain was issued after a change.
fn with(change: impl FnOnce(&mut Authority)) -> Result<(), Error> {
    let mut authority = authority();
    change(&mut authority);
    authority.renew_root();
    verify(&draft().sign(&authority), authority.root_sha256()).map(drop)
}

/// Verifies a document with other certificates, the root first and the enclave's last.
fn with_chain(change: impl FnOnce(&Authority, &mut Vec<Vec<u8>>)) -> Result<(), Error> {
    let authority = authority();
    let mut chain = authority.issue();
    change(&authority, &mut chain);
    let document = sign(&payload(draft().fields(&chain)), authority.leaf_key());
    verify(&document, authority.root_sha256()).map(drop)
}

#[test]
fn the_unchanged_chain_verifies() {
    assert_eq!(with(|_| {}), Ok(()));
    assert_eq!(with_chain(|_, _| {}), Ok(()));
}

#[test]
fn only_the_named_root_is_trusted() {
    let (ours, theirs) = (authority(), authority());
    let document = draft().sign(&theirs);
    let (found, wanted) = (theirs.root_sha256(), ours.root_sha256());
    assert_eq!(verify(&document, wanted), Err(Error::Root { found, wanted }));
    let wanted = attest::AWS_ROOT_G1;
    assert_eq!(verify(&document, wanted), Err(Error::Root { found, wanted }));
    // The trusted root in front of a chain that another root of the same name has issued.
    let mut chain = theirs.issue();
    chain[0] = ours.root().to_vec();
    let document = sign(&payload(draft().fields(&chain)), theirs.leaf_key());
    assert_eq!(verify(&document, ours.root_sha256()), Err(Error::CertificateSignature(1)));
}

#[test]
fn a_chain_is_whole_and_in_order() {
    assert_eq!(with_chain(|_, chain| drop(chain.drain(..4))), Err(Error::ChainLength(0)));
    let nine = |_: &Authority, chain: &mut Vec<Vec<u8>>| {
        let root = chain[0].clone();
        (0..5).for_each(|_| chain.insert(1, root.clone()));
    };
    assert_eq!(with_chain(nine), Err(Error::ChainLength(9)));
    assert_eq!(with_chain(|_, chain| drop(chain.remove(2))), Err(Error::CertificateIssuer(2)));
    assert_eq!(with_chain(|_, chain| chain.swap(1, 2)), Err(Error::CertificateIssuer(1)));
    // The zone's certificate twice.
    let twice = with_chain(|_, chain| chain.insert(2, chain[2].clone()));
    assert_eq!(twice, Err(Error::PathLength(1)));
}

#[test]
fn a_certificate_is_well_formed() {
    assert_eq!(with_chain(|_, chain| chain[1].truncate(9)), Err(Error::CertificateForm(1)));
    assert_eq!(with_chain(|_, chain| chain[2].push(0)), Err(Error::CertificateForm(2)));
    assert_eq!(with_chain(|_, chain| chain[4] = vec![0x30, 0]), Err(Error::CertificateForm(4)));
    assert_eq!(with(|authority| authority.cas[1].version = 1), Err(Error::CertificateVersion(1)));
}

#[test]
fn a_certificate_is_signed_with_the_one_algorithm() {
    // Inside the signed part: ecdsa-with-SHA256, and ecdsa-with-SHA384 with a NULL.
    let sha256 = &[0x30, 10, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let with_null = &[0x30, 12, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03, 5, 0];
    for algorithm in [&sha256[..], with_null] {
        let changed = with(|authority| authority.cas[2].algorithm = algorithm.to_vec());
        assert_eq!(changed, Err(Error::CertificateAlgorithm(2)));
    }
}

#[test]
fn a_key_is_on_p_384() {
    // id-ecPublicKey with prime256v1.
    let p256 = &[
        0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01,
        0x07,
    ];
    let changed = with(|authority| authority.cas[3].key_algorithm = p256.to_vec());
    assert_eq!(changed, Err(Error::CertificateKey(3)));
    // A point of the wrong length, and one that is not on the curve.
    let short = with_chain(|authority, chain| {
        let point = &authority.leaf_key().point()[..96];
        chain[4] = authority.leaf.sign(authority.key(3), point);
    });
    assert_eq!(short, Err(Error::CertificateKey(4)));
    let beside = with_chain(|authority, chain| {
        let mut point = authority.leaf_key().point().to_vec();
        point[96] ^= 1;
        chain[4] = authority.leaf.sign(authority.key(3), &point);
    });
    assert_eq!(beside, Err(Error::Signature));
}

#[test]
fn each_certificate_is_issued_by_the_one_before_it() {
    for at in 1..4 {
        let renamed = with(|authority| authority.cas[at].issuer.push('x'));
        assert_eq!(renamed, Err(Error::CertificateIssuer(at)));
        let by_stranger = with_chain(|authority, chain| {
            chain[at] = authority.cas[at].sign(&Key::generate(), authority.key(at).point());
        });
        assert_eq!(by_stranger, Err(Error::CertificateSignature(at)));
    }
    let by_zone = with_chain(|authority, chain| {
        chain[4] = authority.leaf.sign(authority.key(2), authority.leaf_key().point());
    });
    assert_eq!(by_zone, Err(Error::CertificateSignature(4)));
}

#[test]
fn all_certificates_are_valid_at_the_time_of_the_document() {
    let now = TIME / 1000;
    for at in 0..5 {
        let certificate = |authority: &mut Authority, valid: (u64, u64)| {
            let certificate = authority.cas.get_mut(at).unwrap_or(&mut authority.leaf);
            (certificate.not_before, certificate.not_after) = valid;
        };
        // The second of the document is the first and the last of validity.
        assert_eq!(with(|authority| certificate(authority, (now, now))), Ok(()));
        let early = with(|authority| certificate(authority, (now + 1, now + 9)));
        assert_eq!(early, Err(Error::CertificateNotYetValid(at)));
        let late = with(|authority| certificate(authority, (now - 9, now - 1)));
        assert_eq!(late, Err(Error::CertificateExpired(at)));
    }
    // Beyond 2049, where dates are written in another way.
    assert_eq!(with(|authority| authority.cas[0].not_after = 4_107_542_400), Ok(()));
}

#[test]
fn only_cas_issue() {
    for at in 0..4 {
        for flag in [CaFlag::No, CaFlag::Absent] {
            assert_eq!(with(|authority| authority.cas[at].ca = flag), Err(Error::NotCa(at)));
        }
        // digitalSignature and cRLSign without keyCertSign.
        for usage in [None, Some(0x82)] {
            assert_eq!(with(|authority| authority.cas[at].key_usage = usage), Err(Error::KeyUsage(at)));
        }
    }
}

#[test]
fn an_enclave_is_no_ca_and_may_sign() {
    assert_eq!(with(|authority| authority.leaf.ca = CaFlag::Absent), Ok(()));
    assert_eq!(with(|authority| authority.leaf.ca = CaFlag::Yes(None)), Err(Error::LeafIsCa));
    // nonRepudiation and keyCertSign.
    for usage in [None, Some(0x40), Some(0x04)] {
        assert_eq!(with(|authority| authority.leaf.key_usage = usage), Err(Error::KeyUsage(4)));
    }
}

#[test]
fn a_ca_has_no_more_cas_below_it_than_it_allows() {
    for (at, below) in [(0, 3), (1, 2), (2, 1), (3, 0)] {
        assert_eq!(with(|authority| authority.cas[at].ca = CaFlag::Yes(Some(below))), Ok(()));
        assert_eq!(with(|authority| authority.cas[at].ca = CaFlag::Yes(None)), Ok(()));
        if below > 0 {
            let fewer = with(|authority| authority.cas[at].ca = CaFlag::Yes(Some(below - 1)));
            assert_eq!(fewer, Err(Error::PathLength(at)));
        }
    }
}

#[test]
fn critical_extensions_are_known_and_none_is_there_twice() {
    // nameConstraints and subjectKeyIdentifier.
    let constraints: &[u8] = &[0x06, 3, 0x55, 0x1d, 30];
    let identifier: &[u8] = &[0x06, 3, 0x55, 0x1d, 14];
    let add = |at: usize, extensions: Vec<Vec<u8>>| {
        with(|authority| {
            let certificate = authority.cas.get_mut(at).unwrap_or(&mut authority.leaf);
            certificate.extensions = extensions;
        })
    };
    for at in 0..5 {
        let critical = Certificate::extension(constraints, true, &[0x30, 0]);
        assert_eq!(add(at, vec![critical]), Err(Error::ExtensionCritical(at)));
        let harmless = Certificate::extension(identifier, false, &[4, 1, 1]);
        assert_eq!(add(at, vec![harmless.clone()]), Ok(()));
        assert_eq!(add(at, vec![harmless.clone(), harmless]), Err(Error::ExtensionForm(at)));
    }
    // keyUsage that is no BIT STRING.
    let malformed = with(|authority| {
        authority.cas[1].key_usage = None;
        authority.cas[1].extensions =
            vec![Certificate::extension(&[0x06, 3, 0x55, 0x1d, 15], true, &[4, 1, 4])];
    });
    assert_eq!(malformed, Err(Error::ExtensionForm(1)));
}
