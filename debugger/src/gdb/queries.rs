//! What is answered in front of gdbstub: processes, threads, what the server can do.

use super::files::KERNEL_PATH;
use super::packet::{PACKET_BYTES_MAX, escape, hex, number, unhex};
use super::server::{GdbServer, ThreadName};
use super::threads::MACHINE_PID;
use super::{Host, View, monitor};
use crate::session::ThreadView;
use reprise_core::types::{CpuId, GuestVirtAddr};

/// Threads in one answer to `qfThreadInfo`.
const THREADS_A_PACKET: usize = 512;

/// Bytes in one answer to `m`; each is two digits.
const READ_BYTES_MAX: usize = PACKET_BYTES_MAX / 2;
/// Linux's EFAULT, which clients take for memory that is not there.
const NO_MEMORY: &[u8] = b"E0e";

/// Bytes that one `qSearch:memory` looks at, and at a time.
const SEARCH_BYTES_MAX: u64 = 1 << 30;
const SEARCH_BYTES_A_TIME: usize = 1 << 16;

impl GdbServer {
    /// Answers a packet; `false` when gdbstub is to answer it.
    pub(super) fn answer_here(&mut self, packet: &[u8], host: &mut dyn Host) -> bool {
        let (name, arguments) = split(packet);
        match name {
            b"qSupported" => self.answer_supported(arguments),
            b"QStartNoAckMode" => {
                self.set_no_acks();
                self.reply(b"OK");
            }
            b"!" | b"qSymbol" | b"QProgramSignals" | b"QAgent" => self.reply(b"OK"),
            b"?" => self.answer_why(),
            b"qfThreadInfo" => self.answer_threads(0),
            b"qsThreadInfo" => self.answer_threads(self.client.threads_told),
            b"qC" => {
                let thread = format!("QC{}", self.thread_id(self.general));
                self.reply_text(&thread);
            }
            b"qAttached" => self.reply(b"1"),
            b"qTStatus" | b"vMustReplyEmpty" | b"qOffsets" | b"qL" => self.reply(b""),
            b"vCont?" => self.reply(b"vCont;c;C;s;S;r"),
            b"QPassSignals" => {
                let done = self.target.set_passed_signals(arguments);
                self.reply_done(done.is_some());
            }
            b"QCatchSyscalls" => {
                let done = self.target.set_system_calls(arguments, self.general.0);
                self.client.has_system_calls = done.is_some();
                self.reply_done(done.is_some());
            }
            b"qThreadExtraInfo" => self.answer_thread_info(arguments),
            b"qXfer" => self.answer_transfer(arguments),
            b"qRcmd" => {
                let Some(command) = unhex(arguments) else {
                    self.reply_done(false);
                    return true;
                };
                if let Some(said) = monitor::command(self, &String::from_utf8_lossy(&command), host)
                {
                    self.answer_command(&said);
                }
            }
            b"qGetTLSAddr" => self.answer_thread_storage(arguments),
            b"qSearch" => self.answer_search(arguments, host),
            b"QThreadSuffixSupported" => {
                // Of all clients LLDB alone asks.
                self.client.is_lldb = true;
                self.reply(b"");
            }
            b"qHostInfo" => {
                let triple = hex(b"riscv64-unknown-linux-gnu");
                self.reply_text(&format!(
                    "triple:{triple};ptrsize:8;endian:little;watchpoint_exceptions_received:after;"
                ));
            }
            b"qProcessInfo" => self.answer_process_info(),
            b"qMemoryRegionInfo" => self.answer_memory_region(arguments),
            b"vAttach" => self.answer_attach(arguments),
            b"vKill" => {
                // Nothing of a recording can be killed: the process is let go.
                self.detach(number(arguments));
                self.reply(b"OK");
            }
            _ => match packet {
                [b'H', kind, thread @ ..] => self.answer_select(*kind, thread),
                [b'T', thread @ ..] => {
                    let thread = ThreadName::parse(thread);
                    let is_there = thread.is_some_and(|thread| self.find(thread).is_some());
                    self.reply(if is_there { b"OK" } else { b"E03" });
                }
                b"D" => {
                    self.reply(b"OK");
                    self.close();
                }
                [b'D', b';', pid @ ..] => {
                    self.detach(number(pid));
                    self.reply(b"OK");
                    if !self.client.has_processes {
                        self.close();
                    }
                }
                b"k" => self.close(),
                [b'Z' | b'z', _, b',', ..] => self.answer_point(packet),
                [b'm', range @ ..] => self.answer_read(range),
                [b'M' | b'X', ..] => self.answer_write(packet),
                [b'c' | b'C', ..] => return self.resume_plainly(b"vCont;c", host),
                [b's' | b'S', ..] => {
                    let tid = self.resumed.unwrap_or(self.general.1);
                    return self.resume_plainly(format!("vCont;s:{tid:x}").as_bytes(), host);
                }
                _ => return false,
            },
        }
        true
    }

