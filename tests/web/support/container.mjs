// A container image of the default guest's busybox, as an OCI layout (OCI Image 1.1).

import { execFile } from 'node:child_process';
import { createCipheriv, createHash } from 'node:crypto';
import { chmod, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { SITE_FOLDER, build } from './server.mjs';

/// Bytes of a header of cpio's `newc` format: the magic, and 13 numbers of 8 hexadecimal digits.
const CPIO_HEADER_BYTES = 110;

/// The content of a file of the site's guest.
async function fileOfGuest(name) {
  const guest = JSON.parse(await readFile(path.join(SITE_FOLDER, await build(), 'guest.json'), 'utf8'));
  const archive = gunzipSync(await readFile(path.join(SITE_FOLDER, `images/${guest.initrd.hash}.gz`)));
  const even = (at) => (at + 3) & ~3;
  for (let at = 0; archive.subarray(at, at + 5).toString() === '07070'; ) {
    const number = (index) => Number.parseInt(archive.subarray(at + 6 + 8 * index, at + 14 + 8 * index).toString(), 16);
    const [byteLength, nameLength] = [number(6), number(11)];
    const begin = even(at + CPIO_HEADER_BYTES + nameLength);
    // Names are padded with NULs.
    const padded = archive.subarray(at + CPIO_HEADER_BYTES, at + CPIO_HEADER_BYTES + nameLength).toString();
    if (padded.split('\0')[0] === name) {
      return archive.subarray(begin, begin + byteLength);
    }
    at = even(begin + byteLength);
  }
  throw new Error(`the guest has no ${name}`);
}

/// Bytes that do not compress, and are the same each time: the root image is kept among this computer's.
function noise(length) {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16));
  return cipher.update(Buffer.alloc(length));
}

/// Makes the layout in a folder. Its image has a shell as user `app`, and so many bytes that nobody reads.
export async function makeLayout(folder, padding) {
  const root = path.join(folder, 'root');
  await mkdir(path.join(root, 'bin'), { recursive: true });
  await mkdir(path.join(root, 'etc'));
  await writeFile(path.join(root, 'bin/busybox'), await fileOfGuest('bin/busybox'));
  await chmod(path.join(root, 'bin/busybox'), 0o755);
  for (const name of ['sh', 'cat', 'id']) {
    await symlink('busybox', path.join(root, 'bin', name));
  }
  await writeFile(path.join(root, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/:/bin/sh\n');
  await writeFile(path.join(root, 'padding'), noise(padding));
  const layer = path.join(folder, 'layer.tar');
  await promisify(execFile)('tar', ['--owner=0', '--group=0', '--mtime=@0', '--sort=name', '-cf', layer, '-C', root, '.']);

  const layout = path.join(folder, 'layout');
  await mkdir(path.join(layout, 'blobs/sha256'), { recursive: true });
  const blob = async (mediaType, bytes) => {
    const digest = createHash('sha256').update(bytes).digest('hex');
    await writeFile(path.join(layout, 'blobs/sha256', digest), bytes);
    return { mediaType, digest: `sha256:${digest}`, size: bytes.length };
  };
  const json = (mediaType, value) => blob(mediaType, Buffer.from(JSON.stringify(value)));
  const tar = await blob('application/vnd.oci.image.layer.v1.tar', await readFile(layer));
  const config = await json('application/vnd.oci.image.config.v1+json', {
    architecture: 'riscv64',
    os: 'linux',
    config: { Cmd: ['/bin/sh'], Env: ['PATH=/bin', 'PS1=$ '], User: 'app', WorkingDir: '/etc' },
    rootfs: { type: 'layers', diff_ids: [tar.digest] },
  });
  const manifest = await json('application/vnd.oci.image.manifest.v1+json', { schemaVersion: 2, config, layers: [tar] });
  const annotations = { 'org.opencontainers.image.ref.name': 'latest' };
  await writeFile(
    path.join(layout, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
  await writeFile(path.join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  return layout;
}
