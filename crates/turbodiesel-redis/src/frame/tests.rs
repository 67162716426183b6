//! What was written is read; whatever else is there is rejected.

use proptest::{collection::vec, prelude::*};

use super::*;

const NOW: u64 = 1_700_000_000_000;
const MAX: usize = 1 << 16;
const COMPRESS_FROM: usize = 64;

fn seal() -> Seal {
    Seal::new(b"secret", "shop", b"epoch 1")
}

fn framed(value: impl Into<Bytes>) -> Framed {
    Framed { value: value.into(), tier: Tier::L2, expires_at: NOW + 1_000 }
}

fn bytes(value: &[u8]) -> Bytes {
    encode(&seal(), b"user 7", &framed(value.to_vec()), COMPRESS_FROM).into()
}

fn read(bytes: &Bytes) -> Result<Framed, Rejection> {
    decode(&seal(), b"user 7", bytes, NOW, MAX)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What version 1 wrote must be read, and written, for as long as there is a version 1. A difference
/// here means that processes of two releases which share a Redis no longer understand each other.
#[test]
fn golden_payloads_of_version_1() {
    let plain = bytes(b"Ann");
    assert_eq!(hex(&plain), include_str!("golden/v1-plain.hex").trim());
    assert_eq!(read(&plain), Ok(framed("Ann")));
    let long = bytes(&[b'a'; 100]);
    assert_eq!(hex(&long), include_str!("golden/v1-lz4.hex").trim());
    assert_eq!(read(&long), Ok(framed(vec![b'a'; 100])));
}

#[test]
fn what_does_not_shrink_is_not_compressed() {
    let mut random = fastrand::Rng::with_seed(1);
    let noise: Vec<u8> = (0..500).map(|_| random.u8(..)).collect();
    let written = bytes(&noise);
    assert_eq!(written[3] & COMPRESSED, 0);
    assert_eq!(read(&written).unwrap().value, noise);
    assert_ne!(bytes(&[7; 500])[3] & COMPRESSED, 0);
    assert_eq!(bytes(&[7; COMPRESS_FROM - 1])[3] & COMPRESSED, 0);
}

#[test]
fn what_is_wrong_is_named() {
    let good = bytes(b"Ann");
    let with = |at: usize, byte: u8| {
        let mut changed = good.to_vec();
        changed[at] = byte;
        read(&changed.into())
    };
    assert_eq!(read(&Bytes::new()), Err(Rejection::Malformed));
    assert_eq!(
        read(&Bytes::from_static(b"a value that somebody else put there, which is long")),
        Err(Rejection::Malformed)
    );
    assert_eq!(with(2, 2), Err(Rejection::UnknownVersion));
    assert_eq!(with(3, 2), Err(Rejection::UnknownVersion));
    assert_eq!(with(19, 0xff), Err(Rejection::TooLarge));
    assert_eq!(with(HEADER, b'U'), Err(Rejection::WrongKey));
    assert_eq!(with(4, 0), Err(Rejection::Forged), "the tier");
    assert_eq!(with(15, 9), Err(Rejection::Forged), "the expiry");
    assert_eq!(with(good.len() - 1, b'N'), Err(Rejection::Forged), "the value");
    assert_eq!(decode(&seal(), b"user 8", &good, NOW, MAX), Err(Rejection::WrongKey));
    assert_eq!(decode(&seal(), b"user 7", &good, NOW + 1_000, MAX), Err(Rejection::Expired));
    for other in [
        Seal::new(b"secret!", "shop", b"epoch 1"),
        Seal::new(b"secret", "shops", b"epoch 1"),
        Seal::new(b"secret", "shop", b"epoch 2"),
        Seal::new(b"secret", "shope", b"poch 1"),
    ] {
        assert_eq!(decode(&other, b"user 7", &good, NOW, MAX), Err(Rejection::Forged));
    }
}

/// Whoever has the secret could still claim a value that fills the memory.
#[test]
fn a_bomb_is_refused_before_it_is_unpacked() {
    let seal = seal();
    let bomb = framed(vec![0; MAX + 1]);
    let bytes = encode(&seal, b"user 7", &bomb, COMPRESS_FROM).into();
    assert_eq!(read(&bytes), Err(Rejection::TooLarge));
    // One that lies about its size: sealed, small, and more than LZ4 could make of it.
    let mut small = encode(&seal, b"user 7", &framed(vec![0; 100]), COMPRESS_FROM);
    small[16..20].copy_from_slice(&60_000_u32.to_le_bytes());
    let mac = seal.mac(&small[..MAC.start], &small[MAC.end..]);
    small[MAC].copy_from_slice(&mac);
    assert_eq!(read(&small.into()), Err(Rejection::Malformed));
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        secret in vec(any::<u8>(), 0..40),
        key in vec(any::<u8>(), 0..100),
        value in prop_oneof![vec(any::<u8>(), 0..300), vec(0_u8..2, 0..3_000)],
        tier in 0_usize..3,
        lifetime in 1_u64..1_000_000,
    ) {
        let seal = Seal::new(&secret, "shop", b"1");
        let framed =
            Framed { value: value.into(), tier: Tier::ALL[tier], expires_at: NOW + lifetime };
        let bytes: Bytes = encode(&seal, &key, &framed, COMPRESS_FROM).into();
        prop_assert_eq!(tier_of(&bytes), Some(framed.tier));
        prop_assert_eq!(decode(&seal, &key, &bytes, NOW, MAX), Ok(framed));
    }

    #[test]
    fn changed_bytes_are_never_a_value(
        value in prop_oneof![vec(any::<u8>(), 0..200), vec(0_u8..2, 0..2_000)],
        at in any::<prop::sample::Index>(),
        flip in 1_u8..,
    ) {
        let mut changed = bytes(&value).to_vec();
        let at = at.index(changed.len());
        changed[at] ^= flip;
        prop_assert!(read(&changed.into()).is_err());
    }

    #[test]
    fn cut_and_lengthened_bytes_are_never_a_value(
        value in prop_oneof![vec(any::<u8>(), 0..200), vec(0_u8..2, 0..2_000)],
        at in any::<prop::sample::Index>(),
        more in vec(any::<u8>(), 1..20),
    ) {
        let whole = bytes(&value);
        prop_assert!(read(&whole.slice(..at.index(whole.len()))).is_err());
        let mut longer = whole.to_vec();
        longer.extend(more);
        prop_assert!(read(&longer.into()).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_never_a_value(bytes in vec(any::<u8>(), 0..300), head in any::<bool>()) {
        let mut bytes = bytes;
        if head && bytes.len() > 2 {
            bytes[..3].copy_from_slice(b"TD\x01");
        }
        prop_assert!(read(&bytes.into()).is_err());
    }
}