    fn reply_done(&mut self, is_done: bool) {
        self.reply(if is_done {
            b"OK"
        } else {
            b"E.the packet is not valid"
        });
    }

    fn answer_supported(&mut self, arguments: &[u8]) {
        for feature in arguments.split(|byte| *byte == b';') {
            match feature {
                b"multiprocess+" => self.client.has_processes = true,
                b"exec-events+" => self.client.has_exec_events = true,
                b"swbreak+" => self.client.has_software_breaks = true,
                _ => {}
            }
        }
        let mut answer = format!("PacketSize={PACKET_BYTES_MAX:x}");
        for feature in [
            "QStartNoAckMode",
            "multiprocess",
            "swbreak",
            "hwbreak",
            "vContSupported",
            "ReverseContinue",
            "ReverseStep",
            "ConditionalBreakpoints",
            "QPassSignals",
            "QCatchSyscalls",
            "exec-events",
            "qXfer:features:read",
            "qXfer:threads:read",
            "qXfer:osdata:read",
            "qXfer:auxv:read",
            "qXfer:exec-file:read",
        ] {
            answer += &format!(";{feature}+");
        }
        self.reply_text(&answer);
    }

    /// `?`: why nothing runs. Before anything has run it is for the client's sake.
    fn answer_why(&mut self) {
        if self.last_stop.is_empty() {
            let thread = self.stopped_thread(None);
            self.general = thread;
            self.target.selected = thread.1;
            self.last_stop = format!("T05thread:{};", self.thread_id(thread));
        }
        let stop = self.last_stop.clone();
        self.reply(stop.as_bytes());
    }

    /// The threads that the client is to see, with their processes.
    fn visible_threads(&mut self) -> Vec<super::threads::Thread> {
        self.target
            .threads
            .update(&self.target.session, self.target.options.view);
        let only = (!self.client.has_processes).then_some(self.general.0);
        let threads = self.target.threads.all().iter();
        threads
            .filter(|thread| !self.detached.contains(&thread.pid))
            .filter(|thread| only.is_none_or(|pid| pid == thread.pid))
            .cloned()
            .collect()
    }

    fn answer_threads(&mut self, from: usize) {
        let threads = self.visible_threads();
        let names: Vec<String> = threads
            .iter()
            .skip(from)
            .take(THREADS_A_PACKET)
            .map(|thread| self.thread_id((thread.pid, thread.tid)))
            .collect();
        self.client.threads_told = from + names.len();
        if names.is_empty() {
            return self.reply(b"l");
        }
        self.reply_text(&format!("m{}", names.join(",")));
    }

    /// The thread of that name; a process alone means its first thread.
    fn find(&mut self, name: ThreadName) -> Option<(u32, u32)> {
        let threads = self.visible_threads();
        let found = threads.iter().find(|thread| {
            let is_pid = name
                .pid
                .is_none_or(|pid| pid <= 0 || pid == i64::from(thread.pid));
            let is_tid = name.tid <= 0 || name.tid == i64::from(thread.tid);
            is_pid && is_tid
        });
        found.map(|thread| (thread.pid, thread.tid))
    }

