//! ECDSA and RSA: round trips, limits, and keys that must be refused. Published vectors are in `wycheproof.rs`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use algorithms::{
    Error, SecretBytes,
    digest::Hash,
    ecdsa::{self, Curve},
    rsa::{self, Components, Padding},
};

#[test]
fn ecdsa_signs_digests_of_any_length() {
    for curve in Curve::ALL {
        let key = ecdsa::PrivateKey::generate(curve).unwrap();
        for len in [1, 20, 32, 64, 100, 255] {
            let digest = vec![0x81; len];
            let signature = key.sign(&digest).unwrap();
            assert_eq!(signature.len(), 2 * curve.field_len());
            key.public_key().verify(&digest, &signature).unwrap();
            // What is past the order's length does not count.
            let longer = [&digest[..], &[1; 70]].concat();
            assert_eq!(key.public_key().verify(&longer, &signature).is_ok(), len >= curve.field_len());
            for at in [0, curve.field_len() - 1, 2 * curve.field_len() - 1] {
                let mut altered = signature.clone();
                altered[at] ^= 1;
                assert_eq!(key.public_key().verify(&digest, &altered), Err(Error::SignatureInvalid));
            }
            assert_eq!(key.public_key().verify(&digest, &signature[1..]), Err(Error::SignatureLength));
        }
        assert_eq!(key.sign(&[]), Err(Error::InputLength));
        assert_eq!(key.public_key().verify(&[], &vec![0; 2 * curve.field_len()]), Err(Error::InputLength));
        let zeros = vec![0; 2 * curve.field_len()];
        assert_eq!(key.public_key().verify(&[1], &zeros), Err(Error::SignatureInvalid));
    }
}

#[test]
fn ec_scalars_and_points() {
    for curve in Curve::ALL {
        let key = ecdsa::PrivateKey::generate(curve).unwrap();
        let scalar = key.scalar().unwrap();
        assert_eq!(scalar.len(), curve.field_len());
        let padded = SecretBytes::new(&[&[0; 9], scalar.expose()].concat());
        let again = ecdsa::PrivateKey::from_scalar(curve, &padded).unwrap();
        assert_eq!(again.public_key().as_bytes(), key.public_key().as_bytes());
        assert_eq!(again.scalar().unwrap(), scalar);
        let one = ecdsa::PrivateKey::from_scalar(curve, &SecretBytes::new(&[1])).unwrap();
        assert_eq!(one.scalar().unwrap().expose().iter().map(|&byte| u32::from(byte)).sum::<u32>(), 1);
        for refused in
            [vec![], vec![0], vec![0; curve.field_len()], vec![0xff; curve.field_len()], vec![1; 67]]
        {
            let refused = SecretBytes::new(&refused);
            assert_eq!(ecdsa::PrivateKey::from_scalar(curve, &refused).err(), Some(Error::KeyInvalid));
        }

        let point = key.public_key().as_bytes();
        assert_eq!((point[0], point.len()), (4, 1 + 2 * curve.field_len()));
        let x = &point[1..=curve.field_len()];
        let sign = point[point.len() - 1] & 1;
        let compressed = [&[2 | sign], x].concat();
        assert_eq!(ecdsa::PublicKey::from_bytes(curve, &compressed).unwrap().as_bytes(), point);
        let mut off_curve = point.to_vec();
        *off_curve.last_mut().unwrap() ^= 1;
        let hybrid = [&[6 | sign], &point[1..]].concat();
        let unreduced = [&[4][..], &vec![0xff; 2 * curve.field_len()]].concat();
        let long = [point, &[0]].concat();
        for refused in
            [&[][..], &[0], &[4], &off_curve, &hybrid, &unreduced, &long, &point[..point.len() - 1], x]
        {
            assert_eq!(
                ecdsa::PublicKey::from_bytes(curve, refused).err(),
                Some(Error::KeyInvalid),
                "{refused:02x?}"
            );
        }
    }
    // A point of one curve on another.
    let point = ecdsa::PrivateKey::generate(Curve::P256).unwrap().public_key().as_bytes().to_vec();
    assert_eq!(ecdsa::PublicKey::from_bytes(Curve::P384, &point).err(), Some(Error::KeyInvalid));
}

