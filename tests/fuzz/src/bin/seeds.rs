//! Writes a small seed corpus for each fuzz target: `seeds DIRECTORY` makes `DIRECTORY/TARGET/…`.

use reprise_fuzz::forge;
use reprise_traces::{
    BlobHash, BootKind, Completeness, Compression, Config, ConsolePort, EndReason, Event, Header,
    HeaderAnnotation, ImageReference, ImageRole, Input, PAGE_BYTES, Record, Start, StartFile,
    TerminalSize, TraceError, TraceReader, TraceWriter, pack, unpack,
};
use std::error::Error;
use std::io::Cursor;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = (std::env::args_os().nth(1))
        .ok_or("name the directory to write the seeds into, as in `seeds corpus`")?;
    write_traces(&Path::new(&directory).join("trace_reader"))?;
    write_packed(&Path::new(&directory).join("packed_trace"))?;
    write_programs(&Path::new(&directory).join("elf_loader"))?;
    write_packets(&Path::new(&directory).join("gdb_packets"))
}

/// Sessions with the gdb server, one packet a line.
fn write_packets(directory: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(directory)?;
    let monitor = |command: &str| {
        let digits: String = command.bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("qRcmd,{digits}")
    };
    let sessions: [(&str, Vec<String>); 6] = [
        (
            "greeting",
            lines(&[
                "qSupported:multiprocess+;swbreak+;hwbreak+;qRelocInsn+;exec-events+",
                "vMustReplyEmpty",
                "QStartNoAckMode",
                "!",
                "Hgp0.0",
                "qXfer:features:read:target.xml:0,ffb",
                "qXfer:threads:read::0,1000",
                "qXfer:osdata:read:processes:0,1000",
                "qXfer:auxv:read::0,1000",
                "qXfer:exec-file:read:400001:0,1000",
                "qAttached:400001",
                "qTStatus",
                "?",
                "qfThreadInfo",
                "qsThreadInfo",
                "qThreadExtraInfo,p400001.400001",
                "qC",
                "qSymbol::",
                "vCont?",
            ]),
        ),
        (
            "points",
            lines(&[
                "Z0,800000c8,4;X7,26000622631327",
                "vCont;c:p-1.-1",
                "Z2,80010008,8",
                "Z3,80010008,1",
                "Z4,8001000c,4",
                "vCont;c",
                "bc",
                "z2,80010008,8",
                "bc",
                "c",
                "QCatchSyscalls:1;40;5d",
                "QPassSignals:e;17",
                "vCont;C05:p1.1;c",
            ]),
        ),
        (
            "steps",
            lines(&[
                "Hc-1",
                "vCont;s:p400001.400001;c",
                "vCont;r80000000,80000064:p400001.400001",
                "bs",
                "s",
                "bc",
                "vCont;s",
            ]),
        ),
        (
            "state",
            lines(&[
                "g",
                "p20",
                "p341",
                "p1041",
                "P6=6300000000000000",
                "m80000000,40",
                "M80010008,4:01020304",
                "X80010010,3:abc",
                "qSearch:memory:80000000;1000;#",
                "qGetTLSAddr:p400001.400001,10,0",
                "qMemoryRegionInfo:80000000",
            ]),
        ),
        (
            "files",
            lines(&[
                "vFile:setfs:0",
                "vFile:open:2f62696e2f7368,0,1c0",
                "vFile:fstat:3",
                "vFile:pread:3,1000,0",
                "vFile:close:3",
                "vAttach;400001",
                "vKill;400001",
                "D;400001",
                "D",
                "k",
            ]),
        ),
        (
            "monitor",
            [
                "help",
                "when",
                "seek 1000",
                "seek +20",
                "seek -0x10",
                "seek time 0.0001",
                "seek event 1",
                "mark here",
                "marks",
                "seek mark here",
                "events 0 5",
                "who-wrote 0x80010008 8",
                "who-read 0x80010008",
                "diverge",
                "save file",
                "return",
                "catch exec",
                "ps all",
                "maps",
                "files",
                "start",
                "end",
            ]
            .map(monitor)
            .to_vec(),
        ),
    ];
    for (name, packets) in sessions {
        let packets = packets.join("\n");
        // The first byte is the number of processes: with none it is the machine, which has a number of its own.
        std::fs::write(directory.join(name), format!("\0{packets}"))?;
        let threads = packets.replace("p400001.400001", "p10.11");
        let processes = threads.replace("400001", "10");
        std::fs::write(
            directory.join(format!("{name}-of-processes")),
            format!("\x02{processes}"),
        )?;
    }
    // A line that is sent as it is.
    std::fs::write(
        directory.join("raw"),
        b"\0?\n\x01+$g#67-$m80000000,4#8f\x03$qC#b4---$g#00\n?",
    )?;
    Ok(())
}

fn lines(packets: &[&str]) -> Vec<String> {
    packets.iter().map(|packet| (*packet).to_owned()).collect()
}

fn write_programs(directory: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(directory)?;
    // lui t0, 0x80001; sd t0, 0(t0); csrw mtvec, t0; ecall; j .
    let code = [
        0x8000_12b7u32,
        0x0052_b023,
        0x3052_9073,
        0x0000_0073,
        0x0000_006f,
    ];
    std::fs::write(
        directory.join("program"),
        elf(&code.map(u32::to_le_bytes).concat()),
    )?;
    Ok(())
}