    fn answer_select(&mut self, kind: u8, thread: &[u8]) {
        let Some(name) = ThreadName::parse(thread) else {
            return self.reply(b"E.the thread is not valid");
        };
        // Any thread: the one that is selected already is as good as another, and the one that gdb means.
        let is_any = name.tid <= 0 && name.pid.is_none_or(|pid| pid <= 0);
        if kind != b'c' && is_any && self.target.thread(self.general.1).is_some() {
            return self.reply(b"OK");
        }
        if kind == b'c' {
            self.resumed = u32::try_from(name.tid).ok().filter(|tid| *tid > 0);
            return self.reply(b"OK");
        }
        // A process that has ended may still be named, to take its breakpoints away.
        let has_processes = self.client.has_processes;
        let found = self.find(name).or_else(|| {
            let pid = u32::try_from(name.pid.filter(|_| has_processes)?).ok()?;
            Some((pid, u32::try_from(name.tid).unwrap_or(pid)))
        });
        match found {
            Some(thread) => {
                self.general = thread;
                self.target.selected = thread.1;
                self.reply(b"OK");
            }
            None => self.reply(b"E03"),
        }
    }

    fn detach(&mut self, pid: Option<u64>) {
        if let Some(pid) = pid.and_then(|pid| u32::try_from(pid).ok()) {
            self.detached.insert(pid);
            let scope = self.target.scope_of(pid);
            let stops = &mut self.target.stops;
            stops.breakpoints.retain(|point| point.scope != scope);
            stops.watchpoints.retain(|point| point.scope != scope);
            stops.system_calls.retain(|stop| stop.scope != scope);
        }
    }

    fn answer_attach(&mut self, arguments: &[u8]) {
        let pid = number(arguments).and_then(|pid| i64::try_from(pid).ok());
        if let Some(pid) = pid.and_then(|pid| u32::try_from(pid).ok()) {
            self.detached.remove(&pid);
        }
        let name = ThreadName { pid, tid: -1 };
        match pid.and_then(|_| {
            // Of another process than the one shown so far.
            let had = std::mem::replace(&mut self.client.has_processes, true);
            let found = self.find(name);
            self.client.has_processes = had;
            found
        }) {
            Some(thread) => {
                self.general = thread;
                self.target.selected = thread.1;
                let stop = format!("T05thread:{};", self.thread_id(thread));
                self.reply(stop.as_bytes());
            }
            None => self.reply(b"E.there is no such process here"),
        }
    }

    fn answer_thread_info(&mut self, arguments: &[u8]) {
        let name = ThreadName::parse(arguments);
        let thread = name
            .and_then(|name| self.find(name))
            .and_then(|(_, tid)| self.target.thread(tid));
        match thread {
            Some(thread) => self.reply_text(&hex(describe(&thread).as_bytes())),
            None => self.reply(b"E03"),
        }
    }

    fn answer_transfer(&mut self, arguments: &[u8]) {
        let mut parts = arguments.splitn(4, |byte| *byte == b':');
        let (object, verb) = (parts.next(), parts.next());
        let annex = parts.next().unwrap_or_default();
        let range = parts.next().and_then(|text| {
            let mut numbers = text.splitn(2, |byte| *byte == b',').map(number);
            Some((numbers.next()??, numbers.next()??))
        });
        let (Some(object), Some(b"read"), Some((offset, length))) = (object, verb, range) else {
            return self.reply(b"");
        };
        let content: Option<Vec<u8>> = match object {
            b"features" => (annex == b"target.xml").then(|| self.xml.clone().into_bytes()),
            b"threads" => Some(self.threads_xml().into_bytes()),
            b"osdata" => Some(self.os_data_xml(annex).into_bytes()),
            b"auxv" => self.auxv(),
            b"exec-file" => self.executable(annex),
            _ => return self.reply(b""),
        };
        let Some(content) = content else {
            return self.reply(b"E.the guest does not tell");
        };
        let from = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(content.len());
        // Every byte may have to be escaped.
        let length = usize::try_from(length)
            .unwrap_or(usize::MAX)
            .min(PACKET_BYTES_MAX / 2 - 16)
            .min(content.len() - from);
        let is_last = from + length == content.len();
        let mut reply = vec![if is_last { b'l' } else { b'm' }];
        reply.extend(escape(&content[from..from + length]));
        self.reply(&reply);
    }