fn rsa_2048() -> rsa::PrivateKey {
    rsa::PrivateKey::generate(2048, &[1, 0, 1]).unwrap()
}

#[test]
fn rsa_paddings() {
    let key = rsa_2048();
    let public = key.public_key();
    let data = [0x42; 245];
    for hash in Hash::ALL.into_iter().filter(|hash| !matches!(hash, Hash::Shake128 | Hash::Shake256)) {
        let digest = hash.digest(b"m").unwrap();
        let most = 256 - 2 - hash.output_len();
        let pss = |mgf, salt_len| Padding::Pss { hash, mgf, salt_len, digest: &digest };
        for padding in [
            Padding::Pkcs1 { hash, digest: &digest },
            pss(hash, 0),
            pss(Hash::Sha1, hash.output_len()),
            pss(hash, most),
        ] {
            let signature = key.sign(padding).unwrap();
            assert_eq!(signature.len(), 256);
            public.verify(padding, &signature).unwrap();
            let mut altered = signature.clone();
            altered[100] ^= 1;
            assert_eq!(public.verify(padding, &altered), Err(Error::SignatureInvalid));
            assert_eq!(public.verify(padding, &signature[..255]), Err(Error::SignatureLength));
            assert_eq!(public.verify(Padding::Pkcs1Raw(&data), &signature), Err(Error::SignatureInvalid));
        }
        // The salt length and MGF count.
        let signature = key.sign(pss(hash, 10)).unwrap();
        assert_eq!(public.verify(pss(hash, 11), &signature), Err(Error::SignatureInvalid));
        let other = if hash == Hash::Sha256 { Hash::Sha512 } else { Hash::Sha256 };
        assert_eq!(public.verify(pss(other, 10), &signature), Err(Error::SignatureInvalid));
        for refused in [pss(hash, most + 1), pss(hash, usize::MAX), pss(Hash::Shake256, 10)] {
            assert_eq!(key.sign(refused), Err(Error::ParameterInvalid));
            assert_eq!(public.verify(refused, &signature), Err(Error::ParameterInvalid));
        }
        let short = &digest[1..];
        for refused in [
            Padding::Pkcs1 { hash, digest: short },
            Padding::Pss { hash, mgf: hash, salt_len: 10, digest: short },
        ] {
            assert_eq!(key.sign(refused), Err(Error::InputLength));
        }
    }
    let shake = Padding::Pkcs1 { hash: Hash::Shake128, digest: &[0; 32] };
    assert_eq!(key.sign(shake), Err(Error::ParameterInvalid));

    for len in [0, 1, 19, 245] {
        let padding = Padding::Pkcs1Raw(&data[..len]);
        let signature = key.sign(padding).unwrap();
        public.verify(padding, &signature).unwrap();
        assert_eq!(public.verify(Padding::Pkcs1Raw(b"other"), &signature), Err(Error::SignatureInvalid));
    }
    assert_eq!(key.sign(Padding::Pkcs1Raw(&[0; 246])), Err(Error::InputLength));
    // Raw PKCS#1 over a DigestInfo is PKCS#1 over the digest.
    let digest = Hash::Sha256.digest(b"m").unwrap();
    let info = [&[0x30, 0x31, 0x30, 0x0d][..], Hash::Sha256.oid_der(), &[5, 0, 4, 32], &digest].concat();
    let signature = key.sign(Padding::Pkcs1Raw(&info)).unwrap();
    public.verify(Padding::Pkcs1 { hash: Hash::Sha256, digest: &digest }, &signature).unwrap();
}

