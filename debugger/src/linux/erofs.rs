//! Files of an uncompressed EROFS on a disk, as containers' root images are made; Linux's fs/erofs/erofs_fs.h has the
//! format. All integers are little-endian.
//!
//! A disk says anything: each number is checked, and no read is larger than what was asked for.

/// Bytes of a disk from an offset; `None` where they are not to be had.
pub(super) type ReadDisk<'a> = dyn FnMut(u64, &mut [u8]) -> Option<()> + 'a;

const SUPERBLOCK_OFFSET: u64 = 1024;
const SUPERBLOCK_BYTES: usize = 128;
const MAGIC: u32 = 0xe0f5_e1e2;
/// Blocks of 512 bytes to 64 KiB.
const BLOCK_BITS: std::ops::RangeInclusive<u8> = 9..=16;
/// Inodes begin at multiples of this.
const SLOT_BYTES: u64 = 32;
const COMPACT_BYTES: u64 = 32;
const EXTENDED_BYTES: u64 = 64;
/// `EROFS_INODE_FLAT_PLAIN` and `EROFS_INODE_FLAT_INLINE`.
const PLAIN: u16 = 0;
const INLINE: u16 = 2;

/// Where the content of a file is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Inode {
    /// Bytes of content.
    pub(super) size: u64,
    /// Where the content's blocks begin on the disk.
    blocks_at: u64,
    /// How much of the content is there.
    blocks_bytes: u64,
    /// Where the rest is on the disk.
    rest_at: u64,
}

impl Inode {
    /// Reads the inode with a number; `None` when there is none, or its content is stored in another way than in
    /// successive blocks.
    pub(super) fn read(number: u64, read: &mut ReadDisk<'_>) -> Option<Self> {
        let mut superblock = [0; SUPERBLOCK_BYTES];
        read(SUPERBLOCK_OFFSET, &mut superblock)?;
        let block_bits = superblock[12];
        if u32_at(&superblock, 0)? != MAGIC || !BLOCK_BITS.contains(&block_bits) {
            return None;
        }
        let block_bytes = 1_u64 << block_bits;
        // `meta_blkaddr`
        let inodes_at = u64::from(u32_at(&superblock, 40)?) << block_bits;
        let at = number.checked_mul(SLOT_BYTES)?.checked_add(inodes_at)?;
        let mut inode = [0; COMPACT_BYTES as usize];
        read(at, &mut inode)?;
        let format = u16_at(&inode, 0)?;
        let attribute_words = u64::from(u16_at(&inode, 2)?);
        let (inode_bytes, size) = if format & 1 == 0 {
            (COMPACT_BYTES, u64::from(u32_at(&inode, 8)?))
        } else {
            let high = u64::from(u32_at(&inode, 12)?);
            (EXTENDED_BYTES, high << 32 | u64::from(u32_at(&inode, 8)?))
        };
        // A header of 12 bytes, and words of 4 of which the first is the header's.
        let attribute_bytes = (attribute_words.checked_sub(1)).map_or(0, |words| 12 + 4 * words);
        let blocks_bytes = match format >> 1 & 7 {
            PLAIN => size,
            INLINE => size - size % block_bytes,
            _ => return None,
        };
        Some(Self {
            size,
            blocks_at: u64::from(u32_at(&inode, 16)?) << block_bits,
            blocks_bytes,
            rest_at: at.checked_add(inode_bytes + attribute_bytes)?,
        })
    }

    /// Fills `buffer` with content from an offset; `None` when some of it is not to be had.
    pub(super) fn read_content(
        &self,
        offset: u64,
        buffer: &mut [u8],
        read: &mut ReadDisk<'_>,
    ) -> Option<()> {
        let end = offset.checked_add(buffer.len() as u64)?;
        if end > self.size {
            return None;
        }
        let in_blocks = (self.blocks_bytes.saturating_sub(offset)).min(buffer.len() as u64);
        let (blocks, rest) = buffer.split_at_mut(in_blocks as usize);
        if !blocks.is_empty() {
            read(self.blocks_at.checked_add(offset)?, blocks)?;
        }
        if !rest.is_empty() {
            let from = (offset + in_blocks).checked_sub(self.blocks_bytes)?;
            read(self.rest_at.checked_add(from)?, rest)?;
        }
        Some(())
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..at + 2)?;
    Some(u16::from_le_bytes(field.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(field.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = 4096;

    /// A disk with one inode, in slot 40, with two words of attributes.
    fn disk(format: u16, size: u64) -> Vec<u8> {
        let mut disk: Vec<u8> = (0..4 * BLOCK).map(|at| (at % 251) as u8).collect();
        let mut put = |at: usize, field: &[u8]| disk[at..at + field.len()].copy_from_slice(field);
        put(1024, &[0; SUPERBLOCK_BYTES]);
        put(1024, &MAGIC.to_le_bytes());
        put(1024 + 12, &[12]);
        put(1280, &format.to_le_bytes());
        put(1280 + 2, &2_u16.to_le_bytes());
        put(1280 + 8, &size.to_le_bytes());
        put(1280 + 16, &2_u32.to_le_bytes());
        disk
    }

    fn content(disk: &[u8], offset: u64, length: usize) -> Option<Vec<u8>> {
        let mut read = |offset: u64, buffer: &mut [u8]| {
            let from = usize::try_from(offset).ok()?;
            buffer.copy_from_slice(disk.get(from..from.checked_add(buffer.len())?)?);
            Some(())
        };
        let inode = Inode::read(40, &mut read)?;
        let mut bytes = vec![0; length];
        inode.read_content(offset, &mut bytes, &mut read)?;
        Some(bytes)
    }

    #[test]
    fn content_is_in_blocks_and_behind_the_inode() {
        let size = BLOCK as u64 + 10;
        // Behind an extended inode of 64 bytes and 16 of attributes.
        let rest = 1280 + 64 + 16;
        let inline = disk(1 | INLINE << 1, size);
        let across = [&inline[3 * BLOCK - 4..3 * BLOCK], &inline[rest..rest + 10]].concat();
        assert_eq!(content(&inline, BLOCK as u64 - 4, 14), Some(across));
        let plain = disk(1 | PLAIN << 1, size);
        let expected = plain[3 * BLOCK..3 * BLOCK + 10].to_vec();
        assert_eq!(content(&plain, BLOCK as u64, 10), Some(expected));
        assert_eq!(content(&plain, BLOCK as u64, 11), None);
        let compact = disk(INLINE << 1, 10);
        let expected = compact[rest - 32..rest - 22].to_vec();
        assert_eq!(content(&compact, 0, 10), Some(expected));
    }

    #[test]
    fn what_is_wrong_on_the_disk_is_refused() {
        let check_refused = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut changed = disk(1, 100);
            change(&mut changed);
            assert_eq!(content(&changed, 0, 100), None);
        };
        assert!(content(&disk(1, 100), 0, 100).is_some());
        check_refused(&|disk| disk[1024] = 0);
        check_refused(&|disk| disk[1024 + 12] = 63);
        check_refused(&|disk| disk[1024 + 40..][..4].fill(0xff));
        // Compressed.
        check_refused(&|disk| disk[1280] = 1 | 1 << 1);
        check_refused(&|disk| disk[1280 + 8] = 99);
        check_refused(&|disk| disk[1280 + 16..][..4].fill(0xff));
        check_refused(&|disk| disk.truncate(1300));
        assert_eq!(content(&disk(1, u64::MAX), u64::MAX - 1, 2), None);
    }
}
