//! Writes tar archives for tests: ustar headers, with a PAX header where something does not fit, like Go's writer.

/// Writes an archive member by member.
#[derive(Default)]
pub(crate) struct TarBuilder {
    bytes: Vec<u8>,
}

/// One member; [`Member::new`] gives the usual.
#[derive(Clone)]
pub(crate) struct Member<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) typeflag: u8,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: u64,
    pub(crate) target: &'a [u8],
    pub(crate) device: (u32, u32),
    pub(crate) content: &'a [u8],
    pub(crate) records: Vec<(Vec<u8>, Vec<u8>)>,
}

impl<'a> Member<'a> {
    pub(crate) fn new(path: &'a str, typeflag: u8) -> Self {
        Self {
            path: path.as_bytes(),
            typeflag,
            mode: if typeflag == b'5' { 0o755 } else { 0o644 },
            uid: 0,
            gid: 0,
            mtime: 1_000_000_000,
            target: b"",
            device: (0, 0),
            content: b"",
            records: Vec::new(),
        }
    }
}

impl TarBuilder {
    pub(crate) fn add(&mut self, member: &Member<'_>) -> &mut Self {
        let mut records = member.records.clone();
        for (key, value) in [("path", member.path), ("linkpath", member.target)] {
            if value.len() > 100 {
                records.push((key.into(), value.to_vec()));
            }
        }
        if !records.is_empty() {
            let mut content = Vec::new();
            for (key, value) in &records {
                content.extend(record(key, value));
            }
            let header = Member {
                content: &content,
                records: Vec::new(),
                ..Member::new("PaxHeaders", b'x')
            };
            self.raw(&header);
        }
        self.raw(member)
    }

    /// A member whose fields are cut to what the header block holds.
    pub(crate) fn raw(&mut self, member: &Member<'_>) -> &mut Self {
        let mut block = [0; 512];
        fn cut(bytes: &[u8]) -> &[u8] {
            &bytes[..bytes.len().min(100)]
        }
        fn put(block: &mut [u8], at: usize, bytes: &[u8]) {
            block[at..at + bytes.len()].copy_from_slice(bytes);
        }
        let octal = |value: u64, digits: usize| format!("{value:0digits$o}").into_bytes();
        put(&mut block, 0, cut(member.path));
        put(&mut block, 100, &octal(member.mode.into(), 7));
        put(
            &mut block,
            108,
            &octal(u64::from(member.uid) & 0o7777777, 7),
        );
        put(
            &mut block,
            116,
            &octal(u64::from(member.gid) & 0o7777777, 7),
        );
        put(&mut block, 124, &octal(member.content.len() as u64, 11));
        put(&mut block, 136, &octal(member.mtime, 11));
        block[156] = member.typeflag;
        put(&mut block, 157, cut(member.target));
        put(&mut block, 257, b"ustar\x0000");
        put(&mut block, 329, &octal(member.device.0.into(), 7));
        put(&mut block, 337, &octal(member.device.1.into(), 7));
        self.block(block);
        self.bytes.extend_from_slice(member.content);
        let padding = self.bytes.len().wrapping_neg() % 512;
        self.bytes.resize(self.bytes.len() + padding, 0);
        self
    }

    /// A header block of the caller's making; its checksum is put in.
    pub(crate) fn block(&mut self, mut block: [u8; 512]) -> &mut Self {
        mend_header(&mut block);
        self.bytes.extend_from_slice(&block);
        self
    }

    pub(crate) fn finish(&mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        std::mem::take(&mut self.bytes)
    }
}

fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length.to_string().len() + rest != length {
        length = length.to_string().len() + rest;
    }
    let mut record = format!("{length} ").into_bytes();
    record.extend_from_slice(key);
    record.push(b'=');
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

/// Puts the right checksum into a header block.
pub(crate) fn mend_header(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}
