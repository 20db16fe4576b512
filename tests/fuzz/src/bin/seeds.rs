//! Writes a small seed corpus for each fuzz target: `seeds DIRECTORY` makes `DIRECTORY/TARGET/…`.

use reprise_core::workspace::ListingBuilder;
use reprise_core::workspace::listing::{Entry, EntryKind, Timestamp};
use reprise_fuzz::forge;
use reprise_host::Digest;
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
    write_packets(&Path::new(&directory).join("gdb_packets"))?;
    write_conversations(&Path::new(&directory).join("workspace"))?;
    write_archives(&Path::new(&directory).join("container"))?;
    write_parts(&Path::new(&directory).join("image_tree"))?;
    write_frames(&Path::new(&directory).join("frames"))?;
    write_requests(&Path::new(&directory).join("http"))
}

/// Frames of a guest's, as their target reads them: the first packet of a connection, a question for a name, a question for a
/// card, and a ping.
fn write_frames(directory: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(directory)?;
    const GATEWAY: [u8; 6] = [0x02, 0x52, 0x50, 0x00, 0x00, 0x01];
    const GUEST: [u8; 6] = [0x02, 0x52, 0x50, 0x00, 0x00, 0x02];
    let frame = |to: &[u8; 6], ethertype: u16, payload: &[u8]| {
        let ethertype = ethertype.to_be_bytes();
        let frame = [&to[..], &GUEST, &ethertype, payload].concat();
        [&(frame.len() as u16 | 0x8000).to_le_bytes()[..], &frame].concat()
    };
    let packet = |protocol: u8, to: [u8; 4], payload: &[u8]| {
        let length = (20 + payload.len() as u16).to_be_bytes();
        let begin = [
            0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, protocol, 0, 0,
        ];
        let packet = [&begin[..], &[10, 0, 2, 15], &to, payload].concat();
        frame(&GATEWAY, 0x0800, &packet)
    };
    let segment = |to: u16, sequence: u8, flags: u8, payload: &[u8]| {
        let to = to.to_be_bytes();
        let begin = [
            0x9c, 0x40, to[0], to[1], 0, 0, 0, sequence, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff,
        ];
        [&begin[..], &[0; 4], payload].concat()
    };
    let question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x01\0\x01";
    let length = (8 + question.len() as u16).to_be_bytes();
    let datagram = [
        &[0x9c, 0x41, 0, 53, length[0], length[1], 0, 0][..],
        question,
    ]
    .concat();
    let who_has = [
        &[0, 1, 8, 0, 6, 4, 0, 1][..],
        &GUEST,
        &[10, 0, 2, 15],
        &[0; 6],
        &[10, 0, 2, 2],
    ]
    .concat();
    let who_has = frame(&[0xff; 6], 0x0806, &who_has);
    let far = [198, 18, 0, 1];
    for (name, frames) in [
        (
            "name",
            vec![who_has.clone(), packet(17, [10, 0, 2, 3], &datagram)],
        ),
        (
            "connection",
            vec![
                who_has.clone(),
                packet(6, far, &segment(80, 0, 2, b"")),
                packet(
                    6,
                    far,
                    &segment(80, 1, 0x18, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
                ),
            ],
        ),
        (
            "ping",
            vec![
                who_has,
                packet(1, [10, 0, 2, 2], &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]),
            ],
        ),
    ] {
        std::fs::write(directory.join(name), frames.concat())?;
    }
    Ok(())
}

/// What guests send to web servers, after a byte that says how they are answered.
fn write_requests(directory: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(directory)?;
    for (name, request) in [
        (
            "get",
            "GET /a?b=c HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\r\n",
        ),
        ("old", "GET / HTTP/1.0\r\n\r\n"),
        (
            "proxied",
            "HEAD http://example.org:8080/ HTTP/1.1\r\nHost: example.org\r\n\r\n",
        ),
        (
            "posted",
            "POST /x HTTP/1.1\r\nHost: e\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nbytes",
        ),
        (
            "chunked",
            "PUT /x HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nT: v\r\n\r\n",
        ),
        (
            "several",
            "GET /1 HTTP/1.1\r\nHost: e\r\n\r\nGET /2 HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n",
        ),
    ] {
        for how in [0, 4, 24] {
            let bytes = [&[how], request.as_bytes()].concat();
            std::fs::write(directory.join(format!("{name}-{how}")), bytes)?;
        }
    }
    Ok(())
}