#[test]
fn rsa_sizes_and_exponents() {
    for bits in [0, 1024, 2047, 2049, 2056, 4224, 8192, u32::MAX] {
        assert_eq!(rsa::PrivateKey::generate(bits, &[1, 0, 1]).err(), Some(Error::KeySizeRange), "{bits}");
    }
    for exponent in [
        &[][..],
        &[0],
        &[1],
        &[3],
        &[1, 0, 0],
        &[1, 0, 2],
        &[1, 0, 0, 0, 1],
        &[2, 0, 0, 0, 1],
        &[1; 6],
        &[1; 100],
    ] {
        assert_eq!(
            rsa::PrivateKey::generate(2048, exponent).err(),
            Some(Error::ParameterInvalid),
            "{exponent:?}"
        );
    }
    let key = rsa::PrivateKey::generate(2176, &[0, 1, 0, 3]).unwrap();
    assert_eq!(key.public_key().public_exponent(), [1, 0, 3]);
    assert_eq!(key.public_key().modulus().len(), 272);
    for (modulus, error) in [
        (vec![], Error::KeySizeRange),
        (vec![0xff; 255], Error::KeySizeRange),
        (vec![0xff; 513], Error::KeySizeRange),
        ([vec![0x7f], vec![0xff; 255]].concat(), Error::KeySizeRange),
    ] {
        assert_eq!(rsa::PublicKey::from_components(&modulus, &[1, 0, 1]).err(), Some(error));
    }
    let modulus = [vec![0, 0], key.public_key().modulus().to_vec()].concat();
    let public = rsa::PublicKey::from_components(&modulus, &[0, 3]).unwrap();
    assert_eq!((public.modulus(), public.public_exponent()), (key.public_key().modulus(), &[3][..]));
    for exponent in [&[][..], &[0], &[1], &[2], &[1, 0, 0], &[0xff; 6]] {
        let taken = rsa::PublicKey::from_components(&modulus, exponent);
        assert_eq!(taken.err(), Some(Error::KeyInvalid), "{exponent:?}");
    }
    let even = [&[0x80][..], &[0; 255]].concat();
    assert_eq!(rsa::PublicKey::from_components(&even, &[3]).err(), Some(Error::KeyInvalid));
}

#[test]
fn rsa_numbers_that_disagree_are_refused() {
    let key = rsa_2048();
    let other = rsa_2048().components().unwrap();
    let good = key.components().unwrap();
    let again = rsa::PrivateKey::from_components(&good).unwrap();
    assert_eq!(again.public_key().modulus(), key.public_key().modulus());
    let refused = |what: &str, components: &Components| {
        assert_eq!(rsa::PrivateKey::from_components(components).err(), Some(Error::KeyInvalid), "{what}");
    };
    refused("n", &Components { modulus: other.modulus.clone(), ..good.clone() });
    refused("e", &Components { public_exponent: vec![3], ..good.clone() });
    refused("d", &Components { private_exponent: other.private_exponent.clone(), ..good.clone() });
    for index in 0..5 {
        for number in [
            other.crt[index].clone(),
            SecretBytes::new(&[]),
            SecretBytes::new(&[1]),
            SecretBytes::new(&[9; 300]),
        ] {
            let mut components = good.clone();
            components.crt[index] = number;
            refused(&format!("crt {index}"), &components);
        }
        let mut components = good.clone();
        let mut altered = components.crt[index].expose().to_vec();
        altered[60] ^= 4;
        components.crt[index] = SecretBytes::new(&altered);
        refused(&format!("crt {index}, one bit"), &components);
    }
    let short = Components { modulus: vec![0xff; 128], ..good };
    assert_eq!(rsa::PrivateKey::from_components(&short).err(), Some(Error::KeySizeRange));
}

#[test]
fn keys_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<algorithms::PrivateKey>();
    shared::<algorithms::PublicKey>();
    shared::<algorithms::digest::Digest>();
    shared::<algorithms::mac::Hmac>();
    shared::<algorithms::aes::Cipher>();
    shared::<algorithms::ml_dsa::Mu>();
    let rsa = rsa_2048();
    let ec = ecdsa::PrivateKey::generate(Curve::P256).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let (rsa, ec) = (&rsa, &ec);
            scope.spawn(move || {
                for round in 0..10_u8 {
                    let digest = Hash::Sha256.digest(&[thread, round]).unwrap();
                    let padding = Padding::Pkcs1 { hash: Hash::Sha256, digest: &digest };
                    rsa.public_key().verify(padding, &rsa.sign(padding).unwrap()).unwrap();
                    ec.public_key().verify(&digest, &ec.sign(&digest).unwrap()).unwrap();
                }
            });
        }
    });
}
