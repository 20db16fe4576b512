// A folder that is dropped, in whichever browser.

import assert from 'node:assert/strict';

/// Drops what a browser would tell of a folder (File and Directory Entries API), since no test can drop a real one: files `a`, `c`, a script, and
/// `deep/er/b`, and the directory `empty`.
function drop(app) {
  return app.page.evaluate(() => {
    const file = (name, text) => ({ name, isDirectory: false, file: (resolve) => resolve(new File([text], name)) });
    const directory = (name, ...children) => ({
      name,
      isDirectory: true,
      // As browsers do, in several parts.
      createReader: () => ({ readEntries: (resolve) => resolve(children.splice(0, 2)) }),
    });
    const deep = directory('deep', directory('er', file('b', '22\n')));
    const script = file('c', '#!/bin/sh\necho $((6 * 7))\n');
    const folder = directory('dropped', file('a', '1'), directory('empty'), deep, script);
    const event = new DragEvent('drop', { bubbles: true, cancelable: true });
    Object.defineProperty(event, 'dataTransfer', { value: { items: [{ webkitGetAsEntry: () => folder }] } });
    document.querySelector('canvas').dispatchEvent(event);
  });
}

/// Drops a folder on the start page, and boots a machine that goes through it.
export async function useDropped(app) {
  await app.node('the start page', (node) => node.label === 'Pick a folder…');
  await drop(app);
  await app.node('the folder', (node) => node.value === 'dropped');
  await app.node('what is in it', (node) => /^3 files, /.test(node.value ?? ''));
  await app.enter('command to run', './c; find . | sort; cat deep/er/b');
  const { screen } = await app.until('its end', (state) => state.mode === 'halted' && !state.is_busy);
  const rows = screen.split('\n').map((row) => row.trim());
  for (const line of ['42', './a', './deep/er/b', './empty', '22']) {
    assert.ok(rows.includes(line), `${line} in ${screen}`);
  }
}