    fn threads_xml(&mut self) -> String {
        let mut xml = String::from("<?xml version=\"1.0\"?>\n<threads>\n");
        for thread in self.visible_threads() {
            xml += &format!(
                "<thread id=\"{}\" core=\"0\" name=\"{}\">{}</thread>\n",
                self.thread_id((thread.pid, thread.tid)),
                in_xml(&thread.name),
                in_xml(&describe(&thread)),
            );
        }
        xml + "</threads>\n"
    }

    /// `info os` (GDB manual, "Operating System Information").
    fn os_data_xml(&mut self, annex: &[u8]) -> String {
        let column =
            |name: &str, value: &str| format!("<column name=\"{name}\">{}</column>", in_xml(value));
        let mut rows = Vec::new();
        match annex {
            b"" => {
                for (kind, text) in [
                    ("processes", "Processes of the guest at this position"),
                    ("threads", "Threads of the guest at this position"),
                ] {
                    rows.push(column("Type", kind) + &column("Description", text));
                }
            }
            b"processes" | b"threads" => {
                let view = self.target.session.linux();
                let mut tasks = view.as_ref().map(|view| view.tasks()).unwrap_or_default();
                tasks.sort_by_key(|task| (task.tgid, task.tid));
                for task in tasks {
                    if annex == b"processes" && task.tid != task.tgid {
                        continue;
                    }
                    let arguments = view.as_ref().map(|view| view.arguments(&task));
                    let words: Vec<String> = arguments
                        .unwrap_or_default()
                        .iter()
                        .map(|word| String::from_utf8_lossy(word).into_owned())
                        .collect();
                    let command = if words.is_empty() {
                        format!("[{}]", task.name)
                    } else {
                        words.join(" ")
                    };
                    let mut row = column("pid", &task.tgid.to_string());
                    row += &column("command", &command);
                    if annex == b"threads" {
                        row += &column("tid", &task.tid.to_string());
                    }
                    row += &column("cores", "0");
                    rows.push(row);
                }
            }
            _ => {}
        }
        let kind = in_xml(&String::from_utf8_lossy(annex));
        let items: String = rows
            .iter()
            .map(|row| format!("<item>{row}</item>\n"))
            .collect();
        format!("<?xml version=\"1.0\"?>\n<osdata type=\"{kind}\">\n{items}</osdata>\n")
    }

    fn auxv(&mut self) -> Option<Vec<u8>> {
        match self.target.thread(self.general.1)?.view {
            ThreadView::Task(task) => self.target.session.linux()?.auxv(&task),
            ThreadView::Cpu(_) | ThreadView::Elsewhere => None,
        }
    }

    /// Path of the program that a process executes; without a process, that of the selected one.
    fn executable(&mut self, annex: &[u8]) -> Option<Vec<u8>> {
        let pid = match annex {
            b"" => self.general.0,
            digits => u32::try_from(number(digits)?).ok()?,
        };
        if pid == MACHINE_PID {
            let has_symbols = self.target.session.kernel().is_ok();
            return has_symbols.then(|| KERNEL_PATH.as_bytes().to_vec());
        }
        let view = self.target.session.linux()?;
        let task = view
            .tasks()
            .into_iter()
            .find(|task| task.tgid == pid && task.space.is_some())?;
        view.executable(&task)
    }

