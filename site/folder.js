// Folders that a person gives a machine to work in. Files stay where they are: what is kept of one is a File, by which the browser reads
// it when it is wanted. The lists here are of pairs of a path below the folder and a File; undefined for a directory, and null for what
// cannot be read.

/// Of a listing (`core/src/workspace/listing.rs`), without its root.
const ENTRIES_MAX = (1 << 20) - 1;
/// Requests to the browser that are under way at a time.
const AT_A_TIME = 32;
/// Entries between two reports of how far it is.
const REPORT_ENTRIES = 500;

const TOO_MANY = `The folder has more than ${ENTRIES_MAX.toLocaleString('en')} files: pick one below it.`;

/// Lets the person choose a folder. `picked` gets its name and its list, or nothing if the person has thought better of it.
export function chooseFolder(picked) {
  const input = document.createElement('input');
  input.type = 'file';
  input.id = 'reprise-folder';
  input.webkitdirectory = true;
  input.hidden = true;
  input.addEventListener('change', () => {
    const files = [...input.files];
    input.remove();
    picked(files);
  });
  input.addEventListener('cancel', () => input.remove());
  document.body.append(input);
  input.click();
}

/// The folder that a browser has listed: each path begins with its name.
export function folderFromFiles(files) {
  const name = files[0]?.webkitRelativePath.split('/')[0] ?? '';
  return { name, entries: files.map((file) => [file.webkitRelativePath.slice(name.length + 1), file]) };
}

/// The folder among what is dropped (File and Directory Entries API), if there is one.
export function droppedFolder(dataTransfer) {
  const entries = [...(dataTransfer?.items ?? [])].map((item) => item.webkitGetAsEntry?.());
  return entries.find((entry) => entry?.isDirectory);
}

/// Goes through a folder that was dropped. `tell` hears how many entries were found so far, and says whether anybody still wants it.
export async function walkFolder(folder, tell) {
  const entries = [];
  const waiting = [{ path: '', directory: folder }];
  const add = (path, file) => {
    if (entries.push([path, file]) > ENTRIES_MAX) {
      throw new Error(TOO_MANY);
    }
    if (entries.length % REPORT_ENTRIES === 0 && !tell(entries.length)) {
      throw new Error('The folder is not wanted any more.');
    }
  };
  while (waiting.length > 0) {
    const { path, directory } = waiting.pop();
    let children;
    try {
      children = await childrenOf(directory);
    } catch (error) {
      if (path === '' || error.message === TOO_MANY) {
        throw error;
      }
      // The rest is none the worse for it.
      add(path.slice(0, -1), null);
      continue;
    }
    const files = [];
    for (const child of children) {
      const below = path + child.name;
      if (child.isDirectory) {
        add(below, undefined);
        waiting.push({ path: `${below}/`, directory: child });
      } else {
        files.push([below, child]);
      }
    }
    await concurrently(files, async ([below, child]) => {
      add(below, await new Promise((resolve) => child.file(resolve, () => resolve(null))));
    });
  }
  return entries;
}

/// A reader hands out some entries at a time.
async function childrenOf(directory) {
  const reader = directory.createReader();
  const children = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) {
      return children;
    }
    children.push(...some);
    if (children.length > ENTRIES_MAX) {
      throw new Error(TOO_MANY);
    }
  }
}

/// Does something for each item, some at a time.
async function concurrently(items, action) {
  let next = 0;
  const work = async () => {
    while (next < items.length) {
      await action(items[next++]);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, work));
}

/// What an engine is told of a folder: JSON as `host/src/workspace/picked.rs` reads it. Whether something is a program shows in its
/// first bytes, since a browser tells no modes.
export async function listFolder(entries, progress) {
  if (entries.length > ENTRIES_MAX) {
    throw new Error(TOO_MANY);
  }
  const listed = new Array(entries.length);
  let done = 0;
  await concurrently([...entries.keys()], async (number) => {
    const [path, file] = entries[number];
    const name = wellFormed(path);
    if (file === undefined || file === null) {
      listed[number] = [name, file === null ? 'unreadable' : 'directory', 0, 0];
    } else {
      listed[number] = [name, await kindOf(file), file.size, Math.floor(file.lastModified / 1000)];
    }
    done += 1;
    if (done % REPORT_ENTRIES === 0) {
      progress(done, entries.length);
    }
  });
  return new TextEncoder().encode(JSON.stringify(listed));
}

/// Names are what a text of UTF-16 makes of them, which may be none in UTF-8.
function wellFormed(text) {
  return new TextDecoder().decode(new TextEncoder().encode(text));
}

async function kindOf(file) {
  if (file.size < 2) {
    return 'file';
  }
  try {
    const first = new Uint8Array(await file.slice(0, 4).arrayBuffer());
    const begins = (...bytes) => bytes.every((byte, at) => first[at] === byte);
    return begins(0x23, 0x21) || begins(0x7f, 0x45, 0x4c, 0x46) ? 'program' : 'file';
  } catch {
    // Who reads it will hear of that.
    return 'file';
  }
}

/// Bytes of a file. A failure is an Error whose message is to be said behind the file's name.
export async function readFilePart(file, offset, length) {
  let bytes;
  try {
    bytes = new Uint8Array(await file.slice(offset, offset + length).arrayBuffer());
  } catch (error) {
    // File API, 6.1: what a File stands for is as it was when it was picked, or cannot be read.
    throw new Error(
      error?.name === 'NotFoundError'
        ? 'is no longer where it was when the folder was picked'
        : 'has changed since the folder was picked, or cannot be read',
    );
  }
  if (bytes.length !== length) {
    throw new Error('has changed since the folder was picked');
  }
  return bytes;
}