/// Conversations with the workspace's server, as its target reads them: length, type and fields of each message.
fn write_conversations(directory: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(directory)?;
    const FID: [u8; 4] = [0; 4];
    const NEW_FID: [u8; 4] = [1, 0, 0, 0];
    let string = |text: &str| [&(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat();
    let message = |message_type: u8, fields: &[&[u8]]| {
        let fields = fields.concat();
        [&[fields.len() as u8, message_type][..], &fields].concat()
    };
    let word = |value: u32| value.to_le_bytes();
    let begin = [
        message(100, &[&word(8192), &string("9P2000.L")]),
        message(
            104,
            &[&FID, &word(u32::MAX), &string(""), &string("/"), &word(0)],
        ),
    ]
    .concat();
    let walk = |name: &str| message(110, &[&FID, &NEW_FID, &[1, 0], &string(name)]);
    let open = |flags: u32| message(12, &[&NEW_FID, &word(flags)]);
    let conversations = [
        (
            "read",
            vec![
                walk("b"),
                open(0),
                message(116, &[&NEW_FID, &[0; 8], &word(1000)]),
                message(24, &[&NEW_FID, &[0xff; 8]]),
                message(120, &[&NEW_FID]),
            ],
        ),
        (
            "write",
            vec![
                walk("a"),
                open(2),
                message(
                    118,
                    &[&NEW_FID, &[3, 0, 0, 0, 0, 0, 0, 0], &word(5), b"hello"],
                ),
                message(116, &[&NEW_FID, &[0; 8], &word(100)]),
                message(
                    26,
                    &[&NEW_FID, &word(8), &word(0), &word(0), &word(0), &[0; 40]],
                ),
                message(122, &[&NEW_FID]),
            ],
        ),
        (
            "names",
            vec![
                walk("d"),
                message(72, &[&FID, &string("n"), &word(0o755), &word(0)]),
                message(74, &[&FID, &string("a"), &NEW_FID, &string("z")]),
                message(16, &[&FID, &string("l"), &string("d/z"), &word(0)]),
                message(76, &[&FID, &string("n"), &word(0x200)]),
                open(0),
                message(40, &[&NEW_FID, &[0; 8], &word(1000)]),
                message(14, &[&FID, &string("f"), &word(2), &word(0o644), &word(0)]),
            ],
        ),
    ];
    for (name, messages) in conversations {
        let bytes = [&[0x80][..], &begin, &messages.concat()].concat();
        std::fs::write(directory.join(name), bytes)?;
    }
    let root = Entry {
        kind: EntryKind::Directory,
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: Timestamp::from_unix_nanoseconds(1_000_000_000),
    };
    let file = Entry {
        kind: EntryKind::File { byte_len: 7 },
        ..root.clone()
    };
    let mut listing = ListingBuilder::new(root);
    listing.add(ListingBuilder::ROOT, b"file", file)?;
    let bytes = [&[255][..], &listing.encode()].concat();
    std::fs::write(directory.join("listing"), bytes)?;
    Ok(())
}

/// A `docker save` archive of an image with a file and a link.
fn write_archives(directory: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(directory)?;
    let layer = tar(&[
        ("etc/", b'5', b""),
        ("etc/hosts", b'0', b"localhost"),
        ("etc/.wh.no", b'0', b""),
    ]);
    let config = format!(
        r#"{{"architecture":"riscv64","os":"linux","config":{{"Cmd":["sh"]}},"rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        Digest::of(&layer)
    );
    let manifest = br#"[{"Config":"config.json","RepoTags":["a:b"],"Layers":["layer.tar"]}]"#;
    let archive = tar(&[
        ("layer.tar", b'0', &layer),
        ("config.json", b'0', config.as_bytes()),
        ("manifest.json", b'0', manifest),
    ]);
    std::fs::write(directory.join("docker"), [&[0][..], &archive].concat())?;
    Ok(())
}

/// A ustar archive of these names, types and contents.
fn tar(entries: &[(&str, u8, &[u8])]) -> Vec<u8> {
    const BLOCK: usize = 512;
    let mut archive = Vec::new();
    for (name, entry_type, content) in entries {
        let mut header = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, name.as_bytes());
        put(100, b"0000644\x000000000\x000000000\0");
        put(
            124,
            format!("{:011o}\0{:011o}\0        ", content.len(), 0).as_bytes(),
        );
        put(156, &[*entry_type]);
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend(header);
        archive.extend(*content);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

/// Parts of the target's images: one that is right, and one with a byte that is not.
fn write_parts(directory: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(directory)?;
    std::fs::write(directory.join("right"), [2, 1, 1])?;
    std::fs::write(
        directory.join("wrong"),
        [0, 7, 5, 9, 9, 9, 9, 9, 9, 9, 9, 1],
    )?;
    Ok(())
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
