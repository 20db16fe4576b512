use super::*;

/// Unpacks what comes in slices of so many bytes, in pieces of 1000.
fn unpack(packed: &[u8], slice_bytes: usize) -> Result<Vec<u8>, String> {
    let mut decoder = Decoder::new();
    let mut piece = [0; 1000];
    let mut unpacked = Vec::new();
    for mut slice in packed.chunks(slice_bytes) {
        loop {
            let put = decoder.step(&mut slice, &mut piece)?;
            unpacked.extend_from_slice(&piece[..put]);
            if put == 0 {
                assert!(slice.is_empty());
                break;
            }
        }
    }
    loop {
        let put = decoder.finish(&mut piece)?;
        unpacked.extend_from_slice(&piece[..put]);
        if put == 0 {
            return Ok(unpacked);
        }
    }
}

fn plain() -> Vec<u8> {
    let words =
        (0..20_000_u32).flat_map(|i| (i.wrapping_mul(2_654_435_761) >> (i % 23)).to_le_bytes());
    words.chain([0; 30_000]).collect()
}

/// A gzip member with the flags' optional parts, of one deflate stream.
fn gzip(plain: &[u8], flags: u8) -> Vec<u8> {
    let mut packed = vec![0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 3];
    if flags & FLAG_EXTRA != 0 {
        packed.extend_from_slice(&[3, 0, 9, 9, 9]);
    }
    if flags & FLAG_NAME != 0 {
        packed.extend_from_slice(b"layer.tar\0");
    }
    if flags & FLAG_COMMENT != 0 {
        packed.extend_from_slice(b"\0");
    }
    if flags & FLAG_HEADER_CRC != 0 {
        packed.extend_from_slice(&[1, 2]);
    }
    packed.extend(miniz_oxide::deflate::compress_to_vec(plain, 6));
    packed.extend(crc32fast::hash(plain).to_le_bytes());
    packed.extend((plain.len() as u32).to_le_bytes());
    packed
}

#[test]
fn layers_come_out_whatever_their_compression_and_slices() {
    let plain = plain();
    let two_frames =
        [&plain[..50_000], &plain[50_000..]].map(|part| zstd::bulk::compress(part, 3).unwrap());
    let two_members = [
        gzip(&plain[..7], 0),
        gzip(&plain[7..], FLAG_NAME),
        vec![0; 20],
    ];
    let packed = [
        plain.clone(),
        gzip(&plain, 0),
        gzip(
            &plain,
            FLAG_EXTRA | FLAG_NAME | FLAG_COMMENT | FLAG_HEADER_CRC,
        ),
        two_members.concat(),
        zstd::bulk::compress(&plain, 3).unwrap(),
        two_frames.concat(),
        [&b"\x50\x2a\x4d\x18\x02\0\0\0xx"[..], &two_frames.concat()].concat(),
    ];
    for (at, packed) in packed.iter().enumerate() {
        for slice_bytes in [1, 7, 1000, 65_536, usize::MAX] {
            assert!(
                unpack(packed, slice_bytes).unwrap() == plain,
                "{at} in {slice_bytes}"
            );
        }
    }
    assert_eq!(unpack(b"", 1).unwrap(), b"");
    assert_eq!(unpack(b"\x1f\x8b", 1).unwrap(), b"\x1f\x8b");
}

#[test]
fn damage_and_missing_ends_are_told() {
    let plain = plain();
    let mut wrong_sum = gzip(&plain, 0);
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    assert!(unpack(&wrong_sum, 4096).is_err_and(|said| said.contains("checksum")));
    let garbage = [gzip(&plain, 0), b"garbage".to_vec()].concat();
    assert!(unpack(&garbage, 4096).is_err_and(|said| said.contains("follows")));
    for packed in [
        gzip(&plain, FLAG_NAME),
        zstd::bulk::compress(&plain, 3).unwrap(),
    ] {
        for length in [5, 12, packed.len() / 2, packed.len() - 1] {
            assert!(unpack(&packed[..length], 4096).is_err(), "{length}");
        }
        let mut damaged = packed.clone();
        let at = damaged.len() / 2;
        damaged[at..at + 8].fill(0xff);
        assert!(unpack(&damaged, 4096).is_err() || unpack(&damaged, 4096).unwrap() != plain);
    }
    let big_window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 0, 0, 0];
    assert!(unpack(&big_window, 4096).is_err());
}
