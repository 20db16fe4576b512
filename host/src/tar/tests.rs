use super::*;

#[path = "../../tests/support/tar_builder.rs"]
mod tar_builder;

use tar_builder::{Member, TarBuilder};

/// What a reader says of an archive that comes in slices of so many bytes: entries with their contents.
fn read(archive: &[u8], slice_bytes: usize) -> Result<Vec<(Entry, Vec<u8>)>, String> {
    let mut reader = TarReader::new();
    let mut found: Vec<(Entry, Vec<u8>)> = Vec::new();
    for mut slice in archive.chunks(slice_bytes) {
        loop {
            match reader.next(&mut slice).map_err(|fault| fault.reason)? {
                Event::NeedInput => break,
                Event::Entry(entry) => found.push((*entry, Vec::new())),
                Event::Data(data) => found.last_mut().unwrap().1.extend_from_slice(data),
            }
        }
    }
    reader.finish().map_err(|fault| fault.reason)?;
    Ok(found)
}

fn rich_archive() -> Vec<u8> {
    let long = format!("{}/{}", "d".repeat(180), "n".repeat(200));
    let mut builder = TarBuilder::default();
    builder
        .add(&Member {
            content: &[7; 1300],
            mode: 0o4755,
            uid: 1000,
            gid: 5,
            ..Member::new("bin/tool", b'0')
        })
        .add(&Member {
            target: b"bin/tool",
            ..Member::new("bin/other", b'1')
        })
        .add(&Member {
            records: vec![
                (b"mtime".to_vec(), b"1500000000.25".to_vec()),
                (b"uid".to_vec(), b"3000000".to_vec()),
                (b"SCHILY.xattr.user.k".to_vec(), b"a\nb\0c".to_vec()),
            ],
            content: b"x",
            ..Member::new(&long, b'0')
        })
        .raw(&Member {
            content: b"gnu/long\0",
            ..Member::new("././@LongLink", b'L')
        })
        .raw(&Member {
            content: b"gnu/target\0",
            ..Member::new("././@LongLink", b'K')
        })
        .raw(&Member {
            target: b"short",
            ..Member::new("short", b'2')
        })
        .add(&Member {
            device: (5, 300),
            ..Member::new("dev/tty", b'3')
        });
    builder.finish()
}

#[test]
fn every_kind_of_member_is_read_in_slices_of_any_size() {
    let archive = rich_archive();
    let whole = read(&archive, usize::MAX).unwrap();
    let (tool, content) = &whole[0];
    assert_eq!((tool.mode, tool.uid, tool.gid), (0o4755, 1000, 5));
    assert_eq!(content, &[7; 1300]);
    assert_eq!(whole[1].0.kind, EntryKind::HardLink(b"bin/tool".to_vec()));
    let (long, _) = &whole[2];
    assert_eq!(long.path.len(), 381);
    assert_eq!(
        (long.mtime.seconds, long.mtime.nanoseconds),
        (1_500_000_000, 250_000_000)
    );
    assert_eq!(long.uid, 3_000_000);
    assert_eq!(*long.xattrs[&b"user.k"[..]], *b"a\nb\0c");
    assert_eq!(whole[3].0.path, b"gnu/long");
    assert_eq!(whole[3].0.kind, EntryKind::Symlink(b"gnu/target".to_vec()));
    assert_eq!(
        whole[4].0.kind,
        EntryKind::CharDevice {
            major: 5,
            minor: 300
        }
    );
    assert!(
        whole[4].0.xattrs.is_empty(),
        "an extended header is for one entry"
    );
    for slice_bytes in [1, 3, 511, 512, 513, 4096] {
        assert_eq!(read(&archive, slice_bytes).unwrap(), whole, "{slice_bytes}");
    }
}

#[test]
fn an_archive_without_its_end_is_read_and_one_cut_elsewhere_is_not() {
    let archive = rich_archive();
    let end = archive.len() - 1024;
    assert_eq!(read(&archive[..end], 4096).unwrap().len(), 5);
    assert!(read(&archive[..end + 512], 4096).is_ok());
    assert!(read(&archive[..end - 100], 4096).is_err());
    assert!(read(&archive[..1000], 4096).is_err());
    assert!(read(&archive[..512 + 1299], 4096).is_err());
    let without_padding = read(&archive[..512 + 1300], 4096).unwrap();
    assert_eq!(without_padding[0].1, [7; 1300]);
    let mut more = archive.clone();
    more.extend_from_slice(b"what follows the end means nothing");
    assert_eq!(read(&more, 4096).unwrap().len(), 5);
}

#[test]
fn what_cannot_be_read_is_refused() {
    let one = |member: &Member<'_>| read(&TarBuilder::default().add(member).finish(), 512);
    let refused = |member: &Member<'_>, reason: &str| {
        let outcome = one(member);
        assert!(
            outcome.as_ref().is_err_and(|said| said.contains(reason)),
            "{outcome:?}"
        );
    };
    refused(&Member::new("sparse", b'S'), "sparse");
    refused(&Member::new("volume", b'V'), "unknown type `V`");
    let records = vec![(b"GNU.sparse.major".to_vec(), b"1".to_vec())];
    refused(
        &Member {
            records,
            ..Member::new("sparse", b'0')
        },
        "sparse",
    );
    let records = vec![(b"uid".to_vec(), b"4294967296".to_vec())];
    refused(
        &Member {
            records,
            ..Member::new("owner", b'0')
        },
        "out of range",
    );
    let records = vec![(b"size".to_vec(), u64::MAX.to_string().into_bytes())];
    refused(
        &Member {
            records,
            ..Member::new("size", b'0')
        },
        "impossible size",
    );
    let mut archive = rich_archive();
    archive[0] ^= 1;
    assert!(read(&archive, 512).is_err_and(|said| said.contains("checksum")));
    let mut zeros = vec![0; 512];
    zeros.extend(rich_archive());
    assert!(read(&zeros, 512).is_err());
    let mut huge = TarBuilder::default();
    let mut block = [0; 512];
    block[124..136].copy_from_slice(b"00077777777\0");
    block[156] = b'L';
    assert!(read(&huge.block(block).finish(), 512).is_err_and(|said| said.contains("1 MiB")));
}

#[test]
fn data_can_be_left_out() {
    let archive = rich_archive();
    let mut reader = TarReader::new();
    let mut offset = 0_usize;
    let mut paths = Vec::new();
    while offset < archive.len() {
        let mut input = &archive[offset..archive.len().min(offset + 512)];
        let window = input.len();
        loop {
            match reader.next(&mut input).unwrap() {
                Event::NeedInput => break,
                Event::Entry(entry) => {
                    paths.push(entry.path);
                    offset += usize::try_from(reader.skip_data()).unwrap();
                }
                Event::Data(_) => panic!("all data is left out"),
            }
        }
        offset += window;
    }
    assert_eq!(paths.len(), 5);
    assert!(reader.is_at_end());
}
