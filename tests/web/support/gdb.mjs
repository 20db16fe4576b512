// A real gdb, told what to do a command at a time.

import { spawn } from 'node:child_process';
import { PATIENCE_MS, atMost } from './app.mjs';

export class Gdb {
  #process;
  #said = '';
  #wake = () => {};
  #ended;
  #count = 0;

  constructor() {
    const settings = [
      'set confirm off',
      'set pagination off',
      'set architecture riscv:rv64',
      'set sysroot target:',
      'set schedule-multiple on',
      'set remotetimeout 60',
    ];
    const words = settings.flatMap((line) => ['-iex', line]);
    // What it says itself and what its target says belong in one order.
    const program = ['-c', 'exec gdb-multiarch "$@" 2>&1', 'sh', '-q', '-nx', ...words];
    this.#process = spawn('/bin/sh', program, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#process.stdout.on('data', (bytes) => {
      this.#said += bytes;
      this.#wake();
    });
    this.#ended = new Promise((resolve) => this.#process.on('exit', resolve));
    this.#ended.then(() => this.#wake());
  }

  /// Executes a command; what gdb says to it.
  async do(command) {
    this.#said = '';
    const mark = `done-${(this.#count += 1)}`;
    this.#process.stdin.write(`${command}\necho ${mark}\\n\n`);
    const deadline = setTimeout(() => this.#process.kill('SIGKILL'), PATIENCE_MS);
    try {
      while (!this.#said.includes(`${mark}\n`)) {
        if (this.#process.exitCode !== null || this.#process.signalCode !== null) {
          throw new Error(`gdb ended at \`${command}\`, after saying: ${this.#said}`);
        }
        await new Promise((resolve) => (this.#wake = resolve));
      }
    } finally {
      clearTimeout(deadline);
    }
    return this.#said;
  }

  /// Ctrl-C.
  interrupt() {
    this.#process.kill('SIGINT');
  }

  /// Where it stands: icount, and program counter in hexadecimal.
  async position() {
    const [, icount] = /icount (\d+) of/.exec(await this.do('monitor when'));
    const [, pc] = /= (0x[0-9a-f]+)/.exec(await this.do('print/x $pc'));
    return { icount: Number(icount), pc };
  }

  /// Ends it; its connection ends with it.
  async end() {
    this.#process.stdin.end('quit\n');
    await atMost(PATIENCE_MS, this.#ended);
  }

  /// Ends it wherever it is, unless it has ended.
  kill() {
    this.#process.kill('SIGKILL');
  }
}