    /// `qGetTLSAddr` for the program itself, whose block of thread-local storage begins where `tp` points (RISC-V ELF
    /// psABI, "Thread Local Storage").
    fn answer_thread_storage(&mut self, arguments: &[u8]) {
        let mut parts = arguments.split(|byte| *byte == b',');
        let thread = parts
            .next()
            .and_then(ThreadName::parse)
            .and_then(|name| self.find(name));
        let offset = parts.next().and_then(number);
        let address = thread.zip(offset).and_then(|((_, tid), offset)| {
            let thread = self.target.thread(tid)?;
            let registers = self.target.session.registers(&thread.view)?;
            Some(registers.x[4].wrapping_add(offset))
        });
        match address {
            Some(address) => self.reply_text(&format!("{address:x}")),
            None => self.reply(b"E.there is no such storage"),
        }
    }

    /// `m address,length`. The answer may hold less than what was asked for: what fits into a packet, up to the first byte
    /// that is not there.
    fn answer_read(&mut self, range: &[u8]) {
        let thread = self.target.thread(self.general.1);
        let (Some((address, length)), Some(thread)) = (address_range(range), thread) else {
            return self.reply(b"E.the packet is not valid, or the thread is gone");
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length.min(READ_BYTES_MAX)];
        let view = &thread.view;
        let read = self
            .target
            .session
            .read_memory(view, GuestVirtAddr(address), &mut bytes);
        if read == 0 {
            return self.reply(NO_MEMORY);
        }
        self.reply(hex(&bytes[..read]).as_bytes());
    }

    /// `M address,length:` and digits, or `X` and escaped bytes. Without any bytes, clients only try whether `X` is known.
    fn answer_write(&mut self, packet: &[u8]) {
        let thread = self.target.thread(self.general.1);
        let mut parts = packet[1..].splitn(2, |byte| *byte == b':');
        let range = parts.next().and_then(address_range);
        let bytes = parts.next().and_then(|content| match packet[0] {
            b'M' => unhex(content),
            _ => Some(super::packet::unescape(content)),
        });
        let (Some((address, length)), Some(bytes), Some(thread)) = (range, bytes, thread) else {
            return self.reply(b"E.the packet is not valid, or the thread is gone");
        };
        if bytes.len() as u64 != length {
            return self.reply(b"E.the packet is not as long as it says");
        }
        let session = &mut self.target.session;
        let written = session.write_memory(&thread.view, GuestVirtAddr(address), &bytes);
        self.target.threads.forget();
        self.reply(if written.is_ok() { b"OK" } else { NO_MEMORY });
    }

    /// `qSearch:memory:address;length;pattern`.
    fn answer_search(&mut self, arguments: &[u8], host: &mut dyn Host) {
        let parsed = arguments.strip_prefix(b"memory:").and_then(|rest| {
            let mut parts = rest.splitn(3, |byte| *byte == b';');
            let address = number(parts.next()?)?;
            let length = number(parts.next()?)?;
            Some((address, length, super::packet::unescape(parts.next()?)))
        });
        let thread = self.target.thread(self.general.1);
        let (Some((address, length, pattern)), Some(thread)) = (parsed, thread) else {
            return self.reply(b"E.the packet is not valid");
        };
        if pattern.is_empty() || pattern.len() > SEARCH_BYTES_A_TIME / 2 {
            return self.reply(b"E.the pattern is empty or too long");
        }
        let end = address.saturating_add(length.min(SEARCH_BYTES_MAX));
        let mut at = address;
        let mut buffer = vec![0; SEARCH_BYTES_A_TIME];
        while at < end {
            let wanted = ((end - at) as usize).min(buffer.len());
            let read = self.target.session.read_memory(
                &thread.view,
                GuestVirtAddr(at),
                &mut buffer[..wanted],
            );
            let found = buffer[..read]
                .windows(pattern.len())
                .position(|window| window == pattern);
            if let Some(offset) = found {
                let address = at + offset as u64;
                return self.reply_text(&format!("1,{address:x}"));
            }
            if read < wanted {
                return self.reply(b"E.part of the memory is not there");
            }
            if host.is_break_wanted() {
                return self.reply(b"E.the search was broken off");
            }
            if read < pattern.len() || at + read as u64 >= end {
                break;
            }
            at += (read - (pattern.len() - 1)) as u64;
        }
        self.reply(b"0");
    }

