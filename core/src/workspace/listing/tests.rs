use super::*;

fn entry(kind: EntryKind) -> Entry {
    Entry {
        kind,
        mode: 0o644,
        uid: 1000,
        gid: 100_000,
        mtime: Timestamp {
            seconds: -1_000_000,
            nanoseconds: 7,
        },
    }
}

fn directory() -> Entry {
    entry(EntryKind::Directory)
}

fn small() -> ListingBuilder {
    let mut builder = ListingBuilder::new(directory());
    // In another order than that of the names.
    let file = |byte_len| entry(EntryKind::File { byte_len });
    builder
        .add(ListingBuilder::ROOT, b"z", file(1 << 44))
        .unwrap();
    let b = builder
        .add(ListingBuilder::ROOT, b"b", directory())
        .unwrap();
    let a = builder
        .add(ListingBuilder::ROOT, b"a", directory())
        .unwrap();
    builder.add(b, b"\xff\x01", file(0)).unwrap();
    let target = b"../z".to_vec();
    builder
        .add(a, b"l", entry(EntryKind::Symlink { target }))
        .unwrap();
    let c = builder.add(a, b"c", directory()).unwrap();
    builder.add(c, &[b'n'; 255], file(5)).unwrap();
    builder
}

#[test]
fn a_listing_comes_back_as_it_was() {
    let bytes = small().encode();
    let listing = Listing::decode(&bytes).unwrap();
    let names: Vec<_> = (0..listing.entry_count())
        .map(|number| listing.path(number).unwrap())
        .collect();
    let long = [&b"a/c/"[..], &[b'n'; 255]].concat();
    let expect: [&[u8]; 8] = [b"", b"a", b"b", b"z", b"a/c", b"a/l", b"b/\xff\x01", &long];
    assert_eq!(names, expect);
    assert_eq!(listing.children(0), 1..4);
    assert_eq!(listing.children(2), 6..7);
    assert_eq!(listing.children(3), 0..0);
    assert_eq!(listing.lookup(1, b"l"), Some(5));
    assert_eq!(listing.lookup(1, b"m"), None);
    assert_eq!(listing.parent(7), Some(4));
    assert_eq!(listing.file_bytes(3), Some(1 << 44));
    assert_eq!(listing.entry(0), Some(&directory()));
    assert_eq!(listing.hash(), ImageHash::of(&bytes));
}

#[test]
fn what_is_no_listing_is_refused() {
    let bytes = small().encode();
    for length in 0..bytes.len() {
        assert!(Listing::decode(&bytes[..length]).is_err(), "{length}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(Listing::decode(&longer).is_err());
    // One byte changed gives an error, or another listing with its own encoding.
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1] {
            let mut damaged = bytes.clone();
            damaged[at] = value;
            if let Ok(listing) = Listing::decode(&damaged) {
                assert_eq!(encoded_again(&listing), damaged);
            }
        }
    }
}

fn encoded_again(listing: &Listing) -> Vec<u8> {
    let mut builder = ListingBuilder::new(listing.entry(0).unwrap().clone());
    let mut directories = vec![ListingBuilder::ROOT];
    for number in 1..listing.entry_count() {
        let parent = directories[listing.parent(number).unwrap() as usize];
        let entry = listing.entry(number).unwrap().clone();
        let added = builder.add(parent, listing.name(number).unwrap(), entry);
        directories.push(added.unwrap());
    }
    builder.encode()
}

#[test]
fn the_builder_refuses_what_the_decoder_would() {
    let mut builder = small();
    let root = ListingBuilder::ROOT;
    let long = [b'n'; 256];
    for name in [&b""[..], b".", b"..", b"x/y", b"x\0", b"a", &long] {
        assert!(builder.add(root, name, directory()).is_err(), "{name:?}");
    }
    let file = builder
        .add(root, b"f", entry(EntryKind::File { byte_len: 1 }))
        .unwrap();
    assert!(builder.add(file, b"x", directory()).is_err());
    let bad = [
        entry(EntryKind::File {
            byte_len: (1 << 44) + 1,
        }),
        entry(EntryKind::Symlink { target: vec![] }),
        entry(EntryKind::Symlink {
            target: vec![b't'; 4096],
        }),
        Entry {
            mode: 0o10_000,
            ..directory()
        },
    ];
    for entry in bad {
        assert!(builder.add(root, b"bad", entry).is_err());
    }
    let mut deep = root;
    for depth in 0..2000 {
        match builder.add(deep, b"d", directory()) {
            Ok(deeper) => deep = deeper,
            Err(_) => {
                assert_eq!(depth, usize::from(DEPTH_MAX));
                break;
            }
        }
    }
    Listing::decode(&builder.encode()).unwrap();
}