/// A bare-metal ELF of one segment at the start of RAM.
fn elf(code: &[u8]) -> Vec<u8> {
    const RAM: u64 = 0x8000_0000;
    const HEADERS: u16 = 64 + 56;
    let mut file = Vec::new();
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    // ET_EXEC, EM_RISCV, version 1.
    file.extend([2, 0, 243, 0, 1, 0, 0, 0]);
    for word in [RAM, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 1, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // PT_LOAD, readable, writable and executable.
    file.extend([1, 0, 0, 0, 7, 0, 0, 0]);
    let length = code.len() as u64;
    for word in [u64::from(HEADERS), RAM, RAM, length, length, 4] {
        file.extend(word.to_le_bytes());
    }
    file.extend(code);
    file
}

fn write_traces(directory: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(directory)?;
    for (number, records_per_chunk) in [1, 3, 100].into_iter().enumerate() {
        let trace = trace(records_per_chunk)?;
        let script = forge::script_of(&trace).ok_or("a seed has no script")?;
        // The built file is a whole trace, so that the fuzzer starts from what readers accept.
        let built = TraceReader::open(Cursor::new(forge::build(&script)))?;
        assert_eq!(built.completeness(), Completeness::Complete);
        std::fs::write(directory.join(format!("trace-{number}")), &trace)?;
        std::fs::write(directory.join(format!("script-{number}")), &script)?;
    }
    Ok(())
}

fn write_packed(directory: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(directory)?;
    let packed = pack(TraceReader::open(Cursor::new(trace(100)?))?)?;
    let content = forge::content_of_packed(&packed).ok_or("a seed has no content")?;
    // What is built is a packed trace, so that the fuzzer starts from what readers accept.
    assert_eq!(unpack(&forge::pack(&content))?, unpack(&packed)?);
    std::fs::write(directory.join("packed"), &packed)?;
    std::fs::write(directory.join("content"), &content)?;
    Ok(())
}

/// A trace with a bit of everything, and positions so close that a script can express them.
fn trace(records_per_chunk: usize) -> Result<Vec<u8>, TraceError> {
    let terminal = TerminalSize {
        columns: 80,
        rows: 24,
    };
    let header = Header {
        machine_version: 1,
        config: Config {
            boot: BootKind::Linux,
            ram_bytes: 256 << 20,
            hart_count: 1,
            time_shift: 6,
            seed: [1; 32],
            jitter_ticks_max: 3000,
            command_line: b"console=hvc0".to_vec(),
            terminal,
            network: None,
        },
        images: vec![ImageReference {
            role: ImageRole::Kernel,
            hash: BlobHash([2; 32]),
            bytes_len: 1234,
            name: "Image".into(),
            places: vec!["Image".into()],
        }],
        creator: "seeds".into(),
        recorded_at_unix_seconds: Some(1),
        other: vec![HeaderAnnotation {
            tag: 0xf0,
            payload: vec![1, 2, 3],
        }],
    };
    let mut writer = TraceWriter::create(Vec::new(), &header, Compression::Live)?;
    let content = writer.add_blob(b"hello")?;
    let event = |icount, input| {
        Record::Event(Event {
            icount,
            skip: icount,
            input,
        })
    };
    let start = Start {
        command: vec![b"ls".to_vec(), b"-l".to_vec()],
        environment: vec![(b"TERM".to_vec(), b"dumb".to_vec())],
        working_directory: b"/".to_vec(),
        clock_unix_nanoseconds: 1_800_000_000_000_000_000,
        seed: [3; 32],
        interactive: true,
        terminal,
        files: vec![StartFile {
            path: b"/a".to_vec(),
            mode: 0o644,
            content,
        }],
    };
    let records = [
        event(1, Input::Start(Box::new(start))),
        event(
            3,
            Input::ConsoleInput {
                port: ConsolePort(1),
                bytes: b"ls\r".to_vec(),
            },
        ),
        event(4, Input::ConsoleSize(terminal)),
        Record::StateHash {
            icount: 4,
            components: vec![1, 2, 3, 4, 5],
        },
        Record::Annotation {
            icount: 5,
            key: "note".into(),
            value: b"value".to_vec(),
        },
        Record::Mark {
            icount: 6,
            name: "here".into(),
        },
        Record::Other {
            icount: 6,
            tag: 0xee,
            payload: vec![9],
        },
        event(7, Input::PowerOff),
        Record::End {
            icount: 8,
            reason: EndReason::PowerOff,
            exit_status: Some(-1),
        },
    ];
    for (number, record) in records.iter().enumerate() {
        if number == 4 {
            let pages = [[1; PAGE_BYTES], [2; PAGE_BYTES]];
            writer.push_keyframe(4, b"state", (0..).map(|page| page * 2).zip(&pages))?;
        }
        writer.push(record)?;
        if number % records_per_chunk == 0 {
            writer.flush_chunk()?;
        }
    }
    Ok(writer.finish()?.0)
}