    fn answer_process_info(&mut self) {
        let pid = self.general.0;
        let triple = hex(b"riscv64-unknown-linux-gnu");
        self.reply_text(&format!(
            "pid:{pid:x};triple:{triple};ostype:linux;vendor:unknown;endian:little;ptrsize:8;"
        ));
    }

    /// `qMemoryRegionInfo` of LLDB: the mapping at an address, or the gap around it.
    fn answer_memory_region(&mut self, arguments: &[u8]) {
        let thread = self.target.thread(self.general.1).map(|thread| thread.view);
        let (Some(address), Some(ThreadView::Task(task))) = (number(arguments), thread) else {
            return self.reply(b"");
        };
        let Some(view) = self.target.session.linux() else {
            return self.reply(b"");
        };
        let mappings = view.mappings(&task);
        let found = mappings
            .iter()
            .find(|mapping| (mapping.start.0..mapping.end.0).contains(&address));
        let answer = match found {
            Some(mapping) => {
                let right = |has: bool, letter: &str| {
                    if has {
                        letter.to_owned()
                    } else {
                        String::new()
                    }
                };
                format!(
                    "start:{:x};size:{:x};permissions:{}{}{};",
                    mapping.start.0,
                    mapping.end.0 - mapping.start.0,
                    right(mapping.is_readable, "r"),
                    right(mapping.is_writable, "w"),
                    right(mapping.is_executable, "x"),
                )
            }
            None => {
                let before = mappings.iter().rfind(|mapping| mapping.end.0 <= address);
                let after = mappings.iter().find(|mapping| mapping.start.0 > address);
                let start = before.map_or(0, |mapping| mapping.end.0);
                let end = after.map_or(u64::MAX, |mapping| mapping.start.0);
                format!("start:{start:x};size:{:x};", end - start)
            }
        };
        self.reply_text(&answer);
    }

    /// Whether the client sees processes or the machine.
    pub(super) fn shows_processes(&self) -> bool {
        self.target.options.view == View::Processes
    }

    /// Answers `qRcmd` with what its command says.
    pub(super) fn answer_command(&mut self, said: &str) {
        for line in said.trim_end().lines() {
            self.print(line);
        }
        self.reply(b"OK");
    }

    /// The first CPU's program counter, for what is said of stops in the kernel.
    pub(super) fn machine_pc(&self) -> u64 {
        self.target.session.machine().cpu(CpuId(0)).pc()
    }
}

/// What is said of a thread beside its name.
fn describe(thread: &super::threads::Thread) -> String {
    match &thread.view {
        ThreadView::Cpu(_) => "the machine".to_owned(),
        ThreadView::Elsewhere => "not at this position".to_owned(),
        ThreadView::Task(task) => format!("{} ({})", task.name, task.state.word()),
    }
}

fn in_xml(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            // What XML cannot hold (XML 1.0, 2.2).
            '\u{fffe}' | '\u{ffff}' => escaped.push('?'),
            letter if letter.is_control() => escaped.push('?'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// An address and a length, as `m` and others have them.
fn address_range(text: &[u8]) -> Option<(u64, u64)> {
    let mut numbers = text.split(|byte| *byte == b',').map(number);
    let range = (numbers.next()??, numbers.next()??);
    numbers.next().is_none().then_some(range)
}

/// The name of a packet and what follows it.
fn split(packet: &[u8]) -> (&[u8], &[u8]) {
    let is_named = matches!(packet.first(), Some(b'q' | b'Q' | b'v' | b'!' | b'?'));
    if !is_named {
        return (b"", packet);
    }
    if packet == b"vCont?" {
        return (packet, b"");
    }
    let end = packet
        .iter()
        .position(|byte| matches!(byte, b':' | b',' | b';'));
    match end {
        Some(end) => (&packet[..end], &packet[end + 1..]),
        None => (packet, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::in_xml;

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        assert_eq!(
            in_xml("a<b>&\"\u{fffe}\u{ffff}\u{1}\u{7f}\u{fffd}"),
            "a&lt;b&gt;&amp;&quot;????\u{fffd}"
        );
    }
}
